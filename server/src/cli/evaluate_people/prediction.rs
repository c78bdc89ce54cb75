//! What the false positive identification rate of a gallery will be, told from another one of other people.
//!
//! Searches in a calibration gallery, screened as sharply as the gallery that is spoken of, give the distribution of the
//! best stranger's score; a generalised Pareto tail carries it on. A gallery `k` times as large is `k` independent
//! chances: `FPIR = 1 - (1 - p)^k`. Where the probe has a face, strangers who are candidates by their face alone are
//! added as chances of their own ([`Lookalikes`]).

use std::collections::BTreeMap;

use duynhat_datasets::FaceSettings;
use duynhat_engine::evaluation::tail::{Tail, of_many, of_one};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::search::SearchOptions;

use super::population::Population;
use super::searches::{CONFIGURATIONS, Plan, STRANGERS, Scope, people_of, search_all, strangers};
use crate::cli::progress;
use crate::service::Models;

/// No threshold lies above.
const SCORE_MAX: f64 = 1e3;
/// The seed of the calibration's people; no test may use it.
pub const CALIBRATION_SEED: u64 = 77;

/// Tails by gallery size spoken of and configuration.
pub struct Prediction {
    lookalikes: Lookalikes,
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
        Ok(Self { references: calibration.count, tails, lookalikes: Lookalikes::new(&models.faces) })
    }

    fn times(&self, size: u64) -> f64 {
        size as f64 / self.references.min(size).max(1) as f64
    }

    /// The predicted rate at a threshold.
    pub fn fpir(&self, size: u64, configuration: usize, threshold: f64) -> Option<f64> {
        let tail = self.tails.get(&(size, configuration))?;
        let found = of_many(tail.above(threshold), self.times(size));
        if !CONFIGURATIONS[configuration].face {
            return Some(found);
        }
        let alike = of_many(self.lookalikes.chance(threshold), size as f64);
        Some(found + (1.0 - found) * alike)
    }

    /// The threshold for a predicted rate.
    pub fn threshold(&self, size: u64, configuration: usize, fpir: f64) -> Option<f64> {
        let tail = self.tails.get(&(size, configuration))?;
        let mut low = tail.score_at(of_one(fpir, self.times(size)));
        if self.fpir(size, configuration, low)? <= fpir {
            return Some(low);
        }
        // Lookalikes ask for more; halves until the two are neighbours for all purposes.
        let mut high = SCORE_MAX;
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.fpir(size, configuration, middle)? > fpir {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }
}

/// Strangers who are candidates because of their face alone: so rare, and so far above the others when they come, that no
/// tail fitted to a few thousand searches knows of them. How rare says the face's calibration.
struct Lookalikes {
    calibration: FaceCalibration,
    curve: u8,
    /// The chance of one stranger to be such a candidate at all.
    candidate: f64,
}

impl Lookalikes {
    fn new(calibration: &FaceCalibration) -> Self {
        let model = FaceSettings::default().model;
        let candidate = calibration.source(&model).fmr(SearchOptions::default().cosine_min);
        Self { calibration: calibration.clone(), curve: calibration.curve_number(&model), candidate }
    }

    /// The chance that one stranger is, and scores this high.
    fn chance(&self, score: f64) -> f64 {
        self.calibration.survival(self.curve, score as f32).min(self.candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::searches::{FINGERS_ONLY, FULL};
    use super::*;

    #[test]
    fn lookalikes_raise_the_rates_and_thresholds_of_searches_with_a_face_and_of_no_others() {
        // An exponential tail: above 0 in every search, above 5 in one of 148.
        let sample: Vec<f64> = (1..=2_000).map(|k| -f64::ln(f64::from(k) / 2_001.0)).collect();
        let tail = Tail::fit(sample).unwrap();
        let (size, fingers) = (20_000, FINGERS_ONLY.start);
        let tails = BTreeMap::from([((size, fingers), tail.clone()), ((size, FULL), tail)]);
        let calibration = FaceCalibration::shipped();
        let prediction = Prediction { references: 2_000, tails, lookalikes: Lookalikes::new(calibration) };
        let fpir = |c, t| prediction.fpir(size, c, t).unwrap();
        // By face alone one search in some hundreds finds a stranger among 20,000, and the fewer the more is asked for.
        let extra = fpir(FULL, 14.0) - fpir(fingers, 14.0);
        assert!(fpir(FULL, 5.0) > fpir(fingers, 5.0));
        assert!(prediction.lookalikes.chance(-3.0) == prediction.lookalikes.candidate);
        assert!(extra < 1e-4, "strangers whose faces say 14 are rarer: {extra}");
        for target in [0.3, 1e-2, 1e-3, 1e-4] {
            for c in [fingers, FULL] {
                let threshold = prediction.threshold(size, c, target).unwrap();
                let again = fpir(c, threshold);
                assert!((again / target - 1.0).abs() < 1e-3, "{c}: {again} at the threshold for {target}");
            }
            assert!(prediction.threshold(size, FULL, target) >= prediction.threshold(size, fingers, target));
        }
    }
}
