//! Properties of the face search: exact at the threshold, whatever the data, the basis, the prefix and the ISA.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use super::layout::ceil_bf16;
use super::*;
use proptest::prelude::*;
use rand_like::Random;

/// Seeded normal variables without a dependency.
mod rand_like {
    pub struct Random(pub u64);

    impl Random {
        pub fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        pub fn uniform(&mut self) -> f64 {
            (self.bits() >> 11) as f64 / (1u64 << 53) as f64
        }

        pub fn below(&mut self, n: usize) -> usize {
            (self.bits() % n as u64) as usize
        }

        pub fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }
    }
}

const ISA: fn() -> Isa = Isa::active;

struct Encoded(Vec<FaceBlockBytes>);

impl Encoded {
    fn new(isa: Isa, basis: &Basis, rows: &[Vec<f32>], per_block: usize) -> Self {
        let encode = |rows: &[Vec<f32>]| {
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            encode_block(isa, basis, &rows).unwrap()
        };
        Self(rows.chunks(per_block).map(encode).collect())
    }

    fn parse(&self, basis: &Basis) -> Vec<FaceBlock<'_>> {
        self.0.iter().map(|b| FaceBlock::parse(basis, &b.originals, &b.plane8, &b.plane4).unwrap()).collect()
    }
}

/// Vectors with singular values falling as `exp(-i / decay)`, some of them mates of others.
fn decaying(random: &mut Random, n: usize, dimension: usize, decay: f64) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = Vec::with_capacity(n);
    for i in 0..n {
        let fresh: Vec<f64> = (0..dimension).map(|j| random.normal() * (-(j as f64) / decay).exp()).collect();
        if i > 4 && random.below(4) == 0 {
            let mate = random.below(i);
            let near = random.uniform();
            let scale = norm_of(&fresh) / norm_of(&rows[mate].iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            let row =
                rows[mate].iter().zip(&fresh).map(|(&a, &b)| (f64::from(a) * scale * near + b * (1.0 - near)) as f32);
            rows.push(row.collect());
        } else {
            rows.push(fresh.iter().map(|&v| v as f32).collect());
        }
    }
    rows
}

