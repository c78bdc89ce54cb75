//! `duynhat import`.

use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::template::{Biometrics, Extractor, FaceTemplate, FingerTemplate, IMPRESSIONS_MAX};
use ndarray_npy::ReadNpyExt;
use serde::Serialize;

use super::inputs::{Impressions, PATTERN_DEFAULT, parse_extractor, read_faces, read_folder};
use super::{BadInput, grouped, print_json, progress};
use crate::service::{EnrolRequest, Models, Service, ServiceOptions};

/// References enrolled under one sync.
const BATCH: usize = 1_024;

/// Takes finger templates or face embeddings over into a data folder, without checking who is there already.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["fingers", "faces"]))]
pub struct ImportArgs {
    /// The data folder; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// A folder of finger templates, one file an impression.
    #[arg(long, value_name = "FOLDER")]
    pub fingers: Option<PathBuf>,
    /// How the files are named; `{finger}` sets the position when the record says 0.
    #[arg(long, default_value = PATTERN_DEFAULT)]
    pub pattern: String,
    /// Only these impressions, e.g. 1-3; all by default.
    #[arg(long, value_name = "FIRST-LAST", value_parser = Impressions::parse)]
    pub impressions: Option<Impressions>,
    /// Who extracted the minutiae, e.g. mindtct; unknown by default.
    #[arg(long, value_parser = parse_extractor, default_value = "unknown")]
    pub extractor: Extractor,
    /// Embeddings: a `.npy` array of 32-bit floats, one row a face.
    #[arg(long, value_name = "FILE.npy", requires = "model")]
    pub faces: Option<PathBuf>,
    /// The model that made the embeddings.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Subject numbers of the embeddings' rows (`.npy`, integers); without it a reference is named by its row number.
    #[arg(long, value_name = "FILE.npy", requires = "faces")]
    pub subjects: Option<PathBuf>,
    /// Print one JSON document instead of words.
    #[arg(long)]
    pub json: bool,
}

#[derive(Default, Serialize)]
struct Report {
    references: u64,
    subjects: u64,
    prints: u64,
    faces: u64,
    refused_files: u64,
    failures_to_enrol: u64,
    seconds: f64,
}

/// Imports.
///
/// # Errors
/// Bad input (exit code 2), or the data folder can't be written.
pub fn run(args: &ImportArgs) -> anyhow::Result<()> {
    let started = std::time::Instant::now();
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let mut report = Report::default();
    let requests: Box<dyn Iterator<Item = anyhow::Result<EnrolRequest>>> = match (&args.fingers, &args.faces) {
        (Some(folder), _) => {
            let (templates, refused) = read_folder(folder, &args.pattern, args.impressions, &args.extractor)?;
            report.refused_files = refused as u64;
            let requests = fingers(templates, &models, &mut report)?;
            Box::new(requests.into_iter().map(Ok))
        }
        (None, Some(path)) => faces(args, path)?,
        (None, None) => return Err(BadInput::error("nothing to import: give --fingers or --faces")),
    };
    let service = Service::open(&args.data, models, ServiceOptions::default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let total = requests.size_hint().0 as u64;
        let bar = progress(total, "importing");
        let mut requests = requests.peekable();
        let mut subjects = std::collections::BTreeSet::new();
        while requests.peek().is_some() {
            let batch = requests.by_ref().take(BATCH).collect::<anyhow::Result<Vec<_>>>()?;
            for request in &batch {
                report.references += 1;
                report.prints += request.biometrics.fingers.len() as u64;
                report.faces += request.biometrics.faces.len() as u64;
                subjects.insert(request.subject.clone());
            }
            let count = batch.len() as u64;
            service.enrol(batch).await?;
            bar.inc(count);
        }
        report.subjects = subjects.len() as u64;
        service.close().await;
        bar.finish_and_clear();
        anyhow::Ok(())
    })?;
    report.seconds = (started.elapsed().as_secs_f64() * 1e3).round() / 1e3;
    if args.json {
        return print_json(&report);
    }
    println!(
        "{} references of {} subjects ({} prints, {} faces) in {:.1} s",
        grouped(report.references),
        grouped(report.subjects),
        grouped(report.prints),
        grouped(report.faces),
        report.seconds
    );
    if report.refused_files + report.failures_to_enrol > 0 {
        println!("{} files refused, {} prints failed to enrol", report.refused_files, report.failures_to_enrol);
    }
    Ok(())
}

