//! The score: a sum of bounded measures, weighted as the model learned.

use super::measures::{FEATURES, Features};

/// The lowest score, given when nothing lies together.
pub(crate) const SCORE_MIN: f32 = -20.0;
/// The highest.
pub(crate) const SCORE_MAX: f32 = 60.0;

/// How measures become a score. Each is first held to the range that training saw, so that no print, however strange,
/// can score beyond what was learned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoreWeights {
    pub(crate) weights: Features,
    pub(crate) bias: f32,
    pub(crate) low: Features,
    pub(crate) high: Features,
}

impl ScoreWeights {
    /// One measure alone, unbounded: before anything is learned.
    pub(crate) fn only(feature: usize) -> Self {
        let mut weights = [0.0; FEATURES];
        weights[feature] = 1.0;
        Self { weights, bias: 0.0, low: [f32::MIN; FEATURES], high: [f32::MAX; FEATURES] }
    }

    /// All values finite, no range empty.
    pub(crate) fn valid(&self) -> bool {
        let all = self.weights.iter().chain(&self.low).chain(&self.high).chain([&self.bias]);
        all.into_iter().all(|v| v.is_finite()) && self.low.iter().zip(&self.high).all(|(low, high)| low <= high)
    }

    /// The weighted sum, in the order of the measures.
    #[inline(always)]
    // Four arrays share an index.
    #[allow(clippy::needless_range_loop)]
    pub(super) fn score(&self, features: &Features) -> f32 {
        let mut sum = self.bias;
        for k in 0..FEATURES {
            let value = features[k];
            let value = if value > self.low[k] { value } else { self.low[k] };
            let value = if value < self.high[k] { value } else { self.high[k] };
            sum += value * self.weights[k];
        }
        sum.clamp(SCORE_MIN, SCORE_MAX)
    }
}
