//! Many blocks: work spread over rayon, candidates in total order whatever the number of threads.

use rayon::prelude::*;

use super::FaceError;
use super::basis::Basis;
use super::block::{Hit, Passes, Scratch, search_block, search_pair};
use super::layout::FaceBlock;
use super::plan::Plan;
use super::probe::{FaceProbe, ProbeBatch};
use super::single::search_run_single;
use crate::kernel::Isa;

/// Probes packed at a time: at 512 dimensions half a core's second-level cache.
const BATCH: usize = 1008;
/// Fewer probes than this are searched one by one.
pub const FEW: usize = 3;

/// One reference of a candidate list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of its block in the slice that was searched.
    pub block: u32,
    /// Index of its entry in the block.
    pub entry: u32,
    /// The cosine, a similarity.
    pub cosine: f32,
}

/// What one probe found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// By cosine descending, then by reference.
    pub list: Vec<Candidate>,
    /// References at or above the threshold, also those that the cap cut.
    pub reached: u64,
}

impl Candidates {
    /// Whether the cap left any out.
    pub fn cut(&self) -> bool {
        self.reached > self.list.len() as u64
    }
}

/// Cosine descending, then reference ascending: a total order, since no cosine is NaN.
fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.cosine.total_cmp(&a.cosine).then(a.block.cmp(&b.block)).then(a.entry.cmp(&b.entry))
}

/// Finds every reference of `blocks` at or above `threshold` for every probe. `cap` bounds each list and keeps the best;
/// without one, memory is bounded by what is found. Runs on the current rayon pool.
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
pub fn search_blocks(
    isa: Isa,
    basis: &Basis,
    probes: &[FaceProbe],
    blocks: &[FaceBlock<'_>],
    threshold: f32,
    plan: Plan,
    cap: Option<usize>,
) -> Result<Vec<Candidates>, FaceError> {
    if probes.len() <= FEW
        && let Some(passes) = plan.single
    {
        return probes.iter().map(|probe| single(isa, probe, blocks, threshold, passes, cap)).collect();
    }
    let mut all = Vec::with_capacity(probes.len());
    for probes in probes.chunks(BATCH) {
        let batch = ProbeBatch::new(basis, probes)?;
        let parts: Vec<Result<Vec<Candidates>, FaceError>> = chunked(blocks)
            .map(|(first, blocks)| {
                let mut lists = vec![Candidates::default(); batch.len()];
                let (mut hits, mut scratch) = (Vec::new(), Scratch::default());
                for (b, block) in blocks.iter().enumerate() {
                    hits.clear();
                    search_block(isa, &batch, block, threshold, plan.depth(), &mut hits, &mut scratch)?;
                    for hit in &hits {
                        push(&mut lists[hit.probe as usize], first + b, hit, cap);
                    }
                }
                Ok(lists)
            })
            .collect();
        let mut lists = vec![Candidates::default(); batch.len()];
        for part in parts {
            for (list, more) in lists.iter_mut().zip(part?) {
                list.reached += more.reached;
                list.list.extend(more.list);
            }
        }
        for list in &mut lists {
            finish(list, cap);
        }
        all.extend(lists);
    }
    Ok(all)
}

fn single(
    isa: Isa,
    probe: &FaceProbe,
    blocks: &[FaceBlock<'_>],
    threshold: f32,
    passes: Passes,
    cap: Option<usize>,
) -> Result<Candidates, FaceError> {
    let parts: Vec<Result<Candidates, FaceError>> = chunked(blocks)
        .map(|(first, blocks)| {
            let mut list = Candidates::default();
            let mut scratch = Scratch::default();
            search_run_single(isa, probe, blocks, threshold, passes, &mut scratch, |b, hit| {
                push(&mut list, first + b, &hit, cap);
            })?;
            Ok(list)
        })
        .collect();
    let mut list = Candidates::default();
    for part in parts {
        let part = part?;
        list.reached += part.reached;
        list.list.extend(part.list);
    }
    finish(&mut list, cap);
    Ok(list)
}

/// Runs of blocks with the index of their first, a few for every thread; a run is worth waking a thread for.
fn chunked<'b, 'a>(blocks: &'b [FaceBlock<'a>]) -> impl IndexedParallelIterator<Item = (usize, &'b [FaceBlock<'a>])> {
    let size = blocks.len().div_ceil(rayon::current_num_threads() * 8).clamp(4, 256);
    blocks.par_chunks(size).enumerate().map(move |(i, part)| (i * size, part))
}

