//! One block against a batch, against a single probe, or against another block. No threads; memory is the caller's.
//!
//! Three filters, each a proven upper bound of the cosine, each cheaper and coarser than the next:
//!
//! 1. a tile's worst figures give each probe one integer limit, which the kernel tests with its sums;
//! 2. the row's own figures, for what passed;
//! 3. the score itself, from the embeddings as given.

use super::encode::ROUNDER;
use super::layout::{FaceBlock, Plane, Summary};
use super::probe::{Columns, Packed, ProbeBatch, Terms};
use super::single::Pending;
use super::{FaceError, cosine};
use crate::kernel::dot_i8::{EIGHT, PROBES, ROWS, TileSums, eight_i8, tile_i8, tile_i8_narrow};
use crate::kernel::signs::{Bits, reached};
use crate::kernel::{Isa, Vectorized, dot_f32, prefetch, vectorize};

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
    /// What a single probe's search has not decided yet.
    pub(super) pending: Pending,
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
    /// A pass with narrow probes instead, where they were prepared (see [`crate::kernel::dot_i8::narrow_pays`]); int8
    /// confirms.
    pub narrow: Option<Passes>,
}

/// A pass over all entries, and a closer look at what it leaves, before the score itself. Steps as in [`Depth`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// Step after which the first pass decides.
    pub step: usize,
    /// Step after which the closer look decides.
    pub confirm: usize,
}

/// One pass.
impl From<usize> for Passes {
    fn from(step: usize) -> Self {
        Self { step, confirm: step }
    }
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

pub(super) fn check(same_basis: bool, threshold: f32) -> Result<(), FaceError> {
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
pub(super) fn round_down(limit: f64) -> i32 {
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

/// Filter 2. Anything that is not a number survives.
#[inline]
pub(super) fn may_reach(
    terms: &Terms,
    plane: &Plane<'_>,
    entry: usize,
    step: usize,
    product: i32,
    threshold: f64,
) -> bool {
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
    Passes { step, confirm }: Passes,
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
        let mask = plane.filled_mask(tile);
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
                let mut left = 0u64;
                for r in Bits(reached(isa, lane) & mask) {
                    let entry = tile * ROWS + r;
                    if wanted(probe as u32, entry as u32)
                        && may_reach(terms, plane, entry, step, lane[r] - starts[p], threshold)
                    {
                        left |= 1 << r;
                    }
                }
                let terms = &batch.wide.terms[confirm][probe];
                while left != 0 {
                    let eight = left.trailing_zeros() as usize / EIGHT;
                    scratch.eights += 1;
                    let products = eight_i8(isa, all_codes, batch.wide.group(group, confirmed), eight * EIGHT, p);
                    let here = left & (0xff << (eight * EIGHT));
                    left ^= here;
                    for r in Bits(here) {
                        let entry = tile * ROWS + r;
                        if may_reach(terms, plane, entry, confirm, products[r % EIGHT], threshold) {
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
        let mask = plane.filled_mask(tile);
        let first = scratch.survivors.len();
        vectorize(isa, Starts { probes: columns, tile: summary, threshold, out: &mut scratch.starts });
        let groups = scratch.starts.as_chunks::<PROBES>().0.iter().zip(columns.sums.as_chunks::<PROBES>().0);
        for (group, (starts, sums)) in groups.enumerate() {
            if !tile_i8(isa, codes, batch.wide.group(group, prefix), starts, sums, &mut out) {
                continue;
            }
            scratch.tiles_touched += 1;
            for (p, lane) in out.iter().enumerate() {
                let probe = group * PROBES + p;
                let Some(terms) = terms.get(probe) else { continue };
                for r in Bits(reached(isa, lane) & mask) {
                    let entry = tile * ROWS + r;
                    if wanted(probe as u32, entry as u32)
                        && may_reach(terms, plane, entry, step, lane[r] - starts[p], threshold)
                    {
                        scratch.survivors.push((entry as u32, probe as u32));
                    }
                }
            }
        }
        scratch.survivors[first..].sort_unstable();
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
