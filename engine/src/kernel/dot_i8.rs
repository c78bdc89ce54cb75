//! 64 references against six probes in int8: the register tile of the batch face search.
//!
//! The contract, which every path meets with the same integers:
//!
//! ```text
//! out[p][r] = start[p] + sum over k of (rows[k][r] - 128) * probes[k][p]
//! ```
//!
//! and the answer is whether any of the 384 is at or above 0. The caller folds its limit into `start`, so that the
//! kernel need not compare: a tile without a survivor costs a dozen ANDs beyond its products, and `out` is written
//! only when there is one.
//!
//! # Layout
//! A *tile* holds [`ROWS`] references. Four consecutive dimensions of one reference make a 32-bit lane (what VNNI and
//! SDOT multiply at once); 64 lanes make 256 bytes, and those follow one another by dimension, so that a prefix of the
//! dimensions is a prefix of the bytes. References are biased by 128 (VNNI multiplies unsigned by signed). Probes are
//! packed likewise: four dimensions of probe 0, of probe 1, ... of probe 5, 24 bytes for four dimensions.
//!
//! # Why 64 x 6
//! 24 accumulators, 4 registers of references and one broadcast probe fill 29 of the 32 registers. 64 divides a block of
//! 256 references, which 48 x 8 does not.

use super::{Isa, Level};

#[cfg(target_arch = "x86_64")]
#[path = "dot_i8_avx2.rs"]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[path = "dot_i8_avx2_narrow.rs"]
mod avx2_narrow;
#[cfg(target_arch = "x86_64")]
#[path = "dot_i8_avx512.rs"]
mod avx512;
#[cfg(target_arch = "aarch64")]
#[path = "dot_i8_neon.rs"]
mod neon;

/// References in a tile.
pub const ROWS: usize = 64;
/// Probes in a group.
pub const PROBES: usize = 6;
/// Bytes of a tile for four dimensions.
pub const TILE_STEP: usize = ROWS * 4;
/// Bytes of a probe group for four dimensions.
pub const GROUP_STEP: usize = PROBES * 4;
/// Most dimensions: beyond, a sum could leave 24 bits and a float could not hold it exactly.
pub const DIMENSION_MAX: usize = 1024;

/// Dimensions whose products AVX2 adds in 16 bits before it widens: half of them in each of two lanes, two by two.
pub const NARROW_DIMENSIONS: usize = 32;
/// The lane of each four dimensions.
pub const NARROW_LANES: [usize; 4] = [0, 0, 1, 1];
/// A probe is *narrow* when in each lane of each 32 dimensions its positive codes add up to at most this, and its
/// negative ones to at least its negative: references' bytes are not negative, so no sum of some of a lane's products
/// leaves -255 x 128..=255 x 128, which 16 bits hold. The kernel then takes less than half the time.
pub const NARROW_SUM: i32 = 128;

/// Whether codes in their own order are those of a narrow probe.
pub fn is_narrow(codes: &[i8]) -> bool {
    codes.chunks(NARROW_DIMENSIONS).all(|codes| {
        let (mut above, mut below) = ([0; 2], [0; 2]);
        for (&code, lane) in codes.iter().zip(NARROW_LANES.into_iter().cycle()) {
            above[lane] += i32::from(code).max(0);
            below[lane] += i32::from(code).min(0);
        }
        above.iter().all(|&sum| sum <= NARROW_SUM) && below.iter().all(|&sum| sum >= -NARROW_SUM)
    })
}

/// [`is_narrow`] of all six probes of a group as packed.
fn are_narrow(probes: &[i8]) -> bool {
    (0..PROBES).all(|p| {
        let codes = probes.chunks_exact(GROUP_STEP).flat_map(|group| group[p * 4..p * 4 + 4].iter().copied());
        is_narrow(&codes.collect::<Vec<_>>())
    })
}

/// References that [`eight_i8`] takes at once.
pub const EIGHT: usize = 8;

/// Whether narrow probes are worth preparing: only where their kernel is faster than [`tile_i8`].
pub fn narrow_pays(isa: Isa) -> bool {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => true,
        _ => false,
    }
}

