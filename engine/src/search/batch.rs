//! Everyone against everyone: each unordered pair of references once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::compare::Comparer;
use super::ways::{ByWay, WAYS, Why, screened_columns};
use super::{Candidate, Hands, Matcher, Probe, face_error, faces};
use crate::face;
use crate::finger::screen::{ScreenBatch, ScreenProbe, ScreenScratch, normalised};
use crate::gallery::{Block, GalleryError, Prepared, STRIPE_ROWS, Snapshot};
use crate::template::FingerPosition;

/// Probes that share one reading of a tile.
const BATCH: usize = 32;
/// Fewer pairs than this are not worth choosing from: of a small gallery the screen hands on so many, whatever share that is.
const PAIRS_MIN: f64 = 10_000.0;
/// Neighbours that never make a hub, however few the others have.
const HUB_FLOOR: u32 = 20;

/// How closely to look.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Fingers of each reference that are screened, at most [`super::SCREEN_FINGERS`].
    pub fingers: usize,
    /// Share of the pairs that the screen hands on, estimated from the first blocks.
    pub share: f64,
    /// Pairs of faces from this cosine on are compared.
    pub cosine_min: f32,
    /// Looks for exchanged hands and for fingers under any other name too. Each screened finger then meets all columns, ten
    /// instead of one.
    pub cross_position: bool,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self { fingers: super::SCREEN_FINGERS, share: 2e-4, cosine_min: 0.35, cross_position: false }
    }
}

/// From which screen score and which cosine on a pair is compared.
#[derive(Clone, Copy)]
struct Limits {
    screen: ByWay<u32>,
    cosine: f32,
}

impl BatchOptions {
    fn ways(&self) -> ByWay<bool> {
        [true, self.cross_position, self.cross_position]
    }
}

/// How far it is, in pairs of references.
#[derive(Default)]
pub struct BatchProgress {
    done: AtomicU64,
    /// Faces at or above [`BatchOptions::cosine_min`] of each row, where there are any.
    neighbours: Mutex<BTreeMap<u64, u32>>,
}

impl BatchProgress {
    fn count_neighbours(&self, row: u64, with: u64) {
        // One addition at a time cannot be left half done.
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        for row in [row, with] {
            let count = neighbours.entry(row).or_insert(0);
            *count = count.saturating_add(1);
        }
    }

    /// Rows whose face is near too many others': hubs, by nature or by design. Row and neighbours, most first. The
    /// limit follows the gallery, see [`face::hub_limit`].
    pub fn hubs(&self, rows: u64) -> Vec<(u64, u32)> {
        let neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = face::hub_limit(neighbours.values().copied(), rows as usize, HUB_FLOOR);
        let mut hubs: Vec<_> = neighbours.iter().map(|(row, n)| (*row, *n)).filter(|(_, n)| *n > limit).collect();
        hubs.sort_unstable_by_key(|(row, n)| (std::cmp::Reverse(*n), *row));
        hubs
    }

    /// Pairs looked at so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// A pair that was compared and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The later row.
    pub probe: u64,
    /// The earlier row and its scores.
    pub candidate: Candidate,
}

/// Compares every pair of live references that the screen or the faces bring together, and returns those that `keep`
/// wants, in row order.
///
/// # Errors
/// Damage or I/O met on the way.
pub fn all_against_all(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    options: &BatchOptions,
    progress: &BatchProgress,
    keep: impl Fn(&Candidate) -> bool + Sync,
) -> Result<Vec<Pair>, GalleryError> {
    let limits = Limits { screen: screen_limits(matcher, snapshot, options)?, cosine: options.cosine_min };
    let mut pairs = Vec::new();
    for block in snapshot.blocks() {
        let own = Own::new(matcher, snapshot, block, options)?;
        let others: Vec<_> = snapshot.blocks().take_while(|b| b.first_row <= block.first_row).collect();
        let found = others
            .par_iter()
            .map_init(Buffers::default, |buffers, other| {
                let suspects = own.suspects(matcher, snapshot, other, limits, progress, buffers)?;
                let mut kept = Vec::new();
                for ((row, with), why) in suspects {
                    let probe = &own.probes[(row - block.first_row) as usize];
                    let candidate = buffers.comparer.compare_as(matcher, snapshot, probe, with, why)?;
                    kept.extend(candidate.filter(&keep).map(|candidate| Pair { probe: row, candidate }));
                }
                progress.done.fetch_add(u64::from(block.rows) * u64::from(other.rows), Ordering::Relaxed);
                Ok(kept)
            })
            .collect::<Result<Vec<_>, GalleryError>>()?;
        pairs.extend(found.into_iter().flatten());
    }
    pairs.sort_by_key(|p| (p.probe, p.candidate.row));
    Ok(pairs)
}

