//! A data folder: where things lie, and how it is opened.
//!
//! ```text
//! data/LOCK              held by the one writer
//! data/log/*.seg         the journal: what is true
//! data/gallery/          columns, a projection
//! data/registry.sqlite   a projection
//! data/registry.sum      its length and checksum, when it was closed in order
//! data/keys/identity.key
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::gallery::{FolderLock, Gallery, GalleryError, Snapshot};
use duynhat_engine::log::projection::{self, Applicable, ProjectionError};
use duynhat_engine::log::{
    CohortFrozen, Created, Event, EventLog, FileJournal, JournalReader, LogError, ModelAdopted, Record, RegistryDigest,
    redact, segment,
};
use duynhat_engine::storage::{self, Storage};

use super::key::PseudonymKey;
use super::sum::{FileSum, sum_path};
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
    /// No normalisation is no cohort that could be frozen.
    #[error("a cohort without weights can't be frozen")]
    NoCohort,
    /// The gallery was made with another model.
    #[error(
        "the gallery was made with fingerprint model {found}; this build has {expected}: `duynhat gallery rebuild \
         --adopt-model` makes it anew"
    )]
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
    pub(super) cohort: Cohort,
    dir: PathBuf,
    repaired: Vec<String>,
    /// Position of the last registry digest in the log.
    pub(super) digest_at: u64,
    _lock: FolderLock,
}

/// Which projections are to be thrown away and made from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remake {
    /// The columns.
    pub gallery: bool,
    /// The registry.
    pub registry: bool,
    /// With the columns: learn the face bases anew instead of keeping the frozen ones.
    pub face_basis: bool,
    /// With both: make them with this build's fingerprint model where they were made with another, and say so in the log.
    pub model: bool,
}

