//! `duynhat calibrate`: what a score means, fitted to labelled collections and to synthetic people.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_datasets::{EXTRACTOR, EncounterSettings, MODEL_SEED, People, Settings};
use duynhat_engine::evaluation::training::{SEED, comparable};
use duynhat_engine::evaluation::{
    CalibrationScore, CalibrationScores, LabelledPrint, calibrate, cross_validate, database_pairs, enrol, fit_source,
    normalised_scores,
};
use duynhat_engine::face::{self, FaceCalibration};
use duynhat_engine::finger::{
    Cohort, CohortStatistics, CompareProbe, FingerFeatures, Model, Scratch, compare, evidence, normalise,
};
use duynhat_engine::kernel::Isa;
use duynhat_engine::likelihood::Source;
use duynhat_engine::template::FingerPosition;
use rayon::prelude::*;

use super::collection::{load_collections, read_model};
use super::evaluate_face::read_subjects;
use super::evaluate_finger::{Compared, floor, group, print};
use super::inputs::read_faces;
use super::{BadInput, print_table, progress};

/// Rounds of the bootstrap behind the printed intervals.
const ROUNDS: usize = 400;
/// Strangers that each synthetic probe is compared with, at most.
const STRANGERS_MAX: u64 = 1_000;
/// Most embeddings: their pairs make 50 million.
const EMBEDDINGS_MAX: usize = 10_000;

/// Fit likelihood ratios and false match rates: to the scores of labelled collections by pair of extractors and quality,
/// to synthetic people, or (with --faces) to the embeddings of a face model.
#[derive(clap::Args, Debug)]
pub struct CalibrateArgs {
    /// Folders of `<finger>_<impression>.iso`, named `<database>-<extractor>`; extractors of one database are crossed.
    /// Labels `<person>f<finger>` also give the correlations between one person's fingers, and strangers are then
    /// compared finger by finger, as in a search.
    #[arg(value_name = "DIR", required_unless_present_any = ["faces", "synthetic"])]
    folders: Vec<PathBuf>,
    /// Where the calibration is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Score each database with a model trained on the others: for collections that the model was trained on, whose
    /// scores would flatter it. The shipped one has seen none but synthetic prints. Also prints the error rates.
    #[arg(long)]
    cross_validate: bool,
    /// Another model than the shipped one.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Also fit the extractor `synthetic`, to so many synthetic people.
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u64).range(100..=20_000))]
    synthetic: Option<u64>,
    /// Seed of the synthetic people: another one than of any people that are evaluated, or that the model learned from
    /// (503 for the shipped one).
    #[arg(long, default_value_t = 77)]
    seed: u64,
    /// Fit a face model instead: a folder with `embeddings.npy` (32-bit floats, n x d) and `subjects.npy` (n whole
    /// numbers).
    #[arg(long, value_name = "DIR", requires = "face_model", conflicts_with_all = ["folders", "synthetic", "model"])]
    faces: Option<PathBuf>,
    /// The face model's name, as stations give it.
    #[arg(long, value_name = "NAME")]
    face_model: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Folders that can't be read, too few scores, a file that can't be written.
pub fn run(args: &CalibrateArgs) -> anyhow::Result<()> {
    if let (Some(folder), Some(name)) = (&args.faces, &args.face_model) {
        return faces(folder, name, &args.out);
    }
    if args.synthetic.is_some() && args.model.is_none() && args.seed == MODEL_SEED {
        let message =
            format!("--seed {MODEL_SEED}: the fingerprint model learned from people of that one; take another");
        return Err(BadInput::error(message));
    }
    let own;
    let model = match &args.model {
        Some(path) => {
            own = read_model(path)?;
            &own
        }
        None => Model::shipped(),
    };
    let mut scores = CalibrationScores::new();
    if !args.folders.is_empty() {
        let prints = load_collections(&args.folders)?.decoded();
        if args.cross_validate {
            let found = cross_validate(&prints, SEED, true)?;
            collect(&prints, &found.pairs, &found.scores, &mut scores);
            let mut groups = group(&Compared::with(model, prints, found.pairs, floor(found.scores)));
            groups.iter_mut().for_each(|group| group.finish(ROUNDS));
            print(&groups);
        } else {
            let pairs = database_pairs(&prints);
            let found = normalised_scores(model, &Cohort::expected(model), &enrol(model, &prints), &pairs);
            collect(&prints, &pairs, &found, &mut scores);
        }
    }
    if let Some(count) = args.synthetic {
        let key = (EXTRACTOR.to_owned(), EXTRACTOR.to_owned());
        scores.insert(key, synthetic(model, count, args.seed));
    }
    let calibration = calibrate(model.id(), &scores)
        .ok_or_else(|| BadInput::error("too few mated and non-mated pairs of any two extractors"))??;
    fs::write(&args.out, calibration.to_json()?).with_context(|| args.out.display().to_string())?;
    println!("calibration {} of model {}", calibration.id(), calibration.model());
    let mut rows = vec![head("extractors")];
    rows.extend(calibration.sources().map(|(name, source)| row(name, source)));
    print_table(&rows);
    Ok(())
}

