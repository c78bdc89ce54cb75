//! The fingerprint screen's inner loops: which minutiae of a block column lie near a probe minutia, and what that adds
//! to the scores of their entries.
//!
//! The algorithm, once for all instruction sets (`scan`, `weigh`):
//!
//! 1. for each [`Block`] of 64 reference minutiae that the windows of a probe minutia touch: distance over the first 64 bits,
//!    one byte a pair;
//! 2. keep the places under the limit that also lie in a window: three or four pairs in a hundred;
//! 3. for those alone, the distance over all 128 bits, its weight, and the gain over the best weight so far of that
//!    probe minutia in that entry.
//!
//! What differs per instruction set is `Distances`. Everything is an integer, so every path gives the same bits.
//!
//! The prefixes of a block lie byte by byte, so that the bits in which they differ are counted in bytes: no instruction set
//! needs a sum across a register, and AVX2, which cannot count bits, looks them up by nibble.
#![allow(unsafe_code)]

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
/// The most blocks the windows of one call may touch: a [`Hits`] has room for all their minutiae.
pub const CALL_BLOCKS_MAX: usize = 64;
/// The bits that are compared in step 3.
pub const SCREEN_BITS: usize = 128;
/// The bits that are compared in step 1.
pub const PREFIX_BITS: usize = 64;
/// Entries that a column of blocks may name.
pub const ENTRIES: usize = 256;

/// The most parts a call looks at: blocks, or halves of them.
const PARTS_MAX: usize = 2 * CALL_BLOCKS_MAX;
/// Places that there are of them: 64 for each, of which those of a half use 32.
const PLACES: usize = PARTS_MAX * BLOCK_MINUTIAE;
const HITS_MAX: usize = BLOCK_MINUTIAE * CALL_BLOCKS_MAX;
/// Parts that are named at once, more than most windows have.
const RUN: usize = 8;
/// Places that are written before it is known whether they are needed.
const SPARE: usize = 2;

/// 64 reference minutiae: 128-bit codes and the entry that each belongs to. The same bytes in the file.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Block {
    /// Word 0 of the codes, byte by byte: its byte `k` of place `i` at `[k][i]`.
    pub prefixes: [[u8; BLOCK_MINUTIAE]; 8],
    /// Word 1 of the codes, by place.
    pub rests: [u64; BLOCK_MINUTIAE],
    /// Entry numbers, by place.
    pub entries: [u8; BLOCK_MINUTIAE],
}

impl Block {
    /// Puts a minutia at a place.
    pub fn set(&mut self, place: usize, code: [u64; 2], entry: u8) {
        for (bytes, byte) in self.prefixes.iter_mut().zip(code[0].to_le_bytes()) {
            bytes[place] = byte;
        }
        self.rests[place] = code[1];
        self.entries[place] = entry;
    }
}

/// A window of minutiae of a column: from, and to one past the last.
pub type Window = (u32, u32);

/// The blocks that a window touches.
#[inline]
pub fn blocks_touched((low, high): Window) -> usize {
    if low < high { (high as usize).div_ceil(BLOCK_MINUTIAE) - low as usize / BLOCK_MINUTIAE } else { 0 }
}

/// The reference minutiae near one probe minutia, in the order of the windows. Caller-owned scratch memory, 18 KB.
#[derive(Clone)]
pub struct Hits {
    length: usize,
    /// Where: 64 times the number of the part in the order in which they were looked at, plus the place in the part.
    places: [u16; HITS_MAX + SPARE],
    /// Distances over the prefix of all places that were looked at; elsewhere arbitrary.
    prefixes: [u8; PLACES],
    /// The first minutia of each part that was looked at; beyond them arbitrary.
    parts: [u32; PARTS_MAX + RUN],
    /// Which of a part's minutiae lie in the window.
    masks: [u64; PARTS_MAX + RUN],
}

impl Default for Hits {
    fn default() -> Self {
        Self {
            length: 0,
            places: [0; HITS_MAX + SPARE],
            prefixes: [0; PLACES],
            parts: [0; PARTS_MAX + RUN],
            masks: [0; PARTS_MAX + RUN],
        }
    }
}

impl Hits {
    /// The minutiae that were found, by their place in the column.
    pub fn minutiae(&self) -> impl Iterator<Item = u32> {
        self.places[..self.length].iter().map(|place| self.minutia(usize::from(*place)) as u32)
    }

    #[inline(always)]
    fn minutia(&self, place: usize) -> usize {
        self.parts[place / BLOCK_MINUTIAE] as usize + place % BLOCK_MINUTIAE
    }
}

