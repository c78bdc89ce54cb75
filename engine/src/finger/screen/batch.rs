//! Probes, and the screening of a tile.

use super::params::ScreenParams;
use super::tile::{SECTION_ENTRIES, Section, Tile};
use super::{BUCKETS, bucket, window};
use crate::finger::{CLUSTERS, FingerView};
use crate::kernel::hamming::{
    BLOCK_MINUTIAE, Best, Block, CALL_BLOCKS_MAX, Hits, Window, blocks_touched, near, settle, weigh,
};
use crate::kernel::{Isa, Vectorized, vectorize};
use crate::template::MINUTIAE_MAX;

/// One impression, ready to be screened.
#[derive(Clone)]
pub struct ScreenProbe {
    params: ScreenParams,
    minutiae: Vec<ProbeMinutia>,
}

#[derive(Clone, Copy)]
struct ProbeMinutia {
    /// The first direction of the window, and how many there are.
    window: (u8, u8),
    code: [u64; 2],
    /// The clusters that are looked at.
    clusters: u32,
}

impl ScreenProbe {
    /// Copies directions and code prefixes, and chooses the clusters of each minutia. Of more than 255 minutiae (which no
    /// template has) the first 255 are taken.
    pub fn new(view: FingerView<'_>, params: &ScreenParams) -> Self {
        let both = view.minutiae().iter().zip(view.codes()).take(MINUTIAE_MAX);
        let minutiae = both
            .map(|(minutia, code)| ProbeMinutia {
                window: window(minutia.angle, params.window_steps()),
                code: [code[0], code[1]],
                clusters: params.clusters().near(code, params.clusters_near()),
            })
            .collect();
        Self { params: params.clone(), minutiae }
    }

    /// How many minutiae, as [`super::normalised`] wants it.
    pub fn minutiae(&self) -> u8 {
        self.minutiae.len() as u8
    }

    /// The score against one impression: the same as from a tile of the same clusters, some ten times slower. For a few of
    /// many.
    pub fn score(&self, isa: Isa, entry: FingerView<'_>) -> u16 {
        vectorize(isa, Score { probe: self, entry })
    }

