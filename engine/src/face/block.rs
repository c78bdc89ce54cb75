//! One block against a batch, against a single probe, or against another block. No threads; memory is the caller's.
//!
//! Three filters, each a proven upper bound of the cosine, each cheaper and coarser than the next:
//!
//! 1. a tile's worst figures give each probe one integer limit, which the kernel tests with its sums;
//! 2. the row's own figures, for what passed;
//! 3. the score itself, from the embeddings as given.

use super::encode::ROUNDER;
use super::layout::{FaceBlock, Plane, STEP, Summary};
use super::probe::{Columns, FaceProbe, Packed, ProbeBatch, Terms};
use super::{FaceError, cosine};
use crate::kernel::dot_i4::CHUNK;
use crate::kernel::dot_i8::{EIGHT, PROBES, ROWS, TileSums, eight_i8, tile_i8, tile_i8_narrow};
use crate::kernel::{Isa, Vectorized, dot_f32, dot_i4, prefetch, prefetch_far, vectorize};

/// A reference at or above the threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Index of the probe in its batch (0 for a single probe).
    pub probe: u32,
    /// Index of the entry in its block.
    pub entry: u32,
    /// [`super::compare`]'s cosine.
    pub cosine: f32,
}

/// Memory that a worker keeps from block to block, and what it counted.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    survivors: Vec<(u32, u32)>,
    /// `(block, entry)` of a run that passed the bounds and are not scored yet.
    pending: Vec<(u32, u32)>,
    /// A tile's [`Starts`].
    starts: Vec<i32>,
    /// Eights of references that a narrow pass had to look at again.
    pub eights: u64,
    /// Kernel calls that saw a survivor of the first filter.
    pub tiles_touched: u64,
    /// Pairs that were re-scored.
    pub rescored: u64,
}

impl Scratch {
    /// `(entry, probe)` that passed the bounds.
    pub(super) fn survivors(&self) -> &[(u32, u32)] {
        &self.survivors
    }
}

/// How far into the dimensions a batch goes before the bound decides, counted in steps of 64 dimensions from 0; beyond
/// the last it means all. It changes the cost, never the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// For probes in int8.
    pub step: usize,
    /// A pass with narrow probes instead, where they were prepared (see [`crate::kernel::dot_i8::narrow_pays`]).
    pub narrow: Option<Narrow>,
}

/// A pass whose kernel is faster and whose bound is looser; what it leaves is looked at in int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// Step after which the narrow pass decides.
    pub step: usize,
    /// Step after which int8 decides about what it left.
    pub confirm: usize,
}

impl From<usize> for Depth {
    fn from(step: usize) -> Self {
        Self { step, narrow: None }
    }
}

/// Finds every entry of a block at or above `threshold` for every probe of a batch; appends to `hits`, entry by entry.
///
/// `depth` changes the cost, never the answer; a number is a step in int8.
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
pub fn search_block(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    block: &FaceBlock<'_>,
    threshold: f32,
    depth: impl Into<Depth>,
    hits: &mut Vec<Hit>,
    scratch: &mut Scratch,
) -> Result<(), FaceError> {
    check(batch.basis == block.basis, threshold)?;
    survivors(isa, batch, &block.plane8, threshold, depth.into(), scratch, |_, _| true);
    rescore(isa, batch, block, threshold, hits, scratch);
    Ok(())
}

/// [`search_block`] for two blocks: `batch` holds the entries of one, in order ([`ProbeBatch::from_blocks`]). Where
/// `later_only` gives the batch's first entry's own index within `block`, only entries after the probe's own are
/// compared, so that a block against itself gives each unordered pair once.
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
#[allow(clippy::too_many_arguments)]
pub fn search_pair(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    block: &FaceBlock<'_>,
    later_only: Option<i64>,
    threshold: f32,
    depth: impl Into<Depth>,
    hits: &mut Vec<Hit>,
    scratch: &mut Scratch,
) -> Result<(), FaceError> {
    check(batch.basis == block.basis, threshold)?;
    let depth = depth.into();
    match later_only {
        None => survivors(isa, batch, &block.plane8, threshold, depth, scratch, |_, _| true),
        Some(first) => survivors(isa, batch, &block.plane8, threshold, depth, scratch, |probe, entry| {
            i64::from(entry) > first + i64::from(probe)
        }),
    }
    rescore(isa, batch, block, threshold, hits, scratch);
    Ok(())
}

/// Finds every entry of a block at or above `threshold` for one probe, from the 4-bit plane; appends to `hits` in
/// ascending order of entries. `step` as in [`search_block`].
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
pub fn search_block_single(
    isa: Isa,
    probe: &FaceProbe,
    block: &FaceBlock<'_>,
    threshold: f32,
    step: usize,
    hits: &mut Vec<Hit>,
    scratch: &mut Scratch,
) -> Result<(), FaceError> {
    search_run_single(isa, probe, std::slice::from_ref(block), threshold, step, scratch, |_, hit| hits.push(hit))
}