/// Finds the minutiae of the windows whose first [`PREFIX_BITS`] differ from `prefix` in fewer than `limit` bits. A minutia
/// that lies in two windows is found twice.
///
/// # Panics
/// Windows that touch more than [`CALL_BLOCKS_MAX`] blocks, or end beyond the blocks.
pub fn near(isa: Isa, blocks: &[Block], prefix: u64, windows: &[Window], limit: u8, hits: &mut Hits) {
    match isa.level() {
        // SAFETY: the portable kernel needs no feature.
        Level::Portable => unsafe { scan::<portable::Portable>(blocks, prefix, windows, limit, hits) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features.
        Level::Avx2 => unsafe { avx2::scan(blocks, prefix, windows, limit, hits) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx512 => unsafe { avx512::scan(blocks, prefix, windows, limit, hits) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Level::Neon => unsafe { neon::scan(blocks, prefix, windows, limit, hits) },
    }
}

/// What an instruction set brings.
trait Distances {
    /// What a probe minutia's prefix is made into, once a call.
    type Code: Copy;
    /// The distances of one probe minutia to a part of a block, in whatever registers suit.
    type Near: Copy;
    /// How many minutiae a part has: all of a block, or half of them.
    const WIDTH: usize;

    /// Makes it.
    ///
    /// # Safety
    /// The CPU has the kernel's features.
    unsafe fn code(prefix: u64) -> Self::Code;

    /// # Safety
    /// The CPU has the kernel's features, and the block has such a part.
    unsafe fn distances(block: &Block, part: usize, code: &Self::Code) -> Self::Near;

    /// Bit `i`: place `i` of the part is below the limit.
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

/// The best weight of each entry for one probe minutia. Zeros at first and after [`settle`].
pub type Best = [u8; ENTRIES];

/// Weighs the minutiae near one probe minutia: for each of `hits` (from [`near`] with the same blocks), the weight of
/// its 128-bit distance, into `best`, which keeps the largest of each entry from call to call. `rest` is word 1 of the
/// probe minutia's code.
///
/// # Panics
/// A place beyond the blocks.
pub fn weigh(isa: Isa, blocks: &[Block], rest: u64, hits: &Hits, weights: &[u8; 256], best: &mut Best) {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` of this level exists only where the CPU has its features.
        Level::Avx2 | Level::Avx512 => unsafe { avx2::weigh(blocks, rest, hits, weights, best) },
        _ => weigh_each(blocks, rest, hits, weights, best),
    }
}

#[inline(always)]
fn weigh_each(blocks: &[Block], rest: u64, hits: &Hits, weights: &[u8; 256], best: &mut Best) {
    for &place in &hits.places[..hits.length] {
        let place = usize::from(place) % PLACES;
        let minutia = hits.minutia(place);
        let (block, within) = (&blocks[minutia / BLOCK_MINUTIAE], minutia % BLOCK_MINUTIAE);
        let distance = u32::from(hits.prefixes[place]) + (block.rests[within] ^ rest).count_ones();
        let entry = usize::from(block.entries[within]);
        let (old, new) = (i32::from(best[entry]), i32::from(weights[usize::from(distance as u8)]));
        // max(old, new) without a branch: which is larger cannot be predicted.
        let gain = new - old;
        best[entry] = (old + (gain & !(gain >> 31))) as u8;
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
    for (score, best) in scores.iter_mut().zip(best.iter()) {
        *score = score.wrapping_add(u16::from(*best));
    }
    *best = [0; ENTRIES];
}

/// The lowest `count` bits, all of them from 64 on.
#[inline(always)]
fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The algorithm of the module's header. Inlined into one function per instruction set.
///
/// # Safety
/// The CPU has the features of `D`.
#[inline(always)]
unsafe fn scan<D: Distances>(blocks: &[Block], prefix: u64, windows: &[Window], limit: u8, hits: &mut Hits) {
    // SAFETY: the caller's promise about the features.
    let code = unsafe { D::code(prefix) };
    // First which parts, and what of them: a loop over the parts of each window would be left at a point that cannot be
    // predicted, a dozen times a call.
    let mut count = 0;
    for &(low, high) in windows {
        let (first, end) = (low as usize / D::WIDTH, (high as usize).div_ceil(D::WIDTH));
        let length = if low < high { end - first } else { 0 };
        let mut from = 0;
        loop {
            let parts = hits.parts[count + from..].first_chunk_mut::<RUN>().expect("parts fit into the hits");
            let masks = hits.masks[count + from..].first_chunk_mut::<RUN>().expect("as many");
            for i in 0..RUN {
                (parts[i], masks[i]) = (((first + from + i) * D::WIDTH) as u32, u64::MAX);
            }
            from += RUN;
            if from >= length {
                break;
            }
        }
        let last = length.max(1) - 1;
        hits.masks[count] &= !low_bits(low % D::WIDTH as u32);
        hits.masks[count + last] &= low_bits(high.wrapping_sub(((first + last) * D::WIDTH) as u32));
        count += length;
    }
    let mut length = 0;
    let bytes = hits.prefixes.as_chunks_mut::<BLOCK_MINUTIAE>().0;
    for (part, ((&base, &mask), bytes)) in hits.parts[..count].iter().zip(&hits.masks).zip(bytes).enumerate() {
        let block = &blocks[base as usize / BLOCK_MINUTIAE];
        // SAFETY: as above; a block has parts of that width from 0 to its end.
        let near = unsafe { D::distances(block, base as usize % BLOCK_MINUTIAE / D::WIDTH, &code) };
        // SAFETY: as above.
        let below = unsafe { D::below(near, limit) };
        // SAFETY: as above.
        unsafe { D::store(near, bytes) };
        length = append(below & mask, (part * BLOCK_MINUTIAE) as u16, &mut hits.places, length);
    }
    hits.length = length;
}

/// Appends the places of `mask`, plus `base`, and returns the new length; what stands beyond it is arbitrary.
///
/// A part holds one hit or none, seldom more than two: two are written without asking, because a mispredicted branch would
/// cost as much as the part.
#[inline(always)]
fn append(mask: u64, base: u16, places: &mut [u16; HITS_MAX + SPARE], length: usize) -> usize {
    let count = mask.count_ones() as usize;
    let mut rest = mask;
    // Never beyond the hits: each block before this one appended at most 64.
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
