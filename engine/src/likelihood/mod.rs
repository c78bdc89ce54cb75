//! What a comparison score says, whatever was compared: curves from scores to likelihood ratios and false match rates.
//!
//! A [`Curve`] has a monotone body (pooled adjacent violators) fitted to mated and non-mated scores. Beyond the body the
//! likelihood ratio grows only as the non-mated scores get rarer, and beyond the scores that were seen, as a generalised
//! Pareto tail gets rarer. That is conservative: mated scores grow denser there. A [`Source`] is a curve for each class of
//! quality, and what one person's sources have in common.
//!
//! [`Source::survival`] turns a curve round: how often does a non-mated comparison claim at least so much? Thresholds for
//! whole people are made of that (`decision`).

mod normal;

use serde::{Deserialize, Serialize};

pub use normal::{normal_quantile, normal_upper};

/// The scores that are searched for a given likelihood ratio.
const SCORE_RANGE: f32 = 100_000.0;

/// One fitted curve. Scores are similarities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// Scores, ascending, and the natural log-likelihood ratio at each; straight lines between.
    pub knots: Vec<[f32; 2]>,
    /// Scores, ascending, and the natural log of the false match rate at each; straight lines between.
    pub fmr: Vec<[f32; 2]>,
    /// Scores above this follow the tail.
    pub tail_start: f32,
    /// Natural log of the false match rate there.
    pub tail_ln_fmr: f32,
    /// Generalised Pareto: scale.
    pub tail_scale: f32,
    /// Generalised Pareto: shape.
    pub tail_shape: f32,
}

impl Curve {
    /// Whether it is finite and monotone.
    pub fn valid(&self) -> bool {
        let ascending = |points: &[[f32; 2]]| {
            !points.is_empty()
                && points.iter().flatten().all(|v| v.is_finite())
                && points.windows(2).all(|w| w[0][0] < w[1][0])
        };
        ascending(&self.knots)
            && ascending(&self.fmr)
            && self.knots.windows(2).all(|w| w[0][1] <= w[1][1])
            && self.fmr.windows(2).all(|w| w[0][1] >= w[1][1])
            && self.fmr.iter().all(|p| p[1] <= 0.0)
            && self.tail_start.is_finite()
            && self.tail_ln_fmr <= 0.0
            && self.tail_ln_fmr.is_finite()
            && self.tail_scale > 0.0
            && self.tail_scale.is_finite()
            && (0.0..2.0).contains(&self.tail_shape)
    }

    /// How much the log of the non-mated tail has fallen since its start.
    fn fallen(&self, score: f32) -> f32 {
        let z = (score - self.tail_start) / self.tail_scale;
        if z <= 0.0 {
            0.0
        } else if self.tail_shape < 1e-3 {
            z
        } else {
            libm::logf(1.0 + self.tail_shape * z) / self.tail_shape
        }
    }

    /// Natural log-likelihood ratio, unbounded. Never falls as the score rises.
    pub fn llr(&self, score: f32) -> f32 {
        match self.knots.last() {
            Some(&[top, llr]) if score > top => llr + (self.ln_fmr(top) - self.ln_fmr(score)).max(0.0),
            _ => between(&self.knots, score),
        }
    }

    /// Natural log of the false match rate at a threshold of `score`. Never rises as the score rises.
    pub fn ln_fmr(&self, score: f32) -> f32 {
        if score >= self.tail_start {
            self.tail_ln_fmr - self.fallen(score)
        } else {
            between(&self.fmr, score).max(self.tail_ln_fmr)
        }
    }
}

/// Linear between the points, constant outside.
fn between(points: &[[f32; 2]], at: f32) -> f32 {
    let next = points.partition_point(|p| p[0] <= at);
    match (next.checked_sub(1).map(|k| points[k]), points.get(next)) {
        (Some([_, y]), None) | (None, Some(&[_, y])) => y,
        (Some([x0, y0]), Some(&[x1, y1])) => y0 + (y1 - y0) * ((at - x0) / (x1 - x0)),
        (None, None) => 0.0,
    }
}

/// A curve for comparisons of one class of quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Comparisons of less evidence than this belong here, if to no class before; `None` for the last class.
    pub below: Option<f32>,
    /// Which part of the non-mated comparisons belongs here, 0 to 1.
    pub share: f32,
    /// Their curve.
    pub curve: Curve,
}

/// Everything known of one kind of comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// By quality, worst first.
    pub classes: Vec<Class>,
    /// Intraclass correlation of the log-likelihood ratios of one person's mated fingers, 0 to 0.9.
    pub mated_correlation: f32,
    /// Correlation (of normal scores) of the scores of two people's fingers, 0 to 0.9.
    pub non_mated_correlation: f32,
}

/// The least that one source can say: a fraud must not buy innocence with one bad source.
pub const SOURCE_LLR_MIN: f32 = -1.5;

/// What is assumed where no person gave several fingers: a little above the highest that was measured.
pub const MATED_CORRELATION_DEFAULT: f32 = 0.3;
/// The same for non-mated fingers.
pub const NON_MATED_CORRELATION_DEFAULT: f32 = 0.1;

