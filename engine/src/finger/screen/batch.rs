//! Probes, and the screening of a tile.

use super::params::ScreenParams;
use super::tile::{SECTION_ENTRIES, Section, Tile};
use super::{BUCKETS, bucket};
use crate::finger::FingerView;
use crate::kernel::hamming::{
    BLOCK_MINUTIAE, Best, CALL_BLOCKS_MAX, GROUP_MAX, Hits, Query, Ready, Turning, near, settle, weigh,
};
use crate::kernel::{Isa, Vectorized, vectorize};
use crate::template::MINUTIAE_MAX;

/// Probe minutiae share their loads when their windows begin within so many steps. A window is 65 steps by default, so
/// sharing wastes at most a ninth of the distances and saves more loads than that.
const SHARED_STEPS: u8 = 8;

/// One impression, ready to be screened.
#[derive(Clone)]
pub struct ScreenProbe {
    params: ScreenParams,
    minutiae: Vec<ProbeMinutia>,
}

#[derive(Clone, Copy)]
struct ProbeMinutia {
    step: u8,
    code: [u64; 2],
}

impl ScreenProbe {
    /// Copies directions and code prefixes. Of more than 255 minutiae (which no template has) the first 255 are taken.
    pub fn new(view: FingerView<'_>, params: &ScreenParams) -> Self {
        let both = view.minutiae().iter().zip(view.codes()).take(MINUTIAE_MAX);
        let minutiae = both
            .map(|(minutia, code)| ProbeMinutia { step: bucket(minutia.angle), code: [code[0], code[1]] })
            .collect();
        Self { params: *params, minutiae }
    }

    /// How many minutiae, as [`super::normalised`] wants it.
    pub fn minutiae(&self) -> u8 {
        self.minutiae.len() as u8
    }

    /// The score against one impression: the same as from a tile, some ten times slower. For a few of many.
    pub fn score(&self, isa: Isa, entry: FingerView<'_>) -> u16 {
        vectorize(isa, Score { probe: self, entry })
    }

    #[inline(always)]
    fn score_inlined(&self, entry: FingerView<'_>) -> u16 {
        let (weights, window) = (self.params.weights(), self.params.window_steps());
        let prefix_limit = u32::from(self.params.prefix_limit());
        let mut score = 0u16;
        for probe in &self.minutiae {
            let mut best = 0;
            for (minutia, code) in entry.minutiae().iter().zip(entry.codes()) {
                let prefix = (code[0] ^ probe.code[0]).count_ones();
                let turn = bucket(minutia.angle).wrapping_sub(probe.step);
                if prefix < prefix_limit && turn.min(turn.wrapping_neg()) <= window {
                    best = best.max(weights[(prefix + (code[1] ^ probe.code[1]).count_ones()) as usize]);
                }
            }
            score = score.wrapping_add(u16::from(best));
        }
        score
    }
}

struct Score<'a> {
    probe: &'a ScreenProbe,
    entry: FingerView<'a>,
}

impl Vectorized for Score<'_> {
    type Output = u16;

    #[inline(always)]
    fn run(self) -> u16 {
        self.probe.score_inlined(self.entry)
    }
}

/// Never prints codes: a template is sensitive personal data.
impl std::fmt::Debug for ScreenProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScreenProbe").field("minutiae", &self.minutiae.len()).finish_non_exhaustive()
    }
}

/// Probes ordered for screening: made once, used for every tile of a column, by any number of threads.
#[derive(Clone)]
pub struct ScreenBatch {
    probes: usize,
    weights: Vec<[u8; 256]>,
    /// By prefix limit, then first step of the window; a group is a run of at most four.
    items: Vec<Item>,
    groups: Vec<(u32, u8)>,
}

#[derive(Clone, Copy)]
struct Item {
    code: [u64; 2],
    /// The window: steps `first..first + length`, modulo a turn.
    first: u8,
    length: u16,
    probe: u32,
    table: u32,
    prefix_limit: u8,
}

impl ScreenBatch {
    /// Sorts the minutiae of all probes by the beginning of their windows and cuts them into groups.
    pub fn new(probes: &[ScreenProbe]) -> Self {
        let mut weights: Vec<[u8; 256]> = Vec::new();
        let mut params: Vec<&ScreenParams> = Vec::new();
        let mut items = Vec::with_capacity(probes.iter().map(|probe| probe.minutiae.len()).sum());
        for (index, probe) in probes.iter().enumerate() {
            let table = params.iter().position(|&known| *known == probe.params).unwrap_or_else(|| {
                let mut table = [0; 256];
                table[..probe.params.weights().len()].copy_from_slice(probe.params.weights());
                weights.push(table);
                params.push(&probe.params);
                params.len() - 1
            });
            let half = probe.params.window_steps();
            let whole = usize::from(half) * 2 + 1 >= BUCKETS;
            items.extend(probe.minutiae.iter().map(|minutia| Item {
                code: minutia.code,
                first: if whole { 0 } else { minutia.step.wrapping_sub(half) },
                length: if whole { BUCKETS as u16 } else { u16::from(half) * 2 + 1 },
                probe: index as u32,
                table: table as u32,
                prefix_limit: probe.params.prefix_limit(),
            }));
        }
        items.sort_by_key(|item| (item.prefix_limit, item.first));
        let mut groups = Vec::with_capacity(items.len());
        let mut begin = 0;
        while begin < items.len() {
            let reach = items[begin].first.saturating_add(SHARED_STEPS);
            let candidates = &items[begin..items.len().min(begin + GROUP_MAX)];
            let limit = candidates[0].prefix_limit;
            let length = candidates.partition_point(|item| item.prefix_limit == limit && item.first <= reach);
            groups.push((begin as u32, length as u8));
            begin += length;
        }
        Self { probes: probes.len(), weights, items, groups }
    }

