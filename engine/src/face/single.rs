//! One probe against many blocks, from the 4-bit plane. No threads; memory is the caller's.
//!
//! Such a search is bound by memory, so everything is asked for before it is needed, and everything is looked at some
//! hundred nanoseconds later, in order:
//!
//! - codes and figures of the next block, while one block is gone through;
//! - what passed the bound at the plan's first step is looked at more closely a block later: some more of its codes;
//! - what passed that is scored another block later, from its embedding.

use super::FaceError;
use super::block::{Hit, Passes, Scratch, check, may_reach, round_down};
use super::cosine;
use super::layout::{FaceBlock, Plane, STEP, Summary};
use super::probe::{FaceProbe, Terms};
use crate::kernel::dot_i4::{self, CHUNK};
use crate::kernel::dot_i8::ROWS;
use crate::kernel::signs::{Bits, reached};
use crate::kernel::{Isa, dot_f32, prefetch_far};

/// An entry that passed a bound.
#[derive(Clone, Copy, Debug)]
struct Left {
    block: u32,
    entry: u32,
    /// Of codes times the probe's, over the dimensions looked at so far.
    sum: i32,
}

/// What has passed a bound and is on its way from memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    found: Vec<Left>,
    confirming: Vec<Left>,
    scoring: Vec<Left>,
}

/// Finds every entry of a block at or above `threshold` for one probe, from the 4-bit plane; appends to `hits` in
/// ascending order of entries. `passes` change the cost, never the answer; a number is a step at which both decide.
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
pub fn search_block_single(
    isa: Isa,
    probe: &FaceProbe,
    block: &FaceBlock<'_>,
    threshold: f32,
    passes: impl Into<Passes>,
    hits: &mut Vec<Hit>,
    scratch: &mut Scratch,
) -> Result<(), FaceError> {
    let blocks = std::slice::from_ref(block);
    search_run_single(isa, probe, blocks, threshold, passes.into(), scratch, |_, hit| hits.push(hit))
}

