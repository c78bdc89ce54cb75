//! Fits likelihood-ratio curves to scores of known truth.

use std::collections::BTreeMap;

use crate::finger::{Calibration, CalibrationError, LLR_MAX, LLR_MIN, finger_kind, pair_name};
use crate::likelihood::{Class, Curve, Source, normal_quantile};
use crate::template::FingerPosition;

/// Fewest scores of each truth for a curve.
pub const CALIBRATION_SCORES_MIN: usize = 100;
/// Fewest mated scores of a class of quality, and fewest non-mated ones.
const CLASS_SCORES_MIN: (usize, usize) = (350, 2_000);
/// Fewest non-mated scores of one kind of finger.
const KIND_NON_MATED_MIN: usize = 20_000;
/// Classes of quality at most.
const CLASSES_MAX: usize = 3;
/// The tail is fitted to this share of the non-mated scores: further in, scores fall off faster than the tail may, and it
/// would say that strangers are less rare than they are.
const TAIL_SHARE: f64 = 0.001;
/// Where these would be fewer than so many, the tail begins further in,
const TAIL_SCORES_MIN: usize = 250;
/// but not further in than this share of them.
const TAIL_SHARE_MAX: f64 = 0.01;
/// Up to the non-mated scores' highest hundredth both truths are well filled; beyond, only how rare strangers get counts.
const BODY_SHARE: f64 = 0.01;
const SHAPE_MAX: f64 = 0.5;
/// Most knots of a curve.
const KNOTS_MAX: usize = 48;
/// Fewest groups of two fingers or more for a correlation.
const GROUPS_MIN: usize = 50;

/// One comparison of known truth.
#[derive(Clone, Copy, Debug)]
pub struct CalibrationScore {
    /// The normalised comparison score.
    pub score: f32,
    /// The lesser evidence of both prints; 0 where there is no such thing.
    pub evidence: f32,
    /// Whether it is the same finger (or face).
    pub mated: bool,
    /// Which finger, where both prints say so.
    pub finger: FingerPosition,
    /// The two encounters that were compared: comparisons of different fingers of the same two share a number.
    pub group: Option<u64>,
}

/// Scores by the two extractors' names.
pub type CalibrationScores = BTreeMap<(String, String), Vec<CalibrationScore>>;

/// A source for each pair of extractors with at least [`CALIBRATION_SCORES_MIN`] scores of each truth; `None` when no
/// pair has them.
///
/// # Errors
/// Curves that a calibration does not accept: none in practice.
pub fn calibrate(model: &str, scores: &CalibrationScores) -> Option<Result<Calibration, CalibrationError>> {
    let mut merged: BTreeMap<String, Vec<CalibrationScore>> = BTreeMap::new();
    for ((a, b), s) in scores {
        merged.entry(pair_name(a, b)).or_default().extend_from_slice(s);
    }
    let mut curves: BTreeMap<String, Source> = BTreeMap::new();
    for (name, scores) in merged {
        let Some(source) = fit_source(&scores) else { continue };
        for (kind, own) in by_kind(&scores, &source) {
            curves.insert(format!("{name}@{kind}"), own);
        }
        curves.insert(name, source);
    }
    (!curves.is_empty()).then(|| Calibration::new(model, curves))
}

/// Sources for each kind of finger that has scores enough; what fingers have in common is that of all kinds.
fn by_kind(scores: &[CalibrationScore], all: &Source) -> Vec<(&'static str, Source)> {
    let mut kinds: BTreeMap<&'static str, Vec<CalibrationScore>> = BTreeMap::new();
    for score in scores {
        if let Some(kind) = finger_kind(score.finger) {
            kinds.entry(kind).or_default().push(*score);
        }
    }
    let enough = |scores: &[CalibrationScore]| {
        let mated = scores.iter().filter(|s| s.mated).count();
        mated >= CLASS_SCORES_MIN.0 && scores.len() - mated >= KIND_NON_MATED_MIN
    };
    let fitted = |(kind, scores): (&'static str, Vec<CalibrationScore>)| {
        let source = fit_source(&scores).filter(|_| enough(&scores))?;
        let (mated_correlation, non_mated_correlation) = (all.mated_correlation, all.non_mated_correlation);
        Some((kind, Source { mated_correlation, non_mated_correlation, ..source }))
    };
    kinds.into_iter().filter_map(fitted).collect()
}

