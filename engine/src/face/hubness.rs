//! References that are near too many others.
//!
//! In high dimensions some vectors are neighbours of surprisingly many (hubs), and a hostile one can be made so. As a
//! reference, a hub turns up in everybody's candidate list; as a probe it reaches everybody. Both are counted with the
//! neighbours that [`super::all_pairs`] finds at a threshold, or with [`super::Candidates::reached`].

use super::Pair;

/// See [`Hubness::limit`]; references that `counts` leaves out of `references` have no neighbours.
pub fn hub_limit(counts: impl Iterator<Item = u32>, references: usize, floor: u32) -> u32 {
    let mut counts: Vec<u32> = counts.collect();
    let at = references.saturating_sub(1) * 99 / 100;
    let Some(at) = at.checked_sub(references.saturating_sub(counts.len())).filter(|at| *at < counts.len()) else {
        return floor;
    };
    let (_, &mut quantile, _) = counts.select_nth_unstable(at);
    quantile.saturating_mul(8).max(floor)
}

/// Counts neighbours, pair by pair.
#[derive(Clone, Debug, Default)]
pub struct Hubness {
    /// First reference of each block, and the total.
    starts: Vec<usize>,
    counts: Vec<u32>,
}

/// A reference with too many neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hub {
    /// Its block.
    pub block: u32,
    /// Its entry in the block.
    pub entry: u32,
    /// Others at or above the threshold that the pairs were found with.
    pub neighbours: u32,
}

impl Hubness {
    /// For blocks with these numbers of entries.
    pub fn new(rows: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        let mut total = 0;
        for rows in rows {
            total += rows;
            starts.push(total);
        }
        Self { starts, counts: vec![0; total] }
    }

    /// Counts pairs, each once. A pair outside the blocks is ignored.
    pub fn add(&mut self, pairs: &[Pair]) {
        for pair in pairs {
            for (block, entry) in [pair.a, pair.b] {
                let at = self.starts.get(block as usize).map(|start| start + entry as usize);
                if let Some(count) = at.and_then(|at| self.counts.get_mut(at)) {
                    *count = count.saturating_add(1);
                }
            }
        }
    }

    /// Neighbours of each reference, in gallery order.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The mean number of neighbours, hubs included.
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.counts.iter().map(|&c| u64::from(c)).sum();
        sum as f64 / self.counts.len().max(1) as f64
    }

    /// A limit that follows the data: eight times the neighbours that 99 % of the references don't exceed, and at least
    /// `floor`. Hubs can't raise it unless they are more than one reference in a hundred.
    pub fn limit(&self, floor: u32) -> u32 {
        hub_limit(self.counts.iter().copied(), self.counts.len(), floor)
    }

    /// References with more than `limit` neighbours: most neighbours first, then in gallery order.
    pub fn hubs(&self, limit: u32) -> Vec<Hub> {
        let mut hubs = Vec::new();
        for (block, bounds) in self.starts.windows(2).enumerate() {
            for (entry, &neighbours) in self.counts[bounds[0]..bounds[1]].iter().enumerate() {
                if neighbours > limit {
                    hubs.push(Hub { block: block as u32, entry: entry as u32, neighbours });
                }
            }
        }
        hubs.sort_unstable_by_key(|hub| (std::cmp::Reverse(hub.neighbours), hub.block, hub.entry));
        hubs
    }
}
