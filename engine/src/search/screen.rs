//! The first look at every reference: a few fingers, by their code prefixes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::ways::{ByWay, WAYS, screened_columns};
use super::{Matcher, Probe};
use crate::finger::screen::{ScreenBatch, ScreenScratch, normalised};
use crate::gallery::{Block, GalleryError, Snapshot};
use crate::template::FingerPosition;

/// Rows and their summed screen score; score descending, then row.
pub(super) type Ranked = Vec<(u64, u32)>;

/// The screened fingers of a column (their number, and the ways that this serves), batched.
type Column = (FingerPosition, Vec<(usize, ByWay<bool>)>, ScreenBatch);
/// A screened finger and the ways that are asked for.
pub(super) type Wanted = (usize, ByWay<bool>);

/// The admitted rows with the highest summed screen score in each way, `keep` of each; none of a way of which none are
/// kept. One reading of the columns serves all ways.
pub(super) fn shortlist(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    limit: u64,
    keep: ByWay<usize>,
    admitted: &(impl Fn(u64) -> bool + Sync),
) -> Result<ByWay<Ranked>, GalleryError> {
    let ways = keep.map(|keep| keep > 0);
    let all: Vec<Wanted> = (0..probe.screened.len()).map(|slot| (slot, ways)).collect();
    let parts = each_block(matcher, snapshot, probe, limit, &all, |buffers, block| {
        // Whoever has no finger in common with the probe scores nothing and is found by face or not at all.
        let mut ranked: ByWay<Ranked> = Default::default();
        for (way, rows) in ranked.iter_mut().enumerate().filter(|(way, _)| ways[*way]) {
            *rows = buffers.sums(block, probe.screened.len(), way);
            rows.retain(|(row, score)| *score > 0 && admitted(*row));
            keep_best(rows, keep[way]);
        }
        ranked
    })?;
    let mut found: ByWay<Ranked> = Default::default();
    for part in parts {
        for (all, own) in found.iter_mut().zip(part) {
            all.extend(own);
        }
    }
    for (rows, keep) in found.iter_mut().zip(keep) {
        keep_best(rows, keep);
    }
    Ok(found)
}

/// The screen scores of each wanted finger and way with every row before the limit, in the order of `wanted`; empty for
/// ways not wanted.
pub(super) fn scores(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    limit: u64,
    wanted: &[Wanted],
) -> Result<Vec<ByWay<Vec<u32>>>, GalleryError> {
    let slots = probe.screened.len();
    let parts = each_block(matcher, snapshot, probe, limit, wanted, |buffers, _| buffers.best.clone())?;
    let column = |slot: usize, way: usize| -> Vec<u32> {
        let of_part = |part: &Vec<u32>| {
            let rows = part.len() / (WAYS * slots);
            part[way * rows * slots..][..rows * slots].iter().skip(slot).step_by(slots).copied().collect::<Vec<_>>()
        };
        let mut all: Vec<u32> = parts.iter().flat_map(of_part).collect();
        all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        all
    };
    let of = |&(slot, ways): &Wanted| std::array::from_fn(|way| if ways[way] { column(slot, way) } else { Vec::new() });
    Ok(wanted.iter().map(of).collect())
}

/// As [`shortlist`], from the [`scores`] of every screened finger.
pub(super) fn ranked(
    scores: &[ByWay<Arc<[u32]>>],
    limit: u64,
    keep: ByWay<usize>,
    admitted: &(impl Fn(u64) -> bool + Sync),
) -> ByWay<Ranked> {
    std::array::from_fn(|way| {
        if keep[way] == 0 {
            return Ranked::new();
        }
        let sum = |row: u64| scores.iter().filter_map(|ways| ways[way].get(row as usize)).sum::<u32>();
        let mut rows: Ranked = (0..limit).map(|row| (row, sum(row))).filter(|(_, score)| *score > 0).collect();
        rows.retain(|(row, _)| admitted(*row));
        keep_best(&mut rows, keep[way]);
        rows
    })
}

/// What `work` makes of each block's scores, in the order of the blocks.
fn each_block<T: Send>(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    limit: u64,
    wanted: &[Wanted],
    work: impl Fn(&Buffers, &Block) -> T + Sync,
) -> Result<Vec<T>, GalleryError> {
    let mut columns: BTreeMap<FingerPosition, Vec<Wanted>> = BTreeMap::new();
    for &(slot, ways) in wanted {
        for (column, serves) in screened_columns(probe.fingers[probe.screened[slot]].position, ways) {
            columns.entry(column).or_default().push((slot, serves));
        }
    }
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<Column> = columns
        .into_iter()
        .map(|(column, in_column)| {
            let screen = |slot: usize| probe.fingers[probe.screened[slot]].screen.clone();
            let probes: Vec<_> = in_column.iter().map(|(slot, _)| screen(*slot)).collect();
            (column, in_column, ScreenBatch::new(&probes))
        })
        .collect();
    let blocks: Vec<_> = snapshot.blocks().take_while(|b| b.first_row < limit).collect();
    blocks
        .par_iter()
        .map_init(Buffers::default, |buffers, block| {
            buffers.block(matcher, probe, &columns, block)?;
            Ok(work(buffers, block))
        })
        .collect()
}

fn keep_best(rows: &mut Vec<(u64, u32)>, keep: usize) {
    let order = |a: &(u64, u32), b: &(u64, u32)| b.1.cmp(&a.1).then(a.0.cmp(&b.0));
    if rows.len() > keep && keep > 0 {
        rows.select_nth_unstable_by(keep - 1, order);
    }
    rows.truncate(keep);
    rows.sort_unstable_by(order);
}

#[derive(Default)]
struct Buffers {
    scratch: ScreenScratch,
    scores: Vec<u16>,
    /// Best score of each screened finger for each row, way by way.
    best: Vec<u32>,
}

impl Buffers {
    /// Fills `best`.
    fn block(
        &mut self,
        matcher: Matcher<'_>,
        probe: &Probe<'_>,
        columns: &[Column],
        block: &Block,
    ) -> Result<(), GalleryError> {
        let (rows, slots) = (block.rows as usize, probe.screened.len());
        self.best.clear();
        self.best.resize(WAYS * rows * slots, 0);
        for (column, in_column, batch) in columns {
            let Some(column) = block.finger(*column)? else { continue };
            let entries = column.tile.entries();
            self.scores.clear();
            self.scores.resize(in_column.len() * entries, 0);
            batch.screen(matcher.isa, &column.tile, &mut self.scratch, &mut self.scores);
            for (scores, &(slot, serves)) in self.scores.chunks_exact(entries.max(1)).zip(in_column) {
                let minutiae = probe.fingers[probe.screened[slot]].screen.minutiae();
                for (entry, &score) in scores.iter().enumerate() {
                    let (Some(row), Some(reference)) = (column.prints.row(entry), column.tile.minutiae_of(entry))
                    else {
                        continue;
                    };
                    if usize::from(row) >= rows {
                        continue;
                    }
                    let score = normalised(score, minutiae, reference);
                    for (way, _) in serves.iter().enumerate().filter(|(_, serves)| **serves) {
                        let best = &mut self.best[(way * rows + usize::from(row)) * slots + slot];
                        *best = (*best).max(score);
                    }
                }
            }
        }
        Ok(())
    }

    /// Every row of the block with its sum.
    fn sums(&self, block: &Block, slots: usize, way: usize) -> Ranked {
        let size = block.rows as usize * slots;
        let rows = self.best[way * size..][..size].chunks_exact(slots);
        (block.first_row..).zip(rows.map(|row| row.iter().sum::<u32>())).collect()
    }
}