fn norm_of(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// What a careless and a malicious embedder would send.
fn adversarial(random: &mut Random, n: usize, dimension: usize) -> Vec<Vec<f32>> {
    (0..n)
        .map(|i| {
            let size = 10f64.powf(random.uniform() * 12.0 - 6.0) as f32;
            let mut row = vec![0f32; dimension];
            match i % 7 {
                0 => row[random.below(dimension)] = size,
                1 => row.fill(size),
                2 => row.iter_mut().for_each(|v| *v = if random.bits() & 1 == 0 { size } else { -size }),
                3 => {
                    // One giant and a crowd of dwarfs, which int8 rounds to nothing.
                    row.iter_mut().for_each(|v| *v = size * 1e-3);
                    row[0] = size;
                }
                4 => row.iter_mut().enumerate().for_each(|(j, v)| *v = size * ((j % 3) as f32 - 0.999_999)),
                5 => row.iter_mut().for_each(|v| *v = size * random.normal() as f32),
                _ => row.iter_mut().enumerate().for_each(|(j, v)| *v = size * (0.5 / 127.0) * (j % 5) as f32 + size),
            }
            row
        })
        .collect()
}

/// Every path, prefix and driver against brute force.
fn exact(basis: &Basis, rows: &[Vec<f32>], probes: &[Vec<f32>], per_block: usize, thresholds: &[f32]) {
    let encoded = Encoded::new(ISA(), basis, rows, per_block);
    let blocks = encoded.parse(basis);
    let slices: Vec<&[f32]> = probes.iter().map(Vec::as_slice).collect();
    let prepared = FaceProbe::new_all(ISA(), basis, &slices).unwrap();
    let steps = basis.padded().div_ceil(64);
    for &threshold in thresholds {
        let expected: Vec<Candidates> =
            slices.iter().map(|p| drive::brute_force(ISA(), p, &blocks, threshold)).collect();
        for step in 0..steps {
            for narrow in [None, Some(Passes { step, confirm: step }), Some(Passes { step, confirm: step + 1 })] {
                let plan = Plan { batch_step: step, narrow, single: None };
                let found = search_blocks(ISA(), basis, &prepared, &blocks, threshold, plan, None).unwrap();
                assert_eq!(found, expected, "batch, {plan:?}, threshold {threshold}");
            }
            for confirm in [step, step + 1, step + 3, steps] {
                let plan = Plan { batch_step: step, narrow: None, single: Some(Passes { step, confirm }) };
                for (probe, expected) in prepared.iter().zip(&expected) {
                    let probe = std::slice::from_ref(probe);
                    let found = search_blocks(ISA(), basis, probe, &blocks, threshold, plan, None);
                    assert_eq!(found.unwrap()[0], *expected, "single, {plan:?}, threshold {threshold}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_answer_is_brute_forces_answer(
        seed in any::<u64>(),
        eighths in 8usize..=128,
        decay in prop::sample::select(vec![10.0, 40.0, 150.0, 1e9]),
        learned in any::<bool>(),
        per_block in prop::sample::select(vec![1usize, 63, 64, 65, 256]),
    ) {
        let mut random = Random(seed);
        let dimension = eighths * 8;
        let mut rows = decaying(&mut random, 300, dimension, decay);
        let basis = if learned {
            let sample: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            Basis::learn(&sample, seed).unwrap()
        } else {
            Basis::initial(dimension).unwrap()
        };
        rows.extend(adversarial(&mut random, 40, dimension));
        let probes: Vec<Vec<f32>> =
            (0..9).map(|i| rows[i * 37].clone()).chain(adversarial(&mut random, 5, dimension)).collect();
        // Thresholds that are cosines of the data themselves: equal must count as reached.
        let own = compare(ISA(), &probes[0], &rows[5]);
        exact(&basis, &rows, &probes, per_block, &[0.4, own, own.next_up(), -0.1]);
    }

    #[test]
    fn near_the_threshold_nothing_is_lost(seed in any::<u64>(), eighths in 8usize..=128) {
        // References whose cosine with the probe is the threshold within some units in the last place.
        let mut random = Random(seed);
        let dimension = eighths * 8;
        let basis = Basis::initial(dimension).unwrap();
        let probe: Vec<f64> = (0..dimension).map(|_| random.normal()).collect();
        let length = norm_of(&probe);
        let threshold = 0.4f32;
        let rows: Vec<Vec<f32>> = (0..256)
            .map(|_| {
                let mut other: Vec<f64> = (0..dimension).map(|_| random.normal()).collect();
                let along: f64 = other.iter().zip(&probe).map(|(a, b)| a * b).sum::<f64>() / (length * length);
                other.iter_mut().zip(&probe).for_each(|(o, p)| *o -= along * p);
                let across = norm_of(&other);
                let cosine = f64::from(threshold) + (random.uniform() - 0.5) * 4e-7;
                let sine = (1.0 - cosine * cosine).sqrt();
                let size = 10f64.powf(random.uniform() * 12.0 - 6.0);
                probe.iter().zip(&other).map(|(p, o)| (size * (cosine * p / length + sine * o / across)) as f32).collect()
            })
            .collect();
        let probe: Vec<f32> = probe.iter().map(|&v| v as f32).collect();
        exact(&basis, &rows, &[probe], 256, &[threshold]);
    }

    #[test]
    fn any_finite_matrix_is_a_lawful_basis(seed in any::<u64>(), factor in 0.5f32..1.5) {
        // Far from orthogonal: everything is re-scored, nothing is lost.
        let mut random = Random(seed);
        let dimension = 72;
        let mut bytes = Basis::initial(dimension).unwrap().to_bytes();
        for at in 0..dimension * dimension {
            let place = 16 + at * 4;
            let v = f32::from_le_bytes(bytes[place..place + 4].try_into().unwrap());
            let v = v * factor + (random.normal() * 0.01) as f32;
            bytes[place..place + 4].copy_from_slice(&v.to_le_bytes());
        }
        let basis = Basis::from_bytes(&bytes).unwrap();
        let rows = decaying(&mut random, 200, dimension, 30.0);
        exact(&basis, &rows, &rows[..7], 128, &[0.3, 0.6]);
    }

    #[test]
    fn bf16_figures_are_rounded_up_and_little(value in 0f64..1e5) {
        let wide = f64::from(layout::widen(ceil_bf16(value)));
        prop_assert!(wide >= value && wide <= value * 1.008 + 1e-38);
    }
}

#[test]
fn norms_from_1e_15_to_1e15_are_found() {
    let mut random = Random(3);
    let dimension = 128;
    let base: Vec<f64> = (0..dimension).map(|_| random.normal()).collect();
    let length = norm_of(&base);
    let rows: Vec<Vec<f32>> =
        (-15..=15).map(|e| base.iter().map(|v| (v / length * 10f64.powi(e)) as f32).collect()).collect();
    let basis = Basis::initial(dimension).unwrap();
    exact(&basis, &rows, &rows, 31, &[0.999]);
    let found = {
        let encoded = Encoded::new(ISA(), &basis, &rows, 31);
        let probe = FaceProbe::new(ISA(), &basis, &rows[0]).unwrap();
        search_blocks(ISA(), &basis, &[probe], &encoded.parse(&basis), 0.999, Plan::EXHAUSTIVE, None).unwrap()
    };
    assert_eq!(found[0].list.len(), 31);
}

#[test]
fn every_isa_stores_the_same_bytes_and_finds_the_same() {
    let mut random = Random(11);
    for dimension in [64, 72, 500, 512] {
        let rows = decaying(&mut random, 300, dimension, 60.0);
        let sample: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let basis = Basis::learn(&sample, 1).unwrap();
        let reference = Encoded::new(Isa::PORTABLE, &basis, &rows, 256);
        let blocks = reference.parse(&basis);
        for isa in Isa::available() {
            let encoded = Encoded::new(isa, &basis, &rows, 256);
            for (a, b) in encoded.0.iter().zip(&reference.0) {
                assert!(*a.originals == *b.originals && *a.plane8 == *b.plane8 && *a.plane4 == *b.plane4, "{isa}");
            }
            let probe = FaceProbe::new(isa, &basis, &rows[7]).unwrap();
            let plan = Plan {
                batch_step: 2,
                narrow: Some(Passes { step: 1, confirm: 2 }),
                single: Some(Passes { step: 1, confirm: 3 }),
            };
            let found = search_blocks(isa, &basis, &[probe], &blocks, 0.2, plan, None).unwrap();
            assert_eq!(found[0], drive::brute_force(Isa::PORTABLE, &rows[7], &blocks, 0.2), "{isa}");
        }
    }
}

#[test]
fn the_score_is_the_fp64_cosine_rounded_once() {
    let mut random = Random(5);
    for _ in 0..300 {
        let rows = decaying(&mut random, 2, 512, 150.0);
        let wide: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|&v| f64::from(v)).collect()).collect();
        let dot: f64 = wide[0].iter().zip(&wide[1]).map(|(a, b)| a * b).sum();
        let cosine = dot / (norm_of(&wide[0]) * norm_of(&wide[1]));
        let ours = compare(ISA(), &rows[0], &rows[1]);
        assert!((f64::from(ours) - cosine).abs() < 1e-7);
        assert_eq!(ours.to_bits(), compare(ISA(), &rows[1], &rows[0]).to_bits(), "symmetric");
    }
}

#[test]
fn all_pairs_gives_each_unordered_pair_once() {
    let mut random = Random(17);
    let dimension = 96;
    let rows = decaying(&mut random, 1700, dimension, 30.0);
    let sample: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let basis = Basis::learn(&sample, 0).unwrap();
    // Blocks of uneven sizes, one of them empty, runs of several blocks a batch.
    let mut encoded = Vec::new();
    let mut index = Vec::new();
    let mut at = 0;
    for size in [256usize, 0, 1, 255, 700, 64, 100, 324] {
        for entry in 0..size {
            index.push((encoded.len() as u32, entry as u32));
        }
        encoded.push(encode_block(ISA(), &basis, &sample[at..at + size]).unwrap());
        at += size;
    }
    assert_eq!(at, rows.len());
    let encoded = Encoded(encoded);
    let blocks = encoded.parse(&basis);
    let mut expected = Vec::new();
    for i in 0..rows.len() {
        for j in i + 1..rows.len() {
            let cosine = compare(ISA(), &rows[i], &rows[j]);
            if cosine >= 0.45 {
                expected.push(Pair { a: index[i], b: index[j], cosine });
            }
        }
    }
    assert!(expected.len() > 1000);
    for (step, narrow) in [(0, None), (1, None), (9, None), (0, Some(Passes { step: 0, confirm: 1 }))] {
        let mut found = Vec::new();
        let plan = Plan { batch_step: step, narrow, single: None };
        all_pairs(ISA(), &basis, &blocks, 0.45, plan, &mut |pairs, _| {
            found.extend_from_slice(pairs);
            true
        })
        .unwrap();
        found.sort_by_key(|pair| (pair.a, pair.b));
        assert_eq!(found.len(), expected.len());
        assert_eq!(found, expected, "{plan:?}");
    }
}

#[test]
fn a_cap_keeps_the_best_and_says_that_it_cut() {
    let mut random = Random(23);
    let rows = decaying(&mut random, 3000, 64, 8.0);
    let basis = Basis::initial(64).unwrap();
    let encoded = Encoded::new(ISA(), &basis, &rows, 256);
    let blocks = encoded.parse(&basis);
    for count in [1, 8] {
        let slices: Vec<&[f32]> = rows[..count].iter().map(Vec::as_slice).collect();
        let probes = FaceProbe::new_all(ISA(), &basis, &slices).unwrap();
        let all = search_blocks(ISA(), &basis, &probes, &blocks, -1.0, Plan::EXHAUSTIVE, None).unwrap();
        assert_eq!((all[0].list.len(), all[0].reached, all[0].cut()), (3000, 3000, false));
        let capped = search_blocks(ISA(), &basis, &probes, &blocks, -1.0, Plan::EXHAUSTIVE, Some(5)).unwrap();
        for (all, capped) in all.iter().zip(&capped) {
            assert_eq!(capped.list, all.list[..5]);
            assert_eq!((capped.reached, capped.cut()), (3000, true));
        }
    }
}

#[test]
fn the_answer_does_not_depend_on_the_number_of_threads() {
    let mut random = Random(29);
    let rows = decaying(&mut random, 2000, 64, 6.0);
    let basis = Basis::initial(64).unwrap();
    let encoded = Encoded::new(ISA(), &basis, &rows, 100);
    let blocks = encoded.parse(&basis);
    let slices: Vec<&[f32]> = rows[..20].iter().map(Vec::as_slice).collect();
    let probes = FaceProbe::new_all(ISA(), &basis, &slices).unwrap();
    let run = |threads: usize, cap| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| search_blocks(ISA(), &basis, &probes, &blocks, 0.2, Plan::EXHAUSTIVE, cap).unwrap())
    };
    for cap in [None, Some(7)] {
        assert_eq!(run(1, cap), run(2, cap));
        assert_eq!(run(1, cap), run(5, cap));
    }
}

#[test]
fn a_plan_is_measured_and_changes_no_answer() {
    let mut random = Random(31);
    let rows = decaying(&mut random, 2048, 256, 30.0);
    let sample: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let basis = Basis::learn(&sample, 0).unwrap();
    let encoded = Encoded::new(ISA(), &basis, &rows, 256);
    let blocks = encoded.parse(&basis);
    let plan = Plan::measure(ISA(), &basis, &blocks, 0.4).unwrap();
    assert!(plan.batch_step < 3, "the spectrum is steep: {plan:?}");
    let flat = Basis::initial(256).unwrap();
    let encoded_flat = Encoded::new(ISA(), &flat, &rows, 256);
    let plan_flat = Plan::measure(ISA(), &flat, &encoded_flat.parse(&flat), 0.4).unwrap();
    assert!(plan_flat.batch_step > plan.batch_step, "no prefix decides without PCA: {plan_flat:?}");
    let probe = FaceProbe::new(ISA(), &basis, &rows[3]).unwrap();
    let found = search_blocks(ISA(), &basis, &[probe], &blocks, 0.4, plan, None).unwrap();
    assert_eq!(found[0], drive::brute_force(ISA(), &rows[3], &blocks, 0.4));
    assert_eq!(Plan::measure(ISA(), &basis, &[], 0.4).unwrap(), Plan::EXHAUSTIVE);
}

#[test]
fn planted_hubs_are_flagged_and_no_one_else() {
    let mut random = Random(37);
    let dimension = 128;
    let mut rows = decaying(&mut random, 1500, dimension, 1e9);
    // A common direction that everyone has a little of; the hubs are that direction.
    let hub: Vec<f64> = (0..dimension).map(|_| random.normal()).collect();
    for row in &mut rows {
        row.iter_mut().zip(&hub).for_each(|(v, h)| *v += 0.45 * *h as f32);
    }
    let planted = [3usize, 700, 1499];
    for &at in &planted {
        rows[at] = hub.iter().map(|&h| (h + 0.3 * random.normal()) as f32).collect();
    }
    let basis = Basis::initial(dimension).unwrap();
    let encoded = Encoded::new(ISA(), &basis, &rows, 256);
    let blocks = encoded.parse(&basis);
    let mut hubness = Hubness::new(blocks.iter().map(FaceBlock::rows));
    all_pairs(ISA(), &basis, &blocks, 0.38, Plan::EXHAUSTIVE, &mut |pairs, _| {
        hubness.add(pairs);
        true
    })
    .unwrap();
    let hubs = hubness.hubs(hubness.limit(10));
    let mut found: Vec<usize> = hubs.iter().map(|h| h.block as usize * 256 + h.entry as usize).collect();
    found.sort_unstable();
    assert_eq!(found, planted, "mean {} limit {}", hubness.mean(), hubness.limit(10));
}

#[test]
fn wrong_embeddings_and_bases_are_refused() {
    let basis = Basis::initial(64).unwrap();
    let probe = |values: &[f32]| FaceProbe::new(ISA(), &basis, values).map(|_| ());
    assert_eq!(probe(&[1.0; 63]), Err(FaceError::Dimension { expected: Some(64), found: 63 }));
    assert_eq!(probe(&[0.0; 64]), Err(FaceError::Norm));
    assert_eq!(probe(&[1e-20; 64]), Err(FaceError::Norm));
    assert_eq!(probe(&[1e20; 64]), Err(FaceError::Norm));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = [1f32; 64];
        values[40] = bad;
        assert_eq!(probe(&values), Err(FaceError::NotFinite));
        assert!(encode_block(ISA(), &basis, &[&values]).is_err());
    }
    assert!(Basis::initial(63).is_err() && Basis::initial(1025).is_err());
    assert_eq!(Basis::learn(&[], 0).map(|_| ()), Err(FaceError::Sample { found: 0 }));
    let encoded = encode_block(ISA(), &basis, &[&[1.0; 64]]).unwrap();
    let block = FaceBlock::parse(&basis, &encoded.originals, &encoded.plane8, &encoded.plane4).unwrap();
    let prepared = FaceProbe::new(ISA(), &basis, &[1.0; 64]).unwrap();
    for threshold in [f32::NAN, f32::INFINITY] {
        let found =
            search_blocks(ISA(), &basis, std::slice::from_ref(&prepared), &[block], threshold, Plan::EXHAUSTIVE, None);
        assert_eq!(found, Err(FaceError::Threshold));
    }
    let mut bytes = basis.to_bytes();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&1f32.to_le_bytes());
    let other = Basis::from_bytes(&bytes).unwrap();
    assert_eq!(
        FaceBlock::parse(&other, &encoded.originals, &encoded.plane8, &encoded.plane4).map(|_| ()),
        Err(FaceError::OtherBasis)
    );
    let stranger = FaceProbe::new(ISA(), &other, &[1.0; 64]).unwrap();
    let found = search_blocks(ISA(), &basis, &[stranger], &[block], 0.4, Plan::EXHAUSTIVE, None);
    assert_eq!(found, Err(FaceError::OtherBasis));
}

