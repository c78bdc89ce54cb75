//! Seeded random streams: the same numbers on every machine, in any order of asking.
//!
//! A stream is keyed by *what it is for*, so nothing depends on what was generated before: ChaCha with eight rounds,
//! its 256-bit key holding seed, person, part, finger and impression. Normal deviates come from the inverse
//! distribution function (one word each), so a stream's length never depends on its values.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is for. The number is part of the key: never reuse or renumber one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Part {
    Person = 1,
    Encounter = 2,
    Master = 3,
    Impression = 4,
    FaceIdentity = 5,
    FaceShot = 6,
    FaceBasis = 7,
    Fraud = 8,
}

/// One stream of random numbers.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    pub(crate) fn new(seed: u64, person: u64, part: Part, finger: u32, impression: u64) -> Self {
        let mut key = [0u8; 32];
        key[0..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&person.to_le_bytes());
        key[16..20].copy_from_slice(&(part as u32).to_le_bytes());
        key[20..24].copy_from_slice(&finger.to_le_bytes());
        key[24..32].copy_from_slice(&impression.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in the open interval (0, 1), 32 bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) * (1.0 / 4_294_967_296.0)
    }

    /// Uniform in `low..high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Whether an event of this probability happens.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// Normal with this mean and standard deviation.
    pub(crate) fn gaussian(&mut self, mean: f64, sd: f64) -> f64 {
        mean + sd * self.normal()
    }

    /// Poisson with this mean (at most 500): Knuth's product of uniforms.
    pub(crate) fn poisson(&mut self, mean: f64) -> usize {
        let limit = libm::exp(-mean.clamp(0.0, 500.0));
        let mut product = self.uniform();
        let mut n = 0;
        while product > limit {
            product *= self.uniform();
            n += 1;
        }
        n
    }
}

/// Inverse of the standard normal distribution function, `p` in (0, 1); about seven correct digits.
/// M. J. Wichura, Algorithm AS 241, Applied Statistics 37 (1988) 477-484, routine PPND7.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * (((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9)
            / (((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = libm::sqrt(-libm::log(tail));
    let z = if r <= 5.0 {
        let r = r - 1.6;
        (((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7)
            / ((0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        (((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r + 6.657_905_115_0)
            / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    if q < 0.0 { -z } else { z }
}

/// Standard normal distribution function.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// 1 / (1 + exp(-x)).
pub(crate) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_quantile_inverts_the_distribution_function() {
        assert!((normal_quantile(0.975) - 1.959_963_98).abs() < 1e-6);
        for k in 1..2000 {
            let z = f64::from(k) * 0.006 - 6.0;
            let back = normal_quantile(normal_cdf(z));
            assert!((back - z).abs() < 2e-5 * (1.0 + z.abs().powi(4)), "{z} came back as {back}");
        }
    }

    #[test]
    fn streams_differ_in_every_part_of_their_key() {
        let first = |s, p, part, f, i| Stream::new(s, p, part, f, i).bits();
        let base = first(1, 2, Part::Master, 3, 4);
        assert_eq!(base, first(1, 2, Part::Master, 3, 4));
        for other in [
            first(2, 2, Part::Master, 3, 4),
            first(1, 3, Part::Master, 3, 4),
            first(1, 2, Part::Impression, 3, 4),
            first(1, 2, Part::Master, 4, 4),
            first(1, 2, Part::Master, 3, 5),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn deviates_have_their_moments() {
        let mut stream = Stream::new(7, 0, Part::Person, 0, 0);
        let n = 200_000;
        let (mut sum, mut squares, mut counts) = (0.0, 0.0, 0usize);
        for _ in 0..n {
            let z = stream.normal();
            sum += z;
            squares += z * z;
            counts += stream.poisson(3.0);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.01 && (squares / n - 1.0).abs() < 0.02);
        assert!((counts as f64 / n - 3.0).abs() < 0.03);
    }
}
