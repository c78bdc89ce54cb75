//! Face search: every reference at or above a cosine threshold, exactly as brute force finds them.
//!
//! Embeddings are normalised, rotated into a [`Basis`] and quantised to int8 and to 4 bits. Integer kernels with a proven
//! bound discard almost everything (`docs/src/internals/face-bound.md`); what is left is scored by [`compare`] from the
//! embeddings as given, and only that score decides. So the answer is the brute-force answer, whatever the basis, the
//! codes, the prefix, the ISA or the number of threads.
//!
//! - [`encode_block`] makes the payloads of up to some hundred references; [`FaceBlock::parse`] reads them in place.
//! - [`FaceProbe`] is a prepared probe; [`ProbeBatch`] packs many for one pass.
//! - [`search_block`], [`search_block_single`], [`search_pair`] know one block, no threads.
//! - [`search_blocks`], [`all_pairs`] spread blocks over rayon and put candidates in total order.
//! - [`Plan`] is how far into the dimensions a search goes before it re-scores; measured, never assumed.

mod basis;
mod block;
mod calibration;
mod drive;
mod encode;
mod hubness;
mod layout;
mod plan;
mod probe;
mod single;
#[cfg(test)]
mod tests;

pub use basis::{Basis, BasisId, SAMPLE_MAX, SAMPLE_MIN};
pub use block::{Depth, Hit, Passes, Scratch, search_block, search_pair};
pub use calibration::{
    FACE_CALIBRATION_FORMAT, FACE_CURVE_DEFAULT, FACE_LLR_MAX, FACE_LLR_MIN, FaceCalibration, FaceCalibrationError,
};
pub use drive::{Candidate, Candidates, FEW, Pair, all_pairs, search_blocks};
pub use encode::{FaceBlockBytes, encode_block};
pub use hubness::{Hub, Hubness, hub_limit};
pub use layout::{AlignedBytes, ENTRIES_MAX, FaceBlock, Originals, Plane};
pub use plan::{Plan, PlanKey, Plans};
pub use probe::{FaceProbe, ProbeBatch};
pub use single::search_block_single;

use crate::kernel::{Isa, dot_f32};

/// The cosine of two embeddings as given, a similarity from -1 to 1.
///
/// Products and norms are summed in `f64` in one fixed order and the quotient is rounded to `f32` once: the same bits on
/// every ISA, symmetric, and within 1e-7 of the exact cosine. NaN when a norm is zero or a value is not finite;
/// embeddings that a [`FaceProbe`] or [`encode_block`] took never are. The shorter slice counts as padded with zeros.
pub fn compare(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    let (dot, _) = dot_f32::products(isa, a, b);
    let ((_, norm_a), (_, norm_b)) = (dot_f32::products(isa, a, a), dot_f32::products(isa, b, b));
    cosine(dot, norm_a, norm_b)
}

/// The last step of [`compare`], from the sums.
#[inline]
fn cosine(dot: f64, norm_sq_a: f64, norm_sq_b: f64) -> f32 {
    (dot / (norm_sq_a * norm_sq_b).sqrt()) as f32
}

/// The norm of an acceptable embedding.
fn norm(row: &[f32], dimension: usize) -> Result<f64, FaceError> {
    if row.len() != dimension {
        return Err(FaceError::Dimension { expected: Some(dimension), found: row.len() });
    }
    let norm_sq = dot_f32::products(Isa::active(), row, row).1;
    if !norm_sq.is_finite() {
        return Err(FaceError::NotFinite);
    }
    // 1e-15 and 1e15 themselves are allowed, however their squares round.
    if !(0.999e-30..=1.001e30).contains(&norm_sq) {
        return Err(FaceError::Norm);
    }
    Ok(norm_sq.sqrt())
}

/// Why embeddings can't be encoded, read or searched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// An embedding of another length, or one that no basis takes.
    #[error("{found} dimensions; expected {}", expected.map_or("64 to 1024".to_owned(), |e| e.to_string()))]
    Dimension {
        /// The basis' dimension, when there is one.
        expected: Option<usize>,
        /// How many there were.
        found: usize,
    },
    /// NaN or infinity in an embedding.
    #[error("a value of the embedding is not a finite number")]
    NotFinite,
    /// A norm of zero, or out of `1e-15..=1e15`.
    #[error("the norm of the embedding is zero or out of range")]
    Norm,
    /// More entries than a block may hold.
    #[error("{found} rows in one block; at most 65536 are allowed")]
    Rows {
        /// How many there were.
        found: usize,
    },
    /// Too few rows to learn a basis from.
    #[error("{found} sample rows; a basis needs at least {SAMPLE_MIN}")]
    Sample {
        /// How many there were.
        found: usize,
    },
    /// The eigendecomposition did not converge.
    #[error("the eigendecomposition of the sample did not converge")]
    Eigen,
    /// A threshold that is not a finite number.
    #[error("the threshold is not a finite number")]
    Threshold,
    /// Probe and references were prepared with different bases.
    #[error("probe and references were prepared with different bases")]
    OtherBasis,
    /// Stored bytes that don't hold what they should.
    #[error("{what}: {field}: found {found}, expected {expected}")]
    Format {
        /// Which payload.
        what: &'static str,
        /// Which field.
        field: &'static str,
        /// What it should be, or its limit.
        expected: u64,
        /// What it is, or where it is.
        found: u64,
    },
}
