//! `duynhat policy`.

use std::path::{Path, PathBuf};

use duynhat_engine::decision::{POLICY_BYTES_MAX, Policy, Sources, Tails};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::template::{FingerPosition, Purpose};
use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table};
use crate::registry::Registry;
use crate::service::{Models, registry_path};

/// Shows or checks a decision policy.
#[derive(clap::Args, Debug)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(clap::Subcommand, Debug)]
enum PolicyCommand {
    /// Print the text of the policy that this build ships: a file to begin with.
    Default,
    /// Check a policy file; ends with 2 and says what is wrong when it is not valid.
    Check {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show a policy's targets and the thresholds that follow from them.
    Show {
        /// A policy file; without it the one that the data folder follows, or the shipped one.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// The data folder.
        #[arg(long, value_name = "DIR", conflicts_with = "file")]
        data: Option<PathBuf>,
        /// Extractor of probe and references for the table of thresholds.
        #[arg(long, value_name = "NAME", default_value = "synthetic")]
        extractor: String,
        /// Face model for the table of thresholds.
        #[arg(long, value_name = "NAME", default_value = "synthetic-512")]
        face_model: String,
        /// Print one JSON document instead of words.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Document {
    version: String,
    duplicate_fpir: f64,
    review_fpir: f64,
    claim_fmr: f64,
    gallery_size_min: u64,
    second_source_llr: f32,
    quality_profile: &'static str,
    missing_fingers_max: usize,
    sla_hours: std::collections::BTreeMap<&'static str, u32>,
    thresholds: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    sources: String,
    gallery_size: u64,
    duplicate: f32,
    review: f32,
    claim: f32,
}

/// Reads a policy file.
///
/// # Errors
/// [`BadInput`]: it can't be read, or is not valid.
pub fn read(path: &Path) -> anyhow::Result<Policy> {
    let bytes = super::inputs::read_bytes(path, POLICY_BYTES_MAX as u64)?;
    let text = String::from_utf8(bytes).map_err(|_| BadInput::error(format!("{}: not UTF-8", path.display())))?;
    Policy::from_toml(&text).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))
}

/// The policy that a data folder follows, the shipped one when it follows none yet; `models` get its face calibration.
///
/// # Errors
/// The registry or what it holds can't be read.
pub fn adopted(data: &Path, models: &mut Models) -> anyhow::Result<Policy> {
    let path = registry_path(data);
    if !path.exists() {
        return Ok(Policy::default());
    }
    let Some(adopted) = Registry::open_read_only(&path)?.adopted()? else { return Ok(Policy::default()) };
    if !adopted.face_calibration.is_empty() {
        models.set_faces(FaceCalibration::from_json(adopted.face_calibration.as_bytes())?);
    }
    Ok(Policy::from_toml(&adopted.policy)?)
}

/// Runs the command.
///
/// # Errors
/// [`BadInput`] for a policy that is not valid.
pub fn run(args: &PolicyArgs) -> anyhow::Result<()> {
    match &args.command {
        PolicyCommand::Default => {
            print!("{}", Policy::shipped().text());
            Ok(())
        }
        PolicyCommand::Check { file } => {
            let policy = read(file)?;
            println!("{}: valid, version {}", file.display(), policy.version());
            Ok(())
        }
        PolicyCommand::Show { file, data, extractor, face_model, json } => {
            let mut models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
            let policy = match (file, data) {
                (Some(file), _) => read(file)?,
                (None, Some(data)) => adopted(data, &mut models)?,
                (None, None) => Policy::default(),
            };
            let document = document(&policy, &models, extractor, face_model);
            if *json { print_json(&document) } else { show(&policy, &document) }
        }
    }
}

fn document(policy: &Policy, models: &Models, extractor: &str, face_model: &str) -> Document {
    let tails: &Tails = &models.tails;
    let mut thresholds = Vec::new();
    for (name, fingers, face) in [
        ("1 finger", &[2u8] as &[u8], false),
        ("2 fingers", &[2, 7], false),
        ("4 fingers", &[1, 2, 6, 7], false),
        ("10 fingers", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], false),
        ("10 fingers, face", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true),
        ("face", &[], true),
    ] {
        let positions = fingers.iter().filter_map(|code| FingerPosition::new(*code));
        let model = face.then_some(face_model);
        let sources = Sources::plain(models.calibration, extractor, positions, &models.faces, model);
        for gallery_size in [1_000u64, 100_000, 10_000_000, 100_000_000] {
            let t = tails.thresholds(policy, gallery_size, &sources);
            let (duplicate, review, claim) = (t.duplicate, t.review, t.claim);
            thresholds.push(Line { sources: name.to_owned(), gallery_size, duplicate, review, claim });
        }
    }
    Document {
        version: policy.version(),
        duplicate_fpir: policy.duplicate_fpir,
        review_fpir: policy.review_fpir,
        claim_fmr: policy.claim_fmr,
        gallery_size_min: policy.gallery_size_min,
        second_source_llr: policy.second_source_llr,
        quality_profile: policy.profile.as_str(),
        missing_fingers_max: policy.missing_max,
        sla_hours: Purpose::ALL.into_iter().map(|p| (p.as_str(), policy.sla_hours(p))).collect(),
        thresholds,
    }
}

fn show(policy: &Policy, document: &Document) -> anyhow::Result<()> {
    println!("policy {}", document.version);
    let mut rows = vec![
        vec!["duplicate: searches that may be wrong (FPIR)".into(), format!("{:e}", policy.duplicate_fpir)],
        vec!["review: searches that may be wrong (FPIR)".into(), format!("{:e}", policy.review_fpir)],
        vec!["claimed record: comparisons that may be wrong (FMR)".into(), format!("{:e}", policy.claim_fmr)],
        vec!["second source of a duplicate, at least".into(), format!("{:.2}", policy.second_source_llr)],
        vec!["quality profile".into(), document.quality_profile.into()],
        vec!["missing fingers without a second person".into(), policy.missing_max.to_string()],
    ];
    for (purpose, hours) in &document.sla_hours {
        rows.push(vec![format!("hours to settle a case: {purpose}"), hours.to_string()]);
    }
    print_table(&rows);
    println!();
    let head = ["in common", "references", "duplicate", "review", "claim"].map(String::from).to_vec();
    let mut rows = vec![head];
    for line in &document.thresholds {
        rows.push(vec![
            line.sources.clone(),
            grouped(line.gallery_size),
            format!("{:.2}", line.duplicate),
            format!("{:.2}", line.review),
            format!("{:.2}", line.claim),
        ]);
    }
    print_table(&rows);
    Ok(())
}
