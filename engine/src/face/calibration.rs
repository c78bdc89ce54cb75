//! Cosine to likelihood ratio, by embedding model.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::likelihood::{Curve, Source};

/// The largest natural log-likelihood ratio that one face may claim.
pub const FACE_LLR_MAX: f32 = 25.0;
/// The smallest.
pub const FACE_LLR_MIN: f32 = -4.0;
/// This build's format of face calibration files.
pub const FACE_CALIBRATION_FORMAT: u32 = 1;
/// The number of the curve for models never fitted.
pub const FACE_CURVE_DEFAULT: u8 = u8::MAX;

/// For a model never fitted. Provisional and conservative: non-mated cosines of 512-dimensional embeddings spread about
/// 0 with a standard deviation near 0.06, and the false match rates that makers of such models publish at 0.4 are about
/// 1e-6; the curve claims less than that everywhere.
const DEFAULT: [[f32; 2]; 7] =
    [[0.15, -4.0], [0.25, 0.0], [0.35, 6.0], [0.45, 12.0], [0.55, 17.0], [0.65, 21.0], [0.80, 25.0]];

static SHIPPED: LazyLock<FaceCalibration> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // A test decodes the same bytes.
    FaceCalibration::from_json(include_bytes!("../../model/face-calibration-v1.json")).expect("the shipped one decodes")
});

/// Cosine curves by embedding model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaceCalibration {
    format: u32,
    curves: BTreeMap<String, Source>,
    #[serde(skip)]
    id: String,
    #[serde(skip, default = "default_source")]
    fallback: Source,
}

/// What is taken for a model never fitted: at each ratio, strangers reach it as often as Bayes' bound lets them.
fn default_source() -> Source {
    let fmr = DEFAULT.iter().filter(|k| k[1] >= 0.0).map(|k| [k[0], -k[1]]).collect();
    Source::single(Curve {
        knots: DEFAULT.to_vec(),
        fmr,
        tail_start: DEFAULT[DEFAULT.len() - 1][0],
        tail_ln_fmr: -DEFAULT[DEFAULT.len() - 1][1],
        tail_scale: 0.02,
        tail_shape: 0.1,
    })
}

impl FaceCalibration {
    /// Of fitted curves, by model.
    ///
    /// # Errors
    /// As [`FaceCalibration::from_json`].
    pub fn new(curves: BTreeMap<String, Source>) -> Result<Self, FaceCalibrationError> {
        Self { format: FACE_CALIBRATION_FORMAT, curves, id: String::new(), fallback: default_source() }.checked()
    }

