//! The one file that maps memory.
//!
//! # What is assumed
//! Column files are written by `pwrite` into allocated space and only ever *appended to* below the length that a
//! directory records; a mapping covers recorded bytes only. Nobody but the holder of the gallery's lock writes. If
//! another program truncates a mapped file all the same, touching a lost page kills this process with SIGBUS: the log
//! is not touched by that, and the restart reports the short file. A program that changes mapped bytes in place can
//! change search results between the checksum's verification (on first touch) and their use; file permissions are what
//! keeps other programs out.
#![allow(unsafe_code)]

use std::io;

use super::column::AlignedBytes;
use crate::storage::StorageFile;

/// How a file is read, so that the system reads ahead where that helps and nowhere else: on a gallery larger than memory a
/// page in the middle of nowhere must not bring megabytes of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// From front to back.
    Sequential,
    /// Here and there.
    Scattered,
}

/// The first `len` bytes of a file: a read-only mapping, or a copy where the storage has no file to map.
pub(super) enum Map {
    Mapped(memmap2::Mmap, Access),
    Copied(AlignedBytes),
}

impl Map {
    /// Maps `len` bytes; an error when the file is shorter.
    pub fn new(file: &dyn StorageFile, len: u64, access: Access) -> io::Result<Self> {
        let actual = file.len()?;
        if actual < len {
            let what = format!("{actual} bytes; {len} are recorded");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        let len = usize::try_from(len).map_err(|_| io::Error::other("too long to map"))?;
        let Some(file) = file.std_file() else {
            let mut bytes = vec![0; len];
            let mut at = 0;
            while at < len {
                match file.read_at(&mut bytes[at..], at as u64)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => at += n,
                }
            }
            return Ok(Self::Copied(AlignedBytes::new(&bytes)));
        };
        // SAFETY: the mapping is read-only and private to this process's readers; the bytes below `len` are not
        // changed by this program after they were recorded (see the module's header for other programs), and the
        // file was checked to be long enough just now.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
        #[cfg(unix)]
        if access == Access::Scattered {
            // Advice: without it everything works, only slower.
            let _ = map.advise(memmap2::Advice::Random);
        }
        Ok(Self::Mapped(map, access))
    }

    /// A range of a file that is read here and there will be read whole: the system brings it while this program goes on.
    pub fn want(&self, offset: u64, len: usize) {
        #[cfg(unix)]
        if let (Self::Mapped(map, Access::Scattered), Ok(offset)) = (self, usize::try_from(offset)) {
            let _ = map.advise_range(memmap2::Advice::WillNeed, offset, len);
        }
        #[cfg(not(unix))]
        let _ = (offset, len);
    }

    /// The mapped bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map, _) => map,
            Self::Copied(bytes) => bytes.bytes(),
        }
    }
}