impl Remake {
    fn any(self) -> bool {
        self.gallery || self.registry
    }
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
        Self::open_in(storage::disk(), dir, model, cohort, Remake::default())
    }

    /// As [`Folder::open`], after throwing away what is to be made anew.
    ///
    /// # Errors
    /// As [`Folder::open`]; when the journal is damaged, nothing is thrown away.
    pub fn open_and(dir: &Path, model: &Model, cohort: &Cohort, remake: Remake) -> Result<Self, FolderError> {
        Self::open_in(storage::disk(), dir, model, cohort, remake)
    }

    /// [`Folder::open_and`] with journal and gallery in a storage; the lock, the key and the registry are files of the
    /// real file system all the same.
    ///
    /// # Errors
    /// Another process writes it, damage with file and offset, I/O.
    pub fn open_in(
        storage: Arc<dyn Storage>,
        dir: &Path,
        model: &Model,
        cohort: &Cohort,
        remake: Remake,
    ) -> Result<Self, FolderError> {
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
        let id = created_in(&logs)?.gallery;
        redact::sweep(&logs)?;
        let columns = gallery_dir(dir);
        let filed = if remake.gallery { None } else { Gallery::finger_model_in(&columns)? };
        let made_with = match &filed {
            Some(filed) if !remake.any() && filed == model.id() => filed.clone(),
            // What is thrown away must be there to be had again: the log is read whole first.
            _ => model_in_log(&logs)?,
        };
        if made_with != model.id() {
            if !(remake.model && remake.gallery && remake.registry) {
                return Err(other_model(model, made_with));
            }
            let adopted = ModelAdopted { time_ms: super::now_ms(), finger_model: model.id().to_owned() };
            journal.append(&[Event::ModelAdopted(adopted)])?;
        }
        // A takeover was cut short: the log has come further than the columns.
        let stale = filed.is_some_and(|filed| filed != model.id());
        let frozen = if remake.gallery || stale {
            let frozen = Gallery::face_models_in(&columns).ok().flatten().filter(|_| !remake.face_basis);
            if columns.exists() {
                std::fs::remove_dir_all(&columns).map_err(io(&columns))?;
            }
            frozen
        } else {
            None
        };
        let mut gallery = Gallery::open_in(storage, &columns, id, model.into(), true)?;
        if let Some(models) = frozen {
            gallery.begin_with(models);
        }
        gallery.sweep()?;
        let last_record = match journal.found_last()? {
            Some(record) => Some(record),
            None => JournalReader::open(&logs, journal.last_position())?.next().transpose()?,
        };
        let last_digest = match last_record {
            Some(Record { event: Event::RegistryDigest(digest), .. }) => Some(digest),
            _ => None,
        };
        let (mut registry, repaired) = open_registry(dir, id, last_digest.as_ref(), remake.registry)?;
        let (registry_applied, last) = (registry.applied()?, journal.last_position());
        let projections = [(registry_path(dir), registry_applied), (gallery_dir(dir), gallery.replay_from() - 1)];
        // New events would get positions that it takes for applied.
        if let Some((path, applied)) = projections.into_iter().find(|(_, applied)| *applied > last) {
            return Err(FolderError::Ahead { path, applied, last });
        }
        let from = gallery.replay_from().min(registry_applied + 1);
        let mut cohort = registry.cohort_before(from, model)?.unwrap_or_else(|| cohort.clone());
        if from <= last {
            let mut reader = JournalReader::open(&logs, from)?;
            loop {
                let records = reader.by_ref().take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
                let Some(last) = records.last().map(|r| r.position) else { break };
                registry.apply(&records)?;
                // What the gallery has already counts all the same where it freezes a cohort.
                let behind =
                    |r: &Record| r.position >= gallery.replay_from() || matches!(r.event, Event::CohortFrozen(_));
                let rest = records.into_iter().filter(behind).collect();
                projection::apply(&mut gallery, Applicable::prepare(rest, model, &mut cohort)?)?;
                gallery.publish(last);
                if gallery.wants_flush() {
                    gallery.flush(last)?;
                }
            }
        }
        gallery.publish(journal.last_position());
        // What was made anew is not made anew again: a server that is killed again and again must not start ever slower.
        if gallery.unfiled() > 0
            && let Err(error) = gallery.flush(journal.last_position())
        {
            tracing::warn!(%error, "the gallery's files could not be written; the log is safe");
        }
        if let Some(position) = registry.disagreed().first() {
            tracing::warn!(position, "the registry made from the log is not the one that the log's digest was made of");
        }
        let digest_at = if last_digest.is_some() { journal.last_position() } else { 0 };
        Ok(Self { dir: dir.to_owned(), journal, gallery, registry, cohort, repaired, digest_at, _lock: lock })
    }

    /// What had to be made anew when the folder was opened, in words.
    pub fn repaired(&self) -> &[String] {
        &self.repaired
    }

    /// Positions of log digests that the registry did not agree with when it was made from the log.
    pub fn disagreed(&self) -> &[u64] {
        self.registry.disagreed()
    }

    /// Writes what is in memory to the files, and the checksum of the registry; to be called last.
    pub(super) fn seal(&mut self) {
        let sealed = || -> Result<(), FolderError> {
            self.registry.checkpoint()?;
            FileSum::of(&registry_path(&self.dir))?.write(&sum_path(&self.dir))
        };
        // Without it the next start reads the whole registry: slower, no less safe.
        if let Err(error) = sealed() {
            tracing::warn!(%error, "the registry's checksum could not be written");
        }
    }

    /// Writes what is in memory to the files and ends.
    ///
    /// # Errors
    /// I/O, a full disk among it.
    pub fn close(mut self) -> Result<(), FolderError> {
        let last = self.journal.last_position();
        self.gallery.flush(last)?;
        self.seal();
        Ok(())
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

    /// The cohort in force at the log's end.
    pub fn cohort(&self) -> &Cohort {
        &self.cohort
    }

    /// Normalises what is enrolled from here on by `cohort`, learned from prints of the references at `members`.
    ///
    /// # Errors
    /// The log or a projection; a cohort without weights.
    pub fn freeze_cohort(&mut self, cohort: &Cohort, members: Vec<u64>) -> Result<u64, FolderError> {
        let Some(weights) = cohort.weights() else { return Err(FolderError::NoCohort) };
        let frozen = CohortFrozen { time_ms: super::now_ms(), cohort: cohort.id().to_owned(), members, weights };
        let position = self.append_event(Event::CohortFrozen(frozen))?;
        self.cohort = cohort.clone();
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
    /// The cohort in force there.
    pub cohort: Cohort,
}

impl ReadOnly {
    /// Maps what is in files and replays the rest of the log in memory.
    ///
    /// # Errors
    /// No gallery there, damage with file and offset, I/O.
    pub fn open(dir: &Path, model: &Model, cohort: &Cohort) -> Result<Self, FolderError> {
        let logs = log_dir(dir);
        let id = created_in(&logs)?.gallery;
        let made_with = Gallery::finger_model_in(&gallery_dir(dir))?.map_or_else(|| model_in_log(&logs), Ok)?;
        if made_with != model.id() {
            return Err(other_model(model, made_with));
        }
        let mut gallery = Gallery::open(&gallery_dir(dir), id, model.into(), false)?;
        let mut cohort = cohort_before(dir, gallery.replay_from(), model, cohort)?;
        let mut reader = JournalReader::open(&logs, gallery.replay_from())?;
        let mut position = gallery.replay_from() - 1;
        loop {
            let records = reader.by_ref().take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = records.last().map(|r| r.position) else { break };
            position = last;
            projection::apply(&mut gallery, Applicable::prepare(records, model, &mut cohort)?)?;
        }
        gallery.publish(position);
        Ok(Self { snapshot: gallery.published().load_full(), position, cohort })
    }
}

/// The cohort in force at a position: as the registry says when it is sound and has come so far, else as the log says. A
/// damaged registry is nobody's reason to fail here: whoever opens the folder to write makes it anew.
fn cohort_before(dir: &Path, position: u64, model: &Model, shipped: &Cohort) -> Result<Cohort, FolderError> {
    if position > 1 {
        match cohort_of_registry(dir, position, model) {
            Ok(Some(cohort)) => return Ok(cohort.unwrap_or_else(|| shipped.clone())),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the registry can't be read; the cohort is read from the log"),
        }
    }
    let mut cohort = shipped.clone();
    for record in JournalReader::open(&log_dir(dir), 1)?.take(usize::try_from(position - 1).unwrap_or(usize::MAX)) {
        if let Event::CohortFrozen(frozen) = record?.event
            && let Some(frozen) = frozen.of_model(model)
        {
            cohort = frozen;
        }
    }
    Ok(cohort)
}

/// What the registry says of the cohort in force at a position; `None` when it has not come so far or can't be trusted: its
/// pages carry no checksum, so it is compared with that of its file, or, beside a writer, with the digest of its rows.
fn cohort_of_registry(dir: &Path, position: u64, model: &Model) -> Result<Option<Option<Cohort>>, FolderError> {
    let path = registry_path(dir);
    if !path.exists() {
        return Ok(None);
    }
    let closed_in_order = match FileSum::read(&sum_path(dir)) {
        Some(sum) => sum == FileSum::of(&path)?,
        None => false,
    };
    let registry = Registry::open_read_only(&path)?;
    if !closed_in_order {
        registry.verify()?;
    }
    if registry.applied()? + 1 < position {
        return Ok(None);
    }
    Ok(Some(registry.cohort_before(position, model)?))
}

fn created_in(logs: &Path) -> Result<Created, FolderError> {
    match segment::first_record(logs)? {
        Some(Record { event: Event::Created(created), .. }) => Ok(created),
        _ => Err(FolderError::NotCreated { path: logs.into() }),
    }
}

/// The fingerprint model that the gallery was made with, as the log says, which is read whole.
fn model_in_log(logs: &Path) -> Result<String, FolderError> {
    let mut model = created_in(logs)?.finger_model;
    for record in JournalReader::open(logs, 1)? {
        if let Event::ModelAdopted(adopted) = record?.event {
            model = adopted.finger_model;
        }
    }
    Ok(model)
}

fn other_model(model: &Model, found: String) -> FolderError {
    FolderError::Model { expected: model.id().to_owned(), found }
}

/// The registry, verified; one that does not hold what it should is thrown away, to be made from the log.
fn open_registry(
    dir: &Path,
    id: [u8; 16],
    digest: Option<&RegistryDigest>,
    remake: bool,
) -> Result<(Registry, Vec<String>), FolderError> {
    let path = registry_path(dir);
    let sum_path = sum_path(dir);
    let mut repaired = Vec::new();
    if path.exists() && !remake {
        let sum = FileSum::read(&sum_path);
        // From here on the file changes.
        remove(&sum_path)?;
        let verified = match sum {
            Some(sum) if sum == FileSum::of(&path)? => Registry::open(&path, id),
            Some(_) => Err(RegistryError::Damaged("the file is not as it was when it was closed".into())),
            // It was not closed in order.
            None => Registry::open(&path, id).and_then(|r| r.verify().map(|_| r)),
        };
        let agreeing = verified.and_then(|registry| match digest {
            Some(digest) if !registry.agrees_with(digest)? => {
                Err(RegistryError::Damaged(format!("not the content that the log recorded for {}", digest.position)))
            }
            _ => Ok(registry),
        });
        match agreeing {
            Ok(registry) => return Ok((registry, repaired)),
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "{}: damaged; it is made again from the log", path.display());
                repaired.push(format!("{}: {error}; made again from the log", path.display()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    for file in [sum_path, path.clone(), path.with_extension("sqlite-wal"), path.with_extension("sqlite-shm")] {
        remove(&file)?;
    }
    Ok((Registry::open(&path, id)?, repaired))
}

fn remove(path: &Path) -> Result<(), FolderError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(FolderError::Io { path: path.to_owned(), source }),
    }
}

fn new_id() -> std::io::Result<[u8; 16]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|e| std::io::Error::other(e.to_string()))?;
    Ok(id)
}
