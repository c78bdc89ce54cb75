//! The fingerprint screen's inner loops: which minutiae of a block column lie near a probe minutia, and what that adds
//! to the scores of their entries.
//!
//! The algorithm, once for all instruction sets (`scan`, `weigh`):
//!
//! 1. take up to [`GROUP_MAX`] probe minutiae whose windows nearly coincide, so that each code is loaded once for all;
//! 2. for each [`Block`] of 64 reference minutiae that any of the windows touches: distance over the first 64 bits, one
//!    byte a pair;
//! 3. keep the places under the limit that also lie in the probe minutia's own window: one or two pairs in a hundred;
//! 4. for those alone, the distance over all 128 bits, its weight, and the gain over the best weight so far of that
//!    probe minutia in that entry.
//!
//! What differs per instruction set is `Distances`. Everything is an integer, so every path gives the same bits.
//!
//! The prefixes of a block lie permuted ([`Block::slot`]), so that eight vectors of eight 64-bit counts become 64 bytes
//! in their order by seven saturating packs, which work within 128-bit lanes; the same permutation suits NEON's pairwise
//! additions. AVX2 counts bits by tables of bytes and wants the prefixes byte by byte: it turns the blocks once for all
//! queries that they are looked at for ([`Turning`]).
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
/// The bits that are compared in step 4.
pub const SCREEN_BITS: usize = 128;
/// The bits that are compared in step 2.
pub const PREFIX_BITS: usize = 64;
/// Entries that a column of blocks may name.
pub const ENTRIES: usize = 256;

const LANE_MAX: usize = BLOCK_MINUTIAE * CALL_BLOCKS_MAX;
/// Places that are written before it is known whether they are needed.
const SPARE: usize = 3;

/// 64 reference minutiae: 128-bit codes and the entry that each belongs to. The same bytes in the file.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block {
    /// Word 0 of the codes, by [`Block::slot`].
    pub prefixes: [u64; BLOCK_MINUTIAE],
    /// Word 1 of the codes, by place.
    pub rests: [u64; BLOCK_MINUTIAE],
    /// Entry numbers, by place.
    pub entries: [u8; BLOCK_MINUTIAE],
}

impl Block {
    /// Where the prefix of minutia `place` of the block's 64 is kept.
    #[inline(always)]
    pub const fn slot(place: usize) -> usize {
        8 * (place % 16 / 2) + 2 * (place / 16) + place % 2
    }
}

/// The prefixes of a block, byte by byte: byte `k` of the prefix of place `i` at `[k][i]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "only AVX2 turns blocks"))]
struct Turned([[u8; BLOCK_MINUTIAE]; 8]);

/// Memory in which blocks are made ready for the kernel of an instruction set: nothing for most, half a kilobyte a block
/// for AVX2.
#[derive(Clone, Default)]
pub struct Turning {
    turned: Vec<Turned>,
}

