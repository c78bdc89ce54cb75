//! Verifies a generation, and puts it back into a data folder.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use duynhat_engine::storage::StorageKey;
use serde::Serialize;

use super::{BackupError, Generation, Store};

/// What was put back, or verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The generation.
    pub generation: u32,
    /// The last log position in it.
    pub position: u64,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether the identity key was in it.
    pub identity_key: bool,
}

impl Restored {
    fn of(generation: &Generation) -> Self {
        Self {
            generation: generation.number,
            position: generation.position,
            files: generation.files.len() as u64,
            bytes: generation.files.iter().map(|f| f.length).sum(),
            identity_key: generation.files.iter().any(|f| f.path == "keys/identity.key"),
        }
    }
}

fn open(dir: &Path, key: Option<Arc<StorageKey>>, generation: Option<u32>) -> Result<(Store, Generation), BackupError> {
    let store = Store { dir: dir.to_owned(), key };
    if store.marker()?.is_none() {
        return Err(BackupError::refused(dir, "no backup is there"));
    }
    let numbers = store.generations()?;
    let number = match generation {
        Some(wanted) if numbers.contains(&wanted) => wanted,
        Some(wanted) => return Err(BackupError::refused(dir, format!("there is no generation {wanted}"))),
        None => *numbers.last().ok_or_else(|| BackupError::refused(dir, "no backup was finished"))?,
    };
    let generation = store.read_generation(number)?;
    Ok((store, generation))
}

/// Reads every piece of a generation, the last one by default, and compares it with its digest.
///
/// # Errors
/// See [`BackupError`].
pub fn verify(dir: &Path, key: Option<Arc<StorageKey>>, generation: Option<u32>) -> Result<Restored, BackupError> {
    let (store, generation) = open(dir, key, generation)?;
    for piece in generation.files.iter().flat_map(|f| &f.pieces) {
        store.read_piece(piece)?;
    }
    Ok(Restored::of(&generation))
}

/// Puts a generation, the last one by default, into `data`, which must not be there or be empty. Everything is compared
/// with its digest; the folder has its name only once it is whole.
///
/// # Errors
/// See [`BackupError`].
pub fn restore(
    dir: &Path,
    data: &Path,
    key: Option<Arc<StorageKey>>,
    generation: Option<u32>,
) -> Result<Restored, BackupError> {
    match std::fs::read_dir(data) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(BackupError::refused(data, "the folder is not empty"));
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(BackupError::io(data)(e)),
    }
    let (store, generation) = open(dir, key, generation)?;
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let beside = data.with_file_name(name);
    if beside.exists() {
        return Err(BackupError::refused(&beside, "an earlier restoration broke off here: delete it first"));
    }
    std::fs::create_dir_all(beside.join("log")).map_err(BackupError::io(&beside))?;
    for file in &generation.files {
        write(&store, &beside, file)?;
    }
    if data.exists() {
        std::fs::remove_dir(data).map_err(BackupError::io(data))?;
    }
    std::fs::rename(&beside, data).map_err(BackupError::io(data))?;
    if let Some(parent) = data.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::File::open(parent).and_then(|d| d.sync_all()).map_err(BackupError::io(parent))?;
    }
    Ok(Restored::of(&generation))
}

fn write(store: &Store, beside: &Path, file: &super::FileEntry) -> Result<(), BackupError> {
    let relative = PathBuf::from(&file.path);
    let inside = relative.components().all(|c| matches!(c, Component::Normal(_)));
    if !inside || relative.as_os_str().is_empty() {
        return Err(BackupError::damaged(&store.dir, format!("a file of the name {:?}", file.path)));
    }
    let path = beside.join(&relative);
    let folder = path.parent().unwrap_or(beside);
    std::fs::create_dir_all(folder).map_err(BackupError::io(folder))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    if relative.starts_with("keys") {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut out = options.open(&path).map_err(BackupError::io(&path))?;
    let mut length = 0;
    for piece in &file.pieces {
        let bytes = store.read_piece(piece)?;
        length += bytes.len() as u64;
        out.write_all(&bytes).map_err(BackupError::io(&path))?;
    }
    if length != file.length {
        return Err(BackupError::damaged(&store.dir, format!("{}: {length} bytes of {}", file.path, file.length)));
    }
    out.sync_all().map_err(BackupError::io(&path))?;
    std::fs::File::open(folder).and_then(|d| d.sync_all()).map_err(BackupError::io(folder))
}
