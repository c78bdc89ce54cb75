//! What was compared already, for several searches with parts of one capture.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::screen::Wanted;
use super::ways::ByWay;
use super::{FingerScore, Hands, Probe};
use crate::gallery::GalleryError;

/// Comparisons of one capture's prints with one snapshot's rows: of use where the same capture is searched for by
/// different fingers or among different parts of a gallery, as evaluations do. It is of one probe and its
/// [parts](super::Probe::part), and of one snapshot.
#[derive(Debug, Default)]
pub struct Memory {
    /// By row: a capture has few prints.
    rows: Mutex<BTreeMap<u64, Vec<Entry>>>,
    screens: Mutex<Screens>,
}

/// Screen scores of all rows before some limit, by print and way.
type Screens = BTreeMap<(usize, usize), Arc<[u32]>>;
/// Which print and how the hands were; the score, or `None` where the row has no such finger.
pub(super) type Entry = ((usize, Hands), Option<FingerScore>);

impl Memory {
    /// What was found, if it was asked for before.
    pub(super) fn get(&self, row: u64, print: usize, hands: Hands) -> Option<Option<FingerScore>> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = rows.get(&row)?;
        entries.iter().find(|(key, _)| *key == (print, hands)).map(|(_, score)| *score)
    }

    /// The screen scores of each of the probe's screened fingers in these ways with every row before the limit, or with more
    /// rows. `screen` is asked for those that are not known yet; the widest search had better come first.
    pub(super) fn screens(
        &self,
        probe: &Probe<'_>,
        limit: u64,
        ways: ByWay<bool>,
        screen: impl FnOnce(&[Wanted]) -> Result<Vec<ByWay<Vec<u32>>>, GalleryError>,
    ) -> Result<Vec<ByWay<Arc<[u32]>>>, GalleryError> {
        let lock = || self.screens.lock().unwrap_or_else(PoisonError::into_inner);
        let print = |slot: usize| probe.fingers[probe.screened[slot]].number;
        let enough = |known: &[u32]| known.len() as u64 >= limit;
        let slots = 0..probe.screened.len();
        let known = lock();
        let missing = |slot: usize| -> ByWay<bool> {
            let there = |way: usize| known.get(&(print(slot), way)).is_some_and(|scores| enough(scores));
            std::array::from_fn(|way| ways[way] && !there(way))
        };
        let wanted = slots.clone().map(|slot| (slot, missing(slot)));
        let wanted: Vec<Wanted> = wanted.filter(|(_, ways)| ways.contains(&true)).collect();
        // Not while others wait: the screen may take up other work of this thread pool, that waits for this very lock.
        drop(known);
        let found = if wanted.is_empty() { Vec::new() } else { screen(&wanted)? };
        let mut known = lock();
        for (&(slot, ways), found) in wanted.iter().zip(found) {
            for (way, scores) in found.into_iter().enumerate().filter(|(way, _)| ways[*way]) {
                let kept = known.entry((print(slot), way)).or_default();
                if kept.len() < scores.len() {
                    *kept = scores.into();
                }
            }
        }
        let scores = |slot: usize, way: usize| known.get(&(print(slot), way)).filter(|_| ways[way]).cloned();
        Ok(slots.map(|slot| std::array::from_fn(|way| scores(slot, way).unwrap_or_default())).collect())
    }

    /// Keeps what was found.
    pub(super) fn put(&self, row: u64, print: usize, hands: Hands, score: Option<FingerScore>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry(row).or_default().push(((print, hands), score));
    }
}