/// Survivors whose embeddings are on their way from memory together.
const PENDING: usize = 48;

/// [`search_block_single`] for a run of blocks: while one is searched, the next is on its way, and survivors are scored
/// some dozens at a time, so that their embeddings, each far from the others, come together and not one by one. `found`
/// gets the index of the block and the hit, in order.
pub(super) fn search_run_single(
    isa: Isa,
    probe: &FaceProbe,
    blocks: &[FaceBlock<'_>],
    threshold: f32,
    step: usize,
    scratch: &mut Scratch,
    mut found: impl FnMut(usize, Hit),
) -> Result<(), FaceError> {
    scratch.pending.clear();
    for (b, block) in blocks.iter().enumerate() {
        check(probe.basis() == block.basis, threshold)?;
        look_at(isa, probe, block, blocks.get(b + 1), threshold, step, scratch);
        for &(entry, _) in &scratch.survivors {
            prefetch_far(bytemuck::cast_slice(block.originals.row(entry as usize)));
            scratch.pending.push((b as u32, entry));
        }
        if scratch.pending.len() >= PENDING || b + 1 == blocks.len() {
            scratch.rescored += scratch.pending.len() as u64;
            for &(b, entry) in &scratch.pending {
                let row = blocks[b as usize].originals.row(entry as usize);
                let (dot, norm_sq) = dot_f32::products(isa, &probe.values, row);
                let cosine = cosine(dot, probe.norm_sq, norm_sq);
                if cosine >= threshold {
                    found(b as usize, Hit { probe: 0, entry, cosine });
                }
            }
            scratch.pending.clear();
        }
    }
    Ok(())
}

/// Fills the survivors of one block, and asks for the next.
fn look_at(
    isa: Isa,
    probe: &FaceProbe,
    block: &FaceBlock<'_>,
    next: Option<&FaceBlock<'_>>,
    threshold: f32,
    step: usize,
    scratch: &mut Scratch,
) {
    if let Some(next) = next {
        let step = step.min(next.plane4.shape.steps.saturating_sub(1));
        next.plane4.figure_bytes(step).into_iter().for_each(prefetch_far);
    }
    survivors4(isa, probe, &block.plane4, next.map(|b| &b.plane4), threshold, step, scratch);
}

fn check(same_basis: bool, threshold: f32) -> Result<(), FaceError> {
    if !same_basis {
        return Err(FaceError::OtherBasis);
    }
    if !threshold.is_finite() {
        return Err(FaceError::Threshold);
    }
    Ok(())
}

/// Beyond what any sum reaches, within what the kernels take.
const NEVER: i32 = 1 << 29;

/// Rounded down, with half a unit at least to spare for rounding in `f64`.
#[inline(always)]
fn round_down(limit: f64) -> i32 {
    let (most, least) = (f64::from(NEVER), -f64::from(NEVER));
    // The comparisons' order makes NaN the lower bound: it would survive.
    let limit = if limit > least { limit } else { least };
    let limit = if limit < most { limit } else { most };
    // The nearest integer stands in the low bits of the sum.
    ((limit + ROUNDER).to_bits() as i32).wrapping_sub(1)
}

/// Filter 1: the negated least integer product with which any row of the tile may reach the threshold, for each probe.
struct Starts<'a> {
    probes: &'a Columns,
    tile: &'a Summary,
    threshold: f64,
    out: &'a mut Vec<i32>,
}

impl Vectorized for Starts<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { probes, tile, threshold, out } = self;
        let (error, rest) = (f64::from(tile.error_max), f64::from(tile.rest_max));
        let (of_max, of_min) = (1.0 / f64::from(tile.scale_max), 1.0 / f64::from(tile.scale_min));
        let count = probes.base.len();
        out.resize(count, 0);
        let (base, out) = (&probes.base[..count], &mut out[..count]);
        let (errors, rests, reciprocals) = (&probes.error[..count], &probes.rest[..count], &probes.reciprocal[..count]);
        for p in 0..count {
            let needed = threshold - base[p] - error * errors[p] - rest * rests[p];
            // A negative need is met first by the smallest scale.
            let reciprocal = if needed > 0.0 { of_max } else { of_min };
            out[p] = -round_down(needed * reciprocal * reciprocals[p]);
        }
    }
}

/// [`Starts`] for one probe on the 4-bit plane, not negated.
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

