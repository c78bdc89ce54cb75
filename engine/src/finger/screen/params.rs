//! What the screen counts as similar.

use crate::kernel::hamming::SCREEN_BITS;

/// The weight of equal codes.
pub const WEIGHT_MAX: u8 = 255;

/// Weight by distance, and the window of directions. Comes from the model; scores of different parameters are not
/// comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenParams {
    weights: [u8; SCREEN_BITS + 1],
    window_steps: u8,
    limit: u8,
}

impl ScreenParams {
    /// +-45 degrees.
    pub const WINDOW_STEPS_DEFAULT: u8 = 32;
    /// A [`ScreenParams::window_steps`] that lets every direction in.
    pub const WINDOW_STEPS_ALL: u8 = 128;
    /// Random pairs of 128 balanced, independent bits lie below with a probability of 1 in 1,000.
    pub const TOLERANCE_BITS_DEFAULT: u8 = 46;

    /// Weights `max(0, 1 - h / tolerance)^2` in 255ths, rounded to nearest, half up; the default window.
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
        Self::new(weights, Self::WINDOW_STEPS_DEFAULT)
    }

    /// Any weights by distance, and a window: a reference minutia counts when its direction differs by at most
    /// `window_steps` 256ths of a turn from the probe minutia's.
    ///
    /// # Errors
    /// A window beyond half a turn.
    pub fn new(weights: [u8; SCREEN_BITS + 1], window_steps: u8) -> Result<Self, ScreenParamsError> {
        if window_steps > Self::WINDOW_STEPS_ALL {
            return Err(ScreenParamsError::Window { found: window_steps });
        }
        let limit = weights.iter().rposition(|&weight| weight > 0).map_or(0, |last| last + 1) as u8;
        Ok(Self { weights, window_steps, limit })
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

    /// Half the window, in 256ths of a turn.
    pub fn window_steps(&self) -> u8 {
        self.window_steps
    }

    /// The least distance from which on no pair weighs anything.
    pub fn limit(&self) -> u8 {
        self.limit
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
    /// Not a window.
    #[error("screen window of {found} steps; expected 0 to 128 256ths of a turn")]
    Window {
        /// What was given.
        found: u8,
    },
}

/// A raw score made comparable between prints of different size: `256 * score / sqrt(probe * reference)`, with integer
/// square root and division, both rounded down. 0 when either print has no minutiae; at most `256 * 65,025`.
pub fn normalised(score: u16, probe_minutiae: u8, reference_minutiae: u8) -> u32 {
    let size = (u32::from(probe_minutiae) * u32::from(reference_minutiae) * 256).isqrt();
    (u32::from(score) << 12).checked_div(size).unwrap_or(0)
}
