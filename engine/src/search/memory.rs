//! What was compared already, for several searches with parts of one capture.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::screen::Ranked;
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
    shortlists: Mutex<Vec<Screened>>,
}

/// What one screen found.
#[derive(Debug)]
struct Screened {
    /// The prints that were screened.
    prints: Vec<usize>,
    /// Rows before this one were.
    limit: u64,
    /// How many were kept of each way.
    keep: ByWay<usize>,
    lists: ByWay<Ranked>,
}

/// Which print and how the hands were; the score, or `None` where the row has no such finger.
type Entry = ((usize, Hands), Option<FingerScore>);

impl Memory {
    /// What was found, if it was asked for before.
    pub(super) fn get(&self, row: u64, print: usize, hands: Hands) -> Option<Option<FingerScore>> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = rows.get(&row)?;
        entries.iter().find(|(key, _)| *key == (print, hands)).map(|(_, score)| *score)
    }

    /// The shortlists of a probe's screen: the beginning of longer ones, where these are known, else as `screen` finds
    /// them.
    pub(super) fn shortlists(
        &self,
        probe: &Probe<'_>,
        limit: u64,
        keep: ByWay<usize>,
        screen: impl FnOnce() -> Result<ByWay<Ranked>, GalleryError>,
    ) -> Result<ByWay<Ranked>, GalleryError> {
        let prints: Vec<usize> = probe.screened.iter().map(|at| probe.fingers[*at].number).collect();
        let known = self.shortlists.lock().unwrap_or_else(PoisonError::into_inner);
        let longer = |s: &&Screened| {
            s.prints == prints && s.limit == limit && s.keep.iter().zip(keep).all(|(kept, keep)| *kept >= keep)
        };
        if let Some(longer) = known.iter().find(longer) {
            let mut lists = longer.lists.clone();
            lists.iter_mut().zip(keep).for_each(|(list, keep)| list.truncate(keep));
            return Ok(lists);
        }
        drop(known);
        let lists = screen()?;
        let mut known = self.shortlists.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(Screened { prints, limit, keep, lists: lists.clone() });
        Ok(lists)
    }

    /// Keeps what was found.
    pub(super) fn put(&self, row: u64, print: usize, hands: Hands, score: Option<FingerScore>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry(row).or_default().push(((print, hands), score));
    }
}