/// Filter 2. Anything that is not a number survives.
#[inline]
fn may_reach(terms: &Terms, plane: &Plane<'_>, entry: usize, step: usize, product: i32, threshold: f64) -> bool {
    let row = plane.figures(entry, step);
    let most = row.scale * terms.scale * f64::from(product)
        + row.error * terms.error
        + row.rest * terms.rest
        + row.code_norm * terms.code_error
        + terms.base;
    most >= threshold || most.is_nan()
}

/// Filters 1 and 2 as `depth` says: leaves `(entry, probe)`, sorted, in the scratch.
fn survivors(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    plane: &Plane<'_>,
    threshold: f32,
    depth: Depth,
    scratch: &mut Scratch,
    wanted: impl Fn(u32, u32) -> bool,
) {
    match (depth.narrow, batch.narrow()) {
        (Some(narrow), Some(probes)) => {
            survivors_narrow(isa, batch, probes, plane, threshold, narrow, scratch, wanted);
        }
        _ => survivors8(isa, batch, plane, threshold, depth.step, scratch, wanted),
    }
}

/// [`survivors8`] in two passes: narrow probes against whole tiles, then int8 for the eights of references that they left.
#[allow(clippy::too_many_arguments)]
pub(super) fn survivors_narrow(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    probes: &Packed,
    plane: &Plane<'_>,
    threshold: f32,
    Narrow { step, confirm }: Narrow,
    scratch: &mut Scratch,
    wanted: impl Fn(u32, u32) -> bool,
) {
    scratch.survivors.clear();
    let threshold = f64::from(threshold);
    let last = plane.shape.steps - 1;
    let (step, confirm) = (step.min(last), confirm.min(last));
    let (prefix, confirmed) = (plane.shape.prefix(step), plane.shape.prefix(confirm));
    let columns = &probes.columns[step];
    let mut out: TileSums = [[0; ROWS]; PROBES];
    for tile in 0..plane.shape.tiles {
        let summary = plane.summary(tile, step);
        let (codes, all_codes) = (plane.codes8(tile, step), plane.codes8(tile, confirm));
        let filled = plane.filled(tile);
        let first = scratch.survivors.len();
        vectorize(isa, Starts { probes: columns, tile: summary, threshold, out: &mut scratch.starts });
        let groups = scratch.starts.as_chunks::<PROBES>().0.iter().zip(columns.sums.as_chunks::<PROBES>().0);
        for (group, (starts, sums)) in groups.enumerate() {
            if !tile_i8_narrow(isa, codes, probes.group(group, prefix), starts, sums, &mut out) {
                continue;
            }
            scratch.tiles_touched += 1;
            for (p, lane) in out.iter().enumerate() {
                let probe = group * PROBES + p;
                let Some(terms) = probes.terms[step].get(probe) else { continue };
                for (eight, sums) in lane.as_chunks::<EIGHT>().0.iter().enumerate() {
                    // The sign bits' AND is clear where one of them is.
                    if sums.iter().fold(-1, |all, &sum| all & sum) < 0 {
                        continue;
                    }
                    let mut left = [false; EIGHT];
                    for (r, left) in left.iter_mut().enumerate().take(filled.saturating_sub(eight * EIGHT)) {
                        let entry = tile * ROWS + eight * EIGHT + r;
                        *left = sums[r] >= 0
                            && wanted(probe as u32, entry as u32)
                            && may_reach(terms, plane, entry, step, sums[r] - starts[p], threshold);
                    }
                    if left == [false; EIGHT] {
                        continue;
                    }
                    scratch.eights += 1;
                    let terms = &batch.wide.terms[confirm][probe];
                    let products = eight_i8(isa, all_codes, batch.wide.group(group, confirmed), eight * EIGHT, p);
                    for (r, _) in left.iter().enumerate().filter(|(_, left)| **left) {
                        let entry = tile * ROWS + eight * EIGHT + r;
                        if may_reach(terms, plane, entry, confirm, products[r], threshold) {
                            scratch.survivors.push((entry as u32, probe as u32));
                        }
                    }
                }
            }
        }
        scratch.survivors[first..].sort_unstable();
    }
}

