//! Makes one generation.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duynhat_engine::gallery::{Content, FolderLock, Gallery, GalleryError};
use duynhat_engine::log::segment;
use duynhat_engine::storage::StorageKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{BackupError, FORMAT, FileEntry, Generation, Marker, PIECE, PieceEntry, Stamp, Store, hex, write_file};
use crate::registry::Registry;
use crate::service::{gallery_dir, log_dir, registry_path};

/// How often the gallery's files may change under the copy before it gives up.
const TRIES: usize = 5;

/// How a backup is made.
#[derive(Clone, Debug)]
pub struct MakeOptions {
    /// Seals everything.
    pub key: Option<Arc<StorageKey>>,
    /// Generations that are kept, this one included; those from before an erasure go whatever this says.
    pub keep: usize,
    /// The identity key goes in too; only into a sealed backup.
    pub with_identity_key: bool,
    /// Nobody writes the folder: everything that can be read counts, not only what a writer has noted as durable.
    pub alone: bool,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// The generation.
    pub generation: u32,
    /// The last log position in it.
    pub position: u64,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were not there yet.
    pub bytes_written: u64,
    /// Generations that went.
    pub generations_removed: Vec<u32>,
}

/// Makes one.
///
/// # Errors
/// See [`BackupError`]; the generations that were there stay.
pub fn make(data: &Path, dir: &Path, options: &MakeOptions) -> Result<Made, BackupError> {
    std::fs::create_dir_all(dir.join("objects")).map_err(BackupError::io(dir))?;
    std::fs::create_dir_all(dir.join("generations")).map_err(BackupError::io(dir))?;
    let _lock = FolderLock::acquire(dir)?;
    let store = Store { dir: dir.to_owned(), key: options.key.clone() };
    if options.with_identity_key && store.key.is_none() {
        return Err(BackupError::refused(dir, "the identity key goes into an encrypted backup only"));
    }
    let logs = log_dir(data);
    let gallery = hex(&segment::durable_prefix(&logs, false)?.gallery);
    match store.marker()? {
        Some(marker) if marker.gallery != gallery => {
            return Err(BackupError::refused(dir, "a backup of another gallery is there"));
        }
        Some(_) => {}
        None => {
            let marker = Marker { format: FORMAT, gallery: gallery.clone(), sealed: store.key.is_some() };
            let path = dir.join("BACKUP");
            let text = simd_json::serde::to_vec(&marker).map_err(|e| BackupError::damaged(&path, e.to_string()))?;
            write_file(&path, &text)?;
        }
    }
    let numbers = store.generations()?;
    let last = numbers.last().map(|n| store.read_generation(*n)).transpose()?;
    let mut copy = Copy::new(&store, data, last.as_ref());
    let erasures_done = erasures_done(data)?;
    for attempt in 1.. {
        match copy.gallery() {
            Ok(()) => break,
            // A stripe was written anew meanwhile.
            Err(error) if attempt < TRIES && moved(&error) => copy.files.clear(),
            Err(error) => return Err(error),
        }
    }
    if options.with_identity_key {
        copy.file("keys/identity.key", None)?;
    }
    let prefix = segment::durable_prefix(&logs, options.alone)?;
    for (path, length) in &prefix.segments {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        copy.file(&format!("log/{name}"), Some(*length))?;
    }
    let Copy { files, bytes_written, .. } = copy;
    let generation = Generation {
        format: FORMAT,
        number: numbers.last().map_or(1, |n| n + 1),
        gallery,
        position: prefix.position,
        time_ms: crate::service::now_ms(),
        erasures_done,
        files,
    };
    store.write_generation(&generation)?;
    let generations_removed = prune(&store, &generation, options.keep)?;
    Ok(Made {
        generation: generation.number,
        position: generation.position,
        files: generation.files.len() as u64,
        bytes: generation.files.iter().map(|f| f.length).sum(),
        bytes_written,
        generations_removed,
    })
}

/// Read before anything is copied: what is carried out after that may still be in the copy.
fn erasures_done(data: &Path) -> Result<u64, BackupError> {
    let path = registry_path(data);
    if !path.exists() {
        return Ok(0);
    }
    let (ordered, pending) = Registry::open_read_only(&path)?.erasure_counts()?;
    Ok(ordered - pending)
}