#[test]
fn a_basis_survives_its_bytes_and_refuses_damage() {
    let basis = Basis::initial(72).unwrap();
    let bytes = basis.to_bytes();
    let again = Basis::from_bytes(&bytes).unwrap();
    assert_eq!((again.id(), again.dimension(), again.deviation()), (basis.id(), 72, basis.deviation()));
    assert!(basis.deviation() < 1e-5, "{}", basis.deviation());
    for length in 0..bytes.len() {
        assert!(Basis::from_bytes(&bytes[..length]).is_err());
    }
    for bit in 0..16 * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Basis::from_bytes(&damaged).is_err(), "header bit {bit}");
    }
}

#[test]
fn every_flipped_bit_of_a_payload_is_refused_or_harmless() {
    let basis = Basis::initial(64).unwrap();
    let mut random = Random(41);
    let rows = decaying(&mut random, 70, 64, 20.0);
    let slices: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let good = encode_block(ISA(), &basis, &slices).unwrap();
    let probe = FaceProbe::new(ISA(), &basis, &rows[1]).unwrap();
    let search = |bytes: &FaceBlockBytes| {
        let block = FaceBlock::parse(&basis, &bytes.originals, &bytes.plane8, &bytes.plane4)?;
        for single in [None, Some(Passes { step: 0, confirm: 1 })] {
            let plan = Plan { batch_step: 0, narrow: Some(Passes { step: 0, confirm: 1 }), single };
            search_blocks(ISA(), &basis, std::slice::from_ref(&probe), &[block], 0.4, plan, None)?;
        }
        Ok::<(), FaceError>(())
    };
    for which in 0..3 {
        let length = [&good.originals, &good.plane8, &good.plane4][which].len();
        for bit in 0..length * 8 {
            // Every bit of header and summaries, some of the rest.
            if bit > 300 * 8 && !bit.is_multiple_of(37) {
                continue;
            }
            let mut bytes = good.clone();
            let payload = [&mut bytes.originals, &mut bytes.plane8, &mut bytes.plane4];
            let [o, p8, p4] = payload;
            [o, p8, p4][which][bit / 8] ^= 1 << (bit % 8);
            let outcome = search(&bytes);
            if bit < 64 * 8 {
                assert!(outcome.is_err(), "payload {which}, header bit {bit}");
            }
        }
        for cut in (0..length).step_by(64) {
            let short = |b: &AlignedBytes| AlignedBytes::copy_of(&b[..cut]);
            let mut bytes = good.clone();
            match which {
                0 => bytes.originals = short(&good.originals),
                1 => bytes.plane8 = short(&good.plane8),
                _ => bytes.plane4 = short(&good.plane4),
            }
            assert!(search(&bytes).is_err(), "payload {which} cut at {cut}");
        }
    }
}

#[test]
fn real_embeddings_are_found_exactly() {
    let folder = std::env::var("DUYNHAT_DATA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data").to_owned());
    let path = std::path::Path::new(&folder).join("face/lfw-cosface512/embeddings.npy");
    let Ok(embeddings) = ndarray_npy::read_npy::<_, ndarray::Array2<f32>>(&path) else {
        eprintln!("NOT RUN: no face embeddings at {}; set DUYNHAT_DATA to the data folder", path.display());
        return;
    };
    let rows: Vec<Vec<f32>> = embeddings.rows().into_iter().map(|r| r.to_vec()).collect();
    let sample: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let probes: Vec<Vec<f32>> = rows.iter().step_by(61).cloned().collect();
    for basis in [Basis::learn(&sample, 0).unwrap(), Basis::initial(512).unwrap()] {
        exact(&basis, &rows, &probes, 256, &[0.4, 0.25]);
    }
}
