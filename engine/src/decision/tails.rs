//! How often strangers reach a fused score, and the thresholds that follow.
//!
//! A threshold for a whole person needs the distribution of the *fused* score of two people who are not the same: not
//! of one comparison. It is computed here from the calibrated distribution of each source's log-likelihood ratio:
//!
//! 1. [`Calibration::survival`] says how often one non-mated comparison claims at least so much; with several impressions
//!    the best of them counts.
//! 2. The ratios are bounded and shrunk as in [`super::fuse`] and put on a grid of [`STEP`], each mass shared between its
//!    neighbours so that the mean stays.
//! 3. Fingers of two people are not independent (two people with many minutiae resemble each other a little at every
//!    finger): given a common normal factor they are (one-factor Gaussian copula, with the correlation of the calibration),
//!    so the grids are convolved given the factor, and the results averaged over the factor.
//! 4. A search looks at the exchanged hands too and takes what says more, if it says anything for the two being one: two
//!    chances. Counted as independent, which is the most that they can add.
//! 5. The face is independent of the fingers and is put on top, by the same rule as in `fuse`.
//!
//! Then the threshold at which one search among `N` references finds somebody wrongly with chance FPIR is the score that
//! strangers reach with chance `1 - (1 - FPIR)^(1/N)`. All sums are in one fixed order and all functions are the same
//! everywhere: so are the thresholds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Policy, SOURCE_LLR_MIN};
use crate::face::FaceCalibration;
use crate::finger::Calibration;
use crate::likelihood::{normal_quantile, normal_upper};
use crate::search::{Candidate, Probe};
use crate::template::FingerPosition;

/// Grid of log-likelihood ratios.
const STEP: f64 = 0.1;
/// A source's distribution is read this much finer.
const FINE: usize = 4;
/// Sums at and above this are put together: no threshold lies there.
const SUM_MAX: f64 = 60.0;
/// Values of the common factor, evenly from `-FACTOR_MAX` to `FACTOR_MAX`.
const FACTORS: usize = 25;
const FACTOR_MAX: f64 = 6.0;
/// Distributions that are kept.
const KEPT_MAX: usize = 4_096;

/// Which sources a candidate shares with the probe: all that its thresholds depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sources {
    /// The calibration's curve of each finger compared, ascending.
    pub fingers: Vec<u8>,
    /// Impressions of a finger compared with impressions, at most: rounded up to a power of two.
    pub impressions: u16,
    /// Whether the fingers may have been compared with the hands exchanged too: their sum is the better of two then.
    pub exchangeable: bool,
    /// Shots of a face compared with shots over all models, rounded up; 0 when no face was compared.
    pub faces: u16,
    /// The face calibration's curves that were used, ascending.
    pub face_curves: Vec<u8>,
}

fn rounded(count: usize) -> u16 {
    u16::try_from(count.max(1).next_power_of_two()).unwrap_or(1 << 15)
}

impl Sources {
    /// What was compared of a candidate.
    pub fn of(candidate: &Candidate) -> Self {
        let mut fingers: Vec<u8> = candidate.fingers.iter().map(|f| f.curve).collect();
        fingers.sort_unstable();
        let most = candidate.fingers.iter().map(|f| usize::from(f.compared)).max();
        let shots: usize = candidate.faces.iter().map(|f| usize::from(f.compared)).sum();
        Self {
            fingers,
            impressions: most.map_or(0, rounded),
            exchangeable: candidate.fingers.iter().any(|f| f.position != FingerPosition::UNKNOWN),
            faces: if candidate.faces.is_empty() { 0 } else { rounded(shots) },
            face_curves: distinct(candidate.faces.iter().map(|f| f.curve)),
        }
    }