/// Curves by quality and the correlations of one person's sources; `None` for too few scores.
pub fn fit_source(scores: &[CalibrationScore]) -> Option<Source> {
    let split = |scores: &[&CalibrationScore]| {
        let of = |mated: bool| scores.iter().filter(|s| s.mated == mated).map(|s| s.score).collect::<Vec<_>>();
        (of(true), of(false))
    };
    let all: Vec<&CalibrationScore> = scores.iter().collect();
    let (mated, non_mated) = split(&all);
    if mated.len().min(non_mated.len()) < CALIBRATION_SCORES_MIN {
        return None;
    }
    // Limits that deal the mated scores out evenly.
    let mut evidence: Vec<f32> = scores.iter().filter(|s| s.mated).map(|s| s.evidence).collect();
    evidence.sort_unstable_by(f32::total_cmp);
    let mut source = Source::single(curve(mated, non_mated.clone()));
    for classes in (2..=CLASSES_MAX).rev() {
        let limits: Vec<f32> = (1..classes).map(|k| evidence[k * evidence.len() / classes]).collect();
        let class_of = |e: f32| limits.iter().take_while(|limit| e >= **limit).count();
        let parts: Vec<_> = (0..classes)
            .map(|k| split(&all.iter().filter(|s| class_of(s.evidence) == k).copied().collect::<Vec<_>>()))
            .collect();
        if parts.iter().any(|(m, n)| m.len() < CLASS_SCORES_MIN.0 || n.len() < CLASS_SCORES_MIN.1) {
            continue;
        }
        let class = |(k, (m, n)): (usize, (Vec<f32>, Vec<f32>))| Class {
            below: limits.get(k).copied(),
            share: n.len() as f32 / non_mated.len() as f32,
            curve: curve(m, n),
        };
        source.classes = parts.into_iter().enumerate().map(class).collect();
        break;
    }
    let llr = |s: &CalibrationScore| f64::from(source.curve(s.evidence).llr(s.score).clamp(LLR_MIN, LLR_MAX));
    if let Some(correlation) = correlation(scores, true, |s| llr(s)) {
        source.mated_correlation = correlation;
    }
    // Ranks, so that the shape of the scores' distribution does not matter.
    let mut sorted = non_mated;
    sorted.sort_unstable_by(f32::total_cmp);
    let n = sorted.len() as f64;
    let normal_score = |s: &CalibrationScore| {
        let rank = sorted.partition_point(|other| *other < s.score) as f64 + 0.5;
        -normal_quantile((rank / n).clamp(0.5 / n, 1.0 - 0.5 / n))
    };
    if let Some(correlation) = correlation(scores, false, normal_score) {
        source.non_mated_correlation = correlation;
    }
    Some(source)
}

/// Intraclass correlation (one-way analysis of variance) of a value within the groups of one truth, 0 to 0.9.
fn correlation(scores: &[CalibrationScore], mated: bool, value: impl Fn(&CalibrationScore) -> f64) -> Option<f32> {
    // Count, sum, sum of squares.
    let mut groups: BTreeMap<u64, (f64, f64, f64)> = BTreeMap::new();
    for score in scores.iter().filter(|s| s.mated == mated) {
        let Some(group) = score.group else { continue };
        let v = value(score);
        let entry = groups.entry(group).or_default();
        *entry = (entry.0 + 1.0, entry.1 + v, entry.2 + v * v);
    }
    let groups: Vec<_> = groups.into_values().filter(|g| g.0 >= 2.0).collect();
    if groups.len() < GROUPS_MIN {
        return None;
    }
    let count = groups.len() as f64;
    let total: f64 = groups.iter().map(|g| g.0).sum();
    let mean = groups.iter().map(|g| g.1).sum::<f64>() / total;
    let between = groups.iter().map(|g| g.0 * (g.1 / g.0 - mean) * (g.1 / g.0 - mean)).sum::<f64>() / (count - 1.0);
    let within = groups.iter().map(|g| g.2 - g.1 * g.1 / g.0).sum::<f64>() / (total - count);
    let size = (total - groups.iter().map(|g| g.0 * g.0).sum::<f64>() / total) / (count - 1.0);
    let correlation = (between - within) / (between + (size - 1.0) * within).max(1e-12);
    Some(correlation.clamp(0.0, 0.9) as f32)
}