/// [`search_block_single`] for a run of blocks. `found` gets the index of the block and the hit, in order.
pub(super) fn search_run_single(
    isa: Isa,
    probe: &FaceProbe,
    blocks: &[FaceBlock<'_>],
    threshold: f32,
    passes: Passes,
    scratch: &mut Scratch,
    mut found: impl FnMut(usize, Hit),
) -> Result<(), FaceError> {
    let mut pending = std::mem::take(&mut scratch.pending);
    let Pending { found: fresh, confirming, scoring } = &mut pending;
    [&mut *fresh, &mut *confirming, &mut *scoring].into_iter().for_each(Vec::clear);
    let mut outcome = Ok(());
    // Two rounds after the last block finish what is under way.
    for b in 0..blocks.len() + 2 {
        if let Some(block) = blocks.get(b) {
            outcome = check(probe.basis() == block.basis, threshold);
            if outcome.is_err() {
                break;
            }
            let next = blocks.get(b + 1).map(|next| &next.plane4);
            if let Some(next) = next {
                next.figure_bytes(clamped(passes.step, next)).into_iter().for_each(prefetch_far);
            }
            scratch.tiles_touched += survivors4(isa, probe, &block.plane4, next, threshold, passes.step, b, fresh);
        }
        scratch.rescored += scoring.len() as u64;
        for left in scoring.drain(..) {
            let row = blocks[left.block as usize].originals.row(left.entry as usize);
            let (dot, norm_sq) = dot_f32::products(isa, &probe.values, row);
            let cosine = cosine(dot, probe.norm_sq, norm_sq);
            if cosine >= threshold {
                found(left.block as usize, Hit { probe: 0, entry: left.entry, cosine });
            }
        }
        for left in confirming.drain(..) {
            let block = &blocks[left.block as usize];
            if confirm(probe, &block.plane4, left, threshold, passes) {
                prefetch_far(bytemuck::cast_slice(block.originals.row(left.entry as usize)));
                scoring.push(left);
            }
        }
        for left in fresh.drain(..) {
            let plane = &blocks[left.block as usize].plane4;
            plane.ask4(left.entry as usize, clamped(passes.step, plane), clamped(passes.confirm, plane));
            confirming.push(left);
        }
    }
    scratch.pending = pending;
    outcome
}

/// A step of a plane: beyond the last means all dimensions.
fn clamped(step: usize, plane: &Plane<'_>) -> usize {
    step.min(plane.shape.steps.saturating_sub(1))
}

/// [`super::block`]'s filter 1 for one probe on the 4-bit plane: the least product that counts.
#[inline]
fn limit4(terms: &Terms, tile: &Summary, threshold: f64) -> i32 {
    let needed = threshold
        - terms.base
        - f64::from(tile.error_max) * terms.error
        - f64::from(tile.rest_max) * terms.rest
        - f64::from(tile.code_norm_max) * terms.code_error;
    let scale = if needed > 0.0 { tile.scale_max } else { tile.scale_min };
    round_down(needed / (f64::from(scale) * terms.scale))
}

/// Whether an entry may still reach the threshold when more of its dimensions are looked at.
fn confirm(probe: &FaceProbe, plane: &Plane<'_>, left: Left, threshold: f32, passes: Passes) -> bool {
    let (step, confirm) = (clamped(passes.step, plane), clamped(passes.confirm, plane));
    if confirm <= step {
        return true;
    }
    let entry = left.entry as usize;
    let (codes, probe_codes) = (plane.codes4(confirm).as_chunks::<CHUNK>().0, probe.codes4.as_chunks::<STEP>().0);
    let sum = (step + 1..=confirm).fold(left.sum, |sum, chunk| {
        let codes = &codes[chunk * plane.shape.tiles + entry / ROWS];
        sum + dot_i4::row_i4(codes, entry % ROWS, &probe_codes[chunk])
    });
    let terms = &probe.terms4[confirm];
    may_reach(terms, plane, entry, confirm, product(sum, terms), f64::from(threshold))
}

/// The codes stand for odd numbers, 2 code - 15.
fn product(sum: i32, terms: &Terms) -> i32 {
    2 * sum - 15 * terms.sum
}

/// Tiles that a probe meets chunk by chunk, in the order of the bytes; their sums stay in the first-level cache.
const TILES: usize = 8;

/// Filters 1 and 2 in 4 bits: appends what is left to `found`, in order. The number of tiles that filter 1 did not empty.
#[allow(clippy::too_many_arguments)]
fn survivors4(
    isa: Isa,
    probe: &FaceProbe,
    plane: &Plane<'_>,
    next: Option<&Plane<'_>>,
    threshold: f32,
    step: usize,
    block: usize,
    found: &mut Vec<Left>,
) -> u64 {
    if plane.shape.rows == 0 {
        return 0;
    }
    let threshold = f64::from(threshold);
    let step = clamped(step, plane);
    let terms = &probe.terms4[step];
    let (codes, steps) = (plane.codes4(step), step + 1);
    let ahead = next.map_or(&[][..], |next| next.codes4(clamped(step, next)));
    let tiles = plane.shape.tiles;
    let mut touched = 0;
    let mut sums = [[0; ROWS]; TILES];
    let mut starts = [0; TILES];
    for first in (0..tiles).step_by(TILES) {
        let count = TILES.min(tiles - first);
        let (sums, starts) = (&mut sums[..count], &mut starts[..count]);
        for (t, (start, sums)) in starts.iter_mut().zip(sums.iter_mut()).enumerate() {
            // 2 sum - 15 sum of the probe's codes >= limit.
            let limit = limit4(terms, plane.summary(first + t, step), threshold);
            *start = -(limit + 15 * terms.sum).div_euclid(2);
            sums.fill(*start);
        }
        for (chunk, probe) in probe.codes4.as_chunks::<STEP>().0[..steps].iter().enumerate() {
            let at = (chunk * tiles + first) * CHUNK;
            let run = at..at + count * CHUNK;
            // The next block is laid out alike but for the last of a gallery.
            let ahead = ahead.get(run.clone()).unwrap_or(&[]);
            dot_i4::add_i4(isa, &codes[run], ahead, probe, sums);
        }
        for (t, (sums, start)) in sums.iter().zip(starts).enumerate() {
            let tile = first + t;
            let reached = reached(isa, sums) & plane.filled_mask(tile);
            touched += u64::from(reached != 0);
            for r in Bits(reached) {
                let (entry, sum) = (tile * ROWS + r, sums[r] - *start);
                if may_reach(terms, plane, entry, step, product(sum, terms), threshold) {
                    found.push(Left { block: block as u32, entry: entry as u32, sum });
                }
            }
        }
    }
    touched
}

/// How many entries of a block [`survivors4`] leaves at a step, and the tiles that filter 1 did not empty.
pub(super) fn count4(
    isa: Isa,
    probe: &FaceProbe,
    plane: &Plane<'_>,
    threshold: f32,
    step: usize,
    scratch: &mut Scratch,
) -> (usize, u64) {
    scratch.pending.found.clear();
    let touched = survivors4(isa, probe, plane, None, threshold, step, 0, &mut scratch.pending.found);
    (scratch.pending.found.len(), touched)
}
