//! Predicted false positives are the measured ones: the fused scores of synthetic strangers against the computed tail,
//! for one, two and four fingers, as pairs and as whole searches. As in a search, the hands may be exchanged: what says more
//! counts.
//!
//! `DUYNHAT_PEOPLE=4000 cargo test --release -p duynhat-tests --test thresholds_hold -- --nocapture` (`just thresholds`)
//! does the same with more people and prints the table of `docs/src/concepts/decisions.md`.

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::decision::{Sources, Tails, fmr_of, fuse};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::finger::cascade::other_hand;
use duynhat_engine::finger::{
    Calibration, Cohort, CohortStatistics, CompareProbe, FingerFeatures, Model, Scratch, compare, evidence, normalise,
};
use duynhat_engine::search::{Candidate, FingerScore, Hands};
use duynhat_engine::template::FingerPosition;
use rayon::prelude::*;

/// Another seed than the calibration's.
const SEED: u64 = 4_242;
/// Which fingers, by how many: right index; both; both thumbs too.
const HANDS: [&[u8]; 3] = [&[2], &[2, 7], &[1, 2, 6, 7]];
const FINGERS: [u8; 4] = [1, 2, 6, 7];

struct Print {
    features: FingerFeatures,
    cohort: CohortStatistics,
    evidence: f32,
    extractor: String,
}

/// A person's prints of [`FINGERS`]; `None` where one cannot be enrolled.
fn hand(people: &People, person: u64, shot: u64) -> Vec<Option<Print>> {
    let (model, cohort) = (Model::shipped(), Cohort::shipped());
    let fingers = FINGERS.iter().filter_map(|code| FingerPosition::new(*code)).collect();
    let settings = EncounterSettings { fingers, faces: 0, ..EncounterSettings::default() };
    let captured = people.person(person).encounter(shot, &settings);
    let print = |template: &duynhat_engine::template::FingerTemplate| {
        let features = model.features(template).ok()?;
        let (cohort, evidence) = (cohort.statistics(features.view().minutiae()), evidence(features.view().minutiae()));
        Some(Print { features, cohort, evidence, extractor: template.extractor.as_str().to_owned() })
    };
    FINGERS.iter().map(|code| print(captured.fingers.iter().find(|f| f.position.code() == *code)?)).collect()
}

