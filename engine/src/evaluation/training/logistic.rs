//! Logistic regression by Newton's method.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

use super::TrainingError;
use crate::finger::{FEATURES, ScoreWeights};

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

/// A measure counts within so many standard deviations of its mean, and within what was seen.
const REACH_SD: f64 = 6.0;
/// Shares of the non-mated comparisons and the scores that they exceed.
const SCALE: [(f64, f64); 2] = [(1e-2, 2.0), (1e-3, 4.0)];

/// Weights and bounds of the score: log-odds, then shifted and stretched so that of all `non_mated` comparisons, those
/// rejected early included, the shares of [`SCALE`] exceed its scores: that makes scores of different models alike.
pub(super) fn fit(samples: &[Sample], non_mated: usize) -> Result<ScoreWeights, TrainingError> {
    const N: usize = FEATURES + 1;
    let (mut mean, mut spread) = ([0.0f64; FEATURES], [0.0f64; FEATURES]);
    let (mut low, mut high) = ([f32::MAX; FEATURES], [f32::MIN; FEATURES]);
    let total: f64 = samples.iter().map(|s| s.weight).sum();
    for s in samples {
        for (i, &f) in s.features.iter().enumerate() {
            mean[i] += s.weight / total * f64::from(f);
            low[i] = low[i].min(f);
            high[i] = high[i].max(f);
        }
    }
    for s in samples {
        for ((v, m), f) in spread.iter_mut().zip(mean).zip(s.features) {
            *v += s.weight / total * (f64::from(f) - m) * (f64::from(f) - m);
        }
    }
    let spread = spread.map(|v| libm::sqrt(v).max(1e-6));
    for i in 0..FEATURES {
        low[i] = low[i].max((mean[i] - REACH_SD * spread[i]) as f32);
        high[i] = high[i].min((mean[i] + REACH_SD * spread[i]) as f32).max(low[i]);
    }
    let mut weights = [0.0f64; N];
    let row = |s: &Sample| -> [f64; N] {
        std::array::from_fn(|i| {
            if i < FEATURES { (f64::from(s.features[i].clamp(low[i], high[i])) - mean[i]) / spread[i] } else { 1.0 }
        })
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
    for i in 0..FEATURES {
        weights[i] /= spread[i];
        bias -= weights[i] * mean[i];
    }
    let log_odds = |s: &Sample| {
        (0..FEATURES).fold(bias, |sum, i| sum + weights[i] * f64::from(s.features[i].clamp(low[i], high[i])))
    };
    let mut scores: Vec<f64> = samples.iter().filter(|s| !s.mated).map(log_odds).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    let [(often, low_score), (seldom, high_score)] = SCALE;
    let at = |share: f64| {
        let rank = (share * non_mated as f64) as usize;
        scores.get(rank).or(scores.last()).copied().ok_or(TrainingError::Eigen)
    };
    let (at_low, at_high) = (at(often)?, at(seldom)?);
    let stretch = (high_score - low_score) / (at_high - at_low).max(1e-3);
    Ok(ScoreWeights {
        weights: std::array::from_fn(|i| (weights[i] * stretch) as f32),
        bias: ((bias - at_low) * stretch + low_score) as f32,
        low,
        high,
    })
}