impl Source {
    /// One class for all.
    pub fn single(curve: Curve) -> Self {
        Self {
            classes: vec![Class { below: None, share: 1.0, curve }],
            mated_correlation: MATED_CORRELATION_DEFAULT,
            non_mated_correlation: NON_MATED_CORRELATION_DEFAULT,
        }
    }

    /// Whether every curve is valid and the classes are in order.
    pub fn valid(&self) -> bool {
        let correlation = |value: f32| (0.0..=0.9).contains(&value);
        let last = self.classes.last().is_some_and(|c| c.below.is_none());
        let (limits, shares) = (self.classes.iter().filter_map(|c| c.below), self.classes.iter().map(|c| c.share));
        last && limits.clone().count() + 1 == self.classes.len()
            && limits.clone().zip(limits.skip(1)).all(|(a, b)| a < b)
            && self.classes.iter().all(|c| c.curve.valid() && c.share >= 0.0)
            && (shares.sum::<f32>() - 1.0).abs() < 1e-3
            && correlation(self.mated_correlation)
            && correlation(self.non_mated_correlation)
    }

    /// The curve for a comparison of so much evidence.
    pub fn curve(&self, evidence: f32) -> &Curve {
        let class = self.classes.iter().find(|c| c.below.is_none_or(|below| evidence < below));
        &class.unwrap_or(&self.classes[self.classes.len() - 1]).curve
    }

    /// The false match rate at a threshold of `score`, over all classes.
    pub fn fmr(&self, score: f32) -> f64 {
        self.classes.iter().map(|c| f64::from(c.share) * libm::exp(f64::from(c.curve.ln_fmr(score)))).sum()
    }

    /// How often a non-mated comparison has a log-likelihood ratio of `llr` or more.
    pub fn survival(&self, llr: f32) -> f64 {
        let one = |c: &Class| match score_of(|score| c.curve.llr(score), llr) {
            Some(score) => f64::from(c.share) * libm::exp(f64::from(c.curve.ln_fmr(score))),
            None => 0.0,
        };
        self.classes.iter().map(one).sum::<f64>().min(1.0)
    }
}

/// The lowest score at which `rising` reaches `at_least`; the lowest of all when it always does, `None` when never.
pub fn score_of(rising: impl Fn(f32) -> f32, at_least: f32) -> Option<f32> {
    let (mut low, mut high) = (-SCORE_RANGE, SCORE_RANGE);
    if rising(high) < at_least {
        return None;
    }
    if rising(low) >= at_least {
        return Some(low);
    }
    // Halves until the two are neighbours for all purposes.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if rising(middle) >= at_least {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Curve {
        Curve {
            knots: vec![[-1.0, -3.0], [0.0, -1.0], [1.0, -1.0], [2.0, 2.0]],
            fmr: vec![[-3.0, 0.0], [0.0, -0.7], [2.0, -3.0], [3.0, -5.0]],
            tail_start: 3.0,
            tail_ln_fmr: -5.0,
            tail_scale: 0.5,
            tail_shape: 0.1,
        }
    }

    #[test]
    fn beyond_the_body_the_ratio_grows_exactly_as_strangers_get_rarer() {
        let c = curve();
        for (a, b) in [(2.0f32, 2.5), (2.5, 3.5), (4.0, 9.0)] {
            let (llr, rarer) = (c.llr(b) - c.llr(a), c.ln_fmr(a) - c.ln_fmr(b));
            assert!((llr - rarer).abs() < 1e-4, "{a} to {b}: {llr} against {rarer}");
        }
    }

    #[test]
    fn survival_is_the_false_match_rate_at_the_lowest_score_that_says_so() {
        let source = Source::single(curve());
        assert!(source.valid());
        for llr in [-2.0f32, -1.0, 0.5, 2.0, 5.0, 11.0] {
            let score = score_of(|s| source.curve(0.0).llr(s), llr).expect("reached");
            assert!(source.curve(0.0).llr(score) >= llr && source.curve(0.0).llr(score - 1e-2) <= llr);
            assert!((source.survival(llr) / source.fmr(score) - 1.0).abs() < 1e-6);
        }
        // A plateau counts whole: it begins at its left end.
        assert!((source.survival(-1.0) - libm::exp(-0.7)).abs() < 1e-3);
        assert!(source.survival(-50.0) > 0.999 && source.survival(1e6) == 0.0);
    }

    #[test]
    fn classes_out_of_order_are_not_valid() {
        let class = |below| Class { below, share: 0.5, curve: curve() };
        let source = |classes| Source { classes, ..Source::single(curve()) };
        assert!(source(vec![class(Some(3.0)), class(None)]).valid());
        assert!(!source(vec![class(None), class(Some(3.0))]).valid());
        assert!(!source(vec![class(None)]).valid(), "the shares add up to a half");
        assert!(!source(Vec::new()).valid());
    }
}