fn push(list: &mut Candidates, block: usize, hit: &Hit, cap: Option<usize>) {
    list.reached += 1;
    list.list.push(Candidate { block: block as u32, entry: hit.entry, cosine: hit.cosine });
    if let Some(cap) = cap
        && list.list.len() >= cap.saturating_mul(2).max(1024)
    {
        cut(&mut list.list, cap);
    }
}

fn finish(list: &mut Candidates, cap: Option<usize>) {
    list.list.sort_unstable_by(order);
    if let Some(cap) = cap {
        list.list.truncate(cap);
    }
}

/// Keeps the best `cap`.
fn cut(list: &mut Vec<Candidate>, cap: usize) {
    list.sort_unstable_by(order);
    list.truncate(cap);
}

/// Two references at or above the threshold; `a` comes before `b` in the gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// `(block, entry)` of the earlier.
    pub a: (u32, u32),
    /// `(block, entry)` of the later.
    pub b: (u32, u32),
    /// The cosine, a similarity.
    pub cosine: f32,
}

/// Compares every reference with every other, each unordered pair once, and hands over the pairs at or above
/// `threshold`: a run of blocks after the other, within a run by `a`, then by `b`. `found` gets the pairs of a run and
/// the number of blocks done; it may stop the work by returning `false`.
///
/// # Errors
/// [`FaceError::OtherBasis`], [`FaceError::Threshold`].
pub fn all_pairs(
    isa: Isa,
    basis: &Basis,
    blocks: &[FaceBlock<'_>],
    threshold: f32,
    plan: Plan,
    found: &mut dyn FnMut(&[Pair], usize) -> bool,
) -> Result<(), FaceError> {
    let mut first = 0;
    while first < blocks.len() {
        // Blocks whose entries together make a batch.
        let mut last = first;
        let mut rows = 0;
        while last < blocks.len() && (last == first || rows + blocks[last].rows() <= 1024) {
            rows += blocks[last].rows();
            last += 1;
        }
        let batch = ProbeBatch::from_blocks(isa, basis, &blocks[first..last])?;
        let mut places = Vec::with_capacity(rows);
        let mut starts = Vec::with_capacity(last - first);
        for (b, block) in blocks[first..last].iter().enumerate() {
            starts.push(places.len());
            places.extend((0..block.rows() as u32).map(|entry| ((first + b) as u32, entry)));
        }
        let parts: Vec<Result<Vec<Pair>, FaceError>> = chunked(&blocks[first..])
            .map(|(offset, part)| {
                let (mut hits, mut scratch, mut pairs) = (Vec::new(), Scratch::default(), Vec::new());
                for (b, block) in part.iter().enumerate() {
                    let index = offset + b;
                    hits.clear();
                    // Within the batch's own blocks the batch's entries before this block's own are earlier.
                    let later = starts.get(index).map(|&start| -(start as i64));
                    search_pair(isa, &batch, block, later, threshold, plan.depth(), &mut hits, &mut scratch)?;
                    pairs.extend(hits.iter().map(|hit| Pair {
                        a: places[hit.probe as usize],
                        b: ((first + index) as u32, hit.entry),
                        cosine: hit.cosine,
                    }));
                }
                Ok(pairs)
            })
            .collect();
        let mut pairs = Vec::new();
        for part in parts {
            pairs.extend(part?);
        }
        pairs.sort_unstable_by_key(|pair| (pair.a, pair.b));
        if !found(&pairs, last) {
            return Ok(());
        }
        first = last;
    }
    Ok(())
}

/// What the drivers must return, one comparison at a time.
#[cfg(test)]
pub(super) fn brute_force(isa: Isa, probe: &[f32], blocks: &[FaceBlock<'_>], threshold: f32) -> Candidates {
    let mut list = Candidates::default();
    for (b, block) in blocks.iter().enumerate() {
        for entry in 0..block.rows() {
            let cosine = super::compare(isa, probe, block.originals.values(entry));
            if cosine >= threshold {
                list.list.push(Candidate { block: b as u32, entry: entry as u32, cosine });
            }
        }
    }
    list.reached = list.list.len() as u64;
    finish(&mut list, None);
    list
}
