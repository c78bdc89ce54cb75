//! The comparison as a whole, on random prints.

use super::*;
use crate::kernel::Isa;
use crate::template::Minutia;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Minutiae at least ten pixels apart on 300 x 300 pixels.
fn print(seed: u64, count: usize) -> Vec<Minutia> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let mut out: Vec<Minutia> = Vec::new();
    for _ in 0..count * 50 {
        let m = Minutia {
            x: 400 + random.below(1200) as u16,
            y: 400 + random.below(1200) as u16,
            angle: random.below(65_536) as u16,
            kind_code: 1 + random.below(2) as u8,
            quality: 30 + random.below(60) as u8,
        };
        let apart = |o: &Minutia| m.x.abs_diff(o.x).max(m.y.abs_diff(o.y)) >= 40;
        if out.len() < count && out.iter().all(apart) {
            out.push(m);
        }
    }
    out
}

fn features(minutiae: &[Minutia]) -> FingerFeatures {
    Model::shipped().features_of(minutiae).expect("an ordinary print")
}

#[test]
fn a_flipped_bit_in_the_model_is_refused() {
    let good = Model::shipped().to_bytes();
    assert_eq!(Model::from_bytes(&good).map(|m| m.id().to_owned()), Ok(Model::shipped().id().to_owned()));
    for at in (0..good.len()).step_by(997) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        assert!(Model::from_bytes(&bad).is_err(), "byte {at}");
        assert!(Model::from_bytes(&good[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_moved_copy_scores_above_every_stranger() {
    let mut scratch = Scratch::new();
    for seed in 0..20 {
        let original = print(seed, 35);
        let moved: Vec<Minutia> = original.iter().map(|m| Minutia { x: m.x + 77, y: m.y - 120, ..*m }).collect();
        let own = features(&original);
        let probe = CompareProbe::new(Model::shipped(), own.view());
        let (comparison, pairs) = compare_pairs(&probe, features(&moved).view(), &mut scratch);
        assert_eq!(usize::from(comparison.matched), original.len());
        assert!(pairs.iter().all(|(a, b)| a == b));
        for stranger in 100..110 {
            let other = compare(&probe, features(&print(stranger, 35)).view(), &mut scratch);
            assert!(other.score < comparison.score - 5.0, "{other:?} {comparison:?}");
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut scratch = Scratch::new();
    for seed in 0..60 {
        let (a, b) = (print(seed, 20 + seed as usize), print(seed / 2, 30));
        let (a, b) = (features(&a), features(&b));
        let all: Vec<(u32, u16)> = Isa::available()
            .into_iter()
            .map(|isa| {
                let probe = CompareProbe::with_isa(Model::shipped(), a.view(), isa);
                let c = compare(&probe, b.view(), &mut scratch);
                (c.score.to_bits(), c.matched)
            })
            .collect();
        assert!(all.windows(2).all(|w| w[0] == w[1]), "{all:?}");
    }
}

#[test]
fn degenerate_prints_are_refused_with_a_reason() {
    let model = Model::shipped();
    for count in 0..MINUTIAE_MIN {
        let few = print(3, count);
        assert_eq!(model.features_of(&few).err(), Some(FeatureError::TooFew { found: count }));
    }
    let grid = |step: u16, side: u16| -> Vec<Minutia> {
        let at = |k: u16| Minutia {
            x: 100 + step * (k % side),
            y: 100 + step * (k / side),
            angle: k.wrapping_mul(4096),
            kind_code: 1,
            quality: 90,
        };
        (0..side * side).map(at).collect()
    };
    assert_eq!(model.features_of(&grid(2, 10)).err(), Some(FeatureError::OnePlace));
    assert!(matches!(model.features_of(&grid(12, 15)).err(), Some(FeatureError::Crowded { .. })));
    assert_eq!(model.features_of(&grid(60, 15)).err(), Some(FeatureError::Lattice));
    for seed in 0..50 {
        assert!(model.features_of(&print(seed, 60)).is_ok(), "an ordinary print is not refused");
    }
}