    /// What a probe would share with one reference that has all that it has, once each, from the same extractors.
    pub fn of_probe(probe: &Probe<'_>, calibration: &Calibration, faces: &FaceCalibration) -> Self {
        let mut fingers = Vec::new();
        // Impressions of a position, and one of its curves: the same extractor makes them all.
        let mut positions: BTreeMap<FingerPosition, (usize, u8)> = BTreeMap::new();
        for (position, extractor) in probe.prints() {
            let curve = calibration.curve_number(extractor.as_str(), extractor.as_str(), position);
            if position == FingerPosition::UNKNOWN {
                fingers.push(curve);
            } else {
                positions.entry(position).or_insert((0, curve)).0 += 1;
            }
        }
        let most = positions.values().map(|(count, _)| *count).max().unwrap_or(usize::from(!fingers.is_empty()));
        fingers.extend(positions.values().map(|(_, curve)| *curve));
        fingers.sort_unstable();
        let shots = probe.faces().len();
        Self {
            fingers,
            impressions: if most == 0 { 0 } else { rounded(most) },
            exchangeable: !positions.is_empty(),
            faces: if shots == 0 { 0 } else { rounded(shots) },
            face_curves: distinct(probe.faces().iter().map(|f| faces.curve_number(f.model()))),
        }
    }

    /// One impression of each of these fingers, and one face if a model is given, of one extractor.
    pub fn plain(
        calibration: &Calibration,
        extractor: &str,
        fingers: impl IntoIterator<Item = FingerPosition>,
        faces: &FaceCalibration,
        model: Option<&str>,
    ) -> Self {
        let mut exchangeable = false;
        let curve = |position: FingerPosition| {
            exchangeable |= position != FingerPosition::UNKNOWN;
            calibration.curve_number(extractor, extractor, position)
        };
        let mut fingers: Vec<u8> = fingers.into_iter().map(curve).collect();
        fingers.sort_unstable();
        Self {
            exchangeable,
            impressions: u16::from(!fingers.is_empty()),
            fingers,
            faces: u16::from(model.is_some()),
            face_curves: model.map(|m| faces.curve_number(m)).into_iter().collect(),
        }
    }

    /// The same compared with the fingers as declared only, as a verification does.
    #[must_use]
    pub fn as_declared(self) -> Self {
        Self { exchangeable: false, ..self }
    }
}

fn distinct(curves: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut curves: Vec<u8> = curves.collect();
    curves.sort_unstable();
    curves.dedup();
    curves
}

/// Thresholds for one set of sources at one gallery size: natural log-likelihood ratios, in whole hundredths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// From here on a candidate of two or more sources is a duplicate.
    pub duplicate: f32,
    /// From here on a candidate goes to review.
    pub review: f32,
    /// From here on the claimed record is the applicant's.
    pub claim: f32,
}

/// Chance of each sum, on the grid.
#[derive(Clone)]
struct Law {
    /// Grid index of the first mass.
    first: i32,
    mass: Vec<f64>,
}

impl Law {
    /// From how often a value is reached; the values lie between `low` and `high`.
    fn new(low: f64, high: f64, reached: impl Fn(f64) -> f64) -> Self {
        let first = (low / STEP).floor() as i32;
        let last = (high / STEP).ceil() as i32 + 1;
        let mut law = Self { first, mass: vec![0.0; (last - first + 1) as usize] };
        let fine = STEP / FINE as f64;
        let steps = ((high - low) / fine).ceil() as usize;
        // Whatever is not above the lowest value is at it.
        law.add(low, 1.0 - reached(low + 1e-9 * (1.0 + low.abs())));
        let mut above = reached(low + 1e-9 * (1.0 + low.abs()));
        for k in 0..steps {
            let to = low + (k + 1) as f64 * fine;
            let next = if to >= high { 0.0 } else { reached(to) };
            let at = if to >= high { high } else { to - 0.5 * fine };
            law.add(at, (above - next).max(0.0));
            above = next;
        }
        law
    }

