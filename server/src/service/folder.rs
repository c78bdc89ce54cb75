//! A data folder: where things lie, and how it is opened.
//!
//! ```text
//! data/LOCK              held by the one writer
//! data/log/*.seg         the journal: what is true
//! data/gallery/          columns, a projection
//! data/registry.sqlite   a projection
//! data/keys/identity.key
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::gallery::{FolderLock, Gallery, GalleryError, Snapshot};
use duynhat_engine::log::projection::{self, Applicable, ProjectionError};
use duynhat_engine::log::{Created, Event, EventLog, FileJournal, JournalReader, LogError, Record};
use duynhat_engine::storage::{self, Storage};

use super::key::PseudonymKey;
use crate::registry::{Registry, RegistryError};

/// Records replayed at a time.
const REPLAY_BATCH: usize = 1_024;

/// Why a data folder cannot be opened or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The gallery.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// Replaying.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The folder itself or its key.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The log does not begin as it must.
    #[error("{}: the log does not begin with the gallery's creation", path.display())]
    NotCreated {
        /// The journal's folder.
        path: PathBuf,
    },
    /// The policy or calibration that the log says was adopted can't be read by this build.
    #[error("the log's last adopted policy or calibration can't be used: {what}; name another with --policy")]
    Adopted {
        /// What is wrong.
        what: String,
    },
    /// A projection has applied more than there is in the log: an older log was put beside it, or its end was given up.
    #[error("{}: has applied position {applied}, but the log ends at {last}; remove it to have it made anew", path.display())]
    Ahead {
        /// The projection.
        path: PathBuf,
        /// What it has applied.
        applied: u64,
        /// The last position in the log.
        last: u64,
    },
    /// The gallery in the log was made with another model.
    #[error("the gallery was made with fingerprint model {found}; this build has {expected}")]
    Model {
        /// This build's.
        expected: String,
        /// The gallery's.
        found: String,
    },
}

/// A data folder opened for writing.
pub struct Folder {
    pub(super) journal: FileJournal,
    pub(super) gallery: Gallery,
    pub(super) registry: Registry,
    _lock: FolderLock,
}

/// Where a data folder's journal lies.
pub fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// Where a data folder's columns lie.
pub fn gallery_dir(dir: &Path) -> PathBuf {
    dir.join("gallery")
}

/// Where a data folder's registry lies.
pub fn registry_path(dir: &Path) -> PathBuf {
    dir.join("registry.sqlite")
}

impl Folder {
    /// Opens a data folder, making it when it is not there, and brings the projections up to the log.
    ///
    /// # Errors
    /// Another process writes it, damage with file and offset, I/O.
    pub fn open(dir: &Path, model: &Model, cohort: &Cohort) -> Result<Self, FolderError> {
        Self::open_in(storage::disk(), dir, model, cohort)
    }

