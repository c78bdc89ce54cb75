//! Prints made to resemble everybody are refused with a reason, or resemble hardly anybody.
//!
//! A thousand synthetic people give ten fingers each: 10,000 others. What is asked of a wolf that is not refused: where a
//! fair print falsely matches one stranger in a thousand, it matches at most one in fifty; and none so well that one
//! finger alone would call two people one.

use duynhat_datasets::{People, Settings};
use duynhat_engine::finger::{
    Calibration, Cohort, CompareProbe, FeatureError, FingerFeatures, Model, Scratch, compare, evidence, normalise,
};
use duynhat_engine::template::{FingerPosition, Minutia};
use rayon::prelude::*;

const PEOPLE: u64 = 1_000;
const OTHERS: usize = 10_000;
/// The share of others that a wolf may reach at a false match rate of one in a thousand.
const REACHED_MAX: usize = OTHERS / 50;
/// The natural log-likelihood ratio that no wolf reaches with any other: far below what a person's fingers sum up to.
const LLR_WOLF_MAX: f32 = 11.0;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: i32) -> i32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as i32
    }
}

fn minutia(x: i32, y: i32, angle: i32) -> Minutia {
    Minutia { x: x.clamp(0, 4000) as u16, y: y.clamp(0, 4000) as u16, angle: angle as u16, kind_code: 1, quality: 100 }
}

/// A lattice of `side` columns and rows every `pitch` quarter pixels, each place off by up to `jitter`.
fn lattice(pitch: i32, side: i32, jitter: i32, angle: impl Fn(i32, i32) -> i32) -> Vec<Minutia> {
    let mut random = Random(7 + pitch as u64);
    let mut off = || random.below(2 * jitter + 1) - jitter;
    let mut place = |k: i32| {
        let (x, y) = (200 + pitch * (k % side), 200 + pitch * (k / side));
        minutia(x + off(), y + off(), angle(x, y))
    };
    (0..(side * side).min(255)).map(&mut place).collect()
}

/// 255 minutiae wherever there is room.
fn crowd(seed: u64, room: i32, extent: i32, angle: impl Fn(i32, i32, &mut Random) -> i32) -> Vec<Minutia> {
    let mut random = Random(seed);
    let mut out: Vec<Minutia> = Vec::new();
    for _ in 0..200_000 {
        let (x, y) = (200 + random.below(extent), 200 + random.below(extent));
        let free = |m: &Minutia| {
            let (dx, dy) = (i32::from(m.x) - x, i32::from(m.y) - y);
            dx * dx + dy * dy >= room * room
        };
        if out.len() < 255 && out.iter().all(free) {
            let angle = angle(x, y, &mut random);
            out.push(minutia(x, y, angle));
        }
    }
    out
}

/// Ridges that arch over a centre, as on every finger.
fn arch(x: i32, y: i32) -> i32 {
    let turn = f64::from(y - 900).atan2(f64::from(x - 800)) / std::f64::consts::TAU;
    (turn * 65_536.0 + 16_384.0) as i32
}

fn wolves() -> Vec<(String, Vec<Minutia>)> {
    let mut out = Vec::new();
    for pitch in [24, 40, 64, 80, 100] {
        for jitter in [0, 4, 12, 20] {
            out.push((format!("lattice {pitch} off {jitter}, one direction"), lattice(pitch, 16, jitter, |_, _| 0)));
            out.push((format!("lattice {pitch} off {jitter}, arching"), lattice(pitch, 16, jitter, arch)));
        }
    }
    for seed in 0..4 {
        let any = |_: i32, _: i32, random: &mut Random| random.below(65_536);
        out.push((format!("crowd {seed}"), crowd(seed, 30, 1200, any)));
        out.push((format!("wide crowd {seed}"), crowd(seed, 30, 2000, any)));
        out.push((format!("arching crowd {seed}"), crowd(seed, 30, 1400, |x, y, r| arch(x, y) + r.below(2) * 32_768)));
        out.push((format!("few, {seed}"), crowd(seed, 120, 900, any).into_iter().take(8).collect()));
    }
    out
}

fn others() -> Vec<Vec<Minutia>> {
    let people = People::new(11, Settings::default());
    let fingers: Vec<FingerPosition> = FingerPosition::known().collect();
    (0..PEOPLE)
        .into_par_iter()
        .flat_map_iter(|who| {
            let person = people.person(who);
            fingers.iter().map(move |&f| person.finger(f, 0).minutiae().to_vec()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn prints_that_say_nothing_are_refused() {
    let model = Model::shipped();
    for count in 0..6 {
        let few: Vec<Minutia> = (0..count).map(|k| minutia(400 + 90 * k, 500 + 50 * k, 9_000 * k)).collect();
        assert_eq!(model.features_of(&few).err(), Some(FeatureError::TooFew { found: count as usize }));
    }
    let heap: Vec<Minutia> = (0..255).map(|k| minutia(400 + k % 16 * 4, 400 + k / 16 * 4, 257 * k)).collect();
    assert!(model.features_of(&heap).is_err(), "all in one place");
    assert!(matches!(model.features_of(&lattice(24, 16, 0, |_, _| 0)).err(), Some(FeatureError::Lattice)));
}

#[test]
fn wolves_that_are_not_refused_resemble_hardly_anybody() {
    let (model, cohort, calibration) = (Model::shipped(), Cohort::shipped(), Calibration::shipped());
    let others = others();
    let others: Vec<(FingerFeatures, _)> = others
        .par_iter()
        .filter_map(|minutiae| Some((model.features_of(minutiae).ok()?, cohort.statistics(minutiae))))
        .collect();
    assert!(others.len() > OTHERS * 9 / 10, "most synthetic prints can be enrolled");
    let (mut refused, mut bad) = (0, Vec::new());
    // A fair print among them, for comparison: it must not look like a wolf.
    let fair = others[4_321].0.view().minutiae().to_vec();
    for (name, minutiae) in wolves().into_iter().chain([("a fair print".to_owned(), fair)]) {
        let Ok(features) = model.features_of(&minutiae) else {
            refused += 1;
            continue;
        };
        let probe = CompareProbe::new(model, features.view());
        let (own, weight) = (cohort.statistics(&minutiae), evidence(&minutiae));
        let scores: Vec<f32> = others
            .par_iter()
            .map_init(Scratch::new, |scratch, (other, level)| {
                normalise(compare(&probe, other.view(), scratch).score, own, *level)
            })
            .collect();
        for extractor in ["synthetic", "mindtct"] {
            let reached = scores.iter().filter(|&&s| calibration.fmr(s, extractor, "synthetic") <= 1e-3).count();
            let best =
                scores.iter().map(|&s| calibration.llr(s, extractor, "synthetic", weight).llr).fold(f32::MIN, f32::max);
            println!("{name} ({} minutiae, {extractor}): reaches {reached}, best {best:.1}", minutiae.len());
            let own_print = usize::from(name == "a fair print");
            if reached > REACHED_MAX + own_print || (best > LLR_WOLF_MAX && own_print == 0) {
                bad.push(format!("{name} ({extractor}): reaches {reached} of {}, best {best:.1}", others.len()));
            }
        }
    }
    println!("{refused} wolves refused");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