/// What the kernel leaves behind when something reaches 0: by probe, then by reference.
pub type TileSums = [[i32; ROWS]; PROBES];

/// One tile against one probe group; see the module for the contract.
///
/// `sums[p]` must be the sum of probe `p`'s codes over the dimensions given; `start` stays within `-2^30..=2^30`.
/// Codes of -128 are allowed.
///
/// # Panics
/// Lengths that don't belong together, or more than [`DIMENSION_MAX`] dimensions.
pub fn tile_i8(
    isa: Isa,
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    let steps = rows.len() / TILE_STEP;
    assert!(
        rows.len() == steps * TILE_STEP && probes.len() == steps * GROUP_STEP && steps * 4 <= DIMENSION_MAX,
        "a tile and a probe group of the same dimensions"
    );
    match isa.level() {
        Level::Portable => portable(rows, probes, start, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => avx2::tile(rows, probes, &biased(start, sums), out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => avx512::tile(rows, probes, start, sums, out),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => {
            // NEON multiplies bytes with signs: it needs no correction.
            let _ = sums;
            neon::tile(rows, probes, start, out)
        }
    }
}

/// [`tile_i8`] for narrow probes ([`NARROW_SUM`]), which the caller answers for: others make the sums wrong on AVX2,
/// nothing worse.
///
/// # Panics
/// As [`tile_i8`].
pub fn tile_i8_narrow(
    isa: Isa,
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    debug_assert!(are_narrow(probes), "narrow codes");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            let steps = rows.len() / TILE_STEP;
            assert!(
                rows.len() == steps * TILE_STEP && probes.len() == steps * GROUP_STEP && steps * 4 <= DIMENSION_MAX,
                "a tile and a probe group of the same dimensions"
            );
            avx2_narrow::tile(rows, probes, start, sums, out)
        }
        _ => tile_i8(isa, rows, probes, start, sums, out),
    }
}

/// Eight references of a tile, from `first` on, against probe `p` of a group: `sum over k of (rows[k][first + r] - 128) *
/// probes[k][p]`. For the few lanes that a narrow pass has left.
///
/// # Panics
/// Lengths that don't belong together, more than [`DIMENSION_MAX`] dimensions, `first + 8 > 64` or `p >= 6`.
pub fn eight_i8(isa: Isa, rows: &[u8], probes: &[i8], first: usize, p: usize) -> [i32; EIGHT] {
    let steps = rows.len() / TILE_STEP;
    assert!(
        rows.len() == steps * TILE_STEP && probes.len() == steps * GROUP_STEP && steps * 4 <= DIMENSION_MAX,
        "a tile and a probe group of the same dimensions"
    );
    assert!(first + EIGHT <= ROWS && p < PROBES, "eight references and a probe");
    match isa.level() {
        // Whoever has AVX-512 has AVX2 (`Isa::available`).
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => avx2_narrow::eight(rows, probes, first, p),
        _ => eight_portable(rows, probes, first, p),
    }
}

fn eight_portable(rows: &[u8], probes: &[i8], first: usize, p: usize) -> [i32; EIGHT] {
    let mut sums = [0; EIGHT];
    for (tile, group) in rows.chunks_exact(TILE_STEP).zip(probes.chunks_exact(GROUP_STEP)) {
        let four = &group[p * 4..p * 4 + 4];
        for (sum, codes) in sums.iter_mut().zip(tile[first * 4..].chunks_exact(4)) {
            *sum += codes.iter().zip(four).map(|(&c, &q)| (i32::from(c) - 128) * i32::from(q)).sum::<i32>();
        }
    }
    sums
}

/// The start for kernels that multiply the biased references.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn biased(start: &[i32; PROBES], sums: &[i32; PROBES]) -> [i32; PROBES] {
    std::array::from_fn(|p| start[p] - 128 * sums[p])
}

