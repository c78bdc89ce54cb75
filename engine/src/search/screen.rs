//! The first look at every reference: a few fingers, by their code prefixes.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::{Hands, Matcher, Probe};
use crate::finger::cascade::other_hand;
use crate::finger::screen::{ScreenBatch, ScreenScratch, normalised};
use crate::gallery::{Block, GalleryError, Snapshot};
use crate::template::FingerPosition;

/// Which columns a probe finger is screened against.
pub(super) fn columns_of(position: FingerPosition) -> Vec<FingerPosition> {
    if position == FingerPosition::UNKNOWN {
        (0..=10).filter_map(FingerPosition::new).collect()
    } else {
        vec![position, FingerPosition::UNKNOWN]
    }
}

/// Which columns a probe finger is screened against when the hands may be exchanged: only what the position as declared
/// does not reach.
pub(super) fn swapped_columns_of(position: FingerPosition) -> Option<FingerPosition> {
    (position != FingerPosition::UNKNOWN).then(|| other_hand(position))
}

/// Rows and their summed screen score; score descending, then row.
type Ranked = Vec<(u64, u32)>;

/// How many rows of each kind are kept.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    /// Fingers as declared.
    pub declared: usize,
    /// Hands exchanged.
    pub swapped: usize,
}

/// The admitted rows with the highest summed screen score, with the fingers as declared and with the hands exchanged. One
/// reading of the columns serves both.
pub(super) fn shortlist(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    probe: &Probe<'_>,
    limit: u64,
    keep: Keep,
    admitted: &(impl Fn(u64) -> bool + Sync),
) -> Result<(Ranked, Ranked), GalleryError> {
    if probe.screened.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    // The probe fingers of each column, batched; slots from `screened.len()` on are those of exchanged hands.
    let declared = probe.screened.len();
    let mut columns: BTreeMap<FingerPosition, Vec<usize>> = BTreeMap::new();
    for (slot, &finger) in probe.screened.iter().enumerate() {
        for column in columns_of(probe.fingers[finger].position) {
            columns.entry(column).or_default().push(slot);
        }
        if keep.swapped > 0
            && let Some(column) = swapped_columns_of(probe.fingers[finger].position)
        {
            columns.entry(column).or_default().push(declared + slot);
        }
    }
    let slots = if keep.swapped > 0 { 2 * declared } else { declared };
    let columns: Vec<(FingerPosition, Vec<usize>, ScreenBatch)> = columns
        .into_iter()
        .map(|(column, in_column)| {
            let finger = |slot: usize| &probe.fingers[probe.screened[slot % declared]];
            let probes: Vec<_> = in_column.iter().map(|slot| finger(*slot).screen.clone()).collect();
            (column, in_column, ScreenBatch::new(&probes))
        })
        .collect();

    let blocks: Vec<_> = snapshot.blocks().take_while(|b| b.first_row < limit).collect();
    let parts = blocks
        .par_iter()
        .map_init(Buffers::default, |buffers, block| {
            buffers.block(matcher, probe, &columns, slots, block)?;
            // Whoever has no finger in common with the probe scores nothing and is found by face or not at all.
            let ranked = |hands: Hands, keep: usize| -> Ranked {
                let mut rows = buffers.sums(block, slots, declared, hands);
                rows.retain(|(row, score)| *score > 0 && admitted(*row));
                keep_best(&mut rows, keep);
                rows
            };
            Ok((ranked(Hands::AsDeclared, keep.declared), ranked(Hands::Swapped, keep.swapped)))
        })
        .collect::<Result<Vec<_>, GalleryError>>()?;
    let (mut as_declared, mut swapped) = (Vec::new(), Vec::new());
    for (a, b) in parts {
        as_declared.extend(a);
        swapped.extend(b);
    }
    keep_best(&mut as_declared, keep.declared);
    keep_best(&mut swapped, keep.swapped);
    Ok((as_declared, swapped))
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
    /// Best score of each screened finger for each row.
    best: Vec<u32>,
}

impl Buffers {
    /// Fills `best`.
    fn block(
        &mut self,
        matcher: Matcher<'_>,
        probe: &Probe<'_>,
        columns: &[(FingerPosition, Vec<usize>, ScreenBatch)],
        slots: usize,
        block: &Block,
    ) -> Result<(), GalleryError> {
        let rows = block.rows as usize;
        self.best.clear();
        self.best.resize(rows * slots, 0);
        for (column, in_column, batch) in columns {
            let Some(column) = block.finger(*column)? else { continue };
            let entries = column.tile.entries();
            self.scores.clear();
            self.scores.resize(in_column.len() * entries, 0);
            batch.screen(matcher.isa, &column.tile, &mut self.scratch, &mut self.scores);
            for (scores, &slot) in self.scores.chunks_exact(entries.max(1)).zip(in_column) {
                let minutiae = probe.fingers[probe.screened[slot % probe.screened.len()]].screen.minutiae();
                for (entry, &score) in scores.iter().enumerate() {
                    let (Some(row), Some(reference)) = (column.prints.row(entry), column.tile.minutiae_of(entry))
                    else {
                        continue;
                    };
                    if usize::from(row) < rows {
                        let best = &mut self.best[usize::from(row) * slots + slot];
                        *best = (*best).max(normalised(score, minutiae, reference));
                    }
                }
            }
        }
        Ok(())
    }

    /// Every row of the block with its sum.
    fn sums(&self, block: &Block, slots: usize, declared: usize, hands: Hands) -> Ranked {
        let part = match hands {
            Hands::AsDeclared => 0..declared,
            Hands::Swapped => declared..slots,
        };
        let sum = |row: &[u32]| row[part.clone()].iter().sum::<u32>();
        (block.first_row..).zip(self.best.chunks_exact(slots).map(sum)).collect()
    }
}
