//! A file system in memory that remembers what is durable, so that its power can be cut.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Open, Storage, StorageFile};

/// Written whole or not at all.
const SECTOR: usize = 512;

/// Clones share one content; [`Simulated::fork`] and [`Simulated::after_power_cut`] make an independent one.
#[derive(Clone, Default)]
pub struct Simulated(Arc<Mutex<Content>>);

#[derive(Clone, Default)]
struct Content {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    bytes_max: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    /// Content at the last sync, and what was done since.
    durable: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simulated({} names)", self.content().names.len())
    }
}

/// SplitMix64: enough to choose what survives.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn at_most(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

impl Simulated {
    /// Empty; every folder above a path must be made first, `/` is there.
    pub fn new() -> Self {
        Self::default()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the files hold at most this many bytes together; `None` for no limit.
    pub fn limit(&self, bytes_max: Option<u64>) {
        self.content().bytes_max = bytes_max;
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.content().used()
    }

    /// Every file and its length.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let content = self.content();
        let file = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File(n) => Some((path.clone(), content.inodes[*n].now.len() as u64)),
            Entry::Folder => None,
        };
        content.names.iter().filter_map(file).collect()
    }

    /// Flips one bit of a file, durably. Panics when there is no such byte.
    pub fn flip(&self, path: &Path, byte: u64, bit: u8) {
        let mut content = self.content();
        let Some(Entry::File(n)) = content.names.get(path).copied() else { panic!("{}: no file", path.display()) };
        let inode = &mut content.inodes[n];
        inode.now[byte as usize] ^= 1 << (bit % 8);
        inode.synced();
    }

    /// The same content, what is durable and what is not, independent from here on: one to cut the power of again and again.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut content = self.content().clone();
        let named = |names: &BTreeMap<PathBuf, Entry>, n| names.values().any(|entry| *entry == Entry::File(n));
        for n in 0..content.inodes.len() {
            if !named(&content.names, n) && !named(&content.durable_names, n) {
                // Removed, and known to be: no cut brings it back.
                content.inodes[n] = Inode::default();
            }
        }
        Self(Arc::new(Mutex::new(content)))
    }

    /// What is there after a loss of power now: everything that was synced, and of the rest any part, chosen by `seed`:
    /// names one by one, writes sector by sector. This one goes on undisturbed.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let content = self.content();
        let mut dice = Dice(seed);
        // All extremes come up: nothing survives, everything does, a mixture.
        let (names_percent, writes_percent) =
            ([0, 50, 100][dice.next() as usize % 3], [0, 15, 50, 85, 100][dice.next() as usize % 5]);
        let mut names = content.durable_names.clone();
        for path in content.names.keys().chain(content.durable_names.keys()) {
            let (now, before) = (content.names.get(path), content.durable_names.get(path));
            if now != before && dice.at_most(names_percent) {
                match now {
                    Some(entry) => drop(names.insert(path.clone(), *entry)),
                    None => drop(names.remove(path)),
                }
            }
        }
        let inodes: Vec<Inode> = content.inodes.iter().map(|inode| inode.survivor(&mut dice, writes_percent)).collect();
        // A name without its folder cannot be reached.
        let reachable = |path: &Path| {
            path.ancestors().skip(1).all(|dir| dir.parent().is_none() || names.get(dir) == Some(&Entry::Folder))
        };
        let names: BTreeMap<PathBuf, Entry> =
            names.iter().filter(|(path, _)| reachable(path)).map(|(p, e)| (p.clone(), *e)).collect();
        let after = Content { inodes, durable_names: names.clone(), names, bytes_max: content.bytes_max };
        Self(Arc::new(Mutex::new(after)))
    }
}

impl Content {
    fn used(&self) -> u64 {
        let len = |entry: &Entry| match entry {
            Entry::File(n) => self.inodes[*n].now.len() as u64,
            Entry::Folder => 0,
        };
        self.names.values().map(len).sum()
    }

    /// How far a file may grow.
    fn room(&self, inode: usize) -> usize {
        let free = self.bytes_max.map_or(u64::MAX / 2, |max| max.saturating_sub(self.used()));
        self.inodes[inode].now.len().saturating_add(usize::try_from(free).unwrap_or(usize::MAX / 2))
    }

    fn has_folder(&self, dir: &Path) -> bool {
        dir.parent().is_none() || self.names.get(dir) == Some(&Entry::Folder)
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Entry::File(n)) => Ok(*n),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Inode {
    fn apply(content: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(offset, bytes) => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Change::Length(len) => content.resize(*len, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.now, &change);
        self.since.push(change);
    }

    fn synced(&mut self) {
        self.durable.clone_from(&self.now);
        self.since.clear();
    }

    fn survivor(&self, dice: &mut Dice, percent: u64) -> Self {
        let mut left = self.durable.clone();
        for change in &self.since {
            match change {
                Change::Length(_) if dice.at_most(percent) => Self::apply(&mut left, change),
                Change::Length(_) => {}
                Change::Write(offset, bytes) => {
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = ((offset + at) / SECTOR * SECTOR + SECTOR - offset).min(bytes.len());
                        if dice.at_most(percent) {
                            Self::apply(&mut left, &Change::Write(offset + at, bytes[at..end].to_vec()));
                        }
                        at = end;
                    }
                }
            }
        }
        Self { now: left.clone(), durable: left, since: Vec::new() }
    }
}