    #[inline(always)]
    fn score_inlined(&self, entry: FingerView<'_>) -> u16 {
        let (weights, prefix_limit) = (self.params.weights(), u32::from(self.params.prefix_limit()));
        let clusters: Vec<u8> = entry.codes().iter().map(|code| self.params.clusters().of(code)).collect();
        let mut score = 0u16;
        for probe in &self.minutiae {
            let mut best = 0;
            for ((minutia, code), cluster) in entry.minutiae().iter().zip(entry.codes()).zip(&clusters) {
                let prefix = (code[0] ^ probe.code[0]).count_ones();
                let (first, count) = probe.window;
                let inside = bucket(minutia.angle).wrapping_sub(first) % (BUCKETS as u8) < count;
                if inside && prefix < prefix_limit && probe.clusters >> cluster & 1 == 1 {
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

/// Probes that are screened together: made once, used for every tile of a column, by any number of threads.
#[derive(Clone)]
pub struct ScreenBatch {
    probes: usize,
    tables: Vec<Table>,
    items: Vec<Item>,
}

/// What probes of the same parameters share.
#[derive(Clone)]
struct Table {
    weights: [u8; 256],
    prefix_limit: u8,
    /// The name of the clusters.
    clusters: u64,
}

/// A minutia of a probe.
#[derive(Clone, Copy)]
struct Item {
    code: [u64; 2],
    /// The first direction of the window, and how many there are, modulo a turn.
    window: (u8, u8),
    clusters: u32,
    probe: u32,
    table: u32,
}

impl ScreenBatch {
    /// Takes the minutiae of all probes.
    pub fn new(probes: &[ScreenProbe]) -> Self {
        let mut tables: Vec<Table> = Vec::new();
        let mut params: Vec<&ScreenParams> = Vec::new();
        let mut items = Vec::with_capacity(probes.iter().map(|probe| probe.minutiae.len()).sum());
        for (index, probe) in probes.iter().enumerate() {
            let table = params.iter().position(|&known| *known == probe.params).unwrap_or_else(|| {
                let mut weights = [0; 256];
                weights[..probe.params.weights().len()].copy_from_slice(probe.params.weights());
                let (prefix_limit, clusters) = (probe.params.prefix_limit(), probe.params.clusters().id());
                tables.push(Table { weights, prefix_limit, clusters });
                params.push(&probe.params);
                params.len() - 1
            });
            items.extend(probe.minutiae.iter().map(|minutia| Item {
                code: minutia.code,
                window: minutia.window,
                clusters: minutia.clusters,
                probe: index as u32,
                table: table as u32,
            }));
        }
        Self { probes: probes.len(), tables, items }
    }

    /// How many probes.
    pub fn probes(&self) -> usize {
        self.probes
    }

    /// Scores every probe against every entry, row-major by probe. In a tile of other clusters than a probe's, that probe looks
    /// at all of them. Allocates only when `scratch` is too small.
    ///
    /// # Panics
    /// When `scores.len()` is not `probes * tile.entries()`.
    pub fn screen(&self, isa: Isa, tile: &Tile<'_>, scratch: &mut ScreenScratch, scores: &mut [u16]) {
        assert_eq!(scores.len(), self.probes * tile.entries(), "a score for each probe and entry");
        let all = u32::MAX >> (u32::BITS - tile.clusters() as u32);
        for (index, section) in tile.sections().enumerate() {
            let ScreenScratch { work, rows, blocks } = scratch;
            rows.clear();
            rows.resize(self.probes, [0; SECTION_ENTRIES]);
            let blocks = section.blocks(blocks);
            for item in &self.items {
                let table = &self.tables[item.table as usize];
                let clusters = if table.clusters == tile.clusters_id() { item.clusters } else { all };
                work.screen(isa, &section, blocks, item, table, clusters);
                settle(isa, &mut work.best, &mut rows[item.probe as usize]);
            }
            let column = index * SECTION_ENTRIES;
            for (row, found) in scores.chunks_exact_mut(tile.entries()).zip(rows) {
                row[column..column + section.entries].copy_from_slice(&found[..section.entries]);
            }
        }
    }
}

#[derive(Clone)]
struct Work {
    hits: Hits,
    /// Zeros between minutiae of probes.
    best: Best,
}

impl Work {
    /// Weighs the minutiae of a section that are near one of a probe, into `best`.
    #[inline]
    fn screen(
        &mut self,
        isa: Isa,
        section: &Section<'_>,
        blocks: &[Block],
        item: &Item,
        table: &Table,
        mut clusters: u32,
    ) {
        // A window that crosses the end of the turn is two ranges of minutiae in each cluster.
        let mut windows = [(0, 0); 2 * CLUSTERS];
        let (mut count, mut touched) = (0, 0);
        let first = usize::from(item.window.0);
        let end = first + usize::from(item.window.1);
        while clusters != 0 {
            let cluster = clusters.trailing_zeros() as usize;
            clusters &= clusters - 1;
            let mut window = |from: usize, to: usize| {
                let window = (section.start(cluster, from), section.start(cluster, to));
                windows[count] = window;
                count += usize::from(window.0 < window.1);
                touched += blocks_touched(window);
            };
            window(first, end.min(BUCKETS));
            if end > BUCKETS {
                window(0, end - BUCKETS);
            }
        }
        let windows = &windows[..count];
        if touched <= CALL_BLOCKS_MAX {
            self.weigh(isa, blocks, windows, item, table);
            return;
        }
        for &(low, high) in windows {
            let mut low = low;
            while low < high {
                let next = high.min((low as usize / BLOCK_MINUTIAE + CALL_BLOCKS_MAX) as u32 * BLOCK_MINUTIAE as u32);
                self.weigh(isa, blocks, &[(low, next)], item, table);
                low = next;
            }
        }
    }

    #[inline]
    fn weigh(&mut self, isa: Isa, blocks: &[Block], windows: &[Window], item: &Item, table: &Table) {
        near(isa, blocks, item.code[0], windows, table.prefix_limit, &mut self.hits);
        weigh(isa, blocks, item.code[1], &self.hits, &table.weights, &mut self.best);
    }
}

/// Memory that a thread keeps between calls: 18 KB, 512 bytes a probe, and for tiles of version 1 as much as a section.
#[derive(Clone)]
pub struct ScreenScratch {
    work: Box<Work>,
    rows: Vec<[u16; SECTION_ENTRIES]>,
    /// Of tiles of version 1.
    blocks: Vec<Block>,
}

impl Default for ScreenScratch {
    fn default() -> Self {
        let work = Work { hits: Hits::default(), best: [0; SECTION_ENTRIES] };
        Self { work: Box::new(work), rows: Vec::new(), blocks: Vec::new() }
    }
}

/// [`ScreenBatch::screen`] for one tile. For many tiles build the batch and the scratch memory once.
///
/// # Panics
/// When `scores.len()` is not `probes.len() * tile.entries()`.
pub fn screen(isa: Isa, probes: &[ScreenProbe], tile: &Tile<'_>, scores: &mut [u16]) {
    ScreenBatch::new(probes).screen(isa, tile, &mut ScreenScratch::default(), scores);
}
