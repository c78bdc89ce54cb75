//! 64 references in 4 bits against one probe in int8: the kernel of the single-probe face search.
//!
//! The contract, which every path meets with the same integers:
//!
//! ```text
//! out[r] = start + sum over k of rows[k][r] * probe[k]        rows[k][r] in 0..=15
//! ```
//!
//! The answer is whether any of the 64 is at or above 0; only then is `out` meaningful.
//!
//! # Layout
//! Eight dimensions of one reference make a 32-bit lane: the low nibbles hold the first four, the high nibbles the
//! next four. 64 lanes make 256 bytes; those follow one another by dimension, so a prefix of the dimensions is a prefix
//! of the bytes. A search reads 256 bytes a reference at 512 dimensions and is bound by memory.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use super::{Isa, Level};

#[cfg(target_arch = "x86_64")]
#[path = "dot_i4_x86.rs"]
mod x86;

pub use super::dot_i8::{DIMENSION_MAX, ROWS};

/// Bytes of a tile for eight dimensions.
pub const TILE_STEP: usize = ROWS * 4;

/// One tile against one probe; see the module for the contract. `start` stays within `-2^30..=2^30`.
///
/// `next` are the bytes that the next call will read, or nothing: the cache is asked for them, since the hardware's
/// prefetcher runs on past a prefix and stops at a page.
///
/// # Panics
/// Lengths that don't belong together, or more than [`DIMENSION_MAX`] dimensions.
pub fn tile_i4(isa: Isa, rows: &[u8], next: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    let steps = rows.len() / TILE_STEP;
    assert!(
        rows.len() == steps * TILE_STEP && probe.len() == steps * 8 && probe.len() <= DIMENSION_MAX,
        "a tile and a probe of the same dimensions"
    );
    match isa.level() {
        Level::Portable => portable(rows, probe, start, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => x86::tile_avx2(rows, probe, start, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => x86::tile_avx512(rows, next, probe, start, out),
        // The compiler makes NEON of the plain loop; memory is the limit.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => portable(rows, probe, start, out),
    }
}

/// The plain loop, written so that any compiler can make vectors of it.
fn portable(rows: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    out.fill(start);
    for (tile, q) in rows.chunks_exact(TILE_STEP).zip(probe.chunks_exact(8)) {
        let q: [i32; 8] = std::array::from_fn(|d| i32::from(q[d]));
        for (sum, codes) in out.iter_mut().zip(tile.chunks_exact(4)) {
            for d in 0..4 {
                *sum += i32::from(codes[d] & 15) * q[d] + i32::from(codes[d] >> 4) * q[4 + d];
            }
        }
    }
    out.iter().any(|&sum| sum >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(rows: &[u8], probe: &[i8], start: i32) -> [i32; ROWS] {
        std::array::from_fn(|r| {
            let mut sum = start;
            for (k, &q) in probe.iter().enumerate() {
                let byte = rows[k / 8 * TILE_STEP + r * 4 + k % 4];
                let code = if k % 8 < 4 { byte & 15 } else { byte >> 4 };
                sum += i32::from(code) * i32::from(q);
            }
            sum
        })
    }

    fn holds(rows: &[u8], probe: &[i8], start: i32) {
        let expected = oracle(rows, probe, start);
        let any = expected.iter().any(|&sum| sum >= 0);
        for isa in Isa::available() {
            let mut out = [i32::MIN; ROWS];
            assert_eq!(tile_i4(isa, rows, &rows[..rows.len() / 2], probe, start, &mut out), any, "{isa}: survivors");
            if any {
                assert_eq!(out, expected, "{isa}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_isa_gives_the_oracles_integers(
            steps in 0usize..=17,
            rows in prop::collection::vec(any::<u8>(), 17 * TILE_STEP),
            probe in prop::collection::vec(any::<i8>(), 17 * 8),
            start in -60_000i32..60_000,
        ) {
            holds(&rows[..steps * TILE_STEP], &probe[..steps * 8], start);
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate() {
        let steps = DIMENSION_MAX / 8;
        for row in [0u8, 0x0f, 0xf0, 0xff] {
            for q in [-128i8, -127, 0, 127] {
                for start in [0, 1, -1, 1 << 22, -(1 << 22)] {
                    holds(&vec![row; steps * TILE_STEP], &vec![q; steps * 8], start);
                }
            }
        }
    }

    #[test]
    fn a_single_survivor_in_any_place_is_seen() {
        for r in 0..ROWS {
            let mut rows = vec![0u8; TILE_STEP];
            rows[r * 4 + 2] = 0x30;
            let probe = [0, 0, 0, 0, 0, 0, 5, 0];
            holds(&rows, &probe, -15);
            holds(&rows, &probe, -16);
        }
    }
}