/// One curve.
fn curve(mated: Vec<f32>, mut non_mated: Vec<f32>) -> Curve {
    non_mated.sort_unstable_by(f32::total_cmp);
    let n = non_mated.len();
    let share = |of: f64| (n as f64 * of) as usize;
    let in_tail = share(TAIL_SHARE).max(TAIL_SCORES_MIN.min(share(TAIL_SHARE_MAX))).max(20).min(n - 1);
    let tail_start = non_mated[n - 1 - in_tail];
    // Method of moments: mean m and variance v of the excesses give shape (1 - m^2/v)/2 and scale m (1 + m^2/v)/2.
    let excess = || non_mated[n - in_tail..].iter().map(|s| f64::from(s - tail_start));
    let count = in_tail as f64;
    let mean = (excess().sum::<f64>() / count).max(1e-3);
    let variance = excess().map(|e| (e - mean) * (e - mean)).sum::<f64>() / count;
    let fitted = 0.5 * (1.0 - mean * mean / variance.max(1e-9));
    // One standard error heavier than fitted, and never lighter than exponential: data never show how bad it can get.
    let shape = (fitted + 1.0 / libm::sqrt(count)).clamp(0.0, SHAPE_MAX);
    let scale = mean * (1.0 - shape);

    let body_end = non_mated[n - 1 - share(BODY_SHARE).clamp(in_tail.min(20), n - 1)];
    let mut knots = isotonic(&mated, &non_mated);
    knots.retain(|k| k[0] <= body_end);
    if knots.is_empty() {
        knots.push([body_end, 0.0]);
    }
    let mut fmr: Vec<[f32; 2]> = Vec::new();
    // Evenly over the body, then ever closer to the top.
    let even = (0..KNOTS_MAX / 2).map(|k| k * 2 * (n - n / 10) / KNOTS_MAX);
    let outer = (0..KNOTS_MAX).map(|k| {
        let share = libm::pow((in_tail as f64 * 10.0 / n as f64).min(1.0), k as f64 / KNOTS_MAX as f64);
        n - ((n / 10) as f64 * share) as usize
    });
    for rank in even.chain(outer) {
        let (score, above) = (non_mated[rank.min(n - 1)], (n - rank.min(n - 1)) as f64);
        if score < tail_start && fmr.last().is_none_or(|last| last[0] < score) {
            fmr.push([score, libm::log(above / n as f64) as f32]);
        }
    }
    let tail_ln_fmr = libm::log((in_tail + 1) as f64 / n as f64) as f32;
    fmr.push([tail_start, tail_ln_fmr]);
    Curve { knots, fmr, tail_start, tail_ln_fmr, tail_scale: scale.max(1e-4) as f32, tail_shape: shape as f32 }
}