    /// The one this build ships: it knows the project's own generator, and takes every other model for one never fitted.
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Reads a face calibration file.
    ///
    /// # Errors
    /// Not JSON of this shape, another format, curves that are not monotone.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FaceCalibrationError> {
        let read: Self =
            simd_json::serde::from_slice(&mut bytes.to_vec()).map_err(|e| FaceCalibrationError::Json(e.to_string()))?;
        read.checked()
    }

    fn checked(mut self) -> Result<Self, FaceCalibrationError> {
        if self.format != FACE_CALIBRATION_FORMAT {
            return Err(FaceCalibrationError::Format { found: self.format });
        }
        if self.curves.len() >= usize::from(FACE_CURVE_DEFAULT) {
            return Err(FaceCalibrationError::TooMany { found: self.curves.len() });
        }
        if let Some((model, _)) = self.curves.iter().find(|(_, source)| !source.valid()) {
            return Err(FaceCalibrationError::Curve { model: model.clone() });
        }
        self.id = Sha256::digest(self.to_json()?).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(self)
    }

    /// The file.
    ///
    /// # Errors
    /// None in practice: all values are finite.
    pub fn to_json(&self) -> Result<String, FaceCalibrationError> {
        simd_json::serde::to_string_pretty(self).map_err(|e| FaceCalibrationError::Json(e.to_string()))
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The models it was fitted for.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        self.curves.keys().map(String::as_str)
    }

    /// The fitted curves with those of `other` added; `other` wins.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.curves.extend(other.curves.iter().map(|(model, source)| (model.clone(), source.clone())));
        self.clone().checked().unwrap_or(self)
    }

    /// What is known of a model, or what is taken for one never fitted.
    pub fn source(&self, model: &str) -> &Source {
        self.curves.get(model).unwrap_or(&self.fallback)
    }

    /// The number of a model's curve, [`FACE_CURVE_DEFAULT`] when never fitted.
    pub fn curve_number(&self, model: &str) -> u8 {
        self.curves.keys().zip(0u8..).find(|(m, _)| *m == model).map_or(FACE_CURVE_DEFAULT, |(_, number)| number)
    }

    /// The natural log-likelihood ratio that a cosine of two embeddings of `model` stands for, [`FACE_LLR_MIN`] to
    /// [`FACE_LLR_MAX`]; monotone. NaN counts as the lowest.
    pub fn llr(&self, model: &str, cosine: f32) -> f32 {
        let cosine = if cosine.is_nan() { -1.0 } else { cosine };
        self.source(model).curve(0.0).llr(cosine).clamp(FACE_LLR_MIN, FACE_LLR_MAX)
    }

    /// How often non-mated faces under the curve of this number have a log-likelihood ratio of `llr` or more.
    pub fn survival(&self, curve: u8, llr: f32) -> f64 {
        if llr <= FACE_LLR_MIN {
            return 1.0;
        }
        if llr > FACE_LLR_MAX {
            return 0.0;
        }
        self.curves.values().nth(usize::from(curve)).unwrap_or(&self.fallback).survival(llr)
    }
}

/// Why a face calibration file is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaceCalibrationError {
    /// Not JSON, or of another shape.
    #[error("face calibration: {0}")]
    Json(String),
    /// Another format version.
    #[error("face calibration format {found}; this build reads {FACE_CALIBRATION_FORMAT}")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// More models than there are numbers.
    #[error("face calibration of {found} models; at most 254 are read")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A curve that is not monotone or not finite.
    #[error("the curve of face model {model} is not monotone")]
    Curve {
        /// Which.
        model: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_never_falls_as_the_cosine_rises_and_stays_in_range() {
        let shipped = FaceCalibration::shipped();
        for model in ["any", "synthetic-512"] {
            let mut last = f32::NEG_INFINITY;
            for step in -1000..=1000 {
                let value = shipped.llr(model, step as f32 / 1000.0);
                assert!((-4.0..=25.0).contains(&value) && value >= last, "{model}, {step}: {value} after {last}");
                last = value;
            }
            assert_eq!(shipped.llr(model, f32::NAN), -4.0);
            assert_eq!(shipped.llr(model, 1.0), 25.0);
        }
    }

    #[test]
    fn a_model_never_fitted_is_trusted_less() {
        let shipped = FaceCalibration::shipped();
        for step in 300..=1000 {
            let cosine = step as f32 / 1000.0;
            assert!(shipped.llr("any", cosine) <= shipped.llr("synthetic-512", cosine), "{cosine}");
        }
        for llr in [0.5f32, 3.0, 9.0, 20.0] {
            let (any, known) = (shipped.survival(FACE_CURVE_DEFAULT, llr), shipped.survival(0, llr));
            assert!(any <= libm::exp(-f64::from(llr)) * 1.001 && known <= any, "{llr}: {any} and {known}");
        }
    }

    #[test]
    fn files_come_back_equal_and_broken_ones_are_refused() {
        let shipped = FaceCalibration::shipped();
        let text = shipped.to_json().expect("writes");
        assert_eq!(FaceCalibration::from_json(text.as_bytes()).as_ref(), Ok(shipped));
        assert!(FaceCalibration::from_json(b"{}").is_err());
        let other = text.replace("\"format\": 1", "\"format\": 7");
        assert_eq!(FaceCalibration::from_json(other.as_bytes()), Err(FaceCalibrationError::Format { found: 7 }));
    }
}
