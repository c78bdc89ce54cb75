//! What the screen counts as similar.

use std::sync::LazyLock;

use crate::finger::{Clusters, Model};
use crate::kernel::hamming::{PREFIX_BITS, SCREEN_BITS};

/// The weight of equal codes.
pub const WEIGHT_MAX: u8 = 255;

/// Weight by distance, and the window of directions. Comes from the model; scores of different parameters are not
/// comparable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScreenParams {
    weights: [u8; SCREEN_BITS + 1],
    window_steps: u8,
    prefix_limit: u8,
    clusters: Clusters,
    clusters_near: usize,
}

impl ScreenParams {
    /// +-45 degrees.
    pub const WINDOW_STEPS_DEFAULT: u8 = 32;
    /// A [`ScreenParams::window_steps`] that lets every direction in.
    pub const WINDOW_STEPS_ALL: u8 = 128;
    /// What the shipped model says.
    pub const TOLERANCE_BITS_DEFAULT: u8 = 50;
    /// Of a model's [`CLUSTERS`](crate::finger::CLUSTERS) clusters, those that are looked at for each minutia of a probe.
    pub const CLUSTERS_NEAR_DEFAULT: usize = 6;
    /// A [`ScreenParams::prefix_limit`] that lets every pair through: for measuring what the prefix loses. Slow.
    pub const PREFIX_LIMIT_ALL: u8 = PREFIX_BITS as u8 + 1;

    /// Weights `max(0, 1 - h / tolerance)^2` in 255ths, rounded to nearest, half up; the default window; a prefix
    /// limit of 0.42 times the tolerance, rounded up.
    ///
    /// # Errors
    /// A tolerance of 0 or above 129.
    pub fn from_tolerance(tolerance_bits: u8) -> Result<Self, ScreenParamsError> {
        if tolerance_bits == 0 || usize::from(tolerance_bits) > SCREEN_BITS + 1 {
            return Err(ScreenParamsError::Tolerance { found: tolerance_bits });
        }
        let square = u32::from(tolerance_bits).pow(2);
        let weights = std::array::from_fn(|distance| {
            let left = u32::from(tolerance_bits).saturating_sub(distance as u32);
            ((2 * u32::from(WEIGHT_MAX) * left * left + square) / (2 * square)) as u8
        });
        let prefix_limit = (u32::from(tolerance_bits) * 21).div_ceil(50) as u8;
        Self::new(weights, prefix_limit, Self::WINDOW_STEPS_DEFAULT)
    }

    /// Any weights by distance over 128 bits, of pairs that differ in fewer than `prefix_limit` of the first 64 bits
    /// and by at most `window_steps` 256ths of a turn.
    ///
    /// # Errors
    /// A prefix limit above 65, a window beyond half a turn.
    pub fn new(weights: [u8; SCREEN_BITS + 1], prefix_limit: u8, window_steps: u8) -> Result<Self, ScreenParamsError> {
        if window_steps > Self::WINDOW_STEPS_ALL {
            return Err(ScreenParamsError::Window { found: window_steps });
        }
        if prefix_limit > Self::PREFIX_LIMIT_ALL {
            return Err(ScreenParamsError::Prefix { found: prefix_limit });
        }
        Ok(Self { weights, window_steps, prefix_limit, clusters: Clusters::none(), clusters_near: 1 })
    }

    /// What a model asks for: its tolerance, and its clusters, of which the nearest few are looked at.
    pub fn of_model(model: &Model) -> Self {
        let tolerance = u8::try_from(model.screen_limit()).unwrap_or(Self::TOLERANCE_BITS_DEFAULT);
        let params = Self::from_tolerance(tolerance).unwrap_or_default();
        params.with_clusters(model.clusters().clone(), Self::CLUSTERS_NEAR_DEFAULT)
    }

    /// The same, looking at the `near` nearest of these clusters.
    #[must_use]
    pub fn with_clusters(self, clusters: Clusters, near: usize) -> Self {
        Self { clusters, clusters_near: near, ..self }
    }

    /// The clusters.
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// How many of them are looked at for each minutia of a probe.
    pub fn clusters_near(&self) -> usize {
        self.clusters_near
    }

    /// The same weights with every direction let in: for prints of unknown rotation.
    #[must_use]
    pub fn full_turn(self) -> Self {
        Self { window_steps: Self::WINDOW_STEPS_ALL, ..self }
    }

    /// Weight by distance in bits.
    pub fn weights(&self) -> &[u8; SCREEN_BITS + 1] {
        &self.weights
    }

    /// Half the window, in 256ths of a turn; the window is as many 32nds as come nearest, see [`super::BUCKETS`].
    pub fn window_steps(&self) -> u8 {
        self.window_steps
    }

    /// Pairs that differ in so many of the first 64 bits weigh nothing.
    pub fn prefix_limit(&self) -> u8 {
        self.prefix_limit
    }
}

impl Default for ScreenParams {
    fn default() -> Self {
        Self::from_tolerance(Self::TOLERANCE_BITS_DEFAULT).expect("the default tolerance is in range")
    }
}

/// Parameters that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScreenParamsError {
    /// Not a tolerance.
    #[error("screen tolerance of {found} bits; expected 1 to 129")]
    Tolerance {
        /// What was given.
        found: u8,
    },
    /// Not a prefix limit.
    #[error("screen prefix limit of {found} bits; expected 0 to 65")]
    Prefix {
        /// What was given.
        found: u8,
    },
    /// Not a window.
    #[error("screen window of {found} steps; expected 0 to 128 256ths of a turn")]
    Window {
        /// What was given.
        found: u8,
    },
}

/// `sqrt(probe * reference * 256)`, rounded down: a search wants one for every score, and a root costs a good part of what
/// the score itself does.
static SIZES: LazyLock<Box<[[u16; 256]; 256]>> = LazyLock::new(|| {
    let mut sizes = Box::new([[0; 256]; 256]);
    for (probe, row) in (0u32..).zip(sizes.iter_mut()) {
        for (reference, size) in (0u32..).zip(row) {
            *size = (probe * reference * 256).isqrt() as u16;
        }
    }
    sizes
});

/// A raw score made comparable between prints of different size: `256 * score / sqrt(probe * reference)`, with integer
/// square root and division, both rounded down. 0 when either print has no minutiae; at most `256 * 65,025`.
pub fn normalised(score: u16, probe_minutiae: u8, reference_minutiae: u8) -> u32 {
    let size = u32::from(SIZES[usize::from(probe_minutiae)][usize::from(reference_minutiae)]);
    (u32::from(score) << 12).checked_div(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_made_comparable_as_the_formula_says() {
        for probe in 0..=255u8 {
            for reference in 0..=255u8 {
                let size = (u32::from(probe) * u32::from(reference) * 256).isqrt();
                for score in [0u16, 1, 977, u16::MAX] {
                    let expected = (u32::from(score) << 12).checked_div(size).unwrap_or(0);
                    assert_eq!(normalised(score, probe, reference), expected, "{score} of {probe} and {reference}");
                }
            }
        }
    }
}
