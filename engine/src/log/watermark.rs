//! Up to where the log is known to be durable, kept beside the segments in `DURABLE`.
//!
//! ```text
//! file:  slot at 0, slot at 4,096; 8,192 bytes
//! slot:  0 "DNDURABL"  8 u32 version  12 u32 zero  16 u64 position  24 [u8;16] gallery  40 zeros  60 u32 CRC32C of 0..60
//! ```
//! A record's own header says what was durable before it, so only the last batch has nobody to vouch for it: damage
//! there would look like a torn tail. Here the writer notes each batch after its sync. The note costs no second sync: it
//! is in the system's memory at once, which outlives the process, and is synced when the log has nothing else to do. Slots
//! are written in turn, each within a sector; the greater position holds.

use std::io;
use std::path::{Path, PathBuf};

use super::LogError;
use super::frame::{self, HEADER_LEN};
use crate::storage::{self, Open, Storage, StorageFile};

const NAME: &str = "DURABLE";
const MAGIC: &[u8; 8] = b"DNDURABL";
const SLOT_DISTANCE: usize = 4_096;
const FILE_LEN: usize = 2 * SLOT_DISTANCE;

/// The writer's side.
pub(super) struct Watermark {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    gallery: [u8; 16],
    slot: usize,
    settled: bool,
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub position: u64,
    pub gallery: [u8; 16],
    /// A slot that cannot be read.
    pub damaged: Option<usize>,
}

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// Reads the file; `None` when it is not there. One slot that can be read is enough.
pub(super) fn read(storage: &dyn Storage, dir: &Path) -> Result<Option<Noted>, LogError> {
    let path = path(dir);
    let bytes = match storage.read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(LogError::io(&path, e)),
    };
    let slots = [0, 1].map(|slot| {
        let bytes = bytes.get(slot * SLOT_DISTANCE..).unwrap_or_default();
        frame::parse_header(bytes, MAGIC, "a note of what is durable")
    });
    let damaged = slots.iter().position(Result::is_err);
    let best = slots.iter().flatten().max();
    match (best, &slots[0]) {
        (Some(&(position, gallery)), _) => Ok(Some(Noted { position, gallery, damaged })),
        (None, Err(what)) => Err(LogError::Corrupt { path, offset: 0, what: what.clone() }),
        (None, Ok(_)) => Ok(None),
    }
}

/// Both slots; damage in one of them is harmless to the log, but a check must tell.
pub(super) fn verify(storage: &dyn Storage, dir: &Path) -> Result<(), LogError> {
    match read(storage, dir)?.and_then(|noted| noted.damaged) {
        None => Ok(()),
        Some(slot) => {
            let what = "one of the two notes of what is durable cannot be read".into();
            Err(LogError::Corrupt { path: path(dir), offset: (slot * SLOT_DISTANCE) as u64, what })
        }
    }
}

impl Watermark {
    /// Notes `position` durably in what [`read`] found, or in a new file.
    pub fn open(
        storage: &dyn Storage,
        dir: &Path,
        found: Option<Noted>,
        position: u64,
        gallery: [u8; 16],
    ) -> Result<Self, LogError> {
        if found.is_none_or(|noted| noted.damaged.is_some()) {
            return Self::start(storage, dir, position, gallery);
        }
        // In place: this must work on a full disk.
        let path = path(dir);
        let file = storage.open(&path, Open::Write).map_err(|e| LogError::io(&path, e))?;
        let mut watermark = Self { file, path, gallery, slot: 0, settled: true };
        watermark.note(position)?;
        watermark.note(position)?;
        watermark.settle()?;
        Ok(watermark)
    }

    /// Writes the file anew, durably, and keeps it open.
    pub fn start(storage: &dyn Storage, dir: &Path, position: u64, gallery: [u8; 16]) -> Result<Self, LogError> {
        let path = path(dir);
        let mut bytes = vec![0; FILE_LEN];
        for slot in [0, SLOT_DISTANCE] {
            bytes[slot..slot + HEADER_LEN].copy_from_slice(&frame::header(MAGIC, position, gallery));
        }
        let io = |e| if storage::is_full(&e) { LogError::DiskFull } else { LogError::io(&path, e) };
        storage::replace(storage, &path, &bytes).map_err(io)?;
        let file = storage.open(&path, Open::Write).map_err(io)?;
        Ok(Self { file, path, gallery, slot: 0, settled: true })
    }

    /// Notes that everything up to `position` is durable. Outlives the process, not yet a loss of power. Without room it
    /// is left out: the next one will do.
    pub fn note(&mut self, position: u64) -> Result<(), LogError> {
        self.slot = 1 - self.slot;
        let bytes = frame::header(MAGIC, position, self.gallery);
        let written = storage::write_all_at(&*self.file, &bytes, (self.slot * SLOT_DISTANCE) as u64);
        match written {
            // In place, but a file system that writes elsewhere needs room: then the note before this one stands.
            Err(e) if storage::is_full(&e) => Ok(()),
            Err(e) => Err(LogError::io(&self.path, e)),
            Ok(()) => {
                self.settled = false;
                Ok(())
            }
        }
    }

    /// Makes the last note outlive a loss of power.
    pub fn settle(&mut self) -> Result<(), LogError> {
        if !self.settled {
            self.file.sync_data().map_err(|source| LogError::Sync { path: self.path.clone(), source })?;
            self.settled = true;
        }
        Ok(())
    }
}