/// Filters 1 and 2 in int8: leaves `(entry, probe)`, sorted, in the scratch.
pub(super) fn survivors8(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    plane: &Plane<'_>,
    threshold: f32,
    step: usize,
    scratch: &mut Scratch,
    wanted: impl Fn(u32, u32) -> bool,
) {
    scratch.survivors.clear();
    if batch.is_empty() {
        return;
    }
    let threshold = f64::from(threshold);
    let step = step.min(plane.shape.steps - 1);
    let prefix = plane.shape.prefix(step);
    let (terms, columns) = (&batch.wide.terms[step], &batch.wide.columns[step]);
    let mut out: TileSums = [[0; ROWS]; PROBES];
    for tile in 0..plane.shape.tiles {
        let summary = plane.summary(tile, step);
        let codes = plane.codes8(tile, step);
        let filled = plane.filled(tile);
        let first = scratch.survivors.len();
        vectorize(isa, Starts { probes: columns, tile: summary, threshold, out: &mut scratch.starts });
        let groups = scratch.starts.as_chunks::<PROBES>().0.iter().zip(columns.sums.as_chunks::<PROBES>().0);
        for (group, (starts, sums)) in groups.enumerate() {
            if !tile_i8(isa, codes, batch.wide.group(group, prefix), starts, sums, &mut out) {
                continue;
            }
            scratch.tiles_touched += 1;
            for (p, lane) in out.iter().enumerate() {
                // The sign bits' AND is clear where one of them is.
                if lane.iter().fold(-1, |all, &sum| all & sum) < 0 {
                    continue;
                }
                let probe = group * PROBES + p;
                let Some(terms) = terms.get(probe) else { continue };
                for (r, &sum) in lane.iter().enumerate().take(filled) {
                    let entry = tile * ROWS + r;
                    if sum >= 0
                        && wanted(probe as u32, entry as u32)
                        && may_reach(terms, plane, entry, step, sum - starts[p], threshold)
                    {
                        scratch.survivors.push((entry as u32, probe as u32));
                    }
                }
            }
        }
        scratch.survivors[first..].sort_unstable();
    }
}

/// Tiles that a single probe meets chunk by chunk, in the order of the bytes; their sums stay in the first-level cache.
const TILES: usize = 8;

/// Filters 1 and 2 in 4 bits: leaves `(entry, 0)`, sorted, in the scratch.
pub(super) fn survivors4(
    isa: Isa,
    probe: &FaceProbe,
    plane: &Plane<'_>,
    next: Option<&Plane<'_>>,
    threshold: f32,
    step: usize,
    scratch: &mut Scratch,
) {
    scratch.survivors.clear();
    if plane.shape.rows == 0 {
        return;
    }
    let threshold = f64::from(threshold);
    let step = step.min(plane.shape.steps - 1);
    let terms = &probe.terms4[step];
    let (codes, steps) = (plane.codes4(step), step + 1);
    let ahead = next.map_or(&[][..], |next| next.codes4(step.min(next.shape.steps.saturating_sub(1))));
    let tiles = plane.shape.tiles;
    let mut sums = [[0; ROWS]; TILES];
    let mut starts = [0; TILES];
    for first in (0..tiles).step_by(TILES) {
        let count = TILES.min(tiles - first);
        let (sums, starts) = (&mut sums[..count], &mut starts[..count]);
        for (t, (start, sums)) in starts.iter_mut().zip(sums.iter_mut()).enumerate() {
            // The codes stand for odd numbers: product = 2 sum - 15 sum of the probe's codes >= limit.
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
            // The sign bits' AND is clear where one of them is.
            if sums.iter().fold(-1, |all, &sum| all & sum) < 0 {
                continue;
            }
            scratch.tiles_touched += 1;
            let tile = first + t;
            for (r, &sum) in sums.iter().enumerate().take(plane.filled(tile)) {
                let entry = tile * ROWS + r;
                if sum >= 0 && may_reach(terms, plane, entry, step, 2 * (sum - *start) - 15 * terms.sum, threshold) {
                    scratch.survivors.push((entry as u32, 0));
                }
            }
        }
    }
}

/// Filter 3.
fn rescore(
    isa: Isa,
    batch: &ProbeBatch<'_>,
    block: &FaceBlock<'_>,
    threshold: f32,
    hits: &mut Vec<Hit>,
    scratch: &mut Scratch,
) {
    scratch.rescored += scratch.survivors.len() as u64;
    ahead(block, &scratch.survivors, 0);
    ahead(block, &scratch.survivors, 1);
    for (at, &(entry, probe)) in scratch.survivors.iter().enumerate() {
        ahead(block, &scratch.survivors, at + 2);
        let (values, probe_norm_sq) = batch.values[probe as usize];
        let (dot, norm_sq) = dot_f32::products(isa, values, block.originals.row(entry as usize));
        let cosine = cosine(dot, probe_norm_sq, norm_sq);
        if cosine >= threshold {
            hits.push(Hit { probe, entry, cosine });
        }
    }
}

/// Asks for the originals of a survivor to come.
#[inline]
fn ahead(block: &FaceBlock<'_>, survivors: &[(u32, u32)], at: usize) {
    if let Some(&(entry, _)) = survivors.get(at) {
        prefetch(bytemuck::cast_slice(block.originals.row(entry as usize)));
    }
}
