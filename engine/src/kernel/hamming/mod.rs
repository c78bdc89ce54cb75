//! The fingerprint screen's inner loop: which minutiae of a block column lie within a Hamming limit of a probe minutia.
//!
//! The algorithm, once for all instruction sets ([`scan`]):
//!
//! 1. take up to [`GROUP_MAX`] probe minutiae whose windows nearly coincide, so that each code is loaded once for all;
//! 2. for each [`Block`] of 64 reference minutiae that any of the windows touches: distance = popcount of 128 XORed
//!    bits, one byte a pair;
//! 3. keep the lanes under the limit that also lie in the probe minutia's own window, and append their distance and
//!    entry number to that probe minutia's [`Lane`].
//!
//! What differs per instruction set is [`Distances`]: the 64 distances and how the kept lanes are appended. Everything
//! is an integer, so every path gives the same bits; the order within a lane is the order of the blocks everywhere.
//!
//! The code words of a block lie permuted ([`Block::slot`]), so that eight vectors of eight 64-bit counts become 64
//! bytes in lane order by seven saturating packs, which work within 128-bit lanes; the same permutation suits AVX2's
//! packs and NEON's pairwise additions. (A funnel shift into an accumulator, one a vector, was slower on Zen 4: it
//! competes with VPOPCNTQ for the same two pipes.)
#![allow(unsafe_code)]

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::{Isa, Level};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

/// Minutiae in a block.
pub const BLOCK_MINUTIAE: usize = 64;
/// The most probe minutiae one call takes.
pub const GROUP_MAX: usize = 4;
/// The most blocks one call takes: the lanes are sized for all of them to be hits.
pub const CALL_BLOCKS_MAX: usize = 64;
/// The bits that are compared.
pub const SCREEN_BITS: usize = 128;

const LANE_MAX: usize = BLOCK_MINUTIAE * CALL_BLOCKS_MAX;

/// 64 reference minutiae: 128-bit codes and the entry that each belongs to. The same bytes in the file.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block {
    /// Words 0 and 1 of the codes, by [`Block::slot`].
    pub words: [[u64; BLOCK_MINUTIAE]; 2],
    /// Entry numbers, by lane.
    pub entries: [u8; BLOCK_MINUTIAE],
}

impl Block {
    /// Where lane `lane` keeps its words.
    #[inline(always)]
    pub const fn slot(lane: usize) -> usize {
        8 * (lane % 16 / 2) + 2 * (lane / 16) + lane % 2
    }
}

/// One probe minutia and the window of reference minutiae that it is compared with.
#[derive(Clone, Copy, Default)]
pub struct Query {
    /// The first 128 bits of its descriptor.
    pub code: [u64; 2],
    /// First minutia of the window, counted from the first block of the call.
    pub low: u32,
    /// One past the last; an empty window is allowed.
    pub high: u32,
}

/// The reference minutiae near one probe minutia.
#[derive(Clone)]
pub struct Lane {
    length: usize,
    distances: [u8; LANE_MAX],
    entries: [u8; LANE_MAX],
}

impl Lane {
    /// Distances in bits, in the order of the blocks.
    pub fn distances(&self) -> &[u8] {
        &self.distances[..self.length]
    }

    /// Entry numbers, one for each distance.
    pub fn entries(&self) -> &[u8] {
        &self.entries[..self.length]
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { length: 0, distances: [0; LANE_MAX], entries: [0; LANE_MAX] }
    }
}

/// What [`near`] found: one lane for each query. Caller-owned scratch memory, 32 KB.
#[derive(Clone, Default)]
pub struct Hits {
    lanes: [Lane; GROUP_MAX],
}

impl Hits {
    /// The lane of query `query` of the last call.
    ///
    /// # Panics
    /// From [`GROUP_MAX`] on.
    pub fn lane(&self, query: usize) -> &Lane {
        &self.lanes[query]
    }
}

/// Finds, for each query, the minutiae of its window with a distance below `limit` bits. Lanes of queries beyond
/// `queries.len()` are left as they were.
///
/// # Panics
/// More than [`GROUP_MAX`] queries or [`CALL_BLOCKS_MAX`] blocks, or a window that ends beyond the blocks.
pub fn near(isa: Isa, blocks: &[Block], queries: &[Query], limit: u8, hits: &mut Hits) {
    assert!(queries.len() <= GROUP_MAX, "at most {GROUP_MAX} queries a call");
    assert!(blocks.len() <= CALL_BLOCKS_MAX, "at most {CALL_BLOCKS_MAX} blocks a call");
    let end = (blocks.len() * BLOCK_MINUTIAE) as u32;
    assert!(queries.iter().all(|q| q.low <= q.high && q.high <= end), "a window ends beyond the blocks");
    let (pairs, rest) = queries.as_chunks::<2>();
    let lanes = &mut hits.lanes;
    // Four at once where there are four; otherwise pairs and a single.
    if let ([a, b], []) = (pairs, rest) {
        return dispatch(isa, blocks, &[a[0], a[1], b[0], b[1]], limit, lanes);
    }
    let (lane_pairs, lane_rest) = lanes.split_at_mut(2);
    let lane_pairs: &mut [Lane; 2] = lane_pairs.try_into().expect("GROUP_MAX is four");
    match (pairs, rest) {
        ([pair], []) => dispatch(isa, blocks, pair, limit, lane_pairs),
        ([pair], [single]) => {
            dispatch(isa, blocks, pair, limit, lane_pairs);
            let lane: &mut [Lane; 1] = (&mut lane_rest[..1]).try_into().expect("GROUP_MAX is four");
            dispatch(isa, blocks, &[*single], limit, lane);
        }
        ([], [single]) => {
            let lane: &mut [Lane; 1] = (&mut lane_pairs[..1]).try_into().expect("GROUP_MAX is four");
            dispatch(isa, blocks, &[*single], limit, lane);
        }
        _ => {}
    }
}

