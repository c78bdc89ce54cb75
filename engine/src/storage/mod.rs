//! What journal and gallery ask of a file system, as a trait, so that tests can break it on purpose.
//!
//! [`Disk`] is the real one. [`Simulated`] lives in memory and knows what a loss of power leaves; [`Faults`] stands
//! before either and fails chosen calls.
//!
//! What is assumed of the medium, and nothing more:
//! - What was written before a [`StorageFile::sync_data`] that succeeded is there after a loss of power. Of what was
//!   not synced any part may be there, in any order, sector by sector.
//! - A name is there after a loss of power when its folder was synced; a rename shows the old file or the new one.
//! - A sector of 512 bytes is written whole or not at all.

mod disk;
mod faults;
mod key;
mod simulated;

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use disk::Disk;
pub use faults::{Call, Faults, Verdict};
pub use key::{SEAL_OVERHEAD, StorageKey, key_in_use, use_key};
pub use simulated::Simulated;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// To read; it must exist.
    Read,
    /// To read and write; made when it is not there, kept as it is when it is.
    Write,
    /// To read and write; made, or emptied.
    Fresh,
}

/// A file system, as far as journal and gallery need one.
pub trait Storage: Send + Sync + Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn StorageFile>>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// The system's.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The paths in a folder, sorted.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes one folder.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` and `NotFound` (of the parent) among them.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Moves a file over another name in the same folder, atomically.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The system's; what is durable is then unknown.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + Sync {
    /// Bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// The system's.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }

    /// Reads up to `into.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes a part of `bytes`, at least one byte, and says how many. [`write_all_at`] writes them all.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts or extends with zeros.
    ///
    /// # Errors
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Takes room for a range, extending the file: a later write there cannot fail for want of room. A file system
    /// that cannot do that says yes.
    ///
    /// # Errors
    /// The system's.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Makes the content durable, and the length where reading needs it.
    ///
    /// # Errors
    /// The system's; what is durable is then unknown, and a second try proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// The file to map, if there is one.
    fn std_file(&self) -> Option<&File>;
}

/// The real file system.
pub fn disk() -> Arc<dyn Storage> {
    Arc::new(Disk)
}

/// Whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes all of `bytes`.
///
/// # Errors
/// The system's; a part may have been written.
pub fn write_all_at(file: &dyn StorageFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Replaces a file: written under a temporary name, synced, moved into place. After a loss of power the old content or
/// the new one is there, whole.
///
/// # Errors
/// The system's; the old content is then still there, unless the sync of the folder was what failed.
pub fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let written = storage.open(&temporary, Open::Fresh).and_then(|file| {
        write_all_at(&*file, bytes, 0)?;
        file.sync_data()
    });
    if let Err(error) = written {
        // What is left behind is overwritten by the next try; on a full disk it had better go at once.
        let _ = storage.remove(&temporary);
        return Err(error);
    }
    storage.rename(&temporary, path)?;
    sync_parent(storage, path)
}

/// Makes the name of a file or folder durable.
///
/// # Errors
/// The system's.
pub fn sync_parent(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => storage.sync_dir(Path::new(".")),
        Some(dir) => storage.sync_dir(dir),
        None => Ok(()),
    }
}

/// Makes a folder and those above it, durably: whoever made one of them before may have ended before it was.
///
/// # Errors
/// The system's.
pub fn make_dir(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    make_dirs(storage, dir)?;
    for made in dir.ancestors().filter(|made| !made.as_os_str().is_empty()) {
        match sync_parent(storage, made) {
            // Not made by us, then.
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {}
            result => result?,
        }
    }
    Ok(())
}

fn make_dirs(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    let made = match storage.create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).ok_or(e)?;
            make_dirs(storage, parent)?;
            storage.create_dir(dir)
        }
        made => made,
    };
    match made {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
