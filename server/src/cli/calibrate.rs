//! `duynhat calibrate`: what a score means, fitted to labelled collections.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use duynhat_datasets::{People, Settings};
use duynhat_engine::evaluation::training::{SEED, comparable};
use duynhat_engine::evaluation::{
    CalibrationScores, LabelledPrint, calibrate, cross_validate, database_pairs, enrol, normalised_scores,
};
use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::template::{FingerPosition, IMPRESSIONS_MAX};
use rayon::prelude::*;

use super::BadInput;
use super::collection::{load_collections, read_model};
use super::evaluate_finger::{Compared, floor, group, print};

/// Seed of the synthetic people.
const SYNTHETIC_SEED: u64 = 77;
/// Rounds of the bootstrap behind the printed intervals.
const ROUNDS: usize = 400;

/// Fit likelihood ratios and false match rates to the scores of labelled collections, by pair of extractors.
#[derive(clap::Args, Debug)]
pub struct CalibrateArgs {
    /// Folders of `<finger>_<impression>.iso`, named `<database>-<extractor>`; extractors of one database are crossed.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the calibration is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Score each database with a model trained on the others, and print the error rates: use it for the collections
    /// that the shipped model was trained on, whose scores would flatter it.
    #[arg(long, conflicts_with = "model")]
    cross_validate: bool,
    /// Also folders that the model has not seen: scored with the model itself whatever else is asked for.
    #[arg(long, num_args = 1.., value_name = "DIR")]
    unseen: Vec<PathBuf>,
    /// Also so many fingers of synthetic people, two impressions on each of two days; no model is trained on them.
    #[arg(long, default_value_t = 0, value_name = "FINGERS", value_parser = clap::value_parser!(u64).range(0..=4000))]
    synthetic: u64,
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
    let prints = load_collections(&args.folders)?.decoded();
    let cohort = Cohort::expected(model);
    let mut scores = Scores::new();
    if args.cross_validate {
        let found = cross_validate(&prints, SEED, true)?;
        collect(&prints, &found.pairs, &found.scores, &mut scores);
        let mut groups = group(&Compared::with(model, prints, found.pairs, floor(found.scores)));
        groups.iter_mut().for_each(|group| group.finish(ROUNDS));
        print(&groups);
    } else {
        score(model, &cohort, &prints, &mut scores);
    }
    let mut unseen = load_collections(&args.unseen)?.decoded();
    unseen.extend(synthetic(args.synthetic));
    score(model, &cohort, &unseen, &mut scores);
    let calibration = calibrate(model.id(), &scores)
        .ok_or_else(|| BadInput::error("too few mated and non-mated pairs of any two extractors"))?;
    fs::write(&args.out, calibration.to_json()?).with_context(|| args.out.display().to_string())?;
    for name in calibration.extractors() {
        println!("{name}");
    }
    Ok(())
}

type Scores = BTreeMap<(String, String), CalibrationScores>;

fn score(model: &Model, cohort: &Cohort, prints: &[LabelledPrint], scores: &mut Scores) {
    let pairs = database_pairs(prints);
    let found = normalised_scores(model, cohort, &enrol(model, prints), &pairs);
    collect(prints, &pairs, &found, scores);
}

fn collect(prints: &[LabelledPrint], pairs: &[(u32, u32)], found: &[Option<f32>], scores: &mut Scores) {
    for (&score, &(a, b)) in found.iter().zip(pairs) {
        let (x, y) = (&prints[a as usize], &prints[b as usize]);
        let Some(score) = score else { continue };
        let key = (x.template.extractor.as_str().to_owned(), y.template.extractor.as_str().to_owned());
        let entry = scores.entry(key).or_default();
        match comparable(x, y) {
            Some(true) => entry.mated.push(score),
            _ => entry.non_mated.push(score),
        }
    }
}

/// Right index fingers of synthetic people, two impressions on each of two days.
fn synthetic(fingers: u64) -> Vec<LabelledPrint> {
    let people = People::new(SYNTHETIC_SEED, Settings::default());
    let Some(index) = FingerPosition::new(2) else { return Vec::new() };
    (0..fingers)
        .into_par_iter()
        .flat_map_iter(|person| {
            let impressions = [0, 1, IMPRESSIONS_MAX as u64, IMPRESSIONS_MAX as u64 + 1];
            let person = (person, people.person(person));
            impressions.map(|impression| LabelledPrint {
                collection: "synthetic".to_owned(),
                finger: person.0.to_string(),
                impression: impression as u32,
                template: person.1.finger(index, impression),
            })
        })
        .collect()
}
