//! The event log: the one total order that decides who was first.
//!
//! Every state change is an [`Event`] at a position; all other state (gallery, registry) is a projection that can be
//! rebuilt from here.

mod event;
mod frame;
mod journal;
pub mod projection;
pub mod redact;
pub mod segment;
mod watermark;

use std::io;
use std::path::{Path, PathBuf};

pub use event::{
    Adjudicated, CaseVerdict, Closing, CohortFrozen, Created, Decided, Enrolled, Erased, ErasureDone, ErasureOrder,
    Event, FraudListed, Merged, ModelAdopted, PolicyAdopted, REDACTED, Redacted, RegistryDigest, Role, SecondApproval,
    StoredBiometrics, StoredBiometricsError, Submitted, Withdrawn,
};
pub use frame::FORMAT_VERSION;
pub use journal::{EventLog, FileJournal, JournalReader, Record, SEGMENT_BYTES_MAX, verify_durable_note};

/// What waits together shares one sync: the first, and whatever else is there by now, up to `most`.
pub fn gather<T>(first: T, waiting: &std::sync::mpsc::Receiver<T>, most: usize) -> Vec<T> {
    let mut group = vec![first];
    while group.len() < most {
        let Ok(next) = waiting.try_recv() else { break };
        group.push(next);
    }
    group
}

/// What can go wrong with the log. Damage, the medium and the caller are different things.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No journal in the folder.
    #[error("{}: no journal there", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// A durable record is damaged, or the file is not what it should be.
    #[error("{}: damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// A newer build wrote the log.
    #[error("{}: at byte {offset} an event of kind {kind}, which this build does not know: a newer one wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// The event's kind.
        kind: u16,
    },
    /// The log is encrypted, and the key is not there or another one.
    #[error("{}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Which of the two.
        what: &'static str,
    },
    /// No room; nothing was appended.
    #[error("no room on disk; nothing was appended")]
    DiskFull,
    /// A sync failed: what is on the disk is unknown, nothing more is accepted until a restart.
    #[error("{}: sync failed, the journal has stopped: {source}", path.display())]
    Sync {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An earlier failure stopped the journal.
    #[error("the journal has stopped after an earlier failure; restart to continue")]
    Stopped,
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An event could not be encoded.
    #[error("an event could not be encoded: {0}")]
    Encode(String),
}

impl LogError {
    fn event(path: &Path, offset: usize, error: frame::EventError) -> Self {
        let path = path.into();
        match error {
            frame::EventError::Damage(what) => Self::Corrupt { path, offset: offset as u64, what },
            frame::EventError::Newer(kind) => Self::Newer { path, offset: offset as u64, kind },
            frame::EventError::Key(what) => Self::Key { path, what },
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }
}
