//! Iterative quantisation (Gong, Lazebnik 2011): the rotation after which signs lose least.

use faer::Mat;

use super::TrainingError;
use crate::evaluation::random::Random;

const ROUNDS: usize = 25;

/// A rotation (dimensions x dimensions) for the rows of `data` (samples x dimensions, centred).
pub(super) fn rotation(data: &Mat<f64>, seed: u64) -> Result<Mat<f64>, TrainingError> {
    let d = data.ncols();
    let mut random = Random::new(seed);
    let mut rotation = orthogonal(&Mat::from_fn(d, d, |_, _| random.normal()))?;
    for _ in 0..ROUNDS {
        let turned = data * &rotation;
        let signs = Mat::from_fn(turned.nrows(), d, |i, j| if turned[(i, j)] > 0.0 { 1.0 } else { -1.0 });
        rotation = orthogonal(&(data.transpose() * &signs))?;
    }
    Ok(rotation)
}

/// The orthogonal matrix closest to `m`.
fn orthogonal(m: &Mat<f64>) -> Result<Mat<f64>, TrainingError> {
    let svd = m.svd().map_err(|_| TrainingError::Eigen)?;
    Ok(svd.U() * svd.V().transpose())
}
