//! `duynhat compare`.

use std::path::PathBuf;

use duynhat_engine::finger::{CompareProbe, Scratch, compare_pairs, evidence, normalise};
use duynhat_engine::template::{Extractor, FingerTemplate};
use serde::Serialize;

use super::inputs::{parse_extractor, read_file};
use super::picture::comparison_svg;
use super::{BadInput, print_json, print_table};
use crate::service::Models;

/// Compares two finger templates.
#[derive(clap::Args, Debug)]
pub struct CompareArgs {
    /// The probe.
    #[arg(value_name = "A")]
    pub probe: PathBuf,
    /// The reference.
    #[arg(value_name = "B")]
    pub reference: PathBuf,
    /// Draw both prints with the matched minutiae joined.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Who extracted the minutiae, e.g. mindtct; unknown by default.
    #[arg(long, value_parser = parse_extractor, default_value = "unknown")]
    pub extractor: Extractor,
    /// Print one JSON document instead of words.
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Document {
    score: f32,
    matched_minutiae: usize,
    llr: f32,
    calibrated: bool,
    probe_minutiae: usize,
    reference_minutiae: usize,
}

/// Compares.
///
/// # Errors
/// Bad input (exit code 2), or the picture can't be written.
pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let probe = single(&args.probe, &args.extractor)?;
    let reference = single(&args.reference, &args.extractor)?;
    let features = |template: &FingerTemplate, path: &PathBuf| {
        let features = models.model.features(template);
        features.map_err(|e| BadInput::error(format!("{}: cannot be compared: {e}", path.display())))
    };
    let (own, other) = (features(&probe, &args.probe)?, features(&reference, &args.reference)?);
    let prepared = CompareProbe::new(models.model, own.view());
    let (comparison, pairs) = compare_pairs(&prepared, other.view(), &mut Scratch::new());
    let statistics = |f: &duynhat_engine::finger::FingerFeatures| models.cohort.statistics(f.view().minutiae());
    let score = normalise(comparison.score, statistics(&own), statistics(&other));
    let least = evidence(own.view().minutiae()).min(evidence(other.view().minutiae()));
    let llr = models.calibration.llr(score, probe.extractor.as_str(), reference.extractor.as_str(), least);
    if let Some(path) = &args.svg {
        // What was compared is what is drawn: the features' own minutiae.
        let title = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let titles = (&*title(&args.probe), &*title(&args.reference));
        let svg = comparison_svg(&probe, &reference, &pairs, score, titles);
        std::fs::write(path, svg).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))?;
    }
    let document = Document {
        score,
        matched_minutiae: usize::from(comparison.matched),
        llr: llr.llr,
        calibrated: llr.calibrated,
        probe_minutiae: probe.minutiae().len(),
        reference_minutiae: reference.minutiae().len(),
    };
    if args.json {
        return print_json(&document);
    }
    print_table(&[
        vec!["comparison score".into(), format!("{score:.3}")],
        vec![
            "matched minutiae".into(),
            format!("{} of {} and {}", document.matched_minutiae, document.probe_minutiae, document.reference_minutiae),
        ],
        vec![
            "log-likelihood ratio".into(),
            format!("{:+.2}{}", llr.llr, if llr.calibrated { "" } else { " (extractor unknown: conservative)" }),
        ],
    ]);
    if let Some(path) = &args.svg {
        println!("picture: {}", path.display());
    }
    Ok(())
}

fn single(path: &std::path::Path, extractor: &Extractor) -> anyhow::Result<FingerTemplate> {
    let mut views = read_file(path, extractor)?;
    if views.len() > 1 {
        eprintln!("{}: {} views; the first is compared", path.display(), views.len());
    }
    if views.is_empty() {
        return Err(BadInput::error(format!("{}: no view", path.display())));
    }
    Ok(views.swap_remove(0))
}
