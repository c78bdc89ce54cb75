//! Fits [`Calibration`] curves to scores of known truth.

use std::collections::BTreeMap;

use crate::finger::{CALIBRATION_FORMAT, Calibration, Curve, pair_name};

/// Fewest scores of each truth for a curve.
pub const CALIBRATION_SCORES_MIN: usize = 100;
/// The tail is fitted to this share of the non-mated scores.
const TAIL_SHARE: f64 = 0.01;
/// Tails are taken to be at least this heavy: data never show how bad it can get.
const SHAPE_MIN: f64 = 0.05;
const SHAPE_MAX: f64 = 0.5;
/// Most knots of a curve.
const KNOTS_MAX: usize = 48;

/// Scores of one pair of extractors.
#[derive(Clone, Debug, Default)]
pub struct CalibrationScores {
    /// Of the same finger.
    pub mated: Vec<f32>,
    /// Of different fingers.
    pub non_mated: Vec<f32>,
}

/// A curve for each pair of extractors with at least [`CALIBRATION_SCORES_MIN`] scores of each truth; `None` when no
/// pair has them.
pub fn calibrate(model: &str, scores: &BTreeMap<(String, String), CalibrationScores>) -> Option<Calibration> {
    let mut merged: BTreeMap<String, CalibrationScores> = BTreeMap::new();
    for ((a, b), s) in scores {
        let entry = merged.entry(pair_name(a, b)).or_default();
        entry.mated.extend_from_slice(&s.mated);
        entry.non_mated.extend_from_slice(&s.non_mated);
    }
    let curves: BTreeMap<String, Curve> = merged
        .into_iter()
        .filter(|(_, s)| s.mated.len().min(s.non_mated.len()) >= CALIBRATION_SCORES_MIN)
        .map(|(name, s)| (name, curve(s)))
        .collect();
    (!curves.is_empty()).then(|| Calibration { format: CALIBRATION_FORMAT, model: model.to_owned(), curves })
}

fn curve(scores: CalibrationScores) -> Curve {
    let CalibrationScores { mated, mut non_mated } = scores;
    non_mated.sort_unstable_by(f32::total_cmp);
    let n = non_mated.len();
    let in_tail = ((n as f64 * TAIL_SHARE) as usize).max(20).min(n - 1);
    let tail_start = non_mated[n - 1 - in_tail];
    // Method of moments: mean m and variance v of the excesses give shape (1 - m^2/v)/2 and scale m (1 + m^2/v)/2.
    let excess = || non_mated[n - in_tail..].iter().map(|s| f64::from(s - tail_start));
    let mean = excess().sum::<f64>() / in_tail as f64;
    let variance = excess().map(|e| (e - mean) * (e - mean)).sum::<f64>() / in_tail as f64;
    let mean = mean.max(1e-3);
    let ratio = mean * mean / variance.max(1e-9);
    let shape = (0.5 * (1.0 - ratio)).clamp(SHAPE_MIN, SHAPE_MAX);
    let scale = mean * (1.0 - shape);

    let mut knots = isotonic(&mated, &non_mated);
    knots.retain(|k| k[0] <= tail_start);
    let at_start = knots.last().map_or(0.0, |k| k[1]);
    if knots.last().is_none_or(|k| k[0] < tail_start) {
        knots.push([tail_start, at_start]);
    }
    let mut fmr: Vec<[f32; 2]> = Vec::new();
    for k in 0..KNOTS_MAX {
        let rank = k * (n - in_tail) / KNOTS_MAX;
        let score = non_mated[rank];
        if fmr.last().is_none_or(|last| last[0] < score) {
            fmr.push([score, libm::log((n - rank) as f64 / n as f64) as f32]);
        }
    }
    let tail_ln_fmr = libm::log((in_tail + 1) as f64 / n as f64) as f32;
    if fmr.last().is_none_or(|last| last[0] < tail_start) {
        fmr.push([tail_start, tail_ln_fmr]);
    }
    Curve { knots, fmr, tail_start, tail_ln_fmr, tail_scale: scale as f32, tail_shape: shape as f32 }
}

/// Pooled adjacent violators over both truths, each weighing the same in total: score and log-likelihood ratio.
fn isotonic(mated: &[f32], non_mated: &[f32]) -> Vec<[f32; 2]> {
    let (wm, wn) = (1.0 / mated.len() as f64, 1.0 / non_mated.len() as f64);
    let mut all: Vec<(f32, bool)> =
        mated.iter().map(|&s| (s, true)).chain(non_mated.iter().map(|&s| (s, false))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // A block: sum of scores, members, mated weight, non-mated weight. Half a sample of each truth keeps it finite.
    let mut blocks: Vec<(f64, f64, f64, f64)> = Vec::new();
    let pool = all.len().div_ceil(4 * KNOTS_MAX).max(1);
    for chunk in all.chunks(pool) {
        let m = chunk.iter().filter(|(_, mated)| *mated).count() as f64;
        let n = chunk.len() as f64 - m;
        let sum = chunk.iter().map(|(s, _)| f64::from(*s)).sum();
        let mut block = (sum, chunk.len() as f64, m * wm, n * wn);
        while let Some(last) = blocks.last() {
            // Smaller or equal share of mated weight: they violate the order.
            if last.2 * (block.2 + block.3) < block.2 * (last.2 + last.3) {
                break;
            }
            block = (block.0 + last.0, block.1 + last.1, block.2 + last.2, block.3 + last.3);
            blocks.pop();
        }
        blocks.push(block);
    }
    let mut knots: Vec<[f32; 2]> = Vec::new();
    for (sum, members, m, n) in blocks {
        let score = (sum / members) as f32;
        let llr = libm::log((m + 0.5 * wm) / (n + 0.5 * wn)) as f32;
        if knots.last().is_none_or(|k| k[0] < score) {
            let floor = knots.last().map_or(f32::MIN, |k| k[1]);
            knots.push([score, llr.max(floor)]);
        }
    }
    if knots.len() > KNOTS_MAX {
        let last = knots.len() - 1;
        knots = (0..KNOTS_MAX).map(|k| knots[k * last / (KNOTS_MAX - 1)]).collect();
    }
    knots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::random::Random;

    #[test]
    fn normal_scores_give_their_true_ratio() {
        let mut random = Random::new(3);
        let mut draw = |mean: f64, n: usize| (0..n).map(|_| (mean + random.normal()) as f32).collect::<Vec<_>>();
        let scores = CalibrationScores { mated: draw(2.0, 20_000), non_mated: draw(-2.0, 20_000) };
        let all = BTreeMap::from([(("a".to_owned(), "b".to_owned()), scores)]);
        let calibration = calibrate("test", &all).expect("enough scores");
        // Two unit normals at +-2: the log-likelihood ratio is 4 times the score.
        for score in [-0.8f32, -0.3, 0.0, 0.2] {
            let llr = calibration.llr(score, "b", "a").llr;
            assert!((llr - 4.0 * score).abs() < 0.8, "{score}: {llr}");
        }
        // Far out the ratio is under-, not overstated.
        assert!(calibration.llr(3.0, "a", "b").llr <= 12.0);
        let fmr = calibration.fmr(0.0, "a", "b");
        assert!((fmr / 0.022_75 - 1.0).abs() < 0.3, "{fmr}");
    }

    #[test]
    fn too_few_scores_give_no_curve() {
        let scores = CalibrationScores { mated: vec![1.0; 99], non_mated: vec![0.0; 500] };
        assert!(calibrate("test", &BTreeMap::from([((String::new(), String::new()), scores)])).is_none());
    }
}
