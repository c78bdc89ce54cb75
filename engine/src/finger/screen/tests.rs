//! The screen against its definition, and tiles against hostile bytes.

use proptest::prelude::*;

use super::*;
use crate::finger::{Clusters, Code, FingerFeatures, Model};
use crate::kernel::Isa;
use crate::template::Minutia;

fn features(minutiae: &[(u16, Code)]) -> FingerFeatures {
    let minutia = |&(angle, _): &(u16, Code)| Minutia { x: 9, y: 9, angle, kind_code: 1, quality: 0 };
    FingerFeatures::new(minutiae.iter().map(minutia).collect(), minutiae.iter().map(|&(_, code)| code).collect())
}

/// The definition in the module's header, in a tile of these clusters.
fn oracle(probe: &FingerFeatures, params: &ScreenParams, entry: &FingerFeatures, clusters: &Clusters) -> u16 {
    let (probe, entry) = (probe.view(), entry.view());
    let known = clusters == params.clusters();
    let best = |(m, c): (&Minutia, &Code)| {
        let near = params.clusters().near(c, params.clusters_near());
        entry
            .minutiae()
            .iter()
            .zip(entry.codes())
            .filter(|(n, _)| {
                let (first, count) = window(m.angle, params.window_steps());
                (0..count).any(|k| u16::from((first + k) % 32) == n.angle >> 11)
            })
            .filter(|(_, d)| !known || near >> clusters.of(d) & 1 == 1)
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
    for clusters in [&Clusters::none(), Model::shipped().clusters(), &mirrored()] {
        assert_equals_definition_in(probes, entries, clusters);
    }
}

/// Other clusters than the shipped model's.
fn mirrored() -> Clusters {
    Clusters::new(
        Model::shipped().clusters().centres().expect("the shipped model has some").map(|code| code.map(|w| !w)),
    )
}

fn assert_equals_definition_in(
    probes: &[(FingerFeatures, ScreenParams)],
    entries: &[FingerFeatures],
    clusters: &Clusters,
) {
    let views: Vec<_> = entries.iter().map(FingerFeatures::view).collect();
    let buffer = TileBuffer::encode(&views, clusters).expect("within the limits");
    let tile = buffer.tile().expect("a tile that was just encoded");
    assert_eq!(tile.entries(), entries.len());
    let sizes = entries.iter().map(|entry| entry.view().minutiae().len() as u8);
    assert!((0..entries.len()).map(|entry| tile.minutiae_of(entry)).eq(sizes.map(Some)));
    let prepared: Vec<_> = probes.iter().map(|(probe, params)| ScreenProbe::new(probe.view(), params)).collect();
    let expected: Vec<u16> = probes
        .iter()
        .flat_map(|(probe, params)| entries.iter().map(move |entry| oracle(probe, params, entry, clusters)))
        .collect();
    for isa in Isa::available() {
        let mut scores = vec![7; expected.len()];
        screen(isa, &prepared, &tile, &mut scores);
        assert_eq!(scores, expected, "{isa}");
        for (probe, (expected, (_, params))) in prepared.iter().zip(expected.chunks(entries.len().max(1)).zip(probes)) {
            if params.clusters() == clusters {
                let each: Vec<u16> = views.iter().map(|entry| probe.score(isa, *entry)).collect();
                assert_eq!(each, expected, "{isa}, one by one");
            }
        }
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
    let clusters = prop_oneof![Just(None), (0..=33usize).prop_map(Some)];
    (weights, prefix, window, clusters).prop_map(|(weights, prefix, window, near)| {
        let params = ScreenParams::new(weights, prefix, window).expect("in range");
        near.map_or(params.clone(), |near| params.with_clusters(Model::shipped().clusters().clone(), near))
    })
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
        let clusters = if bit % 2 == 0 { Model::shipped().clusters().clone() } else { Clusters::none() };
        let mut bytes = encode_tile(&views, &clusters).expect("within the limits");
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
                screen(isa, &[ScreenProbe::new(probe.view(), &ScreenParams::of_model(Model::shipped()))], &tile, &mut scores);
            }
        }
    }
}

#[test]
fn a_tile_cut_anywhere_is_refused() {
    let print = features(&[(3, [1; 4]), (40_000, [2; 4])]);
    for clusters in [&Clusters::none(), Model::shipped().clusters()] {
        let bytes = encode_tile(&[print.view(), print.view()], clusters).expect("within the limits");
        assert!(TileBuffer::copy_of(&bytes).tile().is_ok());
        for length in 0..bytes.len() {
            assert!(TileBuffer::copy_of(&bytes[..length]).tile().is_err(), "{length}");
        }
        let longer = [bytes.as_slice(), &[0; 64]].concat();
        assert!(TileBuffer::copy_of(&longer).tile().is_err());
    }
}

#[test]
fn a_misaligned_tile_is_refused() {
    let bytes = encode_tile(&[], &Clusters::none()).expect("within the limits");
    let buffer = TileBuffer::copy_of(&[&[0; 8], bytes.as_slice()].concat());
    assert_eq!(Tile::parse(&buffer.bytes()[8..]).err(), Some(TileError::Misaligned));
}

