//! What a comparison score says: likelihood ratio and false match rate, by extractor.
//!
//! A [`Calibration`] holds a curve for each pair of extractors it was fitted for. The body is monotone (pooled adjacent
//! violators); beyond the last non-mated scores the likelihood ratio only grows as the tail of the non-mated scores
//! (generalised Pareto) falls, which is conservative: mated scores grow denser there. A pair of extractors never
//! fitted gets, at each score, the lowest likelihood ratio and the highest false match rate of all curves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// The largest natural log-likelihood ratio that one comparison may claim: one in 160,000 odds, about as far as
/// the data behind the curves reach.
pub const LLR_MAX: f32 = 12.0;
/// The smallest: a comparison that failed says little, since capture may have failed.
pub const LLR_MIN: f32 = -4.0;
/// This build's format of calibration files.
pub const CALIBRATION_FORMAT: u32 = 1;

static SHIPPED: LazyLock<Calibration> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // A test decodes the same bytes.
    Calibration::from_json(include_bytes!("../../model/finger-calibration-v1.json")).expect("the shipped one decodes")
});

/// A likelihood ratio, and whether it was fitted for the extractors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llr {
    /// Natural log-likelihood ratio, [`LLR_MIN`] to [`LLR_MAX`].
    pub llr: f32,
    /// Whether the curve was fitted for these extractors; otherwise it is the conservative default.
    pub calibrated: bool,
}

/// Score curves by pair of extractors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub(crate) format: u32,
    pub(crate) model: String,
    /// By the two extractor names in order, joined by `|`.
    pub(crate) curves: BTreeMap<String, Curve>,
}

/// One pair of extractors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Curve {
    /// Scores, ascending, and the log-likelihood ratio at each; straight lines between.
    pub(crate) knots: Vec<[f32; 2]>,
    /// Scores, ascending, and the natural log of the false match rate at each; straight lines between.
    pub(crate) fmr: Vec<[f32; 2]>,
    /// Scores above this follow the tail.
    pub(crate) tail_start: f32,
    /// Natural log of the false match rate there.
    pub(crate) tail_ln_fmr: f32,
    /// Generalised Pareto.
    pub(crate) tail_scale: f32,
    pub(crate) tail_shape: f32,
}

impl Curve {
    fn valid(&self) -> bool {
        let ascending = |points: &[[f32; 2]]| {
            !points.is_empty()
                && points.iter().flatten().all(|v| v.is_finite())
                && points.windows(2).all(|w| w[0][0] < w[1][0])
        };
        ascending(&self.knots)
            && ascending(&self.fmr)
            && self.knots.windows(2).all(|w| w[0][1] <= w[1][1])
            && self.fmr.windows(2).all(|w| w[0][1] >= w[1][1])
            && self.tail_start.is_finite()
            && self.tail_ln_fmr <= 0.0
            && self.tail_scale > 0.0
            && self.tail_scale.is_finite()
            && (0.0..2.0).contains(&self.tail_shape)
    }

    /// How much the log of the non-mated tail has fallen since its start.
    fn fallen(&self, score: f32) -> f32 {
        let z = (score - self.tail_start) / self.tail_scale;
        if z <= 0.0 {
            0.0
        } else if self.tail_shape < 1e-3 {
            z
        } else {
            libm::logf(1.0 + self.tail_shape * z) / self.tail_shape
        }
    }

    fn llr(&self, score: f32) -> f32 {
        let body = between(&self.knots, score.min(self.tail_start));
        (body + self.fallen(score)).clamp(LLR_MIN, LLR_MAX)
    }

    fn ln_fmr(&self, score: f32) -> f32 {
        if score >= self.tail_start {
            self.tail_ln_fmr - self.fallen(score)
        } else {
            between(&self.fmr, score).max(self.tail_ln_fmr)
        }
    }
}

/// Linear between the points, constant outside.
fn between(points: &[[f32; 2]], at: f32) -> f32 {
    let next = points.partition_point(|p| p[0] <= at);
    match (next.checked_sub(1).map(|k| points[k]), points.get(next)) {
        (Some([_, y]), None) | (None, Some(&[_, y])) => y,
        (Some([x0, y0]), Some(&[x1, y1])) => y0 + (y1 - y0) * ((at - x0) / (x1 - x0)),
        (None, None) => 0.0,
    }
}

