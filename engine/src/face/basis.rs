//! The rotation into which embeddings are taken before they are quantised.
//!
//! A PCA basis puts the energy of a gallery's embeddings into the first dimensions, so that a prefix decides most
//! pairs. It is learned once from a sample of the gallery's references, frozen, and named by its identifier in
//! everything encoded with it. Search results do not depend on it, only speed does: the bound counts how far it is
//! from orthogonal (`docs/src/internals/face-bound.md`), and that figure is computed here whenever a basis comes into being,
//! never read from a file.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use std::fmt;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use sha2::{Digest, Sha256};

use super::FaceError;
use crate::kernel::dot_f32::PANEL;
use crate::template::{DIMENSION_MAX, DIMENSION_MIN};

/// Fewest sample rows for [`Basis::learn`].
pub const SAMPLE_MIN: usize = 256;
/// Sample rows beyond this are thinned out evenly: more change nothing that search could notice.
pub const SAMPLE_MAX: usize = 16_384;

const MAGIC: [u8; 4] = *b"DNFB";
const VERSION: u16 = 1;
const HEADER: usize = 16;

/// An identifier: the first 16 bytes of the SHA-256 of the serialised basis.
pub type BasisId = [u8; 16];

/// A frozen rotation for embeddings of one model, with a weight a dimension for the 4-bit plane.
#[derive(Clone)]
pub struct Basis {
    dimension: usize,
    padded: usize,
    id: BasisId,
    /// Row by row, `padded` x `padded`.
    matrix: Vec<f32>,
    /// Expected size of each rotated component, `padded`, all positive.
    weights: Vec<f32>,
    /// The matrix widened, in the order of [`crate::kernel::dot_f32::rotate`].
    panels: Vec<f64>,
    deviation: f64,
}

impl Basis {
    /// A fixed orthogonal transform for a gallery too young to learn from: a cosine transform with scattered signs, which
    /// spreads the energy evenly.
    ///
    /// # Errors
    /// [`FaceError::Dimension`].
    pub fn initial(dimension: usize) -> Result<Self, FaceError> {
        let padded = padded(dimension)?;
        let n = dimension as f64;
        let mut matrix = vec![0f32; padded * padded];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for j in 0..dimension {
            // Signs on the inputs, or a constant embedding would fall into one component.
            let sign = if splitmix(&mut state) & 1 == 0 { 1.0 } else { -1.0 };
            for i in 0..dimension {
                let scale = if i == 0 { (1.0 / n).sqrt() } else { (2.0 / n).sqrt() };
                let angle = std::f64::consts::PI * i as f64 * (2 * j + 1) as f64 / (2.0 * n);
                matrix[i * padded + j] = (sign * scale * libm::cos(angle)) as f32;
            }
        }
        let weights = vec![(1.0 / n).sqrt() as f32; padded];
        Self::assemble(dimension, matrix, weights)
    }

    /// The principal axes of a sample, strongest first. `sample` are embeddings as given; they are normalised here.
    /// The seed picks rows when there are more than [`SAMPLE_MAX`].
    ///
    /// The last bits of the matrix may differ between CPUs (the eigendecomposition is faer's); what a search returns does
    /// not.
    ///
    /// # Errors
    /// Fewer than [`SAMPLE_MIN`] rows, rows of another length, values that are not finite, a norm of zero, or no
    /// convergence.
    pub fn learn(sample: &[&[f32]], seed: u64) -> Result<Self, FaceError> {
        if sample.len() < SAMPLE_MIN {
            return Err(FaceError::Sample { found: sample.len() });
        }
        let dimension = sample[0].len();
        let padded = padded(dimension)?;
        let stride = sample.len().div_ceil(SAMPLE_MAX);
        let first = (seed % stride as u64) as usize;
        let rows: Vec<&[f32]> = sample.iter().skip(first).step_by(stride).copied().collect();
        let mut data = Mat::<f64>::zeros(dimension, rows.len());
        for (r, row) in rows.iter().enumerate() {
            let norm = super::norm(row, dimension)?;
            for (j, &v) in row.iter().enumerate() {
                data[(j, r)] = f64::from(v) / norm;
            }
        }
        // Second moments, not covariance: the cosine knows no mean.
        let mut moments = Mat::<f64>::zeros(dimension, dimension);
        matmul(moments.as_mut(), Accum::Replace, data.as_ref(), data.transpose(), 1.0 / rows.len() as f64, Par::Seq);
        let (values, vectors) = eigen(&moments)?;

        let mut matrix = vec![0f32; padded * padded];
        let mut weights = vec![0f32; padded];
        let floor = 1e-4 / dimension as f64;
        for i in 0..dimension {
            // Ascending from the solver.
            let column = dimension - 1 - i;
            let mut largest = 0f64;
            for j in 0..dimension {
                if vectors[(j, column)].abs() > largest.abs() {
                    largest = vectors[(j, column)];
                }
            }
            let sign = if largest < 0.0 { -1.0 } else { 1.0 };
            for j in 0..dimension {
                matrix[i * padded + j] = (sign * vectors[(j, column)]) as f32;
            }
            weights[i] = values[column].max(floor).sqrt() as f32;
        }
        weights[dimension..].fill(floor.sqrt() as f32);
        Self::assemble(dimension, matrix, weights)
    }

    /// What a gallery stores: 16 bytes of header, the matrix and the weights as little-endian `f32`.
    pub fn to_bytes(&self) -> Vec<u8> {
        serialise(self.dimension, &self.matrix, &self.weights)
    }