#[test]
fn a_window_is_whole_directions_about_the_minutia() {
    // 45 degrees either way of 0, and of just before the middle of a direction and from it on.
    assert_eq!([0, 0x03ff, 0x0400, 0xffff].map(|angle| window(angle, 32)), [(28, 8), (28, 8), (29, 8), (28, 8)]);
    assert_eq!([0, 127, 128].map(|half| window(0x1234, half).1), [1, 32, 32]);
    assert_eq!(window(0x1234, 0), (bucket(0x1234), 1));
    for angle in (0..=u16::MAX).step_by(97) {
        for half in 0..=128 {
            let (first, count) = window(angle, half);
            assert!((1..=32).contains(&count));
            assert!(bucket(angle).wrapping_sub(first) % 32 < count, "a minutia lies in its own window");
        }
    }
}

#[test]
fn the_largest_score_fits() {
    let print = features(&[(0, [5; 4]); 255]);
    let params = ScreenParams::new([255; 129], 65, 128).expect("in range");
    assert_equals_definition(&[(print.clone(), params)], &[print.clone(), print]);
}

/// More blocks in the windows of one minutia than the kernel takes at once: full prints, every direction, every cluster.
#[test]
fn windows_of_more_blocks_than_one_call_takes_equal_the_definition() {
    let code = |i: u64| std::array::from_fn(|w| (i * 4 + w as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let print =
        |n: u64| features(&(0..255).map(|i| ((n * 771 + i * 257) as u16, code(n * 255 + i))).collect::<Vec<_>>());
    let entries: Vec<_> = (0..40).map(print).collect();
    let params = ScreenParams::default().full_turn().with_clusters(Model::shipped().clusters().clone(), 32);
    assert_equals_definition(&[(print(3), params)], &entries);
}

/// A tile of version 1, made from one of version 2 without clusters.
fn version_one(tile: &[u8]) -> Vec<u8> {
    const PREFIX: usize = 256 + 64;
    let minutiae: Vec<usize> =
        (0..4).map(|s| u32::from_le_bytes(tile[16 + 4 * s..][..4].try_into().expect("four bytes")) as usize).collect();
    let mut out = tile[..64].to_vec();
    (out[4], out[40]) = (1, 0);
    let mut rest = &tile[64..];
    for minutiae in minutiae.into_iter().take(usize::from(tile[14])) {
        let (prefix, after) = rest.split_at(PREFIX);
        let start = |bucket: usize| match prefix[256..].chunks(2).nth(bucket) {
            Some(start) => u16::from_le_bytes([start[0], start[1]]),
            None => minutiae as u16,
        };
        // Each of the eight steps of a direction begins where the next direction does, but for the first.
        (0..256usize).for_each(|step| out.extend_from_slice(&start(step.div_ceil(8)).to_le_bytes()));
        out.extend_from_slice(&prefix[..256]);
        let (blocks, after) = after.split_at(minutiae.div_ceil(64) * 1088);
        for block in blocks.chunks(1088) {
            let mut words = vec![0u8; 512];
            for place in 0..64 {
                let slot = 8 * (place % 16 / 2) + 2 * (place / 16) + place % 2;
                for byte in 0..8 {
                    words[8 * slot + byte] = block[64 * byte + place];
                }
            }
            out.extend_from_slice(&words);
            out.extend_from_slice(&block[512..]);
        }
        rest = after;
    }
    let length = out.len() as u32;
    out[8..12].copy_from_slice(&length.to_le_bytes());
    out
}

#[test]
fn a_tile_of_version_one_gives_the_same_scores_as_one_without_clusters() {
    let code = |i: u64| std::array::from_fn(|w| (i / 3 * 4 + w as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let print = |n: u64| features(&(0..n % 50).map(|i| ((n * 771 + i * 257) as u16, code(n + i))).collect::<Vec<_>>());
    let entries: Vec<_> = (0..300).map(print).collect();
    let views: Vec<_> = entries.iter().map(FingerFeatures::view).collect();
    let two = two_bytes(&views);
    let one = TileBuffer::copy_of(&version_one(two.bytes()));
    let (one, two) = (one.tile().expect("version 1"), two.tile().expect("version 2"));
    let probes = [30, 49].map(|n| ScreenProbe::new(print(n).view(), &ScreenParams::of_model(Model::shipped())));
    for isa in Isa::available() {
        let scores = [one, two].map(|tile| {
            let mut scores = vec![0; 600];
            screen(isa, &probes, &tile, &mut scores);
            scores
        });
        assert_eq!(scores[0], scores[1], "{isa}");
        assert!(scores[0].iter().any(|score| *score > 0));
    }
    // What version 1 had no field for must be zero.
    let mut bytes = version_one(two_bytes(&views).bytes());
    bytes[40] = 1;
    assert!(matches!(TileBuffer::copy_of(&bytes).tile(), Err(TileError::Field { field: "clusters", .. })));
}

fn two_bytes(views: &[crate::finger::FingerView<'_>]) -> TileBuffer {
    TileBuffer::encode(views, &Clusters::none()).expect("within the limits")
}

#[test]
fn too_much_is_refused() {
    let print = features(&[(0, [5; 4]); 256]);
    assert!(matches!(
        encode_tile(&[print.view()], &Clusters::none()),
        Err(TileEncodeError::Minutiae { entry: 0, found: 256 })
    ));
    let empty = features(&[]);
    assert!(matches!(
        encode_tile(&vec![empty.view(); 1025], &Clusters::none()),
        Err(TileEncodeError::Entries { found: 1025 })
    ));
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
    assert_eq!(params.prefix_limit(), 21);
    assert!(ScreenParams::from_tolerance(0).is_err());
    assert!(ScreenParams::new([0; 129], 0, 129).is_err());
}