    /// How many probes.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// Scores every probe against every entry, row-major by probe. Allocates only when `scratch` is too small.
    ///
    /// # Panics
    /// When `scores.len()` is not `probes * tile.entries()`.
    pub fn screen(&self, isa: Isa, tile: &Tile<'_>, scratch: &mut ScreenScratch, scores: &mut [u16]) {
        assert_eq!(scores.len(), self.probes * tile.entries(), "a score for each probe and entry");
        for (index, section) in tile.sections().enumerate() {
            scratch.rows.clear();
            scratch.rows.resize(self.probes, [0; SECTION_ENTRIES]);
            let mut turning = std::mem::take(&mut scratch.turning);
            let ready = turning.ready(isa, section.blocks);
            for &(begin, length) in &self.groups {
                self.screen_group(isa, &section, ready, &self.items[begin as usize..][..usize::from(length)], scratch);
            }
            scratch.turning = turning;
            let column = index * SECTION_ENTRIES;
            for (row, found) in scores.chunks_exact_mut(tile.entries()).zip(&scratch.rows) {
                row[column..column + section.entries].copy_from_slice(&found[..section.entries]);
            }
        }
    }

    fn screen_group(
        &self,
        isa: Isa,
        section: &Section<'_>,
        ready: Ready<'_>,
        items: &[Item],
        scratch: &mut ScreenScratch,
    ) {
        // A window that crosses the end of the turn is two ranges of minutiae.
        let mut ranges = [[(0, 0); GROUP_MAX]; 2];
        for (index, item) in items.iter().enumerate() {
            let first = usize::from(item.first);
            let end = first + usize::from(item.length);
            ranges[0][index] = (section.start(first), section.start(end.min(BUCKETS)));
            ranges[1][index] = (0, section.start(end.saturating_sub(BUCKETS)));
        }
        for ranges in &ranges {
            self.screen_range(isa, ready, items, &ranges[..items.len()], scratch);
        }
        for (item, best) in items.iter().zip(&mut scratch.best) {
            settle(isa, best, &mut scratch.rows[item.probe as usize]);
        }
    }

    fn screen_range(
        &self,
        isa: Isa,
        blocks: Ready<'_>,
        items: &[Item],
        ranges: &[(u32, u32)],
        scratch: &mut ScreenScratch,
    ) {
        let occupied = ranges.iter().filter(|(low, high)| low < high);
        let low = occupied.clone().map(|&(low, _)| low as usize / BLOCK_MINUTIAE).min().unwrap_or(0);
        let high = occupied.map(|&(_, high)| (high as usize).div_ceil(BLOCK_MINUTIAE)).max().unwrap_or(0);
        let mut base = low;
        while base < high {
            let next = high.min(base + CALL_BLOCKS_MAX);
            let call = blocks.part(base..next);
            let (begin, end) = ((base * BLOCK_MINUTIAE) as u32, (next * BLOCK_MINUTIAE) as u32);
            let mut queries = [Query::default(); GROUP_MAX];
            for ((query, item), &(low, high)) in queries.iter_mut().zip(items).zip(ranges) {
                let (low, high) = (low.clamp(begin, end) - begin, high.clamp(begin, end) - begin);
                *query = Query { code: item.code, low, high };
            }
            near(isa, call, &queries[..items.len()], items[0].prefix_limit, &mut scratch.hits);
            for (index, item) in items.iter().enumerate() {
                let weights = &self.weights[item.table as usize];
                weigh(isa, call.blocks(), item.code[1], scratch.hits.lane(index), weights, &mut scratch.best[index]);
            }
            base = next;
        }
    }
}

/// Memory that a thread keeps between calls: 53 KB, 512 bytes a probe, and with AVX2 half of a tile.
#[derive(Clone)]
pub struct ScreenScratch {
    hits: Box<Hits>,
    /// Zeros between groups.
    best: [Best; GROUP_MAX],
    rows: Vec<[u16; SECTION_ENTRIES]>,
    turning: Turning,
}

impl Default for ScreenScratch {
    fn default() -> Self {
        Self {
            hits: Box::default(),
            best: [[[0; SECTION_ENTRIES]; 4]; GROUP_MAX],
            rows: Vec::new(),
            turning: Turning::default(),
        }
    }
}

/// [`ScreenBatch::screen`] for one tile. For many tiles build the batch and the scratch memory once.
///
/// # Panics
/// When `scores.len()` is not `probes.len() * tile.entries()`.
pub fn screen(isa: Isa, probes: &[ScreenProbe], tile: &Tile<'_>, scores: &mut [u16]) {
    ScreenBatch::new(probes).screen(isa, tile, &mut ScreenScratch::default(), scores);
}
