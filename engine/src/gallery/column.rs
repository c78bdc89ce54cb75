//! Columns: what they are called, and bytes that are either in memory or in a mapped file.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::GalleryError;
use super::map::{Access, Map};
use crate::template::FingerPosition;

/// Alignment of every payload in memory and in its file.
pub const ALIGNMENT: usize = 64;

/// Which column of a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ColumnId {
    /// Position in the log and subject of each reference.
    Meta,
    /// The screen's tile of one finger position.
    Screen(FingerPosition),
    /// Minutiae, codes and cohort statistics of one finger position.
    Prints(FingerPosition),
    /// Which reference each face of a model belongs to (the number is the model's in the manifest).
    FaceRows(u8),
    /// 8-bit face codes.
    FaceCodes8(u8),
    /// 4-bit face codes.
    FaceCodes4(u8),
    /// The face embeddings as given, 32-bit.
    FaceOriginals(u8),
    /// Whose each print of one finger position is, where it lies in [`ColumnId::Prints`], and its checksum: so that one can
    /// be read without the others. Galleries of earlier versions have none.
    PrintIndex(FingerPosition),
}

impl ColumnId {
    /// The column's file in its stripe's folder.
    pub fn file_name(self) -> String {
        match self {
            Self::Meta => "meta.col".into(),
            Self::Screen(p) => format!("finger-{:02}-screen.col", p.code()),
            Self::Prints(p) => format!("finger-{:02}-prints.col", p.code()),
            Self::PrintIndex(p) => format!("finger-{:02}-index.col", p.code()),
            Self::FaceRows(m) => format!("face-{m:03}-rows.col"),
            Self::FaceCodes8(m) => format!("face-{m:03}-codes8.col"),
            Self::FaceCodes4(m) => format!("face-{m:03}-codes4.col"),
            Self::FaceOriginals(m) => format!("face-{m:03}-originals.col"),
        }
    }

    /// How its file is read.
    pub(super) fn access(self) -> Access {
        match self {
            Self::Prints(_) => Access::Scattered,
            _ => Access::Sequential,
        }
    }
}

/// Bytes aligned to [`ALIGNMENT`], as a kernel wants them.
pub(super) struct AlignedBytes {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

impl AlignedBytes {
    pub fn new(bytes: &[u8]) -> Self {
        let mut lines = vec![Line([0; ALIGNMENT]); bytes.len().div_ceil(ALIGNMENT)];
        bytemuck::cast_slice_mut::<Line, u8>(&mut lines)[..bytes.len()].copy_from_slice(bytes);
        Self { lines, len: bytes.len() }
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

/// A mapped column file.
pub(super) struct MappedFile {
    pub path: PathBuf,
    pub map: Map,
}

/// One column of one block.
pub(super) enum Column {
    /// Not yet in a file.
    Memory(AlignedBytes),
    /// A range of a mapped file.
    File { file: Arc<MappedFile>, offset: u64, len: u32, crc: u32, verified: AtomicBool },
}

impl Column {
    /// Not yet verified.
    pub fn of_file(file: Arc<MappedFile>, offset: u64, len: u32, crc: u32) -> Self {
        Self::File { file, offset, len, crc, verified: false.into() }
    }

    /// The payload; a mapped one is verified against its checksum on first touch.
    pub fn bytes(&self) -> Result<&[u8], GalleryError> {
        let bytes = self.unverified()?;
        if let Self::File { file, offset, crc, verified, .. } = self
            // Two threads may verify at once; both come to the same end.
            && !verified.load(Ordering::Acquire)
        {
            file.map.want(*offset, bytes.len());
            if crc32c::crc32c(bytes) != *crc {
                return Err(self.corrupt("the block's checksum is wrong"));
            }
            verified.store(true, Ordering::Release);
        }
        Ok(bytes)
    }

    /// The payload, and whether it has been verified: otherwise what is read of it is the caller's to verify.
    pub fn perhaps_verified(&self) -> Result<(&[u8], bool), GalleryError> {
        let verified = match self {
            Self::Memory(_) => true,
            Self::File { verified, .. } => verified.load(Ordering::Acquire),
        };
        Ok((self.unverified()?, verified))
    }

    /// Says that a part of it will be read soon, if it lies in a file that is read here and there.
    pub fn want(&self, part: std::ops::Range<usize>) {
        if let Self::File { file, offset, len, .. } = self
            && part.end <= *len as usize
        {
            file.map.want(offset + part.start as u64, part.len());
        }
    }

    fn unverified(&self) -> Result<&[u8], GalleryError> {
        match self {
            Self::Memory(bytes) => Ok(bytes.bytes()),
            Self::File { file, offset, len, .. } => usize::try_from(*offset)
                .ok()
                .and_then(|start| file.map.bytes().get(start..start.checked_add(*len as usize)?))
                .ok_or_else(|| self.corrupt("the block lies beyond the file")),
        }
    }

    /// That something is wrong with it.
    pub fn corrupt(&self, what: impl Into<String>) -> GalleryError {
        let (path, offset) = self.place();
        GalleryError::Corrupt { path, offset, what: what.into() }
    }

    /// Compares the bytes with their checksum, also when they were verified before: what lies on a disk, or in its
    /// cache, does not stay right by having been right.
    pub fn verify(&self) -> Result<u64, GalleryError> {
        let bytes = self.bytes()?;
        match self {
            Self::File { crc, .. } if crc32c::crc32c(bytes) != *crc => {
                Err(self.corrupt("the block's checksum is wrong"))
            }
            _ => Ok(bytes.len() as u64),
        }
    }

    /// Where a payload problem is to be reported.
    pub fn place(&self) -> (PathBuf, u64) {
        match self {
            Self::Memory(_) => (PathBuf::from("(in memory)"), 0),
            Self::File { file, offset, .. } => (file.path.clone(), *offset),
        }
    }
}
