//! A storage that fails on purpose.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Open, Storage, StorageFile};

/// What is being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Opening a file.
    Open,
    /// Reading from a file, its length or a folder.
    Read,
    /// Writing to a file.
    Write,
    /// Cutting or extending a file.
    SetLen,
    /// Taking room.
    Allocate,
    /// Syncing a file.
    Sync,
    /// Making a folder.
    CreateDir,
    /// Renaming.
    Rename,
    /// Removing.
    Remove,
    /// Syncing a folder.
    SyncDir,
}

impl Call {
    /// Whether the call changes what is stored, or makes a change durable.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Verdict {
    /// It is made.
    Go,
    /// A write of at most this many bytes (at least one); any other call is made.
    Short(usize),
    /// It is not made, and fails.
    Fail(io::Error),
    /// It is not made, and says that it was: a medium that lies. For syncs.
    Pretend,
}

type Judge = dyn Fn(u64, Call, &Path) -> Verdict + Send + Sync;

/// Asks a function about every call, numbered from 1, before passing it on.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<dyn Storage>,
    judge: Arc<Judge>,
    calls: Arc<AtomicU64>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faults before {:?}", self.inner)
    }
}

impl Faults {
    /// Stands before `inner`.
    pub fn new(
        inner: Arc<dyn Storage>,
        judge: impl Fn(u64, Call, &Path) -> Verdict + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, judge: Arc::new(judge), calls: Arc::default() })
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
    }

    fn ask(&self, call: Call, path: &Path) -> Verdict {
        let number = self.calls.fetch_add(1, Ordering::AcqRel) + 1;
        (self.judge)(number, call, path)
    }

    fn make<T: Default>(&self, call: Call, path: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.ask(call, path) {
            Verdict::Go | Verdict::Short(_) => act(),
            Verdict::Fail(error) => Err(error),
            Verdict::Pretend => Ok(T::default()),
        }
    }
}

impl Storage for Faults {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn StorageFile>> {
        if let Verdict::Fail(error) = self.ask(Call::Open, path) {
            return Err(error);
        }
        Ok(Box::new(FaultyFile { file: self.inner.open(path, how)?, path: path.into(), faults: self.clone() }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.make(Call::Read, path, || self.inner.read(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.make(Call::Read, dir, || self.inner.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.make(Call::CreateDir, dir, || self.inner.create_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.make(Call::Rename, to, || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.make(Call::Remove, path, || self.inner.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.make(Call::SyncDir, dir, || self.inner.sync_dir(dir))
    }
}

struct FaultyFile {
    file: Box<dyn StorageFile>,
    path: PathBuf,
    faults: Faults,
}

impl StorageFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.faults.make(Call::Read, &self.path, || self.file.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.make(Call::Read, &self.path, || self.file.read_at(into, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.faults.ask(Call::Write, &self.path) {
            Verdict::Go => self.file.write_at(bytes, offset),
            Verdict::Short(most) => self.file.write_at(&bytes[..most.clamp(1, bytes.len())], offset),
            Verdict::Fail(error) => Err(error),
            Verdict::Pretend => Ok(bytes.len()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.make(Call::SetLen, &self.path, || self.file.set_len(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.faults.make(Call::Allocate, &self.path, || self.file.allocate(offset, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.make(Call::Sync, &self.path, || self.file.sync_data())
    }

    fn std_file(&self) -> Option<&File> {
        self.file.std_file()
    }
}
