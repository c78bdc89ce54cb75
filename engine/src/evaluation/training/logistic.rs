//! Logistic regression by Newton's method.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::TrainingError;
use crate::finger::FEATURES;

const ROUNDS: usize = 30;
/// Pull of standardised weights towards zero, against a sample of weight one.
const RIDGE: f64 = 1e-3;

/// One comparison.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) features: [f32; FEATURES],
    pub(super) mated: bool,
    pub(super) weight: f64,
}

/// Weights and bias of the log-odds; sample weights should sum to one.
pub(super) fn fit(samples: &[Sample]) -> Result<([f32; FEATURES], f32), TrainingError> {
    const N: usize = FEATURES + 1;
    let (mut mean, mut spread) = ([0.0f64; FEATURES], [0.0f64; FEATURES]);
    for s in samples {
        for (m, f) in mean.iter_mut().zip(s.features) {
            *m += s.weight * f64::from(f);
        }
    }
    for s in samples {
        for ((v, m), f) in spread.iter_mut().zip(mean).zip(s.features) {
            *v += s.weight * (f64::from(f) - m) * (f64::from(f) - m);
        }
    }
    let spread = spread.map(|v| libm::sqrt(v).max(1e-6));
    let mut weights = [0.0f64; N];
    let row = |s: &Sample| -> [f64; N] {
        std::array::from_fn(|i| if i < FEATURES { (f64::from(s.features[i]) - mean[i]) / spread[i] } else { 1.0 })
    };
    for _ in 0..ROUNDS {
        let mut gradient = [0.0f64; N];
        let mut hessian = vec![[0.0f64; N]; N];
        for s in samples {
            let x = row(s);
            let log_odds: f64 = x.iter().zip(&weights).map(|(x, w)| x * w).sum();
            let p = 1.0 / (1.0 + libm::exp(-log_odds));
            let error = s.weight * (p - if s.mated { 1.0 } else { 0.0 });
            let curvature = s.weight * (p * (1.0 - p)).max(1e-12);
            for i in 0..N {
                gradient[i] += error * x[i];
                let scaled = curvature * x[i];
                for j in 0..=i {
                    hessian[i][j] += scaled * x[j];
                }
            }
        }
        for i in 0..FEATURES {
            gradient[i] += RIDGE * weights[i];
            hessian[i][i] += RIDGE;
        }
        hessian[FEATURES][FEATURES] += 1e-9;
        let h = Mat::from_fn(N, N, |i, j| if j <= i { hessian[i][j] } else { hessian[j][i] });
        let g = Mat::from_fn(N, 1, |i, _| gradient[i]);
        let step = h.llt(Side::Lower).map_err(|_| TrainingError::Eigen)?.solve(&g);
        let mut largest = 0.0f64;
        for (i, w) in weights.iter_mut().enumerate() {
            *w -= step[(i, 0)];
            largest = largest.max(step[(i, 0)].abs());
        }
        if largest < 1e-8 {
            break;
        }
    }
    let mut bias = weights[FEATURES];
    let mut out = [0f32; FEATURES];
    for i in 0..FEATURES {
        out[i] = (weights[i] / spread[i]) as f32;
        bias -= weights[i] * mean[i] / spread[i];
    }
    Ok((out, bias as f32))
}
