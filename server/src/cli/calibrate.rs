//! `duynhat calibrate`: what a score means, fitted to labelled collections.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::evaluation::training::{SEED, comparable, folds, train};
use duynhat_engine::evaluation::{CalibrationScores, LabelledPrint, calibrate, compare_all, enrol};
use duynhat_engine::finger::{Cohort, CohortStatistics, Model, normalise};
use rayon::prelude::*;

use super::BadInput;
use super::collection::{load_collections, read_model};

/// Fit likelihood ratios and false match rates to the scores of labelled collections, by pair of extractors.
#[derive(clap::Args, Debug)]
pub struct CalibrateArgs {
    /// Folders of `<finger>_<impression>.iso`, named `<database>-<extractor>`; extractors of one database are crossed.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the calibration is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Score each database with a model trained on the others: use it for the collections that the shipped model
    /// was trained on, whose scores would flatter it.
    #[arg(long)]
    cross_validate: bool,
    /// Another model than the shipped one.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Folders that can't be read, too few scores, a file that can't be written.
pub fn run(args: &CalibrateArgs) -> anyhow::Result<()> {
    let own;
    let model = match &args.model {
        Some(path) => {
            own = read_model(path)?;
            &own
        }
        None => Model::shipped(),
    };
    let mut prints = load_collections(&args.folders)?.prints;
    prints.sort_by(|a, b| (&a.collection, &a.finger, a.impression).cmp(&(&b.collection, &b.finger, b.impression)));
    let mut scores = BTreeMap::new();
    if args.cross_validate {
        for fold in folds(&prints) {
            let (mut tested, mut others) = (Vec::new(), Vec::new());
            for (i, print) in prints.iter().enumerate() {
                if fold.binary_search(&(i as u32)).is_ok() { &mut tested } else { &mut others }.push(print.clone());
            }
            let model = train(&others, SEED)?.model;
            collect(&model, &Cohort::expected(&model), &tested, &mut scores);
        }
    } else {
        collect(model, &Cohort::expected(model), &prints, &mut scores);
    }
    let calibration = calibrate(model.id(), &scores)
        .ok_or_else(|| BadInput::error("too few mated and non-mated pairs of any two extractors"))?;
    fs::write(&args.out, calibration.to_json()?).with_context(|| args.out.display().to_string())?;
    for name in calibration.extractors() {
        println!("{name}");
    }
    Ok(())
}

type Scores = BTreeMap<(String, String), CalibrationScores>;

fn collect(model: &Model, cohort: &Cohort, prints: &[LabelledPrint], scores: &mut Scores) {
    let features = enrol(model, prints);
    let statistics: Vec<CohortStatistics> = features
        .par_iter()
        .map(|f| f.as_ref().map_or(CohortStatistics::NONE, |f| cohort.statistics(model, f.view())))
        .collect();
    let mut pairs = Vec::new();
    for (a, x) in prints.iter().enumerate() {
        for (b, y) in prints.iter().enumerate().skip(a + 1) {
            // The same image seen by two extractors is no second impression.
            let same_image = x.finger == y.finger && x.impression == y.impression;
            if x.database() == y.database() && !same_image && comparable(x, y).is_some() {
                pairs.push((a as u32, b as u32));
            }
        }
    }
    for (comparison, &(a, b)) in compare_all(model, &features, &pairs).iter().zip(&pairs) {
        let (x, y) = (&prints[a as usize], &prints[b as usize]);
        let Some(comparison) = comparison else { continue };
        let score = normalise(comparison.score, statistics[a as usize], statistics[b as usize]);
        let key = (x.template.extractor.as_str().to_owned(), y.template.extractor.as_str().to_owned());
        let entry = scores.entry(key).or_default();
        match comparable(x, y) {
            Some(true) => entry.mated.push(score),
            _ => entry.non_mated.push(score),
        }
    }
}
