//! The screen against its definition, and tiles against hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::finger::{Code, FingerFeatures};
use crate::kernel::Isa;
use crate::template::Minutia;

fn features(minutiae: &[(u16, Code)]) -> FingerFeatures {
    let minutia = |&(angle, _): &(u16, Code)| Minutia { x: 9, y: 9, angle, kind_code: 1, quality: 0 };
    FingerFeatures::new(minutiae.iter().map(minutia).collect(), minutiae.iter().map(|&(_, code)| code).collect())
}

/// The definition in the module's header.
fn oracle(probe: &FingerFeatures, params: &ScreenParams, entry: &FingerFeatures) -> u16 {
    let (probe, entry) = (probe.view(), entry.view());
    let best = |(m, c): (&Minutia, &Code)| {
        entry
            .minutiae()
            .iter()
            .zip(entry.codes())
            .filter(|(n, _)| {
                let turn = (m.angle >> 8).abs_diff(n.angle >> 8);
                turn.min(256 - turn) <= u16::from(params.window_steps())
            })
            .map(|(_, d)| [(c[0] ^ d[0]).count_ones(), (c[1] ^ d[1]).count_ones()])
            .filter(|distance| distance[0] < u32::from(params.prefix_limit()))
            .map(|distance| (distance[0] + distance[1]) as usize)
            .map(|distance| u16::from(params.weights()[distance]))
            .max()
            .unwrap_or(0)
    };
    probe.minutiae().iter().zip(probe.codes()).map(best).sum()
}

fn assert_equals_definition(probes: &[(FingerFeatures, ScreenParams)], entries: &[FingerFeatures]) {
    let views: Vec<_> = entries.iter().map(FingerFeatures::view).collect();
    let buffer = TileBuffer::encode(&views).expect("within the limits");
    let tile = buffer.tile().expect("a tile that was just encoded");
    assert_eq!(tile.entries(), entries.len());
    let prepared: Vec<_> = probes.iter().map(|(probe, params)| ScreenProbe::new(probe.view(), params)).collect();
    let expected: Vec<u16> = probes
        .iter()
        .flat_map(|(probe, params)| entries.iter().map(move |entry| oracle(probe, params, entry)))
        .collect();
    for isa in Isa::available() {
        let mut scores = vec![7; expected.len()];
        screen(isa, &prepared, &tile, &mut scores);
        assert_eq!(scores, expected, "{isa}");
        let each = prepared.iter().flat_map(|probe| views.iter().map(move |entry| probe.score(isa, *entry)));
        assert_eq!(each.collect::<Vec<_>>(), expected, "{isa}, one by one");
    }
}

/// Codes around a few centres, so that distances of all sizes occur; directions anywhere or at the wrap.
fn minutia() -> impl Strategy<Value = (u16, Code)> {
    let angle = prop_oneof![any::<u16>(), Just(0), Just(u16::MAX), Just(0xff00), 0x1f00..0x2200u16];
    let centre = prop_oneof![Just(0), Just(u64::MAX), Just(0x0f0f_3355_0f0f_3355)];
    (angle, [centre.clone(), centre], any::<u64>(), any::<u64>(), any::<u64>())
        .prop_map(|(angle, [a, b], x, y, z)| (angle, [a ^ (x & y & z), b ^ (x & !y), z, x]))
}

fn print(most: usize) -> impl Strategy<Value = FingerFeatures> {
    prop_oneof![
        1 => Just(Vec::new()),
        9 => prop::collection::vec(minutia(), 0..=most),
    ]
    .prop_map(|minutiae| features(&minutiae))
}