    /// [`Folder::open`] with journal and gallery in a storage; the lock, the key and the registry are files of the real
    /// file system all the same.
    ///
    /// # Errors
    /// Another process writes it, damage with file and offset, I/O.
    pub fn open_in(storage: Arc<dyn Storage>, dir: &Path, model: &Model, cohort: &Cohort) -> Result<Self, FolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError::Io { path, source }
        };
        storage::make_dir(&storage::Disk, dir).map_err(io(dir))?;
        let lock = FolderLock::acquire(dir)?;
        let keys = dir.join("keys");
        storage::make_dir(&storage::Disk, &keys).map_err(io(&keys))?;
        let key_path = keys.join("identity.key");
        PseudonymKey::open(&key_path).map_err(io(&key_path))?;

        let logs = log_dir(dir);
        let journal = match FileJournal::open_in(storage.clone(), &logs) {
            Ok(journal) => journal,
            Err(LogError::Missing { .. }) => {
                FileJournal::create_in(storage.clone(), &logs, new_id().map_err(io(&logs))?)?
            }
            Err(e) => return Err(e.into()),
        };
        let mut journal = journal;
        if journal.last_position() == 0 {
            // Also after a crash between the making of the first segment and this record.
            let created =
                Created { gallery: journal.gallery(), time_ms: super::now_ms(), finger_model: model.id().to_owned() };
            journal.append(&[Event::Created(created)])?;
        }
        let id = check_created(&logs, model)?;
        let mut gallery = Gallery::open_in(storage, &gallery_dir(dir), id, model.id(), true)?;
        let mut registry = Registry::open(&registry_path(dir), id)?;
        let (registry_applied, last) = (registry.applied()?, journal.last_position());
        let projections = [(registry_path(dir), registry_applied), (gallery_dir(dir), gallery.replay_from() - 1)];
        // New events would get positions that it takes for applied.
        if let Some((path, applied)) = projections.into_iter().find(|(_, applied)| *applied > last) {
            return Err(FolderError::Ahead { path, applied, last });
        }
        let from = gallery.replay_from().min(registry_applied + 1);
        let mut reader = JournalReader::open(&logs, from)?;
        loop {
            let records = reader.by_ref().take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = records.last().map(|r| r.position) else { break };
            registry.apply(&records)?;
            let rest = records.into_iter().filter(|r| r.position >= gallery.replay_from()).collect();
            projection::apply(&mut gallery, Applicable::prepare(rest, model, cohort)?)?;
            gallery.publish(last);
            if gallery.wants_flush() {
                gallery.flush(last)?;
            }
        }
        gallery.publish(journal.last_position());
        Ok(Self { journal, gallery, registry, _lock: lock })
    }

    /// Appends one event and brings the projections up to it. For events that belong to opening, before there is a
    /// writer.
    ///
    /// # Errors
    /// The log or a projection.
    pub fn append_event(&mut self, event: Event) -> Result<u64, FolderError> {
        let position = self.journal.append(std::slice::from_ref(&event))?;
        let record = Record { position, event };
        self.registry.apply(std::iter::once(&record))?;
        projection::apply(&mut self.gallery, vec![Applicable::with(record, None)])?;
        self.gallery.publish(position);
        Ok(position)
    }

    /// The gallery's id.
    pub fn gallery_id(&self) -> [u8; 16] {
        self.journal.gallery()
    }

    /// The last durable position.
    pub fn last_position(&self) -> u64 {
        self.journal.last_position()
    }

    /// The gallery's view, as it is published.
    pub fn published(&self) -> Arc<arc_swap::ArcSwap<Snapshot>> {
        self.gallery.published()
    }

    /// Reads one submission again.
    ///
    /// # Errors
    /// The log.
    pub fn record(dir: &Path, position: u64) -> Result<Option<Record>, LogError> {
        JournalReader::open(&log_dir(dir), position)?.next().transpose()
    }
}

/// A data folder seen beside its writer, or without one; nothing is written.
pub struct ReadOnly {
    /// Everything that was durable when it was opened.
    pub snapshot: Arc<Snapshot>,
    /// Last position applied.
    pub position: u64,
}

impl ReadOnly {
    /// Maps what is in files and replays the rest of the log in memory.
    ///
    /// # Errors
    /// No gallery there, damage with file and offset, I/O.
    pub fn open(dir: &Path, model: &Model, cohort: &Cohort) -> Result<Self, FolderError> {
        let logs = log_dir(dir);
        let id = check_created(&logs, model)?;
        let mut gallery = Gallery::open(&gallery_dir(dir), id, model.id(), false)?;
        let mut reader = JournalReader::open(&logs, gallery.replay_from())?;
        let mut position = gallery.replay_from() - 1;
        loop {
            let records = reader.by_ref().take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = records.last().map(|r| r.position) else { break };
            position = last;
            projection::apply(&mut gallery, Applicable::prepare(records, model, cohort)?)?;
        }
        gallery.publish(position);
        Ok(Self { snapshot: gallery.published().load_full(), position })
    }
}

fn check_created(logs: &Path, model: &Model) -> Result<[u8; 16], FolderError> {
    match JournalReader::open(logs, 1)?.next().transpose()? {
        Some(Record { event: Event::Created(created), .. }) => {
            if created.finger_model != model.id() {
                return Err(FolderError::Model { expected: model.id().to_owned(), found: created.finger_model });
            }
            Ok(created.gallery)
        }
        _ => Err(FolderError::NotCreated { path: logs.into() }),
    }
}

fn new_id() -> std::io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(id)
}
