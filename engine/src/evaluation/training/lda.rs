//! Linear discriminant analysis: directions in which different minutiae differ and views of the same one do not.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use super::TrainingError;
use crate::finger::{RAW_DIMENSIONS, Raw};

/// Rows multiplied at once: the sums are over chunks in order, so the result does not depend on the machine.
const CHUNK: usize = 2048;
/// Ridge added to the within scatter, as a share of its mean diagonal.
const RIDGE: f64 = 1e-2;

/// A linear projection, the most telling columns first.
pub(super) struct Projection {
    pub(super) mean: Vec<f64>,
    /// Dimensions x kept.
    pub(super) columns: Mat<f64>,
}

/// The `keep` best directions. `mates` are index pairs into `raws`.
pub(super) fn discriminants(raws: &[Raw], mates: &[(u32, u32)], keep: usize) -> Result<Projection, TrainingError> {
    let d = RAW_DIMENSIONS;
    let value = |raw: &Raw, i: usize| f64::from(raw[i]) / 255.0;
    let mut mean = vec![0.0; d];
    for raw in raws {
        for (i, m) in mean.iter_mut().enumerate() {
            *m += value(raw, i);
        }
    }
    mean.iter_mut().for_each(|m| *m /= raws.len() as f64);
    let total = scatter(raws.len(), |row, i| value(&raws[row], i) - mean[i]);
    let mut within = scatter(mates.len(), |row, i| {
        let (a, b) = mates[row];
        (value(&raws[a as usize], i) - value(&raws[b as usize], i)) * std::f64::consts::FRAC_1_SQRT_2
    });
    let ridge = RIDGE * (0..d).map(|i| within[(i, i)]).sum::<f64>() / d as f64;
    for i in 0..d {
        within[(i, i)] += ridge;
    }
    // within = L L^T; the eigenvectors u of L^-1 total L^-T give directions L^-T u.
    let cholesky = within.llt(Side::Lower).map_err(|_| TrainingError::Eigen)?;
    let lower = cholesky.L().to_owned();
    let mut half = total;
    lower.solve_lower_triangular_in_place(half.as_mut());
    let mut core = half.transpose().to_owned();
    lower.solve_lower_triangular_in_place(core.as_mut());
    let core = Mat::from_fn(d, d, |i, j| 0.5 * (core[(i, j)] + core[(j, i)]));
    let eigen = core.self_adjoint_eigen(Side::Lower).map_err(|_| TrainingError::Eigen)?;
    let (vectors, values) = (eigen.U(), eigen.S());
    let mut columns = Mat::from_fn(d, keep, |i, k| vectors[(i, d - 1 - k)]);
    if (0..d).any(|k| !values.column_vector()[k].is_finite()) {
        return Err(TrainingError::Eigen);
    }
    lower.transpose().solve_upper_triangular_in_place(columns.as_mut());
    Ok(Projection { mean, columns })
}

/// Mean outer product of `rows` vectors.
fn scatter(rows: usize, value: impl Fn(usize, usize) -> f64) -> Mat<f64> {
    let d = RAW_DIMENSIONS;
    let mut sum = Mat::<f64>::zeros(d, d);
    for start in (0..rows).step_by(CHUNK) {
        let len = CHUNK.min(rows - start);
        let chunk = Mat::from_fn(len, d, |r, i| value(start + r, i));
        matmul(sum.as_mut(), Accum::Add, chunk.transpose(), chunk.as_ref(), 1.0, Par::Seq);
    }
    let scale = 1.0 / rows.max(1) as f64;
    Mat::from_fn(d, d, |i, j| sum[(i, j)] * scale)
}