impl Calibration {
    /// The one this build ships, for [`super::Model::shipped`].
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Reads a calibration file.
    ///
    /// # Errors
    /// Not JSON of this shape, another format, curves that are not monotone.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CalibrationError> {
        let mut bytes = bytes.to_vec();
        let calibration: Self =
            simd_json::serde::from_slice(&mut bytes).map_err(|e| CalibrationError::Json(e.to_string()))?;
        if calibration.format != CALIBRATION_FORMAT {
            return Err(CalibrationError::Format { found: calibration.format });
        }
        if calibration.curves.is_empty() {
            return Err(CalibrationError::Empty);
        }
        match calibration.curves.iter().find(|(_, curve)| !curve.valid()) {
            Some((name, _)) => Err(CalibrationError::Curve { name: name.clone() }),
            None => Ok(calibration),
        }
    }

    /// The calibration file.
    ///
    /// # Errors
    /// None in practice: all values are finite.
    pub fn to_json(&self) -> Result<String, CalibrationError> {
        simd_json::serde::to_string_pretty(self).map_err(|e| CalibrationError::Json(e.to_string()))
    }

    /// The model whose scores it reads.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The pairs of extractors it was fitted for, e.g. `mindtct|secugen`.
    pub fn extractors(&self) -> impl Iterator<Item = &str> {
        self.curves.keys().map(String::as_str)
    }

    fn curve(&self, probe: &str, reference: &str) -> Option<&Curve> {
        self.curves.get(&pair_name(probe, reference))
    }

    /// Natural log-likelihood ratio of a normalised score. Never falls as the score rises. A NaN score counts as the
    /// lowest.
    pub fn llr(&self, score: f32, probe: &str, reference: &str) -> Llr {
        let score = if score.is_nan() { f32::MIN } else { score };
        match self.curve(probe, reference) {
            Some(curve) => Llr { llr: curve.llr(score), calibrated: true },
            None => {
                let llr = self.curves.values().map(|c| c.llr(score)).fold(LLR_MAX, f32::min);
                Llr { llr, calibrated: false }
            }
        }
    }

    /// The false match rate at a threshold of `score`; the highest of all curves for extractors never fitted.
    pub fn fmr(&self, score: f32, probe: &str, reference: &str) -> f32 {
        let score = if score.is_nan() { f32::MIN } else { score };
        let ln = match self.curve(probe, reference) {
            Some(curve) => curve.ln_fmr(score),
            None => self.curves.values().map(|c| c.ln_fmr(score)).fold(f32::MIN, f32::max),
        };
        libm::expf(ln)
    }
}

/// The two names in order.
pub(crate) fn pair_name(a: &str, b: &str) -> String {
    if a <= b { format!("{a}|{b}") } else { format!("{b}|{a}") }
}

/// Why a calibration file is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Not JSON, or of another shape.
    #[error("calibration: {0}")]
    Json(String),
    /// Another format version.
    #[error("calibration format {found}; this build reads {CALIBRATION_FORMAT}")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// No curves.
    #[error("calibration without a single curve")]
    Empty,
    /// A curve that is not monotone or not finite.
    #[error("calibration curve {name} is not monotone")]
    Curve {
        /// Which.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn higher_scores_never_say_less() {
        let calibration = Calibration::shipped();
        for pair in [("mindtct", "mindtct"), ("secugen", "mindtct"), ("secugen", "secugen"), ("acme", "mindtct")] {
            let mut last = (f32::MIN, f32::MAX);
            for step in -400..1300 {
                let score = step as f32 * 0.05;
                let now = (calibration.llr(score, pair.0, pair.1).llr, calibration.fmr(score, pair.0, pair.1));
                assert!(now.0 >= last.0 && now.1 <= last.1, "{pair:?} at {score}: {now:?} after {last:?}");
                last = now;
            }
            assert!(last.0 > 5.0, "{pair:?} {last:?}");
        }
    }

    #[test]
    fn an_unknown_extractor_gets_the_conservative_default_and_is_told() {
        let calibration = Calibration::shipped();
        for step in -20..60 {
            let score = step as f32;
            let unknown = calibration.llr(score, "unknown", "acme");
            assert!(!unknown.calibrated);
            let known = calibration.llr(score, "mindtct", "secugen");
            assert!(known.calibrated && unknown.llr <= known.llr);
        }
    }

    #[test]
    fn order_of_extractors_does_not_matter() {
        let calibration = Calibration::shipped();
        assert_eq!(calibration.llr(3.0, "secugen", "mindtct"), calibration.llr(3.0, "mindtct", "secugen"));
    }

    #[test]
    fn broken_files_are_refused() {
        let good = Calibration::shipped().to_json().expect("writes");
        assert_eq!(Calibration::from_json(good.as_bytes()).as_ref(), Ok(Calibration::shipped()));
        for end in 0..good.len().min(400) {
            assert!(Calibration::from_json(&good.as_bytes()[..end]).is_err());
        }
        let other = good.replace("\"format\": 1", "\"format\": 9");
        assert_eq!(Calibration::from_json(other.as_bytes()), Err(CalibrationError::Format { found: 9 }));
    }
}
