//! Error rates of a comparison (ISO/IEC 19795-1), for any modality: scores are similarities.

use super::random::Random;

/// Comparison scores of known truth. NaN is not allowed.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// Sorted, ascending.
    mated: Vec<f64>,
    /// Sorted, ascending.
    non_mated: Vec<f64>,
}

/// A point of the detection error trade-off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetPoint {
    /// Scores at or above it are accepted.
    pub threshold: f64,
    /// False match rate.
    pub fmr: f64,
    /// False non-match rate.
    pub fnmr: f64,
}

impl Scores {
    /// Sorts.
    pub fn new(mut mated: Vec<f64>, mut non_mated: Vec<f64>) -> Self {
        mated.sort_unstable_by(f64::total_cmp);
        non_mated.sort_unstable_by(f64::total_cmp);
        Self { mated, non_mated }
    }

    /// Mated scores, ascending.
    pub fn mated(&self) -> &[f64] {
        &self.mated
    }

    /// Non-mated scores, ascending.
    pub fn non_mated(&self) -> &[f64] {
        &self.non_mated
    }

    /// The share of non-mated scores at or above `threshold`; 0 without any.
    pub fn fmr(&self, threshold: f64) -> f64 {
        let below = self.non_mated.partition_point(|&s| s < threshold);
        share(self.non_mated.len() - below, self.non_mated.len())
    }

    /// The share of mated scores below `threshold`; 0 without any.
    pub fn fnmr(&self, threshold: f64) -> f64 {
        share(self.mated.partition_point(|&s| s < threshold), self.mated.len())
    }

    /// The lowest threshold at which the false match rate is at most `fmr`: just above a non-mated score, so never
    /// better than the scores support.
    pub fn threshold_at(&self, fmr: f64) -> f64 {
        let allowed = (fmr * self.non_mated.len() as f64 + 1e-9) as usize;
        if allowed >= self.non_mated.len() {
            return f64::NEG_INFINITY;
        }
        let highest_rejected = self.non_mated[self.non_mated.len() - 1 - allowed];
        // The next value up; ties with the rejected score are rejected as well.
        next_up(highest_rejected)
    }

    /// The false non-match rate where the false match rate is at most `fmr`.
    pub fn fnmr_at(&self, fmr: f64) -> f64 {
        self.fnmr(self.threshold_at(fmr))
    }

    /// The equal error rate: where the two rates cross, half way between them.
    pub fn eer(&self) -> f64 {
        let mut best = (f64::INFINITY, 1.0);
        for &threshold in self.mated.iter().chain(&self.non_mated) {
            let (fmr, fnmr) = (self.fmr(threshold), self.fnmr(threshold));
            if (fmr - fnmr).abs() < best.0 {
                best = ((fmr - fnmr).abs(), 0.5 * (fmr + fnmr));
            }
        }
        best.1
    }

    /// At most `count` points, evenly over the ranks of the non-mated tail and of the mated scores.
    pub fn det(&self, count: usize) -> Vec<DetPoint> {
        let mut thresholds = Vec::with_capacity(count);
        let half = (count / 2).max(2);
        let n = self.non_mated.len();
        for k in 0..half {
            // Ranks from the top in a geometric progression: the tail is what matters.
            let rank = libm::pow(n.max(1) as f64, k as f64 / (half - 1) as f64) as usize;
            if let Some(&score) = self.non_mated.get(n.saturating_sub(rank)) {
                thresholds.push(score);
                thresholds.push(next_up(score));
            }
        }
        let m = self.mated.len();
        for k in 0..half {
            if let Some(&score) = self.mated.get(k * m / half) {
                thresholds.push(score);
            }
        }
        thresholds.sort_unstable_by(f64::total_cmp);
        thresholds.dedup();
        thresholds
            .into_iter()
            .map(|threshold| DetPoint { threshold, fmr: self.fmr(threshold), fnmr: self.fnmr(threshold) })
            .collect()
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn next_up(value: f64) -> f64 {
    value.next_up()
}

/// One comparison score and the fingers (or subjects) of its two sides, as indices below a common count.
#[derive(Clone, Copy, Debug)]
pub struct LabelledScore {
    /// Of the one side.
    pub a: u32,
    /// Of the other; equal to `a` when mated.
    pub b: u32,
    /// Similarity.
    pub score: f64,
}

/// The figures that reports quote.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    /// Equal error rate.
    pub eer: f64,
    /// False non-match rates at [`Summary::FMR`].
    pub fnmr_at: [f64; 3],
}

impl Summary {
    /// The false match rates at which misses are quoted.
    pub const FMR: [f64; 3] = [1e-2, 1e-3, 1e-4];

    /// Of `scores`.
    pub fn of(scores: &Scores) -> Self {
        Self { eer: scores.eer(), fnmr_at: Self::FMR.map(|fmr| scores.fnmr_at(fmr)) }
    }