fn people_count() -> u64 {
    std::env::var("DUYNHAT_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

#[test]
fn strangers_reach_a_score_as_often_as_predicted() {
    let count = people_count();
    let probes = count / 2;
    let people = People::new(SEED, Settings::default());
    let (calibration, model) = (Calibration::shipped(), Model::shipped());
    let tails = Tails::new(calibration, FaceCalibration::shipped());
    let references: Vec<_> = (0..count).into_par_iter().map(|p| hand(&people, p, 0)).collect();
    // Fused scores of each probe against every reference, for each hand. Probes are other people.
    let scores: Vec<[Vec<f32>; 3]> = (0..probes)
        .into_par_iter()
        .map_init(Scratch::new, |scratch, p| {
            let probe = hand(&people, 1_000_000 + p, 0);
            let mut out: [Vec<f32>; 3] = Default::default();
            let prepared: Vec<_> =
                probe.iter().map(|print| print.as_ref().map(|p| CompareProbe::new(model, p.features.view()))).collect();
            for reference in &references {
                let mut fingers = |hands: Hands| -> Vec<FingerScore> {
                    let mut found = Vec::new();
                    for (slot, code) in FINGERS.iter().enumerate() {
                        let position = FingerPosition::new(*code).expect("a finger");
                        let theirs = match hands {
                            Hands::AsDeclared | Hands::Crossed => position,
                            Hands::Swapped => other_hand(position),
                        };
                        let theirs = FINGERS.iter().position(|code| *code == theirs.code()).expect("both hands");
                        let (Some(own), Some(compare_probe), Some(other)) =
                            (&probe[slot], &prepared[slot], &reference[theirs])
                        else {
                            continue;
                        };
                        let comparison = compare(compare_probe, other.features.view(), scratch);
                        let score = normalise(comparison.score, own.cohort, other.cohort);
                        let least = own.evidence.min(other.evidence);
                        let llr = calibration.llr_at(score, &own.extractor, &other.extractor, least, position);
                        found.push(FingerScore {
                            position,
                            reference: FingerPosition::new(FINGERS[theirs]).expect("a finger"),
                            score,
                            llr: llr.llr,
                            matched: comparison.matched,
                            calibrated: llr.calibrated,
                            curve: llr.curve,
                            compared: 1,
                        });
                    }
                    found
                };
                let (declared, swapped) = (fingers(Hands::AsDeclared), fingers(Hands::Swapped));
                for (out, hand) in out.iter_mut().zip(HANDS) {
                    let of = |fingers: &[FingerScore]| -> Vec<FingerScore> {
                        fingers.iter().filter(|f| hand.contains(&f.position.code())).copied().collect()
                    };
                    let sum = |fingers: &[FingerScore]| fingers.iter().map(|f| f.llr).sum::<f32>();
                    let (mut hands, mut fingers) = (Hands::AsDeclared, of(&declared));
                    let exchanged = of(&swapped);
                    if sum(&exchanged) > sum(&fingers).max(0.0) {
                        (hands, fingers) = (Hands::Swapped, exchanged);
                    }
                    let whole = fingers.len() == hand.len();
                    let candidate = Candidate { row: 0, hands, screened: true, fingers, faces: Vec::new() };
                    out.push(if whole { fuse(&candidate, &tails).score } else { f32::MIN });
                }
            }
            out
        })
        .collect();

    let pairs = probes as f64 * count as f64;
    let mut wrong = Vec::new();
    println!("fingers  what                       T      predicted   measured   events");
    for (index, hand) in HANDS.iter().enumerate() {
        let positions = hand.iter().filter_map(|code| FingerPosition::new(*code));
        let sources = Sources::plain(calibration, "synthetic", positions, FaceCalibration::shipped(), None);
        let tail = tails.tail(&sources);
        let mut check = |what: String, threshold: f32, predicted: f64, events: f64, trials: f64| {
            let measured = events / trials;
            println!(
                "{:>7}  {what:<24} {threshold:>6.2}  {predicted:>9.2e}  {measured:>9.2e}  {events:>7}",
                hand.len()
            );
            // Events of few people come in bunches: three times the Poisson spread around a factor of two.
            let expected = predicted * trials;
            let slack = 3.0 * (2.0 * expected).sqrt();
            if expected >= 20.0 && (events > 2.0 * expected + slack || events < 0.5 * expected - slack) {
                wrong.push(format!("{} fingers, {what}: predicted {predicted:e}, measured {measured:e}", hand.len()));
            }
        };
        for fmr in [1e-2, 1e-3, 1e-4, 1e-5, 1e-6] {
            let threshold = tail.threshold(fmr);
            let events = scores.iter().flat_map(|s| &s[index]).filter(|s| **s >= threshold).count();
            check(format!("pairs at FMR {fmr:.0e}"), threshold, tail.fmr(threshold), events as f64, pairs);
        }
        for n in [100u64, 1_000, 10_000, 100_000] {
            if n > count {
                continue;
            }
            for target in [0.2, 0.01] {
                let threshold = tail.threshold(fmr_of(target, n));
                let searches = scores.iter().flat_map(|s| s[index].chunks_exact(n as usize));
                let trials = searches.clone().count() as f64;
                let found = searches.filter(|chunk| chunk.iter().any(|s| *s >= threshold)).count();
                let predicted = tails.fpir(&sources, n, threshold);
                check(format!("searches of {n} at FPIR {target}"), threshold, predicted, found as f64, trials);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
