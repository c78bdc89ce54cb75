//! `duynhat verify`.

use std::path::PathBuf;
use std::time::Instant;

use duynhat_engine::gallery::Prepared;
use duynhat_engine::template::{Biometrics, Extractor};

use super::inputs::{parse_extractor, read_file};
use super::{BadInput, print_json, print_table};
use crate::service::{Models, verify_rows};

/// Compares prints with one subject of a data folder.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The subject's name.
    #[arg(long)]
    pub subject: String,
    /// Finger templates of the probe.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Who extracted the minutiae, e.g. mindtct; unknown by default.
    #[arg(long, value_parser = parse_extractor, default_value = "unknown")]
    pub extractor: Extractor,
    /// Print one JSON document instead of words.
    #[arg(long)]
    pub json: bool,
}

/// Verifies; prints whether, and exits 0 either way.
///
/// # Errors
/// Bad input (exit code 2), or a damaged data folder.
pub fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let policy = super::policy::adopted(&args.data, &mut models)?;
    let mut prints = Vec::new();
    for file in &args.files {
        prints.extend(read_file(file, &args.extractor)?);
    }
    let biometrics = Biometrics::new(prints, Vec::new(), Vec::new()).map_err(|e| BadInput::error(e.to_string()))?;
    let gallery = super::open_folder(&args.data, &models)?;
    models.set_cohort(&gallery.cohort);
    let snapshot = &gallery.snapshot;
    let mut rows = Vec::new();
    for row in 0..snapshot.rows() {
        if snapshot.is_live(row) && snapshot.subject(row)?.as_ref() == args.subject {
            rows.push(row);
        }
    }
    if rows.is_empty() {
        return Err(BadInput::error(format!("subject {}: no live reference", args.subject)));
    }
    let prepared = Prepared::new(models.model, models.cohort, &biometrics);
    if prepared.fingers.is_empty() {
        let why: Vec<String> = prepared.failures.iter().map(|(p, e)| format!("{p}: {e}")).collect();
        return Err(BadInput::error(format!("nothing can be compared: {}", why.join("; "))));
    }
    let document = verify_rows(&models, &policy, snapshot, &prepared, &rows, args.subject.clone(), started)?;
    if args.json {
        return print_json(&document);
    }
    println!(
        "{}: {} (score {:+.2}, threshold {:+.2})",
        document.subject,
        if document.verified { "verified" } else { "not verified" },
        document.score,
        document.threshold
    );
    let mut table = vec![vec!["source".into(), "score".into(), "share".into()]];
    for source in &document.sources {
        let name = source.finger.map_or_else(|| "face".into(), |f| format!("finger {f}"));
        table.push(vec![name, format!("{:.3}", source.score), format!("{:+.2}", source.llr)]);
    }
    print_table(&table);
    Ok(())
}
