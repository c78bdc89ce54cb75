//! Backups of a data folder: generations over shared objects.
//!
//! ```text
//! DIR/BACKUP                      what this folder is; of which gallery; sealed or not
//! DIR/generations/00000001        one backup: its files, each as a list of objects with SHA-256 and length
//! DIR/objects/ab/abcdef…          pieces of files, named by their digest, written once
//! DIR/LOCK                        held while a backup is made
//! ```
//! A piece is at most 16 MiB. What does not change (closed segments, sealed stripes) is neither read nor written again:
//! the last generation names it, and its file has still the same length, time and inode. Stripes get rewritten and
//! segments redacted, so a generation is complete in itself, and an old one goes as a whole.
//!
//! A backup may be made while a server enrols. The gallery's files are listed first and copied up to their recorded
//! lengths, the log's durable prefix is taken last: replaying what the log has beyond the columns is what opening does
//! anyway. The registry is not in it: it is made from the log.
//!
//! With a key every object and generation is sealed, and objects are named by a keyed digest. With or without, everything
//! that is read back is compared with its SHA-256.

mod make;
mod restore;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duynhat_engine::gallery::GalleryError;
use duynhat_engine::log::LogError;
use duynhat_engine::storage::StorageKey;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use make::{Made, MakeOptions, make};
pub use restore::{Restored, restore, verify};

use crate::registry::RegistryError;

const FORMAT: u32 = 1;
/// Bytes of a piece.
const PIECE: usize = 16 << 20;

/// Why a backup can't be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The gallery's files.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The backup is not what it should be.
    #[error("{}: damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Not possible like this; nothing was changed.
    #[error("{}: {what}", path.display())]
    Refused {
        /// The folder.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

impl BackupError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }

    fn refused(path: &Path, what: impl Into<String>) -> Self {
        Self::Refused { path: path.into(), what: what.into() }
    }
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    format: u32,
    /// Its number, from 1.
    pub number: u32,
    /// Whose it is: the gallery's identifier.
    pub gallery: String,
    /// The last log position in it.
    pub position: u64,
    /// Milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// Erasures that were carried out before it was begun.
    pub erasures_done: u64,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it belongs in the data folder, with `/`.
    pub path: String,
    /// Bytes.
    pub length: u64,
    /// What tells that the file is still the one that was read.
    stamp: Option<Stamp>,
    /// Its pieces, in order.
    pieces: Vec<PieceEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    length: u64,
    modified_ns: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PieceEntry {
    object: String,
    sha256: String,
    length: u64,
}

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u32,
    gallery: String,
    sealed: bool,
}

/// The folder of a backup.
struct Store {
    dir: PathBuf,
    key: Option<Arc<StorageKey>>,
}

impl Store {
    fn generations_dir(&self) -> PathBuf {
        self.dir.join("generations")
    }

    fn generation_path(&self, number: u32) -> PathBuf {
        self.generations_dir().join(format!("{number:08}"))
    }

    fn object_path(&self, name: &str) -> PathBuf {
        self.dir.join("objects").join(name.get(..2).unwrap_or("xx")).join(name)
    }

    fn marker(&self) -> Result<Option<Marker>, BackupError> {
        let path = self.dir.join("BACKUP");
        match std::fs::read(&path) {
            Ok(mut bytes) => {
                let marker: Marker = simd_json::serde::from_slice(&mut bytes)
                    .map_err(|e| BackupError::damaged(&path, format!("not the marker of a backup: {e}")))?;
                if marker.format != FORMAT {
                    let what = format!("format {}; this build reads {FORMAT}", marker.format);
                    return Err(BackupError::refused(&path, what));
                }
                match (marker.sealed, &self.key) {
                    (true, None) => {
                        Err(BackupError::refused(&self.dir, "the backup is encrypted, and no key file was given"))
                    }
                    (false, Some(_)) => Err(BackupError::refused(
                        &self.dir,
                        "the backup is not encrypted, and a key file was given: begin another one",
                    )),
                    _ => Ok(Some(marker)),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(BackupError::io(&path)(e)),
        }
    }

    /// Numbers of the generations, ascending.
    fn generations(&self) -> Result<Vec<u32>, BackupError> {
        let dir = self.generations_dir();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(BackupError::io(&dir)(e)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(BackupError::io(&dir))?.file_name();
            numbers.extend(name.to_str().filter(|n| n.len() == 8).and_then(|n| n.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn read_generation(&self, number: u32) -> Result<Generation, BackupError> {
        let path = self.generation_path(number);
        let bytes = std::fs::read(&path).map_err(BackupError::io(&path))?;
        let bytes = self.unseal(&path, "generation", &number.to_string(), bytes)?;
        // The text begins with its own digest.
        let (digest, text) = bytes.split_at_checked(64).ok_or_else(|| BackupError::damaged(&path, "too short"))?;
        if digest != hex(&Sha256::digest(text)).as_bytes() {
            return Err(BackupError::damaged(&path, "its SHA-256 is wrong"));
        }
        let generation: Generation =
            simd_json::serde::from_slice(&mut text.to_vec()).map_err(|e| BackupError::damaged(&path, e.to_string()))?;
        if (generation.format, generation.number) != (FORMAT, number) {
            return Err(BackupError::damaged(&path, "another format or number than its name says"));
        }
        Ok(generation)
    }

    fn write_generation(&self, generation: &Generation) -> Result<(), BackupError> {
        let path = self.generation_path(generation.number);
        let text = simd_json::serde::to_vec(generation).map_err(|e| BackupError::damaged(&path, e.to_string()))?;
        let bytes = [hex(&Sha256::digest(&text)).as_bytes(), &text].concat();
        write_file(&path, &self.seal(&path, "generation", &generation.number.to_string(), &bytes)?)
    }

    /// The name of the object that holds these bytes.
    fn object_name(&self, sha256: &[u8; 32]) -> String {
        match &self.key {
            None => hex(sha256),
            // A plain digest would say which backups hold the same person.
            Some(key) => {
                let text = key.to_text();
                let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(text.as_bytes())
                    .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
                mac.update(b"object");
                mac.update(sha256);
                hex(&mac.finalize().into_bytes())
            }
        }
    }

    fn seal(&self, path: &Path, kind: &str, name: &str, bytes: &[u8]) -> Result<Vec<u8>, BackupError> {
        match &self.key {
            None => Ok(bytes.to_vec()),
            Some(key) => key.seal(&[b"backup", kind.as_bytes(), name.as_bytes()], bytes).map_err(BackupError::io(path)),
        }
    }

    fn unseal(&self, path: &Path, kind: &str, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, BackupError> {
        match &self.key {
            None => Ok(bytes),
            Some(key) => key
                .open(&[b"backup", kind.as_bytes(), name.as_bytes()], &bytes)
                .ok_or_else(|| BackupError::damaged(path, "it does not open: another key, or changed")),
        }
    }

    /// The bytes of a piece, compared with its digest.
    fn read_piece(&self, piece: &PieceEntry) -> Result<Vec<u8>, BackupError> {
        let path = self.object_path(&piece.object);
        let bytes = std::fs::read(&path).map_err(BackupError::io(&path))?;
        let bytes = self.unseal(&path, "object", &piece.object, bytes)?;
        if bytes.len() as u64 != piece.length || hex(&Sha256::digest(&bytes)) != piece.sha256 {
            return Err(BackupError::damaged(&path, "its SHA-256 is wrong"));
        }
        Ok(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Writes beside, syncs, renames, syncs the folder.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(BackupError::io(path))
}
