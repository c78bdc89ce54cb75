//! Intervals of counted shares (ISO/IEC 19795-1, annex B).

/// A 95 % interval: both ends.
pub type Interval = [f64; 2];

/// Two-sided 95 %: 2.5 % beyond either end.
const TAIL: f64 = 0.025;

/// The interval of Clopper and Pearson for `hits` of `trials`: never too narrow, and with no hits the rule of three's
/// (3.7 / n at this level). All of 0 to 1 without trials.
pub fn clopper_pearson(hits: u64, trials: u64) -> Interval {
    if trials == 0 {
        return [0.0, 1.0];
    }
    let hits = hits.min(trials);
    // P(X >= hits) rises with p, P(X <= hits) falls.
    let low = if hits == 0 { 0.0 } else { root(|p| 1.0 - binomial_cdf(hits - 1, trials, p) - TAIL) };
    let high = if hits == trials { 1.0 } else { root(|p| TAIL - binomial_cdf(hits, trials, p)) };
    [low, high]
}

/// Where a rising function of a share crosses 0.
fn root(f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if f(middle) < 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// P(X <= k) of a binomial variable. Summed from the largest term on, so that no term is lost to underflow.
fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if p <= 0.0 || k >= n {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    // Above the mean the other tail is the shorter sum.
    if k as f64 > n as f64 * p {
        return 1.0 - upper(k + 1, n, p);
    }
    let mut term = libm::exp(ln_pmf(k, n, p));
    let mut sum = 0.0;
    let odds = p / (1.0 - p);
    for i in (0..=k).rev() {
        sum += term;
        term *= i as f64 / ((n - i + 1) as f64 * odds);
        if term < sum * 1e-17 {
            break;
        }
    }
    sum.min(1.0)
}

fn upper(k: u64, n: u64, p: f64) -> f64 {
    let mut term = libm::exp(ln_pmf(k, n, p));
    let mut sum = 0.0;
    let odds = p / (1.0 - p);
    for i in k..=n {
        sum += term;
        term *= (n - i) as f64 * odds / (i + 1) as f64;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum.min(1.0)
}

fn ln_pmf(k: u64, n: u64, p: f64) -> f64 {
    let ln_factorial = |x: u64| libm::lgamma(x as f64 + 1.0);
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) + k as f64 * libm::log(p) + (n - k) as f64 * libm::log1p(-p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_intervals_come_out() {
        let close = |a: Interval, b: Interval| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 5e-5);
        assert!(close(clopper_pearson(0, 100), [0.0, 0.03622]));
        assert!(close(clopper_pearson(5, 100), [0.01643, 0.11283]));
        assert!(close(clopper_pearson(100, 100), [0.96378, 1.0]));
        assert!(close(clopper_pearson(1, 10), [0.00253, 0.44502]));
        assert_eq!(clopper_pearson(0, 0), [0.0, 1.0]);
    }

    #[test]
    fn an_interval_holds_its_share_and_narrows_with_trials() {
        for n in [1u64, 7, 300, 20_000, 3_000_000] {
            for hits in [0, 1, n / 100, n / 2, n - 1, n] {
                let [low, high] = clopper_pearson(hits, n);
                let share = hits as f64 / n as f64;
                assert!(low <= share && share <= high, "{hits} of {n}: {low} {high}");
                let more = clopper_pearson(hits * 10, n * 10);
                assert!(more[1] - more[0] <= high - low, "{hits} of {n}");
            }
        }
    }
}
