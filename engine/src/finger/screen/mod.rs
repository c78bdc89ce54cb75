//! The screen: a fast, blunt score of probes against a whole gallery block, to decide which references are compared.
//!
//! **Score.** For each probe minutia, the best weight over the entry's minutiae whose direction lies within the window,
//! whose cluster is one of the nearest to the probe minutia's code, and whose code prefix is near; summed over the probe's
//! minutiae:
//!
//! ```text
//! score(probe, entry) = sum over m in probe of
//!     max over r in entry with direction(r) in the window about direction(m)
//!                          and cluster(r) among the nearest to m and hamming64(m, r) < prefix_limit
//!         of  weight[hamming128(m, r)]
//! ```
//!
//! The clusters ([`Clusters`](crate::finger::Clusters)) are the model's: a tile keeps the minutiae of each together, so that three
//! quarters of the window are not looked at. A tile without them, or of another model's, is looked through whole.
//!
//! The prefix condition halves the work: 128 bits are looked at for three pairs in a hundred. It belongs to the
//! definition, and costs little at its default: on the ten FVC collections and FCJ, misses at penetrations of 0.3 to
//! 10 % rise by at most 0.5 points (SecuGen, 2 %: 6.1 to 6.6) and fall in places; the limit was chosen on that data.
//!
//! `0..=65,025` ([`WEIGHT_MAX`] times 255 minutiae): a sum of `u8` weights in a `u16` cannot saturate, so the order of
//! additions does not matter and every instruction set, batch and thread count gives the same bits. More is more
//! alike; an empty probe or entry scores 0. Directions of references are taken in 32nds of a turn ([`BUCKETS`]), and the window is
//! so many of these as lie nearest about the probe minutia's direction: that grid is part of the definition, not an
//! approximation of it. Positions are not looked at.
//!
//! The raw score grows with both minutia counts; [`normalised`] makes scores of different prints comparable.
//!
//! **Rotation.** The default window of +-45 degrees supposes that the finger was roughly upright in both impressions.
//! For prints of unknown rotation use [`ScreenParams::full_turn`]: four times the work, and more chance hits.
//!
//! **Cost.** Each minutia of a probe reads its windows in a few clusters, one to three blocks of 64 codes in each; batches
//! are hardly faster than single probes (see `benches/README.md`).

mod batch;
mod params;
mod tile;

#[cfg(test)]
mod tests;

pub use batch::{ScreenBatch, ScreenProbe, ScreenScratch, screen};
pub use params::{ScreenParams, ScreenParamsError, WEIGHT_MAX, normalised};
pub use tile::{ENTRIES_MAX, TILE_ALIGNMENT, Tile, TileBuffer, TileEncodeError, TileError, encode_tile};

/// Parts of a turn that the directions of references are told apart by.
pub const BUCKETS: usize = 32;

/// The part that a direction, in 65,536ths of a turn, lies in.
#[inline]
pub(crate) const fn bucket(angle: u16) -> u8 {
    (angle >> 11) as u8
}

/// The first part, and how many there are, of the window of `half` 256ths of a turn either way about a direction: as many whole
/// parts as come nearest to it, at least one, about the direction as nearly as they can lie.
#[inline]
pub(crate) const fn window(angle: u16, half: u8) -> (u8, u8) {
    let count = (half as u16 * 2 + 1 + 4) / 8;
    let count = if count == 0 { 1 } else { count };
    if count as usize >= BUCKETS {
        return (0, BUCKETS as u8);
    }
    let step = (angle >> 8) as u8;
    (step.wrapping_add(4).wrapping_sub(4 * count as u8) >> 3, count as u8)
}
