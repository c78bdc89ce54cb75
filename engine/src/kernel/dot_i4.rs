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
//! next four. 64 lanes make 256 bytes, eight of those a *chunk*: one tile's codes of 64 dimensions. The chunks of all
//! tiles for the first 64 dimensions come first, then those for the next: a prefix of the dimensions of a whole block
//! is one run of bytes. A search reads 256 bytes a reference at 512 dimensions, less with a prefix, and is bound by
//! memory.
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

/// One tile of a block against one probe; see the module for the contract. `block` holds the chunks of all its tiles
/// for the probe's dimensions; `start` stays within `-2^30..=2^30`.
///
/// `ahead` are bytes that later calls will read, or nothing: the second-level cache is asked for them.
///
/// # Panics
/// Lengths that don't belong together, or more than [`DIMENSION_MAX`] dimensions.
pub fn tile_i4(
    isa: Isa,
    block: &[u8],
    tile: usize,
    ahead: &[u8],
    probe: &[i8],
    start: i32,
    out: &mut [i32; ROWS],
) -> bool {
    let steps = probe.len() / CHUNK_DIMENSIONS;
    let tiles = block.len() / CHUNK / steps.max(1);
    assert!(
        probe.len() == steps * CHUNK_DIMENSIONS
            && probe.len() <= DIMENSION_MAX
            && block.len() == steps * tiles * CHUNK
            && (tile < tiles || steps == 0),
        "a tile and a probe of the same dimensions"
    );
    let chunks = Chunks { block, tile, tiles };
    match isa.level() {
        Level::Portable => portable(chunks, probe, start, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => x86::tile_avx2(chunks, ahead, probe, start, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => x86::tile_avx512(chunks, ahead, probe, start, out),
        // The compiler makes NEON of the plain loop; memory is the limit.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => portable(chunks, probe, start, out),
    }
}

/// One tile's chunks within a block's.
#[derive(Clone, Copy)]
struct Chunks<'a> {
    block: &'a [u8],
    tile: usize,
    tiles: usize,
}

impl<'a> Chunks<'a> {
    #[inline(always)]
    fn get(self, step: usize) -> &'a [u8; CHUNK] {
        let at = (step * self.tiles + self.tile) * CHUNK;
        self.block[at..].first_chunk().expect("tile_i4 has checked the lengths")
    }
}

/// The plain loop, written so that any compiler can make vectors of it.
fn portable(chunks: Chunks<'_>, probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    out.fill(start);
    let parts = probe.chunks_exact(8).enumerate();
    for (tile, q) in parts.map(|(i, q)| (&chunks.get(i / 8)[i % 8 * TILE_STEP..][..TILE_STEP], q)) {
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
        for tile in 0..tiles {
            let expected = oracle(block, tile, tiles, probe, start);
            let any = expected.iter().any(|&sum| sum >= 0);
            for isa in Isa::available() {
                let mut out = [i32::MIN; ROWS];
                let ahead = &block[..block.len() / 2];
                assert_eq!(tile_i4(isa, block, tile, ahead, probe, start, &mut out), any, "{isa}: survivors");
                if any {
                    assert_eq!(out, expected, "{isa}");
                }
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
    fn a_single_survivor_in_any_place_is_seen() {
        for r in 0..ROWS {
            let mut block = vec![0u8; 2 * CHUNK];
            block[CHUNK + r * 4 + 2] = 0x30;
            let mut probe = [0; 64];
            probe[6] = 5;
            holds(&block, 2, &probe, -15);
            holds(&block, 2, &probe, -16);
        }
    }
}
