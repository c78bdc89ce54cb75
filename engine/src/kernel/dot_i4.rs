//! 64 references in 4 bits against one probe in int8: the kernel of the single-probe face search.
//!
//! The contract, which every path meets with the same integers:
//!
//! ```text
//! sums[tile][r] += sum over k of rows[tile][k][r] * probe[k]        rows in 0..=15, k in 0..64
//! ```
//!
//! //! # Layout
//! Eight dimensions of one reference make a 32-bit lane: the low nibbles hold the first four, the high nibbles the
//! next four. 64 lanes make 256 bytes, eight of those a *chunk*: one tile's codes of 64 dimensions. The chunks of all
//! tiles for the first 64 dimensions come first, then those for the next: a prefix of the dimensions of a whole block
//! is one run of bytes. A search reads 256 bytes a reference at 512 dimensions, less with a prefix, and is bound by
//! memory: so a call takes a run of tiles' chunks in the order in which they lie, and the sums stay with the caller.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use super::{Isa, Level};

#[cfg(target_arch = "x86_64")]
#[path = "dot_i4_x86.rs"]
mod x86;

pub use super::dot_i8::{DIMENSION_MAX, ROWS};

/// Bytes of a tile for eight dimensions.
pub const TILE_STEP: usize = ROWS * 4;

/// Dimensions of a chunk.
pub const CHUNK_DIMENSIONS: usize = 64;
/// Bytes of a chunk: one tile, 64 dimensions.
pub const CHUNK: usize = TILE_STEP * CHUNK_DIMENSIONS / 8;

/// Adds what 64 dimensions of a run of tiles contribute; see the module for the contract. `codes` holds a chunk for each
/// tile of `sums`. Sums may be anything that does not overflow: a call adds at most 64 x 15 x 128.
///
/// `ahead` are bytes that a later call will read, as many at most as `codes`, or nothing: the cache is asked for them.
///
/// # Panics
/// When `codes` is not a chunk a tile.
pub fn add_i4(isa: Isa, codes: &[u8], ahead: &[u8], probe: &[i8; CHUNK_DIMENSIONS], sums: &mut [[i32; ROWS]]) {
    let chunks = codes.as_chunks::<CHUNK>().0;
    assert!(codes.len() == sums.len() * CHUNK, "a chunk a tile");
    for (tile, (chunk, sums)) in chunks.iter().zip(sums).enumerate() {
        let ahead: Option<&[u8; CHUNK]> = ahead.get(tile * CHUNK..).and_then(|ahead| ahead.first_chunk());
        match isa.level() {
            Level::Portable => portable(chunk, probe, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::add_avx2(chunk, ahead, probe, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::add_avx512(chunk, ahead, probe, sums),
            // The compiler makes NEON of the plain loop; memory is the limit.
            #[cfg(target_arch = "aarch64")]
            Level::Neon => {
                let _ = ahead;
                portable(chunk, probe, sums);
            }
        }
    }
}

/// What 64 dimensions contribute to one reference's sum: row `r` of a chunk.
///
/// # Panics
/// When `r` is not below [`ROWS`].
#[inline]
pub fn row_i4(chunk: &[u8; CHUNK], r: usize, probe: &[i8; CHUNK_DIMENSIONS]) -> i32 {
    assert!(r < ROWS, "a row of the tile");
    let mut sum = 0;
    for (codes, q) in chunk.as_chunks::<TILE_STEP>().0.iter().zip(probe.as_chunks::<8>().0) {
        let codes = &codes[r * 4..r * 4 + 4];
        for d in 0..4 {
            sum += i32::from(codes[d] & 15) * i32::from(q[d]) + i32::from(codes[d] >> 4) * i32::from(q[4 + d]);
        }
    }
    sum
}

/// The plain loop, written so that any compiler can make vectors of it.
fn portable(chunk: &[u8; CHUNK], probe: &[i8; CHUNK_DIMENSIONS], sums: &mut [i32; ROWS]) {
    for (codes, q) in chunk.as_chunks::<TILE_STEP>().0.iter().zip(probe.as_chunks::<8>().0) {
        let q = q.map(i32::from);
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            for d in 0..4 {
                *sum += i32::from(codes[d] & 15) * q[d] + i32::from(codes[d] >> 4) * q[4 + d];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(block: &[u8], tile: usize, tiles: usize, probe: &[i8], start: i32) -> [i32; ROWS] {
        std::array::from_fn(|r| {
            let mut sum = start;
            for (k, &q) in probe.iter().enumerate() {
                let chunk = k / 64 * tiles + tile;
                let byte = block[chunk * CHUNK + k % 64 / 8 * TILE_STEP + r * 4 + k % 4];
                let code = if k % 8 < 4 { byte & 15 } else { byte >> 4 };
                sum += i32::from(code) * i32::from(q);
            }
            sum
        })
    }

    fn holds(block: &[u8], tiles: usize, probe: &[i8], start: i32) {
        let expected: Vec<_> = (0..tiles).map(|tile| oracle(block, tile, tiles, probe, start)).collect();
        for isa in Isa::available() {
            let mut sums = vec![[start; ROWS]; tiles];
            let ahead = &block[..block.len() / 2];
            for (codes, probe) in block.chunks(tiles * CHUNK).zip(probe.as_chunks().0) {
                add_i4(isa, codes, &ahead[..ahead.len().min(codes.len())], probe, &mut sums);
            }
            assert_eq!(sums, expected, "{isa}");
        }
        for (tile, expected) in expected.iter().enumerate() {
            for (r, &expected) in expected.iter().enumerate() {
                let sum = block.chunks(tiles * CHUNK).zip(probe.as_chunks().0).fold(start, |sum, (codes, probe)| {
                    sum + row_i4(codes[tile * CHUNK..].first_chunk().unwrap(), r, probe)
                });
                assert_eq!(sum, expected, "row {r} alone");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_isa_gives_the_oracles_integers(
            steps in 0usize..=5,
            tiles in 1usize..=4,
            block in prop::collection::vec(any::<u8>(), 20 * CHUNK),
            probe in prop::collection::vec(any::<i8>(), 5 * 64),
            start in -60_000i32..60_000,
        ) {
            holds(&block[..steps * tiles * CHUNK], tiles, &probe[..steps * 64], start);
        }
    }

    #[test]
    fn extreme_codes_do_not_saturate() {
        let steps = DIMENSION_MAX / 64;
        for row in [0u8, 0x0f, 0xf0, 0xff] {
            for q in [-128i8, -127, 0, 127] {
                for start in [0, 1, -1, 1 << 22, -(1 << 22)] {
                    holds(&vec![row; steps * CHUNK], 1, &vec![q; steps * 64], start);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "a chunk a tile")]
    fn a_run_of_another_length_is_refused() {
        let isa = Isa::available()[0];
        add_i4(isa, &[0; CHUNK], &[], &[0; CHUNK_DIMENSIONS], &mut [[0; ROWS]; 2]);
    }
}