/// Pooled adjacent violators over both truths, each weighing the same in total: score and log-likelihood ratio.
fn isotonic(mated: &[f32], non_mated: &[f32]) -> Vec<[f32; 2]> {
    let (wm, wn) = (1.0 / mated.len() as f64, 1.0 / non_mated.len() as f64);
    let mut all: Vec<(f32, bool)> =
        mated.iter().map(|&s| (s, true)).chain(non_mated.iter().map(|&s| (s, false))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    // A block: sum of scores, members, mated weight, non-mated weight. Half a sample of each truth keeps it finite.
    let mut blocks: Vec<(f64, f64, f64, f64)> = Vec::new();
    let part = 2.0 / (4 * KNOTS_MAX) as f64;
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        // Chunks weigh the same, so that the few strangers at the top are not drowned by the many below.
        let (mut length, mut weight) = (0, 0.0);
        while length < rest.len() && weight < part {
            weight += if rest[length].1 { wm } else { wn };
            length += 1;
        }
        let (chunk, after) = rest.split_at(length);
        rest = after;
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

    fn scores(
        random: &mut Random,
        mean: f64,
        mated: bool,
        groups: u64,
        size: u64,
        correlation: f64,
    ) -> Vec<CalibrationScore> {
        let mut out = Vec::new();
        for group in 0..groups {
            let common = random.normal() * libm::sqrt(correlation);
            for _ in 0..size {
                let own = random.normal() * libm::sqrt(1.0 - correlation);
                let score = (mean + common + own) as f32;
                out.push(CalibrationScore {
                    score,
                    evidence: 30.0,
                    mated,
                    finger: FingerPosition::UNKNOWN,
                    group: Some(group),
                });
            }
        }
        out
    }

    #[test]
    fn normal_scores_give_their_true_ratio_and_their_tail() {
        let mut random = Random::new(3);
        let mut all = scores(&mut random, 2.0, true, 5_000, 4, 0.0);
        all.extend(scores(&mut random, -2.0, false, 50_000, 4, 0.0));
        let all = BTreeMap::from([(("a".to_owned(), "b".to_owned()), all)]);
        let calibration = calibrate("test", &all).expect("enough scores").expect("valid");
        // Two unit normals at +-2: the log-likelihood ratio is 4 times the score.
        for score in [-0.8f32, -0.3, 0.0, 0.2] {
            let llr = calibration.llr(score, "b", "a", 30.0).llr;
            assert!((llr - 4.0 * score).abs() < 0.8, "{score}: {llr}");
        }
        // Far out the ratio is under-, not overstated, and strangers are not said to be rarer than they are.
        assert!(calibration.llr(3.0, "a", "b", 30.0).llr <= 12.0);
        for (score, fmr) in [(0.0f32, 0.022_75), (1.0, 1.35e-3), (2.0, 3.17e-5), (2.5, 3.4e-6)] {
            let found = f64::from(calibration.fmr(score, "a", "b"));
            assert!(found / fmr > 0.8 && found / fmr < 8.0, "{score}: {found} against {fmr}");
        }
        let (mated, non_mated) = calibration.correlations(0);
        assert!(mated < 0.03 && non_mated < 0.03, "{mated} {non_mated}");
    }

    #[test]
    fn correlated_fingers_are_seen() {
        let mut random = Random::new(5);
        let mut all = scores(&mut random, 1.0, true, 2_000, 4, 0.3);
        all.extend(scores(&mut random, -1.0, false, 20_000, 4, 0.15));
        let source = fit_source(&all).expect("enough");
        assert!((source.mated_correlation - 0.3).abs() < 0.06, "{}", source.mated_correlation);
        assert!((source.non_mated_correlation - 0.15).abs() < 0.03, "{}", source.non_mated_correlation);
    }

    #[test]
    fn worse_prints_get_a_curve_of_their_own() {
        let mut random = Random::new(7);
        let mut all = Vec::new();
        for (evidence, mean) in [(20.0, 0.5), (60.0, 3.0)] {
            for (mated, mean, count) in [(true, mean, 2_000), (false, -1.0, 20_000)] {
                let draw = |s: CalibrationScore| CalibrationScore { evidence: evidence + s.score, ..s };
                all.extend(scores(&mut random, mean, mated, count, 1, 0.0).into_iter().map(draw));
            }
        }
        let source = fit_source(&all).expect("enough");
        assert!(source.classes.len() > 1 && source.valid());
        // The same low score speaks less against a poor print than against a good one.
        assert!(source.curve(20.0).llr(0.0) > source.curve(60.0).llr(0.0) + 0.5);
    }

    #[test]
    fn too_few_scores_give_no_curve() {
        let one =
            |mated| CalibrationScore { score: 0.0, evidence: 1.0, mated, finger: FingerPosition::UNKNOWN, group: None };
        let scores: Vec<_> = (0..99).map(|_| one(true)).chain((0..500).map(|_| one(false))).collect();
        assert!(calibrate("test", &BTreeMap::from([((String::new(), String::new()), scores)])).is_none());
    }
}
