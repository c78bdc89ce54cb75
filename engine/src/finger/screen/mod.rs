//! The screen: a fast, blunt score of probes against a whole gallery block, to decide which references are compared.
//!
//! **Score.** For each probe minutia, the best weight over the entry's minutiae whose direction lies within the window
//! and whose code prefix is near; summed over the probe's minutiae:
//!
//! ```text
//! score(probe, entry) = sum over m in probe of
//!     max over r in entry with |direction(m) - direction(r)| <= window and hamming64(m, r) < prefix_limit
//!         of  weight[hamming128(m, r)]
//! ```
//!
//! The prefix condition halves the work: 128 bits are looked at for one or two pairs in a hundred. It belongs to the
//! definition, and costs little at its default: on the ten FVC collections and FCJ, misses at penetrations of 0.3 to
//! 10 % rise by at most 0.5 points (SecuGen, 2 %: 6.1 to 6.6) and fall in places; the limit was chosen on that data.
//!
//! `0..=65,025` ([`WEIGHT_MAX`] times 255 minutiae): a sum of `u8` weights in a `u16` cannot saturate, so the order of
//! additions does not matter and every instruction set, batch and thread count gives the same bits. More is more
//! alike; an empty probe or entry scores 0. Directions are taken in 256ths of a turn ([`BUCKETS`]), for probe and
//! reference alike: that grid is part of the definition, not an approximation of it. Positions are not looked at.
//!
//! The raw score grows with both minutia counts; [`normalised`] makes scores of different prints comparable.
//!
//! **Rotation.** The default window of +-45 degrees supposes that the finger was roughly upright in both impressions.
//! For prints of unknown rotation use [`ScreenParams::full_turn`]: four times the work, and more chance hits.
//!
//! **Cost.** Every code of the window is read once for up to four probe minutiae of the batch whose windows begin
//! within `batch`'s span of each other; so batches are faster than single probes (see `benches/README.md`).

mod batch;
mod params;
mod tile;

#[cfg(test)]
mod tests;

pub use batch::{ScreenBatch, ScreenProbe, ScreenScratch, screen};
pub use params::{ScreenParams, ScreenParamsError, WEIGHT_MAX, normalised};
pub use tile::{ENTRIES_MAX, TILE_ALIGNMENT, Tile, TileBuffer, TileEncodeError, TileError, encode_tile};

/// Steps of direction in a turn.
pub const BUCKETS: usize = 256;

/// The step of a direction in 65,536ths of a turn.
#[inline]
pub(crate) const fn bucket(angle: u16) -> u8 {
    (angle >> 8) as u8
}
