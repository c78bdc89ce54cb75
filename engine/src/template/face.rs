//! Face embeddings.

use std::fmt;

/// Fewest dimensions of a face embedding.
pub const DIMENSION_MIN: usize = 64;
/// Most dimensions of a face embedding.
pub const DIMENSION_MAX: usize = 1024;

/// One face embedding and the model that made it. Embeddings of different models are never compared.
#[derive(Clone, PartialEq)]
pub struct FaceTemplate {
    /// Overall quality 1 (worst) to 100 (best); 0 means unknown.
    pub quality: u8,
    model: String,
    values: Vec<f32>,
}

impl FaceTemplate {
    /// `values` need not be normalised: comparison uses the cosine.
    ///
    /// # Errors
    /// A dimension outside [`DIMENSION_MIN`]`..=`[`DIMENSION_MAX`], a value that is not finite, a norm of zero (or so
    /// small or large that the sum of squares leaves `f32`), a model name that is not 1 to 64 of `A-Z a-z 0-9 . _ -`.
    pub fn new(model: &str, quality: u8, values: Vec<f32>) -> Result<Self, FaceTemplateError> {
        if !(DIMENSION_MIN..=DIMENSION_MAX).contains(&values.len()) {
            return Err(FaceTemplateError::Dimension { found: values.len() });
        }
        if model.is_empty()
            || model.len() > 64
            || !model.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        {
            return Err(FaceTemplateError::Model);
        }
        if quality > 100 {
            return Err(FaceTemplateError::Quality { found: quality });
        }
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(FaceTemplateError::NotFinite { index });
        }
        let norm_sq: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        if !(1e-30..=1e30).contains(&norm_sq) {
            return Err(FaceTemplateError::Norm);
        }
        Ok(Self { quality, model: model.to_owned(), values })
    }

    /// The embedding model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The values as given, unnormalised.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Never prints values: a template is sensitive personal data.
impl fmt::Debug for FaceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaceTemplate")
            .field("model", &self.model)
            .field("dimensions", &self.values.len())
            .finish_non_exhaustive()
    }
}

/// Why a face embedding is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaceTemplateError {
    /// Too few or too many values.
    #[error("{found} dimensions; expected {DIMENSION_MIN} to {DIMENSION_MAX}")]
    Dimension {
        /// How many there were.
        found: usize,
    },
    /// NaN or infinity.
    #[error("value {index} is not a finite number")]
    NotFinite {
        /// Its index, from 0.
        index: usize,
    },
    /// The norm is zero, or out of `1e-15..=1e15`.
    #[error("the norm of the embedding is zero or out of range")]
    Norm,
    /// Not a model name.
    #[error("model name must be 1 to 64 characters from A-Z a-z 0-9 . _ -")]
    Model,
    /// Overall quality exceeds 100.
    #[error("quality {found}; expected 0 (unknown) to 100")]
    Quality {
        /// What was given.
        found: u8,
    },
}