#[inline]
fn dispatch<const P: usize>(isa: Isa, blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    match isa.level() {
        // SAFETY: the portable kernel needs no feature; `near` has checked the number of blocks.
        Level::Portable => unsafe { scan::<portable::Portable, P>(blocks, queries, limit, lanes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features; blocks checked by `near`.
        Level::Avx2 => unsafe { avx2::scan(blocks, queries, limit, lanes) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::scan(blocks, queries, limit, lanes) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { neon::scan(blocks, queries, limit, lanes) },
    }
}

/// What an instruction set brings.
trait Distances {
    /// The 64 distances of one probe minutia to a block, in whatever registers suit.
    type Near: Copy;

    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn distances<const P: usize>(block: &Block, codes: &[[u64; 2]; P]) -> [Self::Near; P];

    /// Bit `i`: lane `i` is below the limit.
    ///
    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn below(near: Self::Near, limit: u8) -> u64;

    /// The distances as bytes, by lane; called only when there is a hit.
    ///
    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn bytes(near: Self::Near) -> [u8; BLOCK_MINUTIAE];

    /// Appends the lanes of `mask`.
    ///
    /// # Safety
    /// The CPU has the kernel's features, and `*length + 64 <= LANE_MAX`.
    #[inline(always)]
    unsafe fn append(near: Self::Near, mask: u64, block: &Block, lane: &mut Lane, length: &mut usize) {
        if mask == 0 {
            return;
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { Self::bytes(near) };
        let mut rest = mask;
        while rest != 0 {
            let i = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            lane.distances[*length] = bytes[i];
            lane.entries[*length] = block.entries[i];
            *length += 1;
        }
    }
}

/// The lowest `count` bits, all of them from 64 on.
#[inline(always)]
fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The algorithm of the module's header. Inlined into one function per instruction set.
///
/// # Safety
/// The CPU has the features of `D`, and there are at most [`CALL_BLOCKS_MAX`] blocks.
#[inline(always)]
unsafe fn scan<D: Distances, const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    let mut lengths = [0; P];
    let occupied = queries.iter().filter(|q| q.low < q.high);
    let first = occupied.clone().map(|q| q.low as usize / BLOCK_MINUTIAE).min().unwrap_or(0);
    let last = occupied.map(|q| (q.high as usize).div_ceil(BLOCK_MINUTIAE)).max().unwrap_or(0);
    // Blocks that lie in all windows need no masks; they are nearly all.
    let inner = queries.iter().map(|q| (q.low as usize).div_ceil(BLOCK_MINUTIAE)).max().unwrap_or(0).clamp(first, last);
    let outer = queries.iter().map(|q| q.high as usize / BLOCK_MINUTIAE).min().unwrap_or(0).clamp(inner, last);
    // SAFETY: the caller's promise; the three ranges are disjoint and ascend, so no more than `blocks.len()` blocks
    // come by.
    unsafe {
        scan_range::<D, P, true>(blocks, first..inner, queries, limit, lanes, &mut lengths);
        scan_range::<D, P, false>(blocks, inner..outer, queries, limit, lanes, &mut lengths);
        scan_range::<D, P, true>(blocks, outer..last, queries, limit, lanes, &mut lengths);
    }
    for (lane, length) in lanes.iter_mut().zip(lengths) {
        lane.length = length;
    }
}

/// The blocks of `range`; `EDGE` says that windows may begin or end there.
///
/// # Safety
/// As [`scan`], with at most 64 hits a block so far: `lengths[p] <= 64 * range.start`.
#[inline(always)]
unsafe fn scan_range<D: Distances, const P: usize, const EDGE: bool>(
    blocks: &[Block],
    range: Range<usize>,
    queries: &[Query; P],
    limit: u8,
    lanes: &mut [Lane; P],
    lengths: &mut [usize; P],
) {
    let codes = queries.map(|q| q.code);
    for (block, index) in blocks[range.clone()].iter().zip(range) {
        let base = (index * BLOCK_MINUTIAE) as u32;
        // SAFETY: the caller's promise about the features.
        let near = unsafe { D::distances(block, &codes) };
        for p in 0..P {
            // SAFETY: as above.
            let mut mask = unsafe { D::below(near[p], limit) };
            if EDGE {
                let (low, high) = (queries[p].low, queries[p].high);
                mask &= low_bits(high.saturating_sub(base)) & !low_bits(low.saturating_sub(base));
            }
            // SAFETY: features as above. At most 64 hits were appended for each block before this one, so 64 places
            // are left in a lane sized for `CALL_BLOCKS_MAX` blocks.
            unsafe { D::append(near[p], mask, block, &mut lanes[p], &mut lengths[p]) };
        }
    }
}