fn head(what: &str) -> Vec<String> {
    [what, "classes of quality", "tail from (FMR)", "tail shape", "mated correlation", "non-mated correlation"]
        .map(String::from)
        .to_vec()
}

fn row(name: &str, source: &Source) -> Vec<String> {
    let each = |value: &dyn Fn(&duynhat_engine::likelihood::Class) -> String| {
        source.classes.iter().map(value).collect::<Vec<_>>().join(" / ")
    };
    vec![
        name.to_owned(),
        each(&|c| c.below.map_or("rest".to_owned(), |below| format!("<{below:.1}"))),
        each(&|c| format!("{:.1e}", c.curve.tail_ln_fmr.exp())),
        each(&|c| format!("{:.2}", c.curve.tail_shape)),
        format!("{:.3}", source.mated_correlation),
        format!("{:.3}", source.non_mated_correlation),
    ]
}

fn collect(prints: &[LabelledPrint], pairs: &[(u32, u32)], found: &[Option<f32>], scores: &mut CalibrationScores) {
    let weights: Vec<f32> = prints.iter().map(|p| evidence(p.template.minutiae())).collect();
    let mut groups = BTreeMap::new();
    for (&score, &(a, b)) in found.iter().zip(pairs) {
        let (a, b) = (a as usize, b as usize);
        let (x, y) = (&prints[a], &prints[b]);
        let Some(score) = score else { continue };
        let mated = comparable(x, y) == Some(true);
        if !mated && of_other_names(x, y) {
            continue;
        }
        let key = (x.template.extractor.as_str().to_owned(), y.template.extractor.as_str().to_owned());
        let next = groups.len() as u64;
        let group = encounters(x, y).map(|key| *groups.entry(key).or_insert(next));
        let evidence = weights[a].min(weights[b]);
        let same = x.template.position == y.template.position;
        let finger = if same { x.template.position } else { FingerPosition::UNKNOWN };
        scores.entry(key).or_default().push(CalibrationScore { score, evidence, mated, finger, group });
    }
}

/// Database, and for both sides collection, person and impression.
type Encounters<'a> = (&'a str, [(&'a str, &'a str, u32); 2]);

/// The finger's name within its person, where labels name persons: `<person>f<finger>`, the finger a number.
fn name_of(print: &LabelledPrint) -> Option<&str> {
    let (person, name) = print.finger.split_once('f')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (person.ends_with(|c: char| c.is_ascii_digit()) && digits(name)).then_some(name)
}

/// Whether both labels name a finger, and not the same. Such prints are not compared in a search, and two people's fingers
/// of one name are several times as often alike.
fn of_other_names(a: &LabelledPrint, b: &LabelledPrint) -> bool {
    name_of(a).zip(name_of(b)).is_some_and(|(a, b)| a != b)
}

/// Which two encounters a comparison of the same finger position belongs to; `None` where labels name no persons.
fn encounters<'a>(a: &'a LabelledPrint, b: &'a LabelledPrint) -> Option<Encounters<'a>> {
    let (x, y) = (name_of(a)?, name_of(b)?);
    let side = |p: &'a LabelledPrint| (p.collection.as_str(), p.person(), p.impression);
    (x == y).then(|| (a.database(), [side(a), side(b)]))
}

