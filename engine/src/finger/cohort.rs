//! Cohort normalisation: a score is read against what either print scores with strangers.
//!
//! Some prints resemble everything (many minutiae, common patterns), some nothing. What the most alike of a cohort of
//! strangers score against a print (its *level*) is learned as a linear function of what the print looks like, from a
//! frozen cohort: the model's training data, or at least [`COHORT_PRINTS_MIN`] prints of an operator's gallery. So a
//! print's level costs nothing at enrolment, needs no template, and is a function of the print and the frozen weights
//! alone: a replay gives the same scores. Half of both prints' mean level is taken off a score.

use std::sync::LazyLock;

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::compare::{CompareProbe, Scratch, compare};
use super::features::FingerFeatures;
use super::model::{FeatureError, Model, TRAITS, traits};
use crate::template::Minutia;

/// Fewest prints of a cohort.
pub const COHORT_PRINTS_MIN: usize = 512;
/// Most: more cost time and say nothing new.
pub const COHORT_PRINTS_MAX: usize = 8192;
/// Numbers that a frozen cohort comes down to.
pub const COHORT_WEIGHTS: usize = TRAITS;

/// Strangers that a print is compared with to find its level.
pub(crate) const STRANGERS: usize = 256;
/// The share of strangers, the most alike, whose mean score is the level.
const SHARE: f64 = 0.05;
/// Pull of the weights towards zero, a print.
const RIDGE: f64 = 1e-4;
/// Bounds of a level.
const LEVEL_MIN: f32 = -4.0;
const LEVEL_MAX: f32 = 8.0;
/// The share of the two levels that is taken off a score. Half and whole do alike; less can go wrong with half.
const TAKEN_OFF: f32 = 0.25;

static SHIPPED: LazyLock<Cohort> = LazyLock::new(|| Cohort::expected(Model::shipped()));

/// What the most alike of strangers score against a print.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CohortStatistics {
    /// A comparison score.
    pub level: f32,
}

impl CohortStatistics {
    /// Leaves scores as they are.
    pub const NONE: Self = Self { level: 0.0 };
}

/// What a frozen set of strangers taught.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cohort {
    id: String,
    weights: Option<[f32; TRAITS]>,
}

impl Cohort {
    /// No normalisation.
    pub fn none() -> Self {
        Self::default()
    }

    /// What this build ships: [`Cohort::expected`] of [`Model::shipped`].
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// What the model learned of the prints that it was trained with.
    pub fn expected(model: &Model) -> Self {
        Self { id: format!("expected-{}", model.id()), weights: Some(*model.expectation()) }
    }

    /// Learns from prints of different fingers, e.g. of an operator's gallery: each against an even choice of the
    /// others, some 256 comparisons a print, on the current rayon pool. `same_finger(a, b)` says which of them are no
    /// strangers.
    ///
    /// # Errors
    /// Fewer than [`COHORT_PRINTS_MIN`], more than [`COHORT_PRINTS_MAX`], one that the model refuses, or prints too much
    /// alike to learn from.
    pub fn new(
        model: &Model,
        prints: &[&[Minutia]],
        same_finger: impl Fn(usize, usize) -> bool + Sync,
    ) -> Result<Self, CohortError> {
        if !(COHORT_PRINTS_MIN..=COHORT_PRINTS_MAX).contains(&prints.len()) {
            return Err(CohortError::Count { found: prints.len() });
        }
        let features = prints
            .par_iter()
            .enumerate()
            .map(|(index, minutiae)| model.features_of(minutiae).map_err(|source| CohortError::Print { index, source }))
            .collect::<Result<Vec<_>, _>>()?;
        let weights = learn(model, &features, same_finger).ok_or(CohortError::Alike)?;
        Ok(Self::frozen(model, weights))
    }

    /// A cohort frozen before, by [`Cohort::weights`].
    pub fn frozen(model: &Model, weights: [f32; COHORT_WEIGHTS]) -> Self {
        let mut digest = Sha256::new_with_prefix(model.id());
        weights.iter().for_each(|w| digest.update(w.to_le_bytes()));
        let id = digest.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
        Self { id, weights: Some(weights) }
    }

    /// What it comes down to; `None` for [`Cohort::none`].
    pub fn weights(&self) -> Option<[f32; COHORT_WEIGHTS]> {
        self.weights
    }

    /// A digest of the weights and the model; empty for [`Cohort::none`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it normalises nothing.
    pub fn is_empty(&self) -> bool {
        self.weights.is_none()
    }

    /// The print's level; [`CohortStatistics::NONE`] for [`Cohort::none`]. A few operations a minutia.
    pub fn statistics(&self, minutiae: &[Minutia]) -> CohortStatistics {
        match &self.weights {
            None => CohortStatistics::NONE,
            Some(weights) => {
                let level = weights.iter().zip(traits(minutiae)).fold(0.0, |sum, (w, t)| sum + w * t);
                CohortStatistics { level: level.clamp(LEVEL_MIN, LEVEL_MAX) }
            }
        }
    }
}

/// Least squares of the levels by the traits; `None` when the prints are too much alike.
pub(crate) fn learn(
    model: &Model,
    features: &[FingerFeatures],
    same_finger: impl Fn(usize, usize) -> bool + Sync,
) -> Option<[f32; TRAITS]> {
    let strangers: Vec<usize> = (0..STRANGERS).map(|k| k * features.len() / STRANGERS).collect();
    let rows: Vec<([f64; TRAITS], f64)> = (0..features.len())
        .into_par_iter()
        .map_init(Scratch::new, |scratch, i| {
            let probe = CompareProbe::new(model, features[i].view());
            let mut scores: Vec<f32> = strangers
                .iter()
                .filter(|&&k| k != i && !same_finger(i, k))
                .map(|&k| compare(&probe, features[k].view(), scratch).score)
                .collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            let top = ((scores.len() as f64 * SHARE) as usize).max(1);
            let level = scores.iter().take(top).map(|&s| f64::from(s)).sum::<f64>() / top as f64;
            (traits(features[i].view().minutiae()).map(f64::from), level)
        })
        .collect();
    let mut normal = Mat::<f64>::zeros(TRAITS, TRAITS);
    let mut right = Mat::<f64>::zeros(TRAITS, 1);
    for (x, y) in &rows {
        for i in 0..TRAITS {
            for j in 0..TRAITS {
                normal[(i, j)] += x[i] * x[j];
            }
            right[(i, 0)] += x[i] * y;
        }
    }
    for i in 0..TRAITS {
        normal[(i, i)] += RIDGE * rows.len() as f64;
    }
    let solution = normal.llt(Side::Lower).ok()?.solve(&right);
    let weights: [f32; TRAITS] = std::array::from_fn(|i| solution[(i, 0)] as f32);
    weights.iter().all(|w| w.is_finite()).then_some(weights)
}

/// A score less a share of both prints' levels: a similarity. [`CohortStatistics::NONE`] on both sides leaves the score
/// as it is.
pub fn normalise(score: f32, probe: CohortStatistics, reference: CohortStatistics) -> f32 {
    score - TAKEN_OFF * (probe.level + reference.level)
}

/// Why a cohort is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CohortError {
    /// Too few or too many prints.
    #[error("{found} prints; a cohort has {COHORT_PRINTS_MIN} to {COHORT_PRINTS_MAX}")]
    Count {
        /// How many.
        found: usize,
    },
    /// A print that the model refuses.
    #[error("print {index} of the cohort: {source}")]
    Print {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: FeatureError,
    },
    /// No weights fit the prints.
    #[error("the prints are too much alike to learn from")]
    Alike,
}
