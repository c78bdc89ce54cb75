//! `duynhat identify`.

use std::path::PathBuf;

use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::template::{Biometrics, Extractor, FaceTemplate};
use serde::Serialize;

use super::inputs::{Impressions, PATTERN_DEFAULT, parse_extractor, read_faces, read_file, read_folder};
use super::{BadInput, print_json, print_table, progress};
use crate::service::{IdentifyDocument, IdentifyRequest, Models, identify_prepared};

/// Probes searched together.
const FACE_BATCH: usize = 1_024;

/// Searches a data folder; leaves nothing in it, and may run beside its server.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["fingers", "files", "faces"]))]
pub struct IdentifyArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A folder of finger templates: one probe for each subject and impression.
    #[arg(long, value_name = "FOLDER")]
    pub fingers: Option<PathBuf>,
    /// Finger templates of one probe.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How the folder's files are named; `{finger}` sets the position when the record says 0.
    #[arg(long, default_value = PATTERN_DEFAULT)]
    pub pattern: String,
    /// Only these impressions, e.g. 4-6; all by default.
    #[arg(long, value_name = "FIRST-LAST", value_parser = Impressions::parse)]
    pub impressions: Option<Impressions>,
    /// Who extracted the minutiae, e.g. mindtct; unknown by default.
    #[arg(long, value_parser = parse_extractor, default_value = "unknown")]
    pub extractor: Extractor,
    /// Only candidates from this fused score (natural log-likelihood ratio); without it the best whatever they score.
    #[arg(long, value_name = "LLR", allow_hyphen_values = true)]
    pub threshold: Option<f32>,
    /// At most this many candidates a probe.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub candidates_max: usize,
    /// Look for the probe's fingers under any name: for positions that are not known or not to be believed. The
    /// screen does five times the work.
    #[arg(long)]
    pub cross_position: bool,
    /// Embeddings: a `.npy` array of 32-bit floats, one probe a row.
    #[arg(long, value_name = "FILE.npy", requires = "model")]
    pub faces: Option<PathBuf>,
    /// The model that made the embeddings.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// With --faces: every reference at or above this cosine, -1 to 1.
    #[arg(long, value_name = "COSINE", default_value_t = 0.4, allow_hyphen_values = true)]
    pub cosine: f32,
    /// One JSON document a probe, one on a line, also when nothing was found.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct FingerLine<'a> {
    probe: &'a str,
    candidates: Vec<FingerCandidate<'a>>,
}

#[derive(Serialize)]
struct FingerCandidate<'a> {
    subject: &'a str,
    score: f32,
}

#[derive(Serialize)]
struct FaceLine {
    probe: usize,
    candidates: Vec<FaceCandidate>,
}

#[derive(Serialize)]
struct FaceCandidate {
    reference: String,
    cosine: f32,
}