/// Comparisons of synthetic people: each with itself on another day, and with up to a thousand others.
fn synthetic(model: &Model, count: u64, seed: u64) -> Vec<CalibrationScore> {
    let people = People::new(seed, Settings::default());
    let cohort = Cohort::expected(model);
    let settings = EncounterSettings { faces: 0, ..EncounterSettings::default() };
    let strangers = STRANGERS_MAX.min(count - 1);
    type Hand = Vec<Option<(FingerFeatures, CohortStatistics, f32)>>;
    let hand = |person: u64, shot: u64| -> Hand {
        let fingers = people.person(person).encounter(shot, &settings).fingers;
        let of = |position: FingerPosition| {
            let template = fingers.iter().find(|f| f.position == position)?;
            let features = model.features(template).ok()?;
            let statistics = cohort.statistics(features.view().minutiae());
            let evidence = evidence(features.view().minutiae());
            Some((features, statistics, evidence))
        };
        FingerPosition::known().map(of).collect()
    };
    let bar = progress(2 * count, "making people");
    let make = |shot: u64| -> Vec<Hand> {
        let one = |person| {
            bar.inc(1);
            hand(person, shot)
        };
        (0..count).into_par_iter().map(one).collect()
    };
    let (references, probes) = (make(0), make(1));
    bar.finish_and_clear();
    let bar = progress(count, "comparing people");
    let parts: Vec<Vec<CalibrationScore>> = probes
        .par_iter()
        .enumerate()
        .map_init(Scratch::new, |scratch, (person, hand)| {
            let mut out = Vec::new();
            for (finger, print) in hand.iter().enumerate() {
                let Some((features, own, weight)) = print else { continue };
                let probe = CompareProbe::new(model, features.view());
                for step in 0..=strangers {
                    let other = (person as u64 + step) % count;
                    let Some((reference, theirs, their_weight)) = &references[other as usize][finger] else { continue };
                    let comparison = compare(&probe, reference.view(), scratch);
                    out.push(CalibrationScore {
                        score: normalise(comparison.score, *own, *theirs),
                        evidence: weight.min(*their_weight),
                        mated: step == 0,
                        finger: FingerPosition::new(finger as u8 + 1).unwrap_or_default(),
                        group: Some(person as u64 * count + other),
                    });
                }
            }
            bar.inc(1);
            out
        })
        .collect();
    bar.finish_and_clear();
    parts.into_iter().flatten().collect()
}

fn faces(folder: &Path, name: &str, out: &Path) -> anyhow::Result<()> {
    let isa = Isa::from_environment()?;
    let embeddings = read_faces(&folder.join("embeddings.npy"))?;
    let subjects = read_subjects(&folder.join("subjects.npy"))?;
    let rows: Vec<&[f32]> = embeddings.rows().collect();
    if rows.len() != subjects.len() {
        return Err(BadInput::error(format!("{} embeddings but {} subjects", rows.len(), subjects.len())));
    }
    if !(2..=EMBEDDINGS_MAX).contains(&rows.len()) {
        return Err(BadInput::error(format!("{} embeddings; expected 2 to {EMBEDDINGS_MAX}", rows.len())));
    }
    let scores: Vec<CalibrationScore> = (0..rows.len())
        .into_par_iter()
        .flat_map_iter(|a| {
            let (rows, subjects) = (&rows, &subjects);
            (a + 1..rows.len()).map(move |b| CalibrationScore {
                score: face::compare(isa, rows[a], rows[b]),
                evidence: 0.0,
                mated: subjects[a] == subjects[b],
                finger: FingerPosition::UNKNOWN,
                group: None,
            })
        })
        .filter(|s| s.score.is_finite())
        .collect();
    let source =
        fit_source(&scores).ok_or_else(|| BadInput::error("too few mated and non-mated pairs of embeddings"))?;
    let calibration =
        FaceCalibration::new(BTreeMap::from([(name.to_owned(), Source::single(source.classes[0].curve.clone()))]))?;
    fs::write(out, calibration.to_json()?).with_context(|| out.display().to_string())?;
    println!("face calibration {}", calibration.id());
    print_table(&[head("model"), row(name, calibration.source(name))]);
    Ok(())
}
