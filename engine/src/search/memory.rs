//! What was compared already, for several searches with parts of one capture.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{FingerScore, Hands};

/// Comparisons of one capture's prints with one snapshot's rows: of use where the same capture is searched for by
/// different fingers or among different parts of a gallery, as evaluations do. It is of one probe and its
/// [parts](super::Probe::part), and of one snapshot.
#[derive(Debug, Default)]
pub struct Memory {
    /// By row: a capture has few prints.
    rows: Mutex<BTreeMap<u64, Vec<Entry>>>,
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

    /// Keeps what was found.
    pub(super) fn put(&self, row: u64, print: usize, hands: Hands, score: Option<FingerScore>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.entry(row).or_default().push(((print, hands), score));
    }
}