    /// Shares a mass between its neighbours on the grid.
    fn add(&mut self, at: f64, mass: f64) {
        let place = at / STEP - f64::from(self.first);
        let below = (place.floor().max(0.0) as usize).min(self.mass.len() - 2);
        let share = (place - below as f64).clamp(0.0, 1.0);
        self.mass[below] += mass * (1.0 - share);
        self.mass[below + 1] += mass * share;
    }

    fn sum(&self, other: &Self) -> Self {
        let first = self.first + other.first;
        let longest = ((SUM_MAX / STEP) as i32 - first + 1).max(1) as usize;
        let length = (self.mass.len() + other.mass.len() - 1).min(longest);
        let mut mass = vec![0.0; length];
        for (i, &a) in self.mass.iter().enumerate() {
            if a == 0.0 {
                continue;
            }
            let room = length.saturating_sub(i).min(other.mass.len());
            for (out, &b) in mass[i.min(length)..].iter_mut().zip(&other.mass[..room]) {
                *out += a * b;
            }
            // Beyond the end: all in one.
            let beyond: f64 = other.mass[room..].iter().sum();
            mass[length - 1] += a * beyond;
        }
        Self { first, mass }
    }

    /// The law of the fingers as declared and exchanged: the second of two independent values is taken where it is the
    /// greater one and above 0.
    fn better_of_two(mut self) -> Self {
        let reached = self.survival();
        let positive = |at: i32| at > 0;
        let any: f64 = (self.first..).zip(&self.mass).filter(|(at, _)| positive(*at)).map(|(_, m)| m).sum();
        for (k, at) in (self.first..).enumerate().take(self.mass.len()) {
            let (from, above) = (reached[k], reached.get(k + 1).copied().unwrap_or(0.0));
            // (1 - above)^2 - (1 - from)^2, without the difference of nearly equal numbers.
            self.mass[k] *= if positive(at) { 2.0 - from - above } else { 1.0 - any };
        }
        self
    }

    /// Its chances of each value and more, from the top.
    fn survival(&self) -> Vec<f64> {
        let mut out = self.mass.clone();
        for k in (0..out.len().saturating_sub(1)).rev() {
            out[k] += out[k + 1];
        }
        out
    }
}

/// How often strangers reach each score, for one set of sources.
pub struct Tail {
    first: i32,
    /// Chance of the grid's score or more.
    reached: Vec<f64>,
}

impl Tail {
    /// The chance that one stranger's fused score is `score` or more.
    pub fn fmr(&self, score: f32) -> f64 {
        let place = f64::from(score) / STEP - f64::from(self.first);
        if place <= 0.0 {
            return 1.0;
        }
        // Masses sit on the grid and stand for what lies half a step around.
        let place = place + 0.5;
        let below = place.floor() as usize;
        let (Some(&a), share) = (self.reached.get(below), place - place.floor()) else { return 0.0 };
        let b = self.reached.get(below + 1).copied().unwrap_or(0.0);
        if b <= 0.0 {
            return a * (1.0 - share);
        }
        // Straight in the logarithm: tails fall by a factor.
        libm::exp(libm::log(a) * (1.0 - share) + libm::log(b) * share)
    }

    /// The lowest score, in whole hundredths and not under 0, that a stranger reaches with chance `fmr` at most.
    pub fn threshold(&self, fmr: f64) -> f32 {
        let top = ((f64::from(self.first) + self.reached.len() as f64 + 1.0) * STEP * 100.0).ceil().max(0.0) as i32;
        let (mut low, mut high) = (-1i32, top);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.fmr(middle as f32 / 100.0) <= fmr {
                high = middle;
            } else {
                low = middle;
            }
        }
        high as f32 / 100.0
    }
}

/// The distributions of one calibration, made when first asked for and kept.
pub struct Tails {
    calibration: Calibration,
    faces: FaceCalibration,
    kept: Mutex<BTreeMap<Sources, Arc<Tail>>>,
}

