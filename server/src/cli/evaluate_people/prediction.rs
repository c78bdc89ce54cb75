//! What the false positive identification rate of a gallery will be, told from another one of other people.
//!
//! Searches in a calibration gallery, screened as sharply as the gallery that is spoken of, give the distribution of the
//! best stranger's score; a generalised Pareto tail carries it on. A gallery `k` times as large is `k` independent
//! chances: `FPIR = 1 - (1 - p)^k`. Where the probe has a face, strangers who are candidates by their face alone are left
//! out of that and added as chances of their own ([`Lookalikes`]).

use std::collections::BTreeMap;

use duynhat_datasets::FaceSettings;
use duynhat_engine::evaluation::tail::{Tail, of_many, of_one};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::search::SearchOptions;

use super::population::Population;
use super::searches::{CONFIGURATIONS, Configuration, Plan, STRANGERS, Scope, people_of, search_all, strangers};
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
        let with_fingers = |c: &usize| !CONFIGURATIONS[*c].fingers.is_empty();
        let plan = |(size, probes, configurations): &(u64, u64, Vec<usize>)| Plan {
            who: (STRANGERS..STRANGERS + probes).collect(),
            // A part of the calibration's gallery when the one spoken of is smaller.
            scope: Scope { references: calibration.count.min(*size), as_of: *size },
            configurations: configurations.iter().copied().filter(with_fingers).collect(),
            // They are added below.
            lookalikes: false,
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
        let Configuration { fingers, face, .. } = CONFIGURATIONS[configuration];
        let found = match self.tails.get(&(size, configuration)) {
            Some(tail) => of_many(tail.above(threshold), self.times(size)),
            None if fingers.is_empty() => 0.0,
            None => return None,
        };
        if !face {
            return Some(found);
        }
        let alike = of_many(self.lookalikes.chance(threshold), size as f64);
        Some(found + (1.0 - found) * alike)
    }

    /// The threshold for a predicted rate; `None` when nothing is known of such searches, or every candidate that a face
    /// alone may bring is rarer.
    pub fn threshold(&self, size: u64, configuration: usize, fpir: f64) -> Option<f64> {
        let mut low = match self.tails.get(&(size, configuration)) {
            Some(tail) => tail.score_at(of_one(fpir, self.times(size))),
            None => self.lookalikes.least,
        };
        if self.fpir(size, configuration, low)? <= fpir {
            return self.tails.contains_key(&(size, configuration)).then_some(low);
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
    /// The least that such a face says.
    least: f64,
}

impl Lookalikes {
    fn new(calibration: &FaceCalibration) -> Self {
        let model = FaceSettings::default().model;
        let cosine = SearchOptions::default().cosine_min;
        let candidate = calibration.source(&model).fmr(cosine);
        let least = f64::from(calibration.llr(&model, cosine));
        Self { calibration: calibration.clone(), curve: calibration.curve_number(&model), candidate, least }
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
        // A face alone has nothing but lookalikes, and no threshold for more of them than there are candidates.
        let face = CONFIGURATIONS.len() - 1;
        let threshold = prediction.threshold(size, face, 1e-3).unwrap();
        assert!((fpir(face, threshold) / 1e-3 - 1.0).abs() < 1e-3 && threshold > prediction.lookalikes.least);
        assert_eq!(prediction.threshold(200, face, 0.1), None);
        assert_eq!(prediction.threshold(200, fingers, 0.1), None, "nothing was measured for that size");
    }
}