    /// Reads what [`Basis::to_bytes`] wrote. The matrix may be anything finite; see the module.
    ///
    /// # Errors
    /// [`FaceError::Format`] naming the field.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FaceError> {
        let format = |field, expected, found| FaceError::Format { what: "basis", field, expected, found };
        if bytes.len() < HEADER {
            return Err(format("length", HEADER as u64, bytes.len() as u64));
        }
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC {
            return Err(format("magic", u64::from(u32::from_le_bytes(MAGIC)), u64::from(word(0))));
        }
        let version = u64::from(word(4));
        if version != u64::from(VERSION) {
            return Err(format("version", u64::from(VERSION), version));
        }
        let dimension = word(8) as usize;
        let padded = padded(dimension)?;
        if word(12) != 0 {
            return Err(format("reserved", 0, u64::from(word(12))));
        }
        let expected = HEADER + (padded * padded + padded) * 4;
        if bytes.len() != expected {
            return Err(format("length", expected as u64, bytes.len() as u64));
        }
        let values: Vec<f32> = bytes[HEADER..].as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
        let (matrix, weights) = values.split_at(padded * padded);
        if let Some(at) = matrix.iter().position(|v| !v.is_finite() || v.abs() > 16.0) {
            return Err(format("matrix value", 16, at as u64));
        }
        if let Some(at) = weights.iter().position(|&w| !(1e-9..=16.0).contains(&w)) {
            return Err(format("weight", 16, at as u64));
        }
        Self::assemble(dimension, matrix.to_vec(), weights.to_vec())
    }

    /// The embeddings' dimension.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The dimension rounded up to a multiple of eight: that of the codes.
    pub fn padded(&self) -> usize {
        self.padded
    }

    /// What everything encoded with this basis names.
    pub fn id(&self) -> BasisId {
        self.id
    }

    /// An upper bound of the norm of `B^T B - I`.
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// The weights of the 4-bit plane.
    pub(super) fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The matrix for [`crate::kernel::dot_f32::rotate`].
    pub(super) fn panels(&self) -> &[f64] {
        &self.panels
    }

    fn assemble(dimension: usize, matrix: Vec<f32>, weights: Vec<f32>) -> Result<Self, FaceError> {
        let padded = padded(dimension)?;
        let bytes = serialise(dimension, &matrix, &weights);
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(&bytes)[..16]);
        let deviation = deviation(dimension, padded, &matrix);
        let mut panels = vec![0f64; padded.next_multiple_of(PANEL) * padded];
        for i in 0..padded {
            let panel = &mut panels[i / PANEL * padded * PANEL..][..padded * PANEL];
            for j in 0..padded {
                panel[j * PANEL + i % PANEL] = f64::from(matrix[i * padded + j]);
            }
        }
        Ok(Self { dimension, padded, id, matrix, weights, panels, deviation })
    }
}

impl fmt::Debug for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basis")
            .field("dimension", &self.dimension)
            .field("id", &self.id)
            .field("deviation", &self.deviation)
            .finish_non_exhaustive()
    }
}

fn padded(dimension: usize) -> Result<usize, FaceError> {
    if (DIMENSION_MIN..=DIMENSION_MAX).contains(&dimension) {
        Ok(dimension.next_multiple_of(8))
    } else {
        Err(FaceError::Dimension { expected: None, found: dimension })
    }
}

fn serialise(dimension: usize, matrix: &[f32], weights: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + (matrix.len() + weights.len()) * 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&u32::from(VERSION).to_le_bytes());
    bytes.extend_from_slice(&(dimension as u32).to_le_bytes());
    bytes.extend_from_slice(&0u32.to_le_bytes());
    for v in matrix.iter().chain(weights) {
        bytes.extend_from_slice(&v.to_le_bytes());
    }
    bytes
}

/// The Frobenius norm of `B^T B - I` over the given dimensions, which no spectral norm exceeds, plus what rounding in
/// this function could hide: entries up to 16, at most 1,024 terms a sum, a million sums.
fn deviation(dimension: usize, padded: usize, matrix: &[f32]) -> f64 {
    let b = Mat::<f64>::from_fn(padded, dimension, |i, j| f64::from(matrix[i * padded + j]));
    let mut gram = Mat::<f64>::zeros(dimension, dimension);
    matmul(gram.as_mut(), Accum::Replace, b.transpose(), b.as_ref(), 1.0, Par::Seq);
    let (mut sum, mut energy) = (0f64, 0f64);
    for j in 0..dimension {
        energy += gram[(j, j)];
        for i in 0..dimension {
            let d = gram[(i, j)] - if i == j { 1.0 } else { 0.0 };
            sum += d * d;
        }
    }
    // |fl(gram) - gram| <= 1024 u |B|^T|B|, whose Frobenius norm is at most 1024 u |B|_F^2; u = 2^-53.
    sum.sqrt() * (1.0 + 1e-9) + 1.2e-13 * (energy + 1.0)
}

fn eigen(moments: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), FaceError> {
    use faer::dyn_stack::{MemBuffer, MemStack};
    use faer::linalg::evd;
    let n = moments.nrows();
    let mut vectors = Mat::<f64>::zeros(n, n);
    let mut values = faer::Col::<f64>::zeros(n);
    let scratch = evd::self_adjoint_evd_scratch::<f64>(n, evd::ComputeEigenvectors::Yes, Par::Seq, Default::default());
    evd::self_adjoint_evd(
        moments.as_ref(),
        values.as_diagonal_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| FaceError::Eigen)?;
    let values: Vec<f64> = (0..n).map(|i| values[i]).collect();
    if values.iter().any(|v| !v.is_finite()) {
        return Err(FaceError::Eigen);
    }
    Ok((values, vectors))
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