impl Tails {
    /// For these calibrations.
    pub fn new(calibration: &Calibration, faces: &FaceCalibration) -> Self {
        Self { calibration: calibration.clone(), faces: faces.clone(), kept: Mutex::default() }
    }

    /// What a finger's ratio is multiplied by when `fingers` of one person are added: fingers that go together by a
    /// correlation r count as n / (1 + (n - 1) r) independent ones.
    pub fn shrinkage(&self, fingers: usize, curves: impl Iterator<Item = u8>) -> f32 {
        let correlation = curves.map(|c| self.calibration.correlations(c).0).fold(0.0f32, f32::max);
        1.0 / (1.0 + (fingers.max(1) - 1) as f32 * correlation)
    }

    /// How often strangers reach each score. Costs up to some tenths of a second the first time.
    pub fn tail(&self, sources: &Sources) -> Arc<Tail> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tail) = kept.get(sources) {
            return tail.clone();
        }
        let tail = Arc::new(self.compute(sources));
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(sources.clone(), tail.clone());
        tail
    }

    /// The thresholds among `references`.
    pub fn thresholds(&self, policy: &Policy, references: u64, sources: &Sources) -> Thresholds {
        let n = references.max(policy.gallery_size_min);
        let tail = self.tail(sources);
        Thresholds {
            duplicate: tail.threshold(fmr_of(policy.duplicate_fpir, n)),
            review: tail.threshold(fmr_of(policy.review_fpir, n)),
            claim: tail.threshold(policy.claim_fmr),
        }
    }

    /// The chance that a search among `references` strangers, all with these sources, finds one at `score` or more.
    pub fn fpir(&self, sources: &Sources, references: u64, score: f32) -> f64 {
        let fmr = self.tail(sources).fmr(score).min(1.0);
        -libm::expm1(references as f64 * libm::log1p(-fmr))
    }

    fn compute(&self, sources: &Sources) -> Tail {
        let fingers = self.fingers(sources).map(|law| if sources.exchangeable { law.better_of_two() } else { law });
        let face = self.face(sources);
        let reached = match (fingers, face) {
            (Some(fingers), Some(face)) => united(&fingers, &face),
            (Some(law), None) | (None, Some(law)) => law,
            (None, None) => Law { first: 0, mass: vec![1.0] },
        };
        Tail { first: reached.first, reached: reached.survival() }
    }

    /// The law of the fingers' sum.
    fn fingers(&self, sources: &Sources) -> Option<Law> {
        let n = sources.fingers.len();
        if n == 0 {
            return None;
        }
        let shrinkage = f64::from(self.shrinkage(n, sources.fingers.iter().copied()));
        let correlation = sources.fingers.iter().map(|c| self.calibration.correlations(*c).1).fold(0.0f32, f32::max);
        let count = f64::from(sources.impressions.max(1));
        let low = f64::from(SOURCE_LLR_MIN) * shrinkage;
        let high = f64::from(crate::finger::LLR_MAX) * shrinkage;
        let fine = STEP / FINE as f64;
        let steps = ((high - low) / fine).ceil() as usize + 1;
        let at = |x: f64| (((x - low) / fine).round().max(0.0) as usize).min(steps);
        // Each curve with how many fingers have it, and its ratios' normal scores, once for all factors.
        let curves: Vec<(usize, Vec<f64>)> = distinct(sources.fingers.iter().copied())
            .into_iter()
            .map(|curve| {
                let score = |k: usize| {
                    let x = if k == 0 { low + 1e-9 * (1.0 + low.abs()) } else { low + k as f64 * fine };
                    let chance = self.calibration.survival(curve, (x / shrinkage) as f32).min(1.0 - 1e-15);
                    let reached = -libm::expm1(count * libm::log1p(-chance));
                    normal_quantile(reached.clamp(1e-300, 1.0))
                };
                (sources.fingers.iter().filter(|c| **c == curve).count(), (0..=steps).map(score).collect())
            })
            .collect();
        let (common, own) = (libm::sqrt(f64::from(correlation)), libm::sqrt(1.0 - f64::from(correlation)));
        // Alone or independent, the factor does not matter.
        let factors = if n == 1 || correlation <= 0.0 { 1 } else { FACTORS };
        let mut total: Option<Law> = None;
        let mut weights = 0.0;
        for k in 0..factors {
            let factor =
                if factors == 1 { 0.0 } else { -FACTOR_MAX + 2.0 * FACTOR_MAX * k as f64 / (FACTORS - 1) as f64 };
            let (common, own) = if factors == 1 { (0.0, 1.0) } else { (common, own) };
            let weight = libm::exp(-0.5 * factor * factor);
            weights += weight;
            let mut sum: Option<Law> = None;
            for (count, scores) in &curves {
                let given = Law::new(low, high, |x| normal_upper((scores[at(x)] - common * factor) / own));
                let part = times(&given, *count);
                sum = Some(sum.map_or_else(|| part.clone(), |sum| sum.sum(&part)));
            }
            let sum = sum?;
            match &mut total {
                Some(total) => total.mass.iter_mut().zip(&sum.mass).for_each(|(t, s)| *t += weight * s),
                None => total = Some(Law { first: sum.first, mass: sum.mass.iter().map(|s| weight * s).collect() }),
            }
        }
        let mut total = total?;
        total.mass.iter_mut().for_each(|m| *m /= weights);
        Some(total)
    }

    fn face(&self, sources: &Sources) -> Option<Law> {
        if sources.faces == 0 {
            return None;
        }
        let count = f64::from(sources.faces);
        let (low, high) = (f64::from(SOURCE_LLR_MIN), f64::from(crate::face::FACE_LLR_MAX));
        Some(Law::new(low, high, |llr| {
            let one = |c: &u8| self.faces.survival(*c, llr as f32);
            let chance = sources.face_curves.iter().map(one).fold(0.0, f64::max);
            -libm::expm1(count * libm::log1p(-chance.min(1.0 - 1e-15)))
        }))
    }
}