/// One encounter a subject, or more when there are more impressions of a finger than an encounter holds.
fn fingers(
    templates: Vec<super::inputs::FileTemplate>,
    models: &Models,
    report: &mut Report,
) -> anyhow::Result<Vec<EnrolRequest>> {
    use rayon::prelude::*;
    let failed: Vec<_> =
        templates.par_iter().filter_map(|t| models.model.features(&t.template).err().map(|e| (&t.path, e))).collect();
    for (path, error) in &failed {
        eprintln!("{}: failed to enrol: {error}", path.display());
    }
    report.failures_to_enrol = failed.len() as u64;
    // Per subject, in the order of the files: prints of each encounter.
    let mut subjects: Vec<(String, Vec<Vec<FingerTemplate>>)> = Vec::new();
    for file in templates {
        if subjects.last().is_none_or(|(name, _)| *name != file.subject) {
            subjects.push((file.subject.clone(), Vec::new()));
        }
        let Some((_, encounters)) = subjects.last_mut() else { continue };
        let fits = |e: &Vec<FingerTemplate>| {
            e.iter().filter(|t| t.position == file.template.position).count() < IMPRESSIONS_MAX
        };
        match encounters.iter_mut().find(|e| fits(e)) {
            Some(encounter) => encounter.push(file.template),
            None => encounters.push(vec![file.template]),
        }
    }
    let mut requests = Vec::new();
    for (subject, encounters) in subjects {
        for fingers in encounters {
            let biometrics = Biometrics::new(fingers, Vec::new(), Vec::new())
                .map_err(|e| BadInput::error(format!("subject {subject}: {e}")))?;
            requests.push(EnrolRequest { subject: subject.clone(), identity: None, biometrics });
        }
    }
    Ok(requests)
}

fn faces<'a>(
    args: &'a ImportArgs,
    path: &'a std::path::Path,
) -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<EnrolRequest>> + 'a>> {
    let model = args.model.as_deref().unwrap_or_default();
    let rows = read_faces(path)?;
    let subjects = args.subjects.as_deref().map(read_subjects).transpose()?;
    if let Some(subjects) = &subjects
        && subjects.len() != rows.len()
    {
        let text = format!("{} subjects for {} embeddings", subjects.len(), rows.len());
        return Err(BadInput::error(text));
    }
    let count = rows.len();
    let request = move |row: usize| {
        let values = rows.row(row).map(<[f32]>::to_vec).unwrap_or_default();
        let face = FaceTemplate::new(model, 0, values)
            .map_err(|e| BadInput::error(format!("{}: row {row}: {e}", path.display())))?;
        let biometrics = Biometrics::new(Vec::new(), vec![face], Vec::new())?;
        let subject = subjects.as_ref().map_or(row as i64, |s| s[row]).to_string();
        Ok(EnrolRequest { subject, identity: None, biometrics })
    };
    Ok(Box::new((0..count).map(request)))
}

/// Subject numbers of any common integer type.
fn read_subjects(path: &std::path::Path) -> anyhow::Result<Vec<i64>> {
    let bytes = super::inputs::read_bytes(path, 1 << 32)?;
    let i64s = ndarray::Array1::<i64>::read_npy(bytes.as_slice()).map(|a| a.to_vec());
    let read = i64s
        .or_else(|_| {
            let a = ndarray::Array1::<i32>::read_npy(bytes.as_slice())?;
            Ok::<_, ndarray_npy::ReadNpyError>(a.iter().map(|v| i64::from(*v)).collect())
        })
        .or_else(|_| {
            let a = ndarray::Array1::<u32>::read_npy(bytes.as_slice())?;
            Ok::<_, ndarray_npy::ReadNpyError>(a.iter().map(|v| i64::from(*v)).collect())
        });
    read.map_err(|e| BadInput::error(format!("{}: expected a one-dimensional array of integers: {e}", path.display())))
        .with_context(|| "--subjects")
}