/// The plain loop, written so that any compiler can make vectors of it.
fn portable(rows: &[u8], probes: &[i8], start: &[i32; PROBES], out: &mut TileSums) -> bool {
    let mut any = false;
    for (p, lane) in out.iter_mut().enumerate() {
        lane.fill(start[p]);
        for (tile, group) in rows.chunks_exact(TILE_STEP).zip(probes.chunks_exact(GROUP_STEP)) {
            let q: [i32; 4] = std::array::from_fn(|d| i32::from(group[p * 4 + d]));
            for (sum, codes) in lane.iter_mut().zip(tile.chunks_exact(4)) {
                *sum += (i32::from(codes[0]) - 128) * q[0]
                    + (i32::from(codes[1]) - 128) * q[1]
                    + (i32::from(codes[2]) - 128) * q[2]
                    + (i32::from(codes[3]) - 128) * q[3];
            }
        }
        any |= lane.iter().any(|&sum| sum >= 0);
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The contract, read aloud.
    fn oracle(rows: &[u8], probes: &[i8], start: &[i32; PROBES]) -> TileSums {
        let mut out = [[0i32; ROWS]; PROBES];
        for (p, lane) in out.iter_mut().enumerate() {
            for (r, sum) in lane.iter_mut().enumerate() {
                *sum = start[p];
                for k in 0..rows.len() / ROWS {
                    let row = i32::from(rows[k / 4 * TILE_STEP + r * 4 + k % 4]) - 128;
                    let probe = i32::from(probes[k / 4 * GROUP_STEP + p * 4 + k % 4]);
                    *sum += row * probe;
                }
            }
        }
        out
    }

    fn probe_sums(probes: &[i8]) -> [i32; PROBES] {
        let mut sums = [0; PROBES];
        for group in probes.chunks_exact(GROUP_STEP) {
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum += group[p * 4..p * 4 + 4].iter().map(|&q| i32::from(q)).sum::<i32>();
            }
        }
        sums
    }

    fn holds(rows: &[u8], probes: &[i8], start: [i32; PROBES]) {
        let expected = oracle(rows, probes, &start);
        let any = expected.iter().flatten().any(|&sum| sum >= 0);
        for isa in Isa::available() {
            let mut out = [[i32::MIN; ROWS]; PROBES];
            let said = tile_i8(isa, rows, probes, &start, &probe_sums(probes), &mut out);
            assert_eq!(said, any, "{isa}: survivors");
            if any {
                assert_eq!(out, expected, "{isa}");
            }
        }
    }

    /// As many of the codes, from the first, as the lanes hold.
    fn filled(probes: &[i8]) -> Vec<i8> {
        let mut codes = vec![0; probes.len()];
        for (codes, probes) in codes.chunks_mut(8 * GROUP_STEP).zip(probes.chunks(8 * GROUP_STEP)) {
            let mut room = [[(NARROW_SUM, -NARROW_SUM); 2]; PROBES];
            for (at, (code, &probe)) in codes.iter_mut().zip(probes).enumerate() {
                let (above, below) = &mut room[at % GROUP_STEP / 4][NARROW_LANES[at % 4]];
                let side = if probe > 0 { above } else { below };
                let kept = i32::from(probe).clamp((*side).min(0), (*side).max(0));
                *side -= kept;
                *code = kept as i8;
            }
        }
        codes
    }

    /// As [`holds`], for narrow probes.
    fn holds_narrow(rows: &[u8], probes: &[i8], start: [i32; PROBES]) {
        let expected = oracle(rows, probes, &start);
        let any = expected.iter().flatten().any(|&sum| sum >= 0);
        for isa in Isa::available() {
            let mut out = [[i32::MIN; ROWS]; PROBES];
            let said = tile_i8_narrow(isa, rows, probes, &start, &probe_sums(probes), &mut out);
            assert_eq!(said, any, "{isa}: survivors");
            if any {
                assert_eq!(out, expected, "{isa}");
            }
        }
    }

    fn holds_in_eights(rows: &[u8], probes: &[i8]) {
        let expected = oracle(rows, probes, &[0; PROBES]);
        for isa in Isa::available() {
            for (p, lane) in expected.iter().enumerate() {
                for (eight, sums) in lane.as_chunks::<EIGHT>().0.iter().enumerate() {
                    assert_eq!(eight_i8(isa, rows, probes, eight * EIGHT, p), *sums, "{isa}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_isa_gives_the_oracles_integers(
            steps in 0usize..=24,
            seed in prop::collection::vec(any::<u8>(), 24 * TILE_STEP),
            probe_seed in prop::collection::vec(any::<i8>(), 24 * GROUP_STEP),
            start in prop::array::uniform6(-300_000i32..300_000),
        ) {
            let (rows, probes) = (&seed[..steps * TILE_STEP], &probe_seed[..steps * GROUP_STEP]);
            holds(rows, probes, start);
            holds_in_eights(rows, probes);
            // A lane's sixteen codes of 8 at most, and then as full as it may be, whatever the codes.
            let narrow: Vec<i8> = probes.iter().map(|q| (i32::from(*q).rem_euclid(17) - 8) as i8).collect();
            holds_narrow(rows, &narrow, start.map(|s| s / 8));
            holds_narrow(rows, &filled(probes), start.map(|s| s / 8));
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate() {
        let steps = DIMENSION_MAX / 4;
        for row in [0u8, 1, 128, 255] {
            for probe in [-128i8, -127, 0, 127] {
                holds(
                    &vec![row; steps * TILE_STEP],
                    &vec![probe; steps * GROUP_STEP],
                    [0, 1, -1, 5, 1 << 24, -(1 << 24)],
                );
            }
        }
    }

    #[test]
    fn extreme_narrow_codes_do_not_overflow_sixteen_bits() {
        for steps in [1, 2, 3, 7, 8, 9, 15, 16, 17, DIMENSION_MAX / 4] {
            for row in [0u8, 1, 128, 255] {
                let rows = vec![row; steps * TILE_STEP];
                // Sixteen of 8, and one of 127 with one of 1: both add up to the most.
                for probe in [-128i8, -127, -8, -1, 0, 1, 8, 127] {
                    let probes = filled(&vec![probe; steps * GROUP_STEP]);
                    holds_narrow(&rows, &probes, [0, 1, -1, 5, 1 << 22, -(1 << 22)]);
                    holds_in_eights(&rows, &probes);
                }
                // Full on both sides, with signs in turn.
                let turns: Vec<i8> = (0..steps * GROUP_STEP).map(|at| if at % 2 == 0 { 127 } else { -127 }).collect();
                holds_narrow(&rows, &filled(&turns), [0, 1, -1, 5, 1 << 22, -(1 << 22)]);
            }
        }
        let (rows, probes) = (vec![255; DIMENSION_MAX * ROWS], vec![-128; DIMENSION_MAX * PROBES]);
        holds_in_eights(&rows, &probes);
    }

    #[test]
    fn a_lane_filled_beyond_the_most_is_not_narrow() {
        let mut codes = [0i8; 64];
        for (at, code) in codes.iter_mut().enumerate().filter(|(at, _)| at % 4 < 2) {
            *code = if at < 32 { 8 } else { -8 };
        }
        assert!(is_narrow(&codes));
        for at in [0, 1, 29, 32, 61] {
            let mut more = codes;
            more[at] += if at < 32 { 1 } else { -1 };
            assert!(!is_narrow(&more), "{at}");
            // The other side and the other lane have room.
            let mut other = codes;
            other[at] = -other[at];
            other[at ^ 2] = 127;
            assert!(is_narrow(&other), "{at}");
        }
    }

    #[test]
    fn a_single_survivor_in_any_place_is_seen() {
        for place in 0..ROWS * PROBES {
            let (p, r) = (place / ROWS, place % ROWS);
            let mut rows = vec![128u8; TILE_STEP];
            rows[r * 4 + 1] = 129;
            let mut probes = vec![0i8; GROUP_STEP];
            probes[p * 4 + 1] = 7;
            for start in [-7, -8] {
                holds(&rows, &probes, [start; PROBES]);
                holds_narrow(&rows, &probes, [start; PROBES]);
            }
        }
    }
}