impl Turning {
    /// Makes blocks ready: once for all calls of [`near`] on them or on parts of them. Costs about as much as two queries.
    pub fn ready<'a>(&'a mut self, isa: Isa, blocks: &'a [Block]) -> Ready<'a> {
        self.turned.clear();
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Isa` of this level exists only where the CPU has its features.
            Level::Avx2 => self.turned.extend(blocks.iter().map(|block| unsafe { avx2::turn(block) })),
            _ => {}
        }
        Ready { blocks, turned: &self.turned }
    }
}

/// Blocks, ready for the kernel of one instruction set.
#[derive(Clone, Copy)]
pub struct Ready<'a> {
    blocks: &'a [Block],
    turned: &'a [Turned],
}

impl<'a> Ready<'a> {
    /// They.
    pub fn blocks(self) -> &'a [Block] {
        self.blocks
    }

    /// Some of them.
    ///
    /// # Panics
    /// A range beyond the blocks.
    pub fn part(self, range: Range<usize>) -> Self {
        let turned = if self.turned.is_empty() { self.turned } else { &self.turned[range.clone()] };
        Self { blocks: &self.blocks[range], turned }
    }
}

/// One probe minutia and the window of reference minutiae that it is compared with.
#[derive(Clone, Copy, Default)]
pub struct Query {
    /// The first 128 bits of its descriptor, of which [`near`] reads the first word.
    pub code: [u64; 2],
    /// First minutia of the window, counted from the first block of the call.
    pub low: u32,
    /// One past the last; an empty window is allowed.
    pub high: u32,
}

/// The reference minutiae near one probe minutia, in their order, by place: 64 times the block's index, plus the place
/// in the block.
#[derive(Clone)]
pub struct Lane {
    length: usize,
    places: [u16; LANE_MAX + SPARE],
    /// Distances over the prefix of all places of the blocks that were looked at; elsewhere arbitrary.
    prefixes: [u8; LANE_MAX],
}

impl Lane {
    /// What was found.
    pub fn places(&self) -> &[u16] {
        &self.places[..self.length]
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { length: 0, places: [0; LANE_MAX + SPARE], prefixes: [0; LANE_MAX] }
    }
}

/// What [`near`] found: one lane for each query. Caller-owned scratch memory, 48 KB.
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

/// Finds, for each query, the minutiae of its window whose first [`PREFIX_BITS`] differ in fewer than `limit` bits. Lanes of queries beyond
/// `queries.len()` are left as they were.
///
/// # Panics
/// More than [`GROUP_MAX`] queries or [`CALL_BLOCKS_MAX`] blocks, a window that ends beyond the blocks, or blocks that were
/// made ready for another instruction set.
pub fn near(isa: Isa, ready: Ready<'_>, queries: &[Query], limit: u8, hits: &mut Hits) {
    let blocks = ready.blocks;
    assert!(queries.len() <= GROUP_MAX, "at most {GROUP_MAX} queries a call");
    assert!(blocks.len() <= CALL_BLOCKS_MAX, "at most {CALL_BLOCKS_MAX} blocks a call");
    let end = (blocks.len() * BLOCK_MINUTIAE) as u32;
    assert!(queries.iter().all(|q| q.low <= q.high && q.high <= end), "a window ends beyond the blocks");
    let (pairs, rest) = queries.as_chunks::<2>();
    let lanes = &mut hits.lanes;
    // Four at once where there are four; otherwise pairs and a single.
    if let ([a, b], []) = (pairs, rest) {
        return dispatch(isa, ready, &[a[0], a[1], b[0], b[1]], limit, lanes);
    }
    let (lane_pairs, lane_rest) = lanes.split_at_mut(2);
    let lane_pairs: &mut [Lane; 2] = lane_pairs.try_into().expect("GROUP_MAX is four");
    match (pairs, rest) {
        ([pair], []) => dispatch(isa, ready, pair, limit, lane_pairs),
        ([pair], [single]) => {
            dispatch(isa, ready, pair, limit, lane_pairs);
            let lane: &mut [Lane; 1] = (&mut lane_rest[..1]).try_into().expect("GROUP_MAX is four");
            dispatch(isa, ready, &[*single], limit, lane);
        }
        ([], [single]) => {
            let lane: &mut [Lane; 1] = (&mut lane_pairs[..1]).try_into().expect("GROUP_MAX is four");
            dispatch(isa, ready, &[*single], limit, lane);
        }
        _ => {}
    }
}

#[inline]
fn dispatch<const P: usize>(isa: Isa, ready: Ready<'_>, queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    let blocks = ready.blocks;
    match isa.level() {
        // SAFETY: the portable kernel needs no feature; `near` has checked the number of blocks.
        Level::Portable => unsafe { scan::<portable::Portable, P>(blocks, queries, limit, lanes) },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => {
            assert_eq!(ready.turned.len(), blocks.len(), "made ready for another instruction set");
            // SAFETY: an `Isa` of this level exists only where the CPU has its features; there are as many turned blocks
            // as blocks, which `near` has counted.
            unsafe { avx2::scan(ready.turned, queries, limit, lanes) }
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features; blocks checked by `near`.
        Level::Avx512 => unsafe { avx512::scan(blocks, queries, limit, lanes) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { neon::scan(blocks, queries, limit, lanes) },
    }
}

/// What an instruction set brings.
trait Distances {
    /// What a block is read from.
    type Source;
    /// What a probe minutia's prefix is made into, once a call.
    type Code: Copy;

    /// Makes it.
    fn code(prefix: u64) -> Self::Code;

    /// The 64 distances of one probe minutia to a block, in whatever registers suit.
    type Near: Copy;

    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn distances<const P: usize>(block: &Self::Source, codes: &[Self::Code; P]) -> [Self::Near; P];

    /// Bit `i`: place `i` is below the limit.
    ///
    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn below(near: Self::Near, limit: u8) -> u64;

    /// The distances as bytes, by place.
    ///
    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]);
}

/// The best weight of each entry for one probe minutia, in four parts of which the largest counts: consecutive hits go
/// to different parts, so that they do not wait for each other's store. Zeros at first and after [`settle`].
pub type Best = [[u8; ENTRIES]; 4];

/// Weighs the minutiae near one probe minutia: for each of `lane` (from [`near`] with the same blocks), the weight of
/// its 128-bit distance, into `best`, which keeps the largest of each entry from call to call. `rest` is word 1 of the
/// probe minutia's code.
///
/// # Panics
/// A place beyond the blocks.
pub fn weigh(isa: Isa, blocks: &[Block], rest: u64, lane: &Lane, weights: &[u8; 256], best: &mut Best) {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features.
        Level::Avx2 | Level::Avx512 => unsafe { avx2::weigh(blocks, rest, lane, weights, best) },
        _ => weigh_each(blocks, rest, lane, weights, best),
    }
}

#[inline(always)]
fn weigh_each(blocks: &[Block], rest: u64, lane: &Lane, weights: &[u8; 256], best: &mut Best) {
    let one = |place: u16, best: &mut [u8; ENTRIES]| {
        let place = usize::from(place);
        let (block, within) = (&blocks[place / BLOCK_MINUTIAE], place % BLOCK_MINUTIAE);
        let distance = u32::from(lane.prefixes[place % LANE_MAX]) + (block.rests[within] ^ rest).count_ones();
        let entry = usize::from(block.entries[within]);
        let (old, new) = (i32::from(best[entry]), i32::from(weights[usize::from(distance as u8)]));
        // max(old, new) without a branch: which is larger cannot be predicted.
        let gain = new - old;
        best[entry] = (old + (gain & !(gain >> 31))) as u8;
    };
    let (fours, others) = lane.places().as_chunks::<4>();
    for four in fours {
        for (place, best) in four.iter().zip(best.iter_mut()) {
            one(*place, best);
        }
    }
    for (place, best) in others.iter().zip(best.iter_mut()) {
        one(*place, best);
    }
}

/// Adds the best weights of one probe minutia to its probe's score of each entry, and forgets them. A probe has at most
/// 255 minutiae of weight at most 255, so the sums fit; beyond that they wrap.
pub fn settle(isa: Isa, best: &mut Best, scores: &mut [u16; ENTRIES]) {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features.
        Level::Avx2 | Level::Avx512 => unsafe { avx2::settle(best, scores) },
        _ => settle_each(best, scores),
    }
}

#[inline(always)]
fn settle_each(best: &mut Best, scores: &mut [u16; ENTRIES]) {
    let [a, b, c, d] = best;
    for entry in 0..ENTRIES {
        let most = a[entry].max(b[entry]).max(c[entry].max(d[entry]));
        scores[entry] = scores[entry].wrapping_add(u16::from(most));
    }
    *best = [[0; ENTRIES]; 4];
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
unsafe fn scan<D: Distances, const P: usize>(
    blocks: &[D::Source],
    queries: &[Query; P],
    limit: u8,
    lanes: &mut [Lane; P],
) {
    let mut lengths = [0; P];
    let codes = queries.map(|q| D::code(q.code[0]));
    let occupied = queries.iter().filter(|q| q.low < q.high);
    let first = occupied.clone().map(|q| q.low as usize / BLOCK_MINUTIAE).min().unwrap_or(0);
    let last = occupied.map(|q| (q.high as usize).div_ceil(BLOCK_MINUTIAE)).max().unwrap_or(0);
    // Blocks that lie in all windows need no masks; they are nearly all.
    let inner = queries.iter().map(|q| (q.low as usize).div_ceil(BLOCK_MINUTIAE)).max().unwrap_or(0).clamp(first, last);
    let outer = queries.iter().map(|q| q.high as usize / BLOCK_MINUTIAE).min().unwrap_or(0).clamp(inner, last);
    // SAFETY: the caller's promise; the three ranges are disjoint and ascend, so no more than `blocks.len()` blocks
    // come by.
    unsafe {
        scan_range::<D, P, true>(blocks, first..inner, queries, &codes, limit, lanes, &mut lengths);
        scan_range::<D, P, false>(blocks, inner..outer, queries, &codes, limit, lanes, &mut lengths);
        scan_range::<D, P, true>(blocks, outer..last, queries, &codes, limit, lanes, &mut lengths);
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
    blocks: &[D::Source],
    range: Range<usize>,
    queries: &[Query; P],
    codes: &[D::Code; P],
    limit: u8,
    lanes: &mut [Lane; P],
    lengths: &mut [usize; P],
) {
    for (block, index) in blocks[range.clone()].iter().zip(range) {
        let base = (index * BLOCK_MINUTIAE) as u32;
        // SAFETY: the caller's promise about the features.
        let near = unsafe { D::distances(block, codes) };
        for p in 0..P {
            // SAFETY: as above.
            let mut mask = unsafe { D::below(near[p], limit) };
            if EDGE {
                let (low, high) = (queries[p].low, queries[p].high);
                mask &= low_bits(high.saturating_sub(base)) & !low_bits(low.saturating_sub(base));
            }
            let lane = &mut lanes[p];
            let bytes = lane.prefixes[base as usize..].first_chunk_mut().expect("blocks fit into a lane");
            // SAFETY: as above.
            unsafe { D::store(near[p], bytes) };
            lengths[p] = append(mask, base as u16, &mut lane.places, lengths[p]);
        }
    }
}

/// Appends the places of `mask`, plus `base`, and returns the new length; what stands beyond it is arbitrary.
///
/// A block holds one hit on average, seldom more than three: three are written without asking, because the vector units
/// are busy, the others are not, and a mispredicted branch would cost as much as the block.
#[inline(always)]
fn append(mask: u64, base: u16, places: &mut [u16; LANE_MAX + SPARE], length: usize) -> usize {
    let count = mask.count_ones() as usize;
    let mut rest = mask;
    // Never beyond the lane: each block before this one appended at most 64.
    let to = &mut places[length..];
    for place in &mut to[..SPARE] {
        *place = base.wrapping_add(rest.trailing_zeros() as u16);
        rest &= rest.wrapping_sub(1);
    }
    let mut index = SPARE;
    while rest != 0 {
        to[index] = base.wrapping_add(rest.trailing_zeros() as u16);
        rest &= rest - 1;
        index += 1;
    }
    length + count
}