fn params() -> impl Strategy<Value = ScreenParams> {
    let window = prop_oneof![Just(32u8), Just(0), Just(127), Just(128), 0..=128u8];
    let prefix = prop_oneof![Just(0u8), Just(22), Just(65), 0..=65u8];
    let weights = prop_oneof![
        (1..=129u8).prop_map(|tolerance| *ScreenParams::from_tolerance(tolerance).expect("in range").weights()),
        // Any table at all, not even falling.
        any::<[u8; 32]>().prop_map(|seed| std::array::from_fn(|distance| seed[distance % 32])),
    ];
    (weights, prefix, window)
        .prop_map(|(weights, prefix, window)| ScreenParams::new(weights, prefix, window).expect("in range"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn scores_equal_the_definition_on_every_instruction_set(
        probes in prop::collection::vec((print(12), params()), 0..6),
        entries in prop::collection::vec(print(12), 0..40),
    ) {
        assert_equals_definition(&probes, &entries);
    }

    #[test]
    fn large_prints_and_several_sections_equal_the_definition(
        probes in prop::collection::vec((print(40), params()), 1..3),
        kinds in prop::collection::vec(print(9), 1..5),
        large in print(255),
        count in prop_oneof![Just(1usize), Just(255), Just(256), Just(257), Just(512), Just(1024)],
    ) {
        let mut entries: Vec<_> = kinds.iter().cycle().take(count).cloned().collect();
        entries[count / 2] = large;
        assert_equals_definition(&probes, &entries);
    }

    #[test]
    fn any_changed_byte_gives_an_error_or_a_tile_that_screens(
        entries in prop::collection::vec(print(6), 0..5),
        place in any::<prop::sample::Index>(),
        bit in 0..8u8,
        fill in any::<Option<u8>>(),
    ) {
        let views: Vec<_> = entries.iter().map(FingerFeatures::view).collect();
        let mut bytes = encode_tile(&views).expect("within the limits");
        let place = place.index(bytes.len());
        match fill {
            None => bytes[place] ^= 1 << bit,
            Some(byte) => bytes[place..].fill(byte),
        }
        let buffer = TileBuffer::copy_of(&bytes);
        if let Ok(tile) = buffer.tile() {
            let probe = entries.first().cloned().unwrap_or_else(|| features(&[(0, [0; 4])]));
            for isa in Isa::available() {
                let mut scores = vec![0; tile.entries()];
                screen(isa, &[ScreenProbe::new(probe.view(), &ScreenParams::default())], &tile, &mut scores);
            }
        }
    }
}

#[test]
fn a_tile_cut_anywhere_is_refused() {
    let print = features(&[(3, [1; 4]), (40_000, [2; 4])]);
    let bytes = encode_tile(&[print.view(), print.view()]).expect("within the limits");
    assert!(TileBuffer::copy_of(&bytes).tile().is_ok());
    for length in 0..bytes.len() {
        assert!(TileBuffer::copy_of(&bytes[..length]).tile().is_err(), "{length}");
    }
    let longer = [bytes.as_slice(), &[0; 64]].concat();
    assert!(TileBuffer::copy_of(&longer).tile().is_err());
}

#[test]
fn a_misaligned_tile_is_refused() {
    let bytes = encode_tile(&[]).expect("within the limits");
    let buffer = TileBuffer::copy_of(&[&[0; 8], bytes.as_slice()].concat());
    assert_eq!(Tile::parse(&buffer.bytes()[8..]).err(), Some(TileError::Misaligned));
}

#[test]
fn the_largest_score_fits() {
    let print = features(&[(0, [5; 4]); 255]);
    let params = ScreenParams::new([255; 129], 65, 128).expect("in range");
    assert_equals_definition(&[(print.clone(), params)], &[print.clone(), print]);
}

#[test]
fn too_much_is_refused() {
    let print = features(&[(0, [5; 4]); 256]);
    assert!(matches!(encode_tile(&[print.view()]), Err(TileEncodeError::Minutiae { entry: 0, found: 256 })));
    let empty = features(&[]);
    assert!(matches!(encode_tile(&vec![empty.view(); 1025]), Err(TileEncodeError::Entries { found: 1025 })));
}

#[test]
fn normalised_scores_do_not_depend_on_the_order_of_sizes() {
    assert_eq!(normalised(0, 35, 35), 0);
    assert_eq!(normalised(1000, 0, 35), 0);
    assert_eq!(normalised(350, 35, 35), 2560);
    assert_eq!(normalised(350, 20, 60), normalised(350, 60, 20));
    assert!(normalised(u16::MAX, 1, 1) > normalised(u16::MAX, 255, 255));
}

#[test]
fn the_default_weights_are_as_documented() {
    let params = ScreenParams::default();
    assert_eq!(params.weights()[0], 255);
    assert_eq!(params.weights()[25], 64);
    assert_eq!(params.weights()[50], 0);
    assert_eq!(params.prefix_limit(), 22);
    assert!(ScreenParams::from_tolerance(0).is_err());
    assert!(ScreenParams::new([0; 129], 0, 129).is_err());
}