/// The chance for one stranger at which one of `n` is met with chance `fpir`.
pub fn fmr_of(fpir: f64, n: u64) -> f64 {
    -libm::expm1(libm::log1p(-fpir) / n.max(1) as f64)
}

/// The law of `n` independent values' sum.
fn times(law: &Law, n: usize) -> Law {
    let mut sum = law.clone();
    for _ in 1..n {
        sum = sum.sum(law);
    }
    sum
}

/// Fingers and face together: their sum, or one alone where the other speaks against it.
fn united(fingers: &Law, face: &Law) -> Law {
    let part = |law: &Law, positive: bool| {
        let masses = (law.first..).zip(&law.mass);
        let mass = masses.map(|(at, m)| if (at >= 0) == positive { *m } else { 0.0 }).collect();
        Law { first: law.first, mass }
    };
    let mut out = part(fingers, true).sum(&part(face, true));
    let low = part(fingers, false).sum(&part(face, false));
    for (at, m) in (low.first..).zip(&low.mass) {
        out.mass[(at - out.first) as usize] += m;
    }
    for (own, other) in [(fingers, face), (face, fingers)] {
        let against: f64 = part(other, false).mass.iter().sum();
        let own = part(own, true);
        for (at, m) in (own.first..).zip(&own.mass) {
            let slot = ((at - out.first) as usize).min(out.mass.len() - 1);
            out.mass[slot] += m * against;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails() -> Tails {
        Tails::new(Calibration::shipped(), FaceCalibration::shipped())
    }

    fn sources(fingers: u8, faces: u16) -> Sources {
        let positions = FingerPosition::known().take(usize::from(fingers));
        let model = (faces > 0).then_some("synthetic-512");
        Sources::plain(Calibration::shipped(), "synthetic", positions, FaceCalibration::shipped(), model)
    }

    #[test]
    fn thresholds_rise_with_the_gallery_and_meet_their_target() {
        let (tails, policy) = (tails(), Policy::shipped());
        for sources in [sources(1, 0), sources(2, 0), sources(4, 0), sources(10, 0), sources(10, 1), sources(0, 1)] {
            let mut last = 0.0;
            for n in [1_000u64, 10_000, 100_000, 1_000_000, 100_000_000] {
                let t = tails.thresholds(policy, n, &sources);
                assert!(t.review > last && t.duplicate > t.review, "{sources:?} at {n}: {t:?} after {last}");
                assert!(t.review > t.claim, "{sources:?} at {n}: {t:?}");
                last = t.review;
                let fpir = tails.fpir(&sources, n, t.review);
                // A hundredth lower would miss the target, unless no stranger can get there at all.
                let lower = tails.fpir(&sources, n, t.review - 0.011);
                assert!(fpir <= policy.review_fpir * 1.001, "{sources:?} at {n}: {fpir}");
                assert!(lower > policy.review_fpir * 0.999, "{sources:?} at {n}: {lower}");
            }
        }
    }

    #[test]
    fn the_sum_of_independent_fingers_is_what_drawing_them_gives() {
        // Two fingers by hand: a value of 0 or 3, each with chance 0.9 and 0.1.
        let law = Law::new(0.0, 3.0, |x| if x <= 0.0 { 1.0 } else { 0.1 });
        let sum = times(&law, 2).survival();
        let reached = |x: f64| sum[((x / STEP).round()) as usize];
        assert!((reached(1.5) - 0.19).abs() < 1e-9 && (reached(4.5) - 0.01).abs() < 1e-9, "{}", reached(1.5));
        let mean: f64 = (law.first..).zip(&law.mass).map(|(at, m)| f64::from(at) * STEP * m).sum();
        assert!((mean - 0.3).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn exchanged_hands_are_a_second_chance() {
        let (tails, policy) = (tails(), Policy::shipped());
        for fingers in [1, 2, 4, 10] {
            let both = sources(fingers, 0);
            assert!(both.exchangeable);
            let declared = both.clone().as_declared();
            let t = tails.thresholds(policy, 100_000, &both).review;
            let (two, one) = (tails.fpir(&both, 1, t), tails.fpir(&declared, 1, t));
            assert!((two / one - 2.0).abs() < 0.01, "{fingers} fingers: {two:e} and {one:e}");
        }
        // By hand: 3 with chance 0.1, else -1.
        let law = Law::new(-1.0, 3.0, |x| if x <= -0.95 { 1.0 } else { 0.1 }).better_of_two();
        let sum: f64 = law.mass.iter().sum();
        let reached = law.survival()[((2.5 / STEP) as i32 - law.first) as usize];
        assert!((sum - 1.0).abs() < 1e-12 && (reached - 0.19).abs() < 1e-12, "{sum} {reached}");
    }

    #[test]
    fn more_impressions_ask_for_more() {
        let (tails, policy) = (tails(), Policy::shipped());
        let one = tails.thresholds(policy, 10_000, &sources(2, 0));
        let many = tails.thresholds(policy, 10_000, &Sources { impressions: 9, ..sources(2, 0) });
        assert!(many.review > one.review, "{many:?} {one:?}");
    }

    #[test]
    fn thresholds_stay_under_bayes_ceiling() {
        // ln(3 N / FPIR), the first version's formula, is never exceeded by much.
        let (tails, policy) = (tails(), Policy::shipped());
        for sources in [sources(1, 0), sources(4, 0), sources(10, 1)] {
            let t = tails.thresholds(policy, 1_000_000, &sources);
            let ceiling = libm::log(3.0 * 1e6 / policy.review_fpir) as f32;
            assert!(t.review < ceiling + 1.0, "{sources:?}: {} against {ceiling}", t.review);
        }
    }
}