fn moved(error: &BackupError) -> bool {
    match error {
        BackupError::Gallery(GalleryError::Missing { .. }) => true,
        BackupError::Io { source, .. } | BackupError::Gallery(GalleryError::Io { source, .. }) => {
            matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

struct Copy<'a> {
    store: &'a Store,
    data: &'a Path,
    last: HashMap<&'a str, &'a FileEntry>,
    files: Vec<FileEntry>,
    bytes_written: u64,
}

impl<'a> Copy<'a> {
    fn new(store: &'a Store, data: &'a Path, last: Option<&'a Generation>) -> Self {
        let last = last.into_iter().flat_map(|g| &g.files).map(|f| (f.path.as_str(), f)).collect();
        Self { store, data, last, files: Vec::new(), bytes_written: 0 }
    }

    fn gallery(&mut self) -> Result<(), BackupError> {
        let dir = gallery_dir(self.data);
        for (path, content) in Gallery::files_in(&dir)? {
            let path = format!("gallery/{}", path.display());
            match content {
                Content::Bytes(bytes) => self.bytes(&path, &bytes)?,
                Content::Prefix(length) => self.file(&path, Some(length))?,
            }
        }
        Ok(())
    }

    fn bytes(&mut self, path: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let pieces = bytes.chunks(PIECE).map(|piece| self.piece(piece)).collect::<Result<_, _>>()?;
        self.files.push(FileEntry { path: path.into(), length: bytes.len() as u64, stamp: None, pieces });
        Ok(())
    }

    /// The first `length` bytes of a file, or all of it.
    fn file(&mut self, name: &str, length: Option<u64>) -> Result<(), BackupError> {
        let path = self.data.join(name);
        let file = std::fs::File::open(&path).map_err(BackupError::io(&path))?;
        let metadata = file.metadata().map_err(BackupError::io(&path))?;
        let length = length.unwrap_or(metadata.len());
        let modified_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        let stamp = Stamp { inode: metadata.ino(), length: metadata.len(), modified_ns };
        if let Some(last) = self.last.get(name)
            && last.stamp == Some(stamp)
            && last.length == length
        {
            self.files.push((*last).clone());
            return Ok(());
        }
        let mut rest = file.take(length);
        let mut pieces = Vec::new();
        let mut read = 0;
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            rest.by_ref().take(PIECE as u64).read_to_end(&mut buffer).map_err(BackupError::io(&path))?;
            if buffer.is_empty() {
                break;
            }
            read += buffer.len() as u64;
            pieces.push(self.piece(&buffer)?);
        }
        if read != length {
            return Err(BackupError::io(&path)(io::ErrorKind::UnexpectedEof.into()));
        }
        self.files.push(FileEntry { path: name.into(), length, stamp: Some(stamp), pieces });
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<PieceEntry, BackupError> {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        let object = self.store.object_name(&sha256);
        let path = self.store.object_path(&object);
        if !path.exists() {
            if let Some(dir) = path.parent() {
                std::fs::create_dir_all(dir).map_err(BackupError::io(dir))?;
            }
            write_file(&path, &self.store.seal(&path, "object", &object, bytes)?)?;
            self.bytes_written += bytes.len() as u64;
        }
        Ok(PieceEntry { object, sha256: hex(&sha256), length: bytes.len() as u64 })
    }
}

/// Removes generations that are too many or from before an erasure, and the objects that nobody names any more.
fn prune(store: &Store, newest: &Generation, keep: usize) -> Result<Vec<u32>, BackupError> {
    let mut kept = Vec::new();
    let mut removed = Vec::new();
    let numbers = store.generations()?;
    let from = numbers.len().saturating_sub(keep.max(1));
    for (at, number) in numbers.into_iter().enumerate() {
        if number == newest.number {
            kept.push(newest.clone());
            continue;
        }
        // One that can't be read may not be needed, but nobody can say what of the objects is its.
        let generation = store.read_generation(number)?;
        if at < from || generation.erasures_done < newest.erasures_done {
            let path = store.generation_path(number);
            std::fs::remove_file(&path).map_err(BackupError::io(&path))?;
            removed.push(number);
        } else {
            kept.push(generation);
        }
    }
    let named: BTreeSet<&str> =
        kept.iter().flat_map(|g| &g.files).flat_map(|f| &f.pieces).map(|p| p.object.as_str()).collect();
    let objects = store.dir.join("objects");
    for folder in list(&objects)? {
        for object in list(&folder)? {
            let name = object.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if !named.contains(name) {
                std::fs::remove_file(&object).map_err(BackupError::io(&object))?;
            }
        }
    }
    Ok(removed)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = std::fs::read_dir(dir).map_err(BackupError::io(dir))?;
    entries.map(|e| e.map(|e| e.path()).map_err(BackupError::io(dir))).collect()
}
