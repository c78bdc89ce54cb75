//! Cohort normalisation.

use super::{FingerView, Model};

/// Where a print's scores against the cohort lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CohortStatistics {
    /// Mean.
    pub mean: f32,
    /// Standard deviation.
    pub spread: f32,
}

/// A frozen set of prints.
#[derive(Default)]
pub struct Cohort {}

impl Cohort {
    /// No normalisation.
    pub fn none() -> Self {
        Self {}
    }

    /// The print's scores against the cohort.
    pub fn statistics(&self, _model: &Model, _view: FingerView<'_>) -> CohortStatistics {
        CohortStatistics { mean: 0.0, spread: 1.0 }
    }
}

/// The score, normalised.
pub fn normalise(score: f32, _probe: CohortStatistics, _reference: CohortStatistics) -> f32 {
    score
}
