//! How often a stranger scores this high: a sample's distribution with a generalised Pareto tail, so that a threshold can
//! be named for rates below one in the sample's size, and a gallery's false positive identification rate be predicted
//! from a smaller one's.

/// Share of the sample that the tail is fitted to.
const TAIL_SHARE: f64 = 0.05;
/// Fewest values of the tail.
const TAIL_MIN: usize = 40;
/// The tail's shape is held in this range: log-likelihood ratios of strangers fall exponentially or nearly so, and a
/// shape below 0 is a bounded tail, which would promise zero: the error is to be on the strict side.
const SHAPE: (f64, f64) = (0.0, 0.10);

/// The survival function of a score.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// The whole sample, ascending.
    values: Vec<f64>,
    /// Where the tail begins.
    from: f64,
    /// Share of the sample above that.
    share: f64,
    scale: f64,
    shape: f64,
}

impl Tail {
    /// Fits a sample; `None` when it has fewer than 40 values or none that stand out. NaN counts as the lowest.
    pub fn fit(mut values: Vec<f64>) -> Option<Self> {
        for value in &mut values {
            if value.is_nan() {
                *value = f64::NEG_INFINITY;
            }
        }
        values.sort_unstable_by(f64::total_cmp);
        let count = ((values.len() as f64 * TAIL_SHARE) as usize).max(TAIL_MIN);
        let at = values.len().checked_sub(count + 1)?;
        let from = values[at];
        let excess: Vec<f64> = values[at + 1..].iter().map(|v| v - from).filter(|e| *e > 0.0).collect();
        if excess.len() < TAIL_MIN / 2 || !from.is_finite() {
            return None;
        }
        // Probability-weighted moments (J. R. M. Hosking, J. R. Wallis, Technometrics 29 (1987) 339-349).
        let n = excess.len() as f64;
        let first = excess.iter().sum::<f64>() / n;
        let second = excess.iter().enumerate().map(|(i, e)| e * (1.0 - (i as f64 + 0.65) / n)).sum::<f64>() / n;
        let shape = (2.0 - first / (first - 2.0 * second)).clamp(SHAPE.0, SHAPE.1);
        // The mean excess is scale / (1 - shape): with the shape held, the scale follows from it.
        let scale = first * (1.0 - shape);
        let share = n / values.len() as f64;
        (scale > 0.0).then_some(Self { values, from, share, scale, shape })
    }

    /// The chance that a value of this distribution is at or above `score`.
    pub fn above(&self, score: f64) -> f64 {
        if score <= self.from {
            let below = self.values.partition_point(|v| *v < score);
            return (self.values.len() - below) as f64 / self.values.len() as f64;
        }
        let x = (score - self.from) / self.scale;
        let tail = if self.shape.abs() < 1e-9 {
            libm::exp(-x)
        } else {
            libm::pow((1.0 + self.shape * x).max(0.0), -1.0 / self.shape)
        };
        self.share * tail
    }

    /// The score that a value reaches with this chance (0 to 1, exclusive).
    pub fn score_at(&self, chance: f64) -> f64 {
        if chance >= self.share {
            let at = ((1.0 - chance) * self.values.len() as f64) as usize;
            return self.values[at.min(self.values.len() - 1)].min(self.from);
        }
        let ratio = chance / self.share;
        let x = if self.shape.abs() < 1e-9 {
            -libm::log(ratio)
        } else {
            (libm::pow(ratio, -self.shape) - 1.0) / self.shape
        };
        self.from + self.scale * x
    }

    /// Values fitted.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Never: a fit has values.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// What the best of `times` independent draws does when one does it with this chance: `1 - (1 - chance)^times`.
pub fn of_many(chance: f64, times: f64) -> f64 {
    -libm::expm1(times * libm::log1p(-chance.clamp(0.0, 1.0 - 1e-15)))
}

/// The chance of one draw when the best of `times` has this one: the inverse of [`of_many`].
pub fn of_one(chance: f64, times: f64) -> f64 {
    -libm::expm1(libm::log1p(-chance.clamp(0.0, 1.0 - 1e-15)) / times)
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn an_exponential_tail_is_found_again_two_decades_beyond_the_sample() {
        let mut random = Random::new(3);
        let sample: Vec<f64> = (0..20_000).map(|_| -libm::log(1.0 - random.unit())).collect();
        let tail = Tail::fit(sample).expect("fits");
        for chance in [1e-2, 1e-3, 1e-4, 1e-6] {
            let truth = -f64::ln(chance);
            let found = tail.above(truth) / chance;
            assert!((0.5..2.0).contains(&found), "{chance}: {found}");
            assert!((tail.above(tail.score_at(chance)) / chance - 1.0).abs() < 1e-6);
        }
        assert!((tail.above(0.5) - f64::exp(-0.5)).abs() < 0.02);
    }

    #[test]
    fn it_never_rises() {
        let mut random = Random::new(4);
        let tail = Tail::fit((0..3_000).map(|_| random.normal()).collect()).expect("fits");
        let mut last = 1.0;
        for step in -400..1_000 {
            let now = tail.above(f64::from(step) * 0.01);
            assert!(now <= last + 1e-12, "{step}");
            last = now;
        }
    }

    #[test]
    fn a_sample_without_a_tail_is_refused() {
        assert_eq!(Tail::fit(vec![1.0; 1000]), None);
        assert_eq!(Tail::fit((0..30).map(f64::from).collect()), None);
        assert_eq!(Tail::fit(vec![f64::NAN; 1000]), None);
    }

    #[test]
    fn many_draws_and_one_are_inverse() {
        // (The best of 50 at 0.9 is 1 in every digit.)
        for chance in [1e-9, 1e-4, 0.02, 0.3] {
            assert!((of_one(of_many(chance, 50.0), 50.0) / chance - 1.0).abs() < 1e-6, "{chance}");
        }
        assert!((of_many(1e-6, 1e4) - 0.00995).abs() < 1e-5);
    }
}
