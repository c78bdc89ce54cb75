//! The generator held against real prints: two-sample tests of the minutiae's statistics and of comparison scores, and
//! how far the fingers of one person fail together.

use duynhat_datasets::statistics::{Summary, kolmogorov_smirnov, quantile};
use duynhat_datasets::{People, Settings};
use duynhat_engine::template::{FingerPosition, FingerTemplate};
use rayon::prelude::*;
use serde::Serialize;

use super::real::{Persons, correlation_of_fingers, scores_of};
use crate::service::Models;

/// Seed of the synthetic prints.
const SEED: u64 = 2;

/// Where the generator is unlike.
#[derive(Clone, Debug, Serialize)]
pub struct Unlike {
    /// One a statistic.
    pub statistics: Vec<Statistic>,
}

/// One number's two distributions.
#[derive(Clone, Debug, Serialize)]
pub struct Statistic {
    /// What it is.
    pub name: String,
    /// 10, 50 and 90 %.
    pub synthetic: [f64; 3],
    /// 10, 50 and 90 %.
    pub real: [f64; 3],
    /// Kolmogorov and Smirnov.
    pub distance: f64,
    /// For independent draws.
    pub p_value: f64,
}

/// Compares with as many synthetic people, fingers and impressions as the real ones have.
pub fn against(models: &Models, real: &Persons) -> Unlike {
    let made = synthetic(real);
    let mut statistics = Vec::new();
    let (a, b) = (Summary::of(made.prints()), Summary::of(real.prints()));
    for ((name, synthetic), (_, real)) in a.named().into_iter().zip(b.named()) {
        statistics.push(statistic(name, synthetic, real));
    }
    let (made_scores, real_scores) = (scores_of(models, &made), scores_of(models, real));
    statistics.push(statistic("mated comparison score, one finger", made_scores.mated(), real_scores.mated()));
    statistics.push(statistic(
        "non-mated comparison score, one finger",
        made_scores.non_mated(),
        real_scores.non_mated(),
    ));
    let (made, real) = (correlation_of_fingers(models, &made), correlation_of_fingers(models, real));
    if let (Some(made), Some(real)) = (made, real) {
        statistics.push(Statistic {
            name: "correlation of the mated scores of two fingers of a person".into(),
            synthetic: [made; 3],
            real: [real; 3],
            distance: (made - real).abs(),
            p_value: f64::NAN,
        });
    }
    Unlike { statistics }
}

fn statistic(name: &str, synthetic: &[f64], real: &[f64]) -> Statistic {
    let ks = kolmogorov_smirnov(synthetic, real);
    let three = |v: &[f64]| [0.1, 0.5, 0.9].map(|share| quantile(v, share));
    Statistic {
        name: name.to_owned(),
        synthetic: three(synthetic),
        real: three(real),
        distance: ks.distance,
        p_value: ks.p_value,
    }
}

/// Synthetic people with the real ones' number of fingers and impressions.
fn synthetic(real: &Persons) -> Persons {
    let people = People::new(SEED, Settings::default());
    let persons: Vec<Vec<Vec<Option<FingerTemplate>>>> = (0..real.persons.len())
        .into_par_iter()
        .map(|p| {
            real.persons[p]
                .iter()
                .zip([2u8, 3, 7, 8, 1, 6, 4, 9, 5, 10])
                .map(|(impressions, code)| {
                    let position = FingerPosition::new(code).unwrap_or_default();
                    // Each impression another encounter.
                    (0..impressions.len() as u64)
                        .map(|k| Some(people.person(p as u64).finger(position, 3 * k)))
                        .collect()
                })
                .collect()
        })
        .collect();
    Persons { name: "synthetic".into(), persons, unfit: Vec::new(), extractor: String::new() }
}