/// The screen score of each way above which [`BatchOptions::share`] of the pairs lie, from the first blocks' pairs: nearly
/// all of any gallery's pairs are non-mated. Of a way that is not asked for no pair is above.
fn screen_limits(
    matcher: Matcher<'_>,
    snapshot: &Snapshot,
    options: &BatchOptions,
) -> Result<ByWay<u32>, GalleryError> {
    let mut limits = [u32::MAX; WAYS];
    let Some(first) = snapshot.blocks().next() else { return Ok(limits) };
    let own = Own::new(matcher, snapshot, first, options)?;
    let mut buffers = Buffers::default();
    let mut scores: ByWay<Vec<u32>> = Default::default();
    for other in snapshot.blocks().take(16) {
        own.screen(matcher, other, &mut buffers)?;
        let width = (other.rows as usize).max(1);
        for (scores, sums) in scores.iter_mut().zip(&buffers.sums) {
            for (row, sums) in (first.first_row..).zip(sums.chunks_exact(width)) {
                // A reference against itself is no stranger.
                let strangers = (other.first_row..).zip(sums).filter(|(with, sum)| *with != row && **sum > 0);
                scores.extend(strangers.map(|(_, sum)| *sum));
            }
        }
    }
    let rows = snapshot.rows() as f64;
    let share = options.share.max(PAIRS_MIN / (rows * rows / 2.0)).min(1.0);
    for (way, (limit, mut scores)) in limits.iter_mut().zip(scores).enumerate() {
        if !options.ways()[way] {
            continue;
        }
        *limit = 1;
        // A small gallery is compared whole as declared: its tail cannot be estimated.
        if !scores.is_empty() && (way != 0 || rows > 256.0) {
            let above = ((scores.len() as f64 * share) as usize).clamp(1, scores.len()) - 1;
            *limit = *scores.select_nth_unstable_by(above, |a, b| b.cmp(a)).1;
        }
    }
    Ok(limits)
}

/// One of the probes screened together against a column: its row, its slot among the row's screened fingers, and the ways
/// that this serves.
type Place = (usize, usize, ByWay<bool>);
/// They, with the minutiae of each.
type ColumnBatch = (FingerPosition, Vec<(Place, u8)>, ScreenBatch);
/// A block's faces as probes for the codes of one basis.
type ByBasis = (Arc<face::Basis>, Vec<face::FaceProbe>);

/// One block's references as probes.
struct Own<'m> {
    first_row: u64,
    rows: usize,
    slots: usize,
    ways: ByWay<bool>,
    probes: Vec<Probe<'m>>,
    batches: Vec<ColumnBatch>,
    faces: BTreeMap<u8, Vec<ByBasis>>,
    face_rows: BTreeMap<u8, Vec<u64>>,
}

#[derive(Default)]
struct Buffers {
    scratch: ScreenScratch,
    faces: face::Scratch,
    comparer: Comparer<'static>,
    scores: Vec<u16>,
    best: ByWay<Vec<u32>>,
    /// Way by way, row by row of the probes, each with all rows of the other block; empty for ways not asked for.
    sums: ByWay<Vec<u32>>,
}

impl<'m> Own<'m> {
    fn new(
        matcher: Matcher<'m>,
        snapshot: &Snapshot,
        block: &Block,
        options: &BatchOptions,
    ) -> Result<Self, GalleryError> {
        let rows = block.rows as usize;
        let slots = options.fingers.clamp(1, super::SCREEN_FINGERS);
        let prepared: Vec<Prepared> = (0..rows)
            .into_par_iter()
            .map(|row| snapshot.prepared(block.first_row + row as u64))
            .collect::<Result<_, _>>()?;
        let probes: Vec<Probe<'m>> =
            prepared.par_iter().map(|p| Probe::new(matcher.model, matcher.params, p)).collect();
        let ways = options.ways();
        let mut columns: BTreeMap<FingerPosition, Vec<(Place, &ScreenProbe)>> = BTreeMap::new();
        for (row, probe) in probes.iter().enumerate() {
            if !snapshot.is_live(block.first_row + row as u64) {
                continue;
            }
            for (slot, &finger) in probe.screened.iter().take(slots).enumerate() {
                for (column, serves) in screened_columns(probe.fingers[finger].position, ways) {
                    columns.entry(column).or_default().push(((row, slot, serves), &probe.fingers[finger].screen));
                }
            }
        }
        let mut batches = Vec::new();
        for (column, all) in columns {
            for part in all.chunks(BATCH) {
                let screens: Vec<_> = part.iter().map(|(_, screen)| (*screen).clone()).collect();
                let places = part.iter().map(|(place, screen)| (*place, screen.minutiae())).collect();
                batches.push((column, places, ScreenBatch::new(&screens)));
            }
        }
        let mut by_model = BTreeMap::new();
        let mut face_rows = BTreeMap::new();
        for (number, model) in (0u8..).zip(snapshot.face_models().iter()) {
            let Some(column) = block.faces(snapshot.face_models(), number)? else { continue };
            let values: Vec<_> = (0..column.rows.len()).map(|e| column.block.originals.values(e)).collect();
            let prepared = faces::prepare(matcher.isa, model, &values)?;
            let bases = (0..model.bases()).filter_map(|n| model.basis(n).cloned());
            by_model.insert(number, bases.zip(prepared).collect());
            face_rows.insert(number, column.rows.iter().map(|r| block.first_row + u64::from(*r)).collect());
        }
        Ok(Self { first_row: block.first_row, rows, slots, ways, probes, batches, faces: by_model, face_rows })
    }

