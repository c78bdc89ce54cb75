//! The checksum of the registry's file while nobody writes it, so that opening need not read its rows.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::FolderError;

const MAGIC: &[u8; 8] = b"DUYNHATS";
const VERSION: u32 = 1;
const LENGTH: usize = 28;

/// Where the registry's checksum lies in a data folder.
pub(super) fn sum_path(dir: &Path) -> PathBuf {
    dir.join("registry.sum")
}

/// Length and CRC32C of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSum {
    len: u64,
    crc: u32,
}

impl FileSum {
    /// Of a file as it is.
    pub fn of(path: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let mut buffer = vec![0; 1 << 20];
        let mut sum = Self { len: 0, crc: 0 };
        loop {
            let read = file.read(&mut buffer).map_err(io)?;
            if read == 0 {
                return Ok(sum);
            }
            sum.len += read as u64;
            sum.crc = crc32c::crc32c_append(sum.crc, &buffer[..read]);
        }
    }

    /// What [`FileSum::write`] wrote; `None` when it is not there or is itself damaged.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok().filter(|b| b.len() == LENGTH && &b[..8] == MAGIC)?;
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let whole = u32_at(24) == crc32c::crc32c(&bytes[..24]) && u32_at(8) == VERSION;
        whole.then(|| Self { len: u64::from(u32_at(12)) | u64::from(u32_at(16)) << 32, crc: u32_at(20) })
    }

    /// Writes it beside, syncs and renames.
    pub fn write(self, path: &Path) -> Result<(), FolderError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        let beside = path.with_extension("new");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|source| FolderError::Io { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_read_back_and_any_flipped_bit_makes_it_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let (file, sum) = (dir.path().join("file"), dir.path().join("file.sum"));
        std::fs::write(&file, vec![7; 3 << 20]).unwrap();
        let written = FileSum::of(&file).unwrap();
        written.write(&sum).unwrap();
        assert_eq!(FileSum::read(&sum), Some(written));
        let bytes = std::fs::read(&sum).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            std::fs::write(&sum, &flipped).unwrap();
            assert_eq!(FileSum::read(&sum), None, "bit {at}");
        }
        std::fs::write(&file, vec![7; (3 << 20) - 1]).unwrap();
        assert_ne!(FileSum::of(&file).unwrap(), written);
    }
}