    fn values(&self) -> [f64; 4] {
        [self.eer, self.fnmr_at[0], self.fnmr_at[1], self.fnmr_at[2]]
    }
}

/// Splits by truth.
pub fn split(scores: &[LabelledScore]) -> Scores {
    let (mated, non_mated): (Vec<_>, Vec<_>) = scores.iter().partition(|s| s.a == s.b);
    let values = |side: Vec<LabelledScore>| side.into_iter().map(|s| s.score).collect();
    Scores::new(values(mated), values(non_mated))
}

/// 95 % intervals of [`Summary`] by bootstrap over fingers: `rounds` times, fingers are drawn with replacement and a
/// comparison counts as often as both of its fingers were drawn (a mated one as often as its finger). Pairs of one
/// finger fail together, so drawing pairs would promise too much.
pub fn bootstrap(scores: &[LabelledScore], rounds: usize, seed: u64) -> (Summary, Summary) {
    let fingers = scores.iter().map(|s| s.a.max(s.b) + 1).max().unwrap_or(0) as usize;
    let mut sorted: Vec<LabelledScore> = scores.to_vec();
    sorted.sort_unstable_by(|x, y| y.score.total_cmp(&x.score));
    let mut random = Random::new(seed);
    let mut drawn: [Vec<f64>; 4] = Default::default();
    let mut times = vec![0u32; fingers];
    for _ in 0..rounds {
        times.fill(0);
        for _ in 0..fingers {
            times[random.below(fingers)] += 1;
        }
        let summary = weighted_summary(&sorted, &times);
        for (values, value) in drawn.iter_mut().zip(summary.values()) {
            values.push(value);
        }
    }
    let quantile = |values: &mut Vec<f64>, q: f64| {
        values.sort_unstable_by(f64::total_cmp);
        values.get(((values.len() as f64 - 1.0) * q + 0.5) as usize).copied().unwrap_or(0.0)
    };
    let mut at = |q: f64| {
        let [eer, a, b, c] = &mut drawn;
        Summary { eer: quantile(eer, q), fnmr_at: [quantile(a, q), quantile(b, q), quantile(c, q)] }
    };
    (at(0.025), at(0.975))
}

/// The summary when each finger counts `times[finger]`; `sorted` runs from the highest score down.
fn weighted_summary(sorted: &[LabelledScore], times: &[u32]) -> Summary {
    let weight = |s: &LabelledScore| {
        let (a, b) = (u64::from(times[s.a as usize]), u64::from(times[s.b as usize]));
        if s.a == s.b { a } else { a * b }
    };
    let (mut mated, mut non_mated) = (0u64, 0u64);
    for s in sorted {
        if s.a == s.b { mated += weight(s) } else { non_mated += weight(s) }
    }
    let (mut accepted, mut false_accepted) = (0u64, 0u64);
    let mut summary = Summary { eer: 1.0, fnmr_at: [1.0; 3] };
    let mut gap = f64::INFINITY;
    let mut at = 0;
    while at < sorted.len() {
        let score = sorted[at].score;
        while at < sorted.len() && sorted[at].score == score {
            let s = &sorted[at];
            if s.a == s.b {
                accepted += weight(s)
            } else {
                false_accepted += weight(s)
            }
            at += 1;
        }
        let fnmr = 1.0 - accepted as f64 / mated.max(1) as f64;
        let fmr = false_accepted as f64 / non_mated.max(1) as f64;
        if (fmr - fnmr).abs() < gap {
            gap = (fmr - fnmr).abs();
            summary.eer = 0.5 * (fmr + fnmr);
        }
        for (value, limit) in summary.fnmr_at.iter_mut().zip(Summary::FMR) {
            if fmr <= limit {
                *value = fnmr;
            }
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separated_scores_have_no_errors() {
        let scores = Scores::new(vec![3.0, 4.0], vec![1.0, 2.0]);
        assert_eq!(scores.fnmr_at(1e-3), 0.0);
        assert_eq!(scores.eer(), 0.0);
    }

    #[test]
    fn a_non_mated_score_on_top_costs_every_mated_one_below_it() {
        let scores = Scores::new(vec![3.0, 4.0, 9.0], (0..100).map(|i| if i == 0 { 5.0 } else { 0.0 }).collect());
        assert_eq!(scores.fnmr_at(1e-3), 2.0 / 3.0);
        assert_eq!(scores.fnmr_at(1e-2), 0.0);
    }

    #[test]
    fn ties_are_never_counted_in_our_favour() {
        let scores = Scores::new(vec![1.0; 10], vec![1.0; 10]);
        assert_eq!(scores.fnmr_at(1e-2), 1.0);
    }

    #[test]
    fn drawing_each_finger_once_gives_the_plain_summary() {
        let mut random = Random::new(7);
        let scores: Vec<_> = (0..4000)
            .map(|i| {
                let (a, b) = (i % 20, i / 20 % 20);
                LabelledScore { a, b, score: random.normal() + if a == b { 3.0 } else { 0.0 } }
            })
            .collect();
        let mut sorted = scores.clone();
        sorted.sort_unstable_by(|x, y| y.score.total_cmp(&x.score));
        let plain = Summary::of(&split(&scores));
        let weighted = weighted_summary(&sorted, &[1; 20]);
        for (a, b) in plain.values().into_iter().zip(weighted.values()) {
            assert!((a - b).abs() < 1e-9, "{plain:?} {weighted:?}");
        }
        let (low, high) = bootstrap(&scores, 200, 1);
        assert!(low.eer < plain.eer && plain.eer < high.eer);
    }
}