impl Storage for Simulated {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn StorageFile>> {
        let mut content = self.content();
        let inode = match (content.file(path), how) {
            (Ok(n), Open::Fresh) => {
                content.inodes[n].change(Change::Length(0));
                n
            }
            (Ok(n), _) => n,
            (Err(e), Open::Read) => return Err(e),
            (Err(e), _) if e.kind() == io::ErrorKind::NotFound => {
                if !path.parent().is_some_and(|dir| content.has_folder(dir)) {
                    return Err(e);
                }
                content.inodes.push(Inode::default());
                let n = content.inodes.len() - 1;
                content.names.insert(path.into(), Entry::File(n));
                n
            }
            (Err(e), _) => return Err(e),
        };
        Ok(Box::new(SimulatedFile { storage: self.clone(), inode }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = self.content();
        Ok(content.inodes[content.file(path)?].now.clone())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let content = self.content();
        if !content.has_folder(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(content.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut content = self.content();
        if dir.parent().is_none() || content.names.contains_key(dir) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !dir.parent().is_some_and(|parent| content.has_folder(parent)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        content.names.insert(dir.into(), Entry::Folder);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut content = self.content();
        let inode = content.file(from)?;
        content.names.remove(from);
        content.names.insert(to.into(), Entry::File(inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut content = self.content();
        content.file(path)?;
        content.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut content = self.content();
        if !content.has_folder(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut durable = std::mem::take(&mut content.durable_names);
        durable.retain(|path, _| path.parent() != Some(dir));
        durable
            .extend(content.names.iter().filter(|(path, _)| path.parent() == Some(dir)).map(|(p, e)| (p.clone(), *e)));
        content.durable_names = durable;
        Ok(())
    }
}

struct SimulatedFile {
    storage: Simulated,
    inode: usize,
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.storage.content().inodes[self.inode].now.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.storage.content();
        let rest = content.inodes[self.inode].now.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = self.storage.content();
        let room = content.room(self.inode).saturating_sub(offset as usize);
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n = bytes.len().min(room);
        content.inodes[self.inode].change(Change::Write(offset as usize, bytes[..n].to_vec()));
        Ok(n)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.storage.content();
        if len as usize > content.room(self.inode) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.inodes[self.inode].change(Change::Length(len as usize));
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = (offset + len).max(self.len()?);
        self.set_len(end)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.content().inodes[self.inode].synced();
        Ok(())
    }

    fn std_file(&self) -> Option<&File> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::{make_dir, replace, write_all_at};
    use super::*;

    fn one_file() -> (Simulated, PathBuf, Box<dyn StorageFile>) {
        let storage = Simulated::new();
        make_dir(&storage, Path::new("/d")).unwrap();
        let path = PathBuf::from("/d/file");
        let file = storage.open(&path, Open::Write).unwrap();
        (storage, path, file)
    }

    #[test]
    fn what_was_synced_survives_every_power_cut() {
        let (storage, path, file) = one_file();
        write_all_at(&*file, &[7; 2_000], 0).unwrap();
        file.sync_data().unwrap();
        storage.sync_dir(Path::new("/d")).unwrap();
        write_all_at(&*file, &[9; 2_000], 2_000).unwrap();
        for seed in 0..200 {
            let left = storage.after_power_cut(seed).read(&path).unwrap();
            assert_eq!(left[..2_000], [7; 2_000], "seed {seed}");
        }
        assert_eq!(storage.read(&path).unwrap().len(), 4_000, "the running one goes on");
    }

    #[test]
    fn unsynced_sectors_and_names_survive_in_any_subset() {
        let (storage, path, file) = one_file();
        write_all_at(&*file, &[9; 2_048], 0).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..2_000 {
            let after = storage.after_power_cut(seed);
            seen.insert(match after.read(&path) {
                Err(_) => None,
                Ok(left) => Some((0..4).filter(|s| left.get(s * 512) == Some(&9)).map(|s| 1 << s).sum::<u32>()),
            });
        }
        assert_eq!(seen.len(), 17, "without its name, and every subset of four sectors: {seen:?}");
    }

    #[test]
    fn a_replaced_file_is_the_old_one_or_the_new_one() {
        let storage = Simulated::new();
        make_dir(&storage, Path::new("/d")).unwrap();
        let path = Path::new("/d/file");
        replace(&storage, path, &[1; 3_000]).unwrap();
        let cuts = Arc::new(Mutex::new(Vec::new()));
        let (disk, kept) = (storage.clone(), cuts.clone());
        let watched = super::super::Faults::new(Arc::new(storage.clone()), move |n, _, _| {
            kept.lock().unwrap().extend((0..50).map(|seed| disk.after_power_cut(seed * 1_000 + n)));
            super::super::Verdict::Go
        });
        replace(&*watched, path, &[2; 4_000]).unwrap();
        for cut in cuts.lock().unwrap().iter() {
            let left = cut.read(path).unwrap();
            assert!(left == [1; 3_000] || left == [2; 4_000], "{} bytes", left.len());
        }
        assert_eq!(storage.after_power_cut(1).read(path).unwrap(), [2; 4_000]);
    }

    #[test]
    fn a_full_disk_writes_what_fits_and_then_says_so() {
        let (storage, _, file) = one_file();
        storage.limit(Some(1_000));
        assert_eq!(file.write_at(&[1; 1_500], 0).unwrap(), 1_000);
        assert_eq!(file.write_at(&[1; 500], 1_000).unwrap_err().kind(), io::ErrorKind::StorageFull);
        file.set_len(10).unwrap();
        write_all_at(&*file, &[1; 500], 10).unwrap();
    }
}
