//! One writer a data folder.

use std::fs::{File, OpenOptions};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::GalleryError;

/// Held as long as a process writes a data folder; the system lets go of it when the process ends, however it ends.
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of `dir`, which must exist.
    ///
    /// # Errors
    /// [`GalleryError::Locked`] when another process has it.
    pub fn acquire(dir: &Path) -> Result<Self, GalleryError> {
        let path = dir.join("LOCK");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|e| GalleryError::io(&path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(GalleryError::Locked { path }),
            Err(e) => Err(GalleryError::io(&path, e.into())),
        }
    }
}
