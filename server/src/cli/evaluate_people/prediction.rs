//! What the false positive identification rate of a gallery will be, told from another one of other people.
//!
//! Searches in a calibration gallery, screened as sharply as the gallery that is spoken of, give the distribution of the
//! best stranger's score; a generalised Pareto tail carries it on. A gallery `k` times as large is `k` independent
//! chances: `FPIR = 1 - (1 - p)^k`.

use std::collections::BTreeMap;

use duynhat_engine::evaluation::tail::{Tail, of_many, of_one};

use super::population::Population;
use super::searches::{Plan, STRANGERS, Scope, people_of, search_all, strangers};
use crate::cli::progress;
use crate::service::Models;

/// The seed of the calibration's people; no test may use it.
pub const CALIBRATION_SEED: u64 = 77;

/// Tails by gallery size spoken of and configuration.
pub struct Prediction {
    references: u64,
    tails: BTreeMap<(u64, usize), Tail>,
}

impl Prediction {
    /// Measures the tails for galleries of these sizes, each with so many probes and for these configurations.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn measure(
        models: &Models,
        calibration: &Population,
        wanted: &[(u64, u64, Vec<usize>)],
    ) -> anyhow::Result<Self> {
        let plan = |(size, probes, configurations): &(u64, u64, Vec<usize>)| Plan {
            who: (STRANGERS..STRANGERS + probes).collect(),
            // A part of the calibration's gallery when the one spoken of is smaller.
            scope: Scope { references: calibration.count.min(*size), as_of: *size },
            configurations: configurations.clone(),
        };
        let plans: Vec<Plan> = wanted.iter().map(plan).collect();
        let bar = progress(people_of(&plans), "calibration");
        let found = search_all(models, &calibration.snapshot(), &calibration.people, &plans, &|| bar.inc(1))?;
        bar.finish_and_clear();
        let mut tails = BTreeMap::new();
        for ((size, _, configurations), found) in wanted.iter().zip(&found) {
            for &c in configurations {
                if let Some(tail) = Tail::fit(strangers(found, c)) {
                    tails.insert((*size, c), tail);
                }
            }
        }
        Ok(Self { references: calibration.count, tails })
    }

    fn times(&self, size: u64) -> f64 {
        size as f64 / self.references.min(size).max(1) as f64
    }

    /// The predicted rate at a threshold.
    pub fn fpir(&self, size: u64, configuration: usize, threshold: f64) -> Option<f64> {
        let tail = self.tails.get(&(size, configuration))?;
        Some(of_many(tail.above(threshold), self.times(size)))
    }

    /// The threshold for a predicted rate.
    pub fn threshold(&self, size: u64, configuration: usize, fpir: f64) -> Option<f64> {
        let tail = self.tails.get(&(size, configuration))?;
        Some(tail.score_at(of_one(fpir, self.times(size))))
    }
}