    /// Fills `buffers.sums`.
    fn screen(&self, matcher: Matcher<'_>, other: &Block, buffers: &mut Buffers) -> Result<(), GalleryError> {
        let width = other.rows as usize;
        let wanted = |way: usize| self.ways[way];
        for (_, best) in buffers.best.iter_mut().enumerate().filter(|(way, _)| wanted(*way)) {
            best.clear();
            best.resize(self.rows * self.slots * width, 0);
        }
        for (column, places, batch) in &self.batches {
            let Some(column) = other.finger(*column)? else { continue };
            let entries = column.tile.entries();
            buffers.scores.clear();
            buffers.scores.resize(places.len() * entries, 0);
            batch.screen(matcher.isa, &column.tile, &mut buffers.scratch, &mut buffers.scores);
            for (scores, ((row, slot, serves), minutiae)) in buffers.scores.chunks_exact(entries.max(1)).zip(places) {
                let start = (row * self.slots + slot) * width;
                for (entry, &score) in scores.iter().enumerate() {
                    let (Some(to), Some(reference)) = (column.prints.row(entry), column.tile.minutiae_of(entry)) else {
                        continue;
                    };
                    let score = normalised(score, *minutiae, reference);
                    for (best, _) in buffers.best.iter_mut().zip(serves).filter(|(_, serves)| **serves) {
                        if let Some(best) = best[start..][..width].get_mut(usize::from(to)) {
                            *best = (*best).max(score);
                        }
                    }
                }
            }
        }
        for (sums, best) in buffers.sums.iter_mut().zip(&buffers.best) {
            sums.clear();
            for row in best.chunks_exact((self.slots * width).max(1)) {
                sums.extend((0..width).map(|to| row.iter().skip(to).step_by(width).sum::<u32>()));
            }
        }
        Ok(())
    }

    /// Pairs (own row, earlier row of the other block) to compare, in order, and why.
    fn suspects(
        &self,
        matcher: Matcher<'_>,
        snapshot: &Snapshot,
        other: &Block,
        limits: Limits,
        progress: &BatchProgress,
        buffers: &mut Buffers,
    ) -> Result<BTreeMap<(u64, u64), Why>, GalleryError> {
        let mut suspects: BTreeMap<(u64, u64), Why> = BTreeMap::new();
        let wanted = |row: u64, with: u64| with < row && snapshot.is_live(row) && snapshot.is_live(with);
        self.screen(matcher, other, buffers)?;
        let width = (other.rows as usize).max(1);
        for ((hands, limit), sums) in Hands::ALL.into_iter().zip(limits.screen).zip(&buffers.sums) {
            for (row, sums) in (self.first_row..).zip(sums.chunks_exact(width)) {
                for (with, _) in (other.first_row..).zip(sums).filter(|(_, sum)| **sum >= limit) {
                    if wanted(row, with) {
                        suspects.entry((row, with)).or_default().add_screened(hands);
                    }
                }
            }
        }
        for (number, bases) in &self.faces {
            let Some(column) = other.faces(snapshot.face_models(), *number)? else { continue };
            let Some((basis, probes)) = bases.get(column.basis) else { continue };
            let mut hits = Vec::new();
            let batch = face::ProbeBatch::new(basis, probes).map_err(|e| face_error(&e))?;
            let (cosine_min, scratch) = (limits.cosine, &mut buffers.faces);
            let key = face::PlanKey { stripe: other.first_row / STRIPE_ROWS, basis: basis.id(), cosine_min };
            let plan = snapshot.face_plans().get(matcher.isa, key, basis, std::slice::from_ref(&column.block));
            let step = plan.map_err(|e| face_error(&e))?.depth();
            face::search_block(matcher.isa, &batch, &column.block, cosine_min, step, &mut hits, scratch)
                .map_err(|e| face_error(&e))?;
            for hit in hits {
                let row = self.face_rows[number][hit.probe as usize];
                let with = other.first_row + u64::from(column.rows[hit.entry as usize]);
                if wanted(row, with) {
                    let why = suspects.entry((row, with)).or_default();
                    (why.whole, why.swapped, why.crossed) = (true, self.ways[1], self.ways[2]);
                    progress.count_neighbours(row, with);
                }
            }
        }
        Ok(suspects)
    }
}
