//! What the false positive identification rate of a gallery will be, told from another one of other people.
//!
//! Searches in a calibration gallery, screened as sharply as the gallery that is spoken of, give the distribution of the
//! best stranger's score; a generalised Pareto tail carries it on. A gallery `k` times as large is `k` independent
//! chances: `FPIR = 1 - (1 - p)^k`.

use std::collections::BTreeMap;

use duynhat_engine::evaluation::tail::{Tail, of_many, of_one};

use super::population::Population;
use super::searches::{STRANGERS, Scope, search_all, strangers};
use crate::service::Models;

/// The seed of the calibration's people; no test may use it.
pub const CALIBRATION_SEED: u64 = 77;

/// Tails by gallery size spoken of and configuration.
pub struct Prediction {
    references: u64,
    tails: BTreeMap<(u64, usize), Tail>,
}

impl Prediction {
    /// Measures the tails for galleries of these sizes, each for these configurations.
    ///
    /// # Errors
    /// Damage or I/O.
    pub fn measure(
        models: &Models,
        calibration: &Population,
        probes: u64,
        sizes: &[(u64, Vec<usize>)],
        done: &(impl Fn() + Sync),
    ) -> anyhow::Result<Self> {
        let snapshot = calibration.snapshot();
        let who: Vec<u64> = (STRANGERS..STRANGERS + probes).collect();
        let mut tails = BTreeMap::new();
        for (size, configurations) in sizes {
            // A part of the calibration's gallery when the one spoken of is smaller.
            let references = calibration.count.min(*size);
            let scope = Scope { references, as_of: *size };
            let found = search_all(models, &snapshot, &calibration.people, &who, scope, configurations, done)?;
            for &c in configurations {
                if let Some(tail) = Tail::fit(strangers(&found, c)) {
                    tails.insert((*size, c), tail);
                }
            }
        }
        Ok(Self { references: calibration.count, tails })
    }

    /// Takes another measurement's tails in.
    pub fn extend(&mut self, other: Self) {
        self.tails.extend(other.tails);
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