/// Identifies.
///
/// # Errors
/// Bad input (exit code 2), or a damaged data folder.
pub fn run(args: &IdentifyArgs) -> anyhow::Result<()> {
    if !(1..=1_000).contains(&args.candidates_max) {
        return Err(BadInput::error(format!("--candidates-max {}: expected 1 to 1000", args.candidates_max)));
    }
    let mut models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let gallery = super::open_folder(&args.data, &models)?;
    models.set_cohort(&gallery.cohort);
    if let Some(path) = &args.faces {
        return faces(args, path, &models, &gallery.snapshot);
    }
    // A probe: name and prints.
    let mut probes: Vec<(String, Biometrics)> = Vec::new();
    if let Some(folder) = &args.fingers {
        let (templates, _) = read_folder(folder, &args.pattern, args.impressions, &args.extractor)?;
        let mut named: Vec<(String, Vec<_>)> = Vec::new();
        for file in templates {
            let name = format!("{}_{}", file.subject, file.impression);
            match named.iter_mut().rev().find(|(n, _)| *n == name) {
                Some((_, prints)) => prints.push(file.template),
                None => named.push((name, vec![file.template])),
            }
        }
        named.sort_by(|a, b| duynhat_datasets::collection::natural(&a.0, &b.0));
        for (name, prints) in named {
            let biometrics = Biometrics::new(prints, Vec::new(), Vec::new())
                .map_err(|e| BadInput::error(format!("probe {name}: {e}")))?;
            probes.push((name, biometrics));
        }
    } else {
        let mut prints = Vec::new();
        for file in &args.files {
            prints.extend(read_file(file, &args.extractor)?);
        }
        let biometrics = Biometrics::new(prints, Vec::new(), Vec::new()).map_err(|e| BadInput::error(e.to_string()))?;
        probes.push(("probe".into(), biometrics));
    }
    let bar = progress(probes.len() as u64, "searching");
    for (name, biometrics) in probes {
        let prepared = Prepared::new(models.model, models.cohort, &biometrics);
        for (position, error) in &prepared.failures {
            eprintln!("{name}: {position}: not used: {error}");
        }
        let request = IdentifyRequest {
            biometrics,
            threshold: args.threshold,
            candidates_max: args.candidates_max,
            cross_position: args.cross_position,
        };
        let found = identify_prepared(&models, &gallery.snapshot, &prepared, &request)?;
        bar.inc(1);
        bar.suspend(|| print_found(args.json, &name, &found))?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn print_found(json: bool, name: &str, found: &IdentifyDocument) -> anyhow::Result<()> {
    if json {
        let candidate = |c: &'_ crate::service::CandidateDocument| (c.subject.clone(), c.score);
        let pairs: Vec<_> = found.candidates.iter().map(candidate).collect();
        let candidates = pairs.iter().map(|(s, score)| FingerCandidate { subject: s, score: *score }).collect();
        return print_json(&FingerLine { probe: name, candidates });
    }
    println!(
        "probe {name}: {} candidates among {} references ({:.1} ms)",
        found.candidates.len(),
        super::grouped(found.gallery_size),
        found.took_ms
    );
    if !found.candidates.is_empty() {
        let mut rows = vec![vec!["subject".into(), "score".into(), "sources".into()]];
        for candidate in &found.candidates {
            let sources: Vec<String> = candidate
                .sources
                .iter()
                .map(|s| match (s.finger, s.reference_finger) {
                    (Some(finger), Some(other)) if other != finger => {
                        format!("finger {finger} as {other} {:+.1}", s.llr)
                    }
                    (Some(finger), _) => format!("finger {finger} {:+.1}", s.llr),
                    (None, _) => format!("face {:+.1}", s.llr),
                })
                .collect();
            rows.push(vec![candidate.subject.clone(), format!("{:+.2}", candidate.score), sources.join(", ")]);
        }
        print_table(&rows);
    }
    Ok(())
}

fn faces(args: &IdentifyArgs, path: &std::path::Path, models: &Models, snapshot: &Snapshot) -> anyhow::Result<()> {
    if !(-1.0..=1.0).contains(&args.cosine) {
        return Err(BadInput::error(format!("--cosine {}: expected -1 to 1", args.cosine)));
    }
    let rows = read_faces(path)?;
    let model = args.model.as_deref().unwrap_or_default();
    let bar = progress(rows.len() as u64, "searching");
    let mut batch = Vec::new();
    let mut first = 0;
    for (row, values) in rows.rows().enumerate() {
        let face = FaceTemplate::new(model, 0, values.to_vec())
            .map_err(|e| BadInput::error(format!("{}: row {row}: {e}", path.display())))?;
        batch.push(face);
        if batch.len() == FACE_BATCH || row + 1 == rows.len() {
            let found = duynhat_engine::search::identify_faces(models.isa, snapshot, &batch, args.cosine)?;
            for (probe, candidates) in (first..).zip(found) {
                let mut line = FaceLine { probe, candidates: Vec::new() };
                for (row, cosine) in candidates {
                    let reference = snapshot.subject(row)?.to_string();
                    line.candidates.push(FaceCandidate { reference, cosine });
                }
                bar.suspend(|| print_faces(args.json, &line))?;
            }
            bar.inc(batch.len() as u64);
            first = row + 1;
            batch.clear();
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn print_faces(json: bool, line: &FaceLine) -> anyhow::Result<()> {
    if json {
        return print_json(line);
    }
    println!("probe {}: {} references", line.probe, line.candidates.len());
    for candidate in &line.candidates {
        println!("  {}  {:.4}", candidate.reference, candidate.cosine);
    }
    Ok(())
}
