//! The files of a gallery: stripes of column files, their directories, the manifest, the overlay.
//!
//! ```text
//! gallery/MANIFEST                 what there is, and the log position to replay from
//! gallery/OVERLAY                  withdrawn rows, and rows that have changed their subject
//! gallery/tail-0000000007          the partial last block; `tail.rs`
//! gallery/stripe-00000/DIRECTORY   where each block of each column lies, with its checksum
//! gallery/stripe-00000/*.col       payloads, appended, 64-byte aligned
//! gallery/stripe-00000.0001/       the same stripe, written anew once: the manifest says which generation counts
//! ```
//! Order of a flush: payloads, sync; directory, sync, rename; overlay and tail likewise; manifest last. What a crash leaves
//! beyond a recorded length is overwritten by the next flush. Records are framed: 8 bytes magic, u32 version, u32
//! CRC32C of the rest, then the encoded value.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::block::Block;
use super::column::{ALIGNMENT, Column, ColumnId, MappedFile};
use super::faces::StoredModel;
use super::map::Map;
use super::{BLOCK_ROWS, GalleryError, tail};
use crate::codec;
use crate::storage::{self, Open, Storage};

/// Blocks in a stripe: 65,536 references.
pub const STRIPE_BLOCKS: usize = 256;
/// The version of every gallery file that this build writes, but for those that follow.
pub const GALLERY_FORMAT_VERSION: u32 = 1;
/// The version of a stripe's directory and of a tail that this build writes; it reads version 1 too, whose blocks have no
/// index of their prints, and version 2, whose screen tiles are of version 1.
pub const BLOCKS_FORMAT_VERSION: u32 = 3;
/// The version of the manifest that this build writes; it reads version 1 too, which knows no tail.
pub const MANIFEST_FORMAT_VERSION: u32 = 2;

/// What there is. Version 1 ends before `tail`.
#[derive(Serialize, Deserialize)]
pub(super) struct Manifest {
    pub gallery: [u8; 16],
    pub finger_model: String,
    /// Every event below this position that makes a row is in the files.
    pub replay_from: u64,
    /// Rows in the stripes.
    pub rows: u64,
    /// Generation of each stripe: how often it was written anew.
    pub stripes: Vec<u32>,
    pub face_models: Vec<StoredModel>,
    /// Number of the tail written last.
    pub tail: u64,
    /// Rows in it, which follow those in the stripes; without any there is no such file.
    pub tail_rows: u32,
}

#[derive(Serialize, Deserialize)]
struct ManifestV1 {
    gallery: [u8; 16],
    finger_model: String,
    replay_from: u64,
    rows: u64,
    stripes: Vec<u32>,
    face_models: Vec<StoredModel>,
}

impl From<ManifestV1> for Manifest {
    fn from(m: ManifestV1) -> Self {
        Self {
            gallery: m.gallery,
            finger_model: m.finger_model,
            replay_from: m.replay_from,
            rows: m.rows,
            stripes: m.stripes,
            face_models: m.face_models,
            tail: 0,
            tail_rows: 0,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct Directory {
    pub gallery: [u8; 16],
    pub blocks: Vec<BlockEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    pub first_row: u64,
    pub rows: u32,
    pub first_position: u64,
    pub columns: Vec<ColumnEntry>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ColumnEntry {
    pub id: ColumnId,
    pub offset: u64,
    pub len: u32,
    pub crc: u32,
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct StoredOverlay {
    pub gallery: [u8; 16],
    pub withdrawn: Vec<u64>,
    pub subjects: Vec<(u64, String)>,
}

pub(super) const MANIFEST_MAGIC: &[u8; 8] = b"DUYNHATM";
pub(super) const DIRECTORY_MAGIC: &[u8; 8] = b"DUYNHATD";
pub(super) const OVERLAY_MAGIC: &[u8; 8] = b"DUYNHATO";

/// Writes a framed record under a temporary name, syncs it and moves it into place.
pub(super) fn write_record<T: Serialize>(
    storage: &dyn Storage,
    path: &Path,
    magic: &[u8; 8],
    value: &T,
) -> Result<(), GalleryError> {
    storage::replace(storage, path, &record(magic, value)?).map_err(|e| GalleryError::io(path, e))
}

/// The version that a record of this kind is written with.
fn version_of(magic: &[u8; 8]) -> u32 {
    match magic {
        MANIFEST_MAGIC => MANIFEST_FORMAT_VERSION,
        DIRECTORY_MAGIC => BLOCKS_FORMAT_VERSION,
        _ => GALLERY_FORMAT_VERSION,
    }
}

/// A framed record's bytes.
fn record<T: Serialize>(magic: &[u8; 8], value: &T) -> Result<Vec<u8>, GalleryError> {
    let payload = codec::encode(value)?;
    let mut bytes = magic.to_vec();
    bytes.extend(version_of(magic).to_le_bytes());
    bytes.extend(crc32c::crc32c(&payload).to_le_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// Reads the manifest of a gallery's folder, also one of an earlier version; `None` when there is none.
pub(super) fn read_manifest(storage: &dyn Storage, dir: &Path) -> Result<Option<Manifest>, GalleryError> {
    let path = dir.join("MANIFEST");
    let Some((version, payload)) = read_framed(storage, &path, MANIFEST_MAGIC, 1)? else { return Ok(None) };
    let manifest = match version {
        1 => codec::decode::<ManifestV1>(&payload).map(Manifest::from),
        _ => codec::decode(&payload),
    };
    manifest.map(Some).map_err(|e| GalleryError::corrupt(&path, 16, e.to_string()))
}

/// Reads what [`write_record`] wrote; `None` when there is no such file.
pub(super) fn read_record<T: DeserializeOwned>(
    storage: &dyn Storage,
    path: &Path,
    magic: &[u8; 8],
) -> Result<Option<T>, GalleryError> {
    let oldest = if magic == DIRECTORY_MAGIC { 1 } else { version_of(magic) };
    let Some((_, payload)) = read_framed(storage, path, magic, oldest)? else { return Ok(None) };
    codec::decode(&payload).map(Some).map_err(|e| GalleryError::corrupt(path, 16, e.to_string()))
}

/// A framed record's version, at least `oldest`, and its payload, verified.
fn read_framed(
    storage: &dyn Storage,
    path: &Path,
    magic: &[u8; 8],
    oldest: u32,
) -> Result<Option<(u32, Vec<u8>)>, GalleryError> {
    let bytes = match storage.read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(GalleryError::io(path, e)),
    };
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if bytes.get(..8) != Some(magic) {
        return Err(GalleryError::corrupt(path, 0, "not the file that belongs here"));
    }
    let newest = version_of(magic);
    let version = match word(8) {
        Some(v) if (oldest..=newest).contains(&v) => v,
        Some(v) => {
            let what = format!("format version {v}; this build reads {oldest} to {newest}");
            return Err(GalleryError::corrupt(path, 8, what));
        }
        None => return Err(GalleryError::corrupt(path, 8, "shorter than its header")),
    };
    let payload = bytes.get(16..).unwrap_or(&[]);
    if word(12) != Some(crc32c::crc32c(payload)) {
        return Err(GalleryError::corrupt(path, 12, "the checksum is wrong"));
    }
    Ok(Some((version, payload.to_vec())))
}

/// A stripe's files, for the writer and for readers.
pub(super) struct StripeFiles {
    storage: Arc<dyn Storage>,
    pub dir: PathBuf,
    pub generation: u32,
    pub directory: Directory,
}

impl StripeFiles {
    pub fn path(gallery_dir: &Path, number: u32, generation: u32) -> PathBuf {
        gallery_dir.join(match generation {
            0 => format!("stripe-{number:05}"),
            _ => format!("stripe-{number:05}.{generation:04}"),
        })
    }

    pub fn create(
        storage: Arc<dyn Storage>,
        gallery_dir: &Path,
        number: u32,
        generation: u32,
        gallery: [u8; 16],
    ) -> Result<Self, GalleryError> {
        let dir = Self::path(gallery_dir, number, generation);
        storage::make_dir(&*storage, &dir).map_err(|e| GalleryError::io(&dir, e))?;
        Ok(Self { storage, dir, generation, directory: Directory { gallery, blocks: Vec::new() } })
    }

    /// Reads the directory and maps the columns; checks every length against its file first, and scans nothing.
    pub fn open(
        storage: Arc<dyn Storage>,
        gallery_dir: &Path,
        number: u32,
        generation: u32,
        gallery: [u8; 16],
    ) -> Result<(Self, Vec<Arc<Block>>), GalleryError> {
        let dir = Self::path(gallery_dir, number, generation);
        let path = dir.join("DIRECTORY");
        let directory: Directory = read_record(&*storage, &path, DIRECTORY_MAGIC)?
            .ok_or_else(|| GalleryError::Missing { path: path.clone() })?;
        if directory.gallery != gallery {
            return Err(GalleryError::Foreign { path });
        }
        if directory.blocks.len() > STRIPE_BLOCKS {
            return Err(GalleryError::corrupt(&path, 16, "more blocks than a stripe holds"));
        }
        if let Some(bad) = directory.blocks.iter().find(|b| b.rows == 0 || b.rows as usize > BLOCK_ROWS) {
            return Err(GalleryError::corrupt(&path, 16, format!("a block of {} rows", bad.rows)));
        }
        let stripe = Self { storage, dir, generation, directory };
        let blocks = stripe.map(0)?;
        Ok((stripe, blocks))
    }

    /// Recorded length of each column's file.
    pub fn lengths(&self) -> BTreeMap<ColumnId, u64> {
        let mut lengths = BTreeMap::new();
        for entry in self.directory.blocks.iter().flat_map(|b| &b.columns) {
            let len = lengths.entry(entry.id).or_insert(0);
            *len = u64::max(*len, entry.offset + u64::from(entry.len));
        }
        lengths
    }

    /// Maps the columns of the blocks from number `from` on.
    pub fn map(&self, from: usize) -> Result<Vec<Arc<Block>>, GalleryError> {
        let mut files = BTreeMap::new();
        for (id, len) in self.lengths() {
            let path = self.dir.join(id.file_name());
            let open = self.storage.open(&path, Open::Read).and_then(|f| Map::new(&*f, len, id.access()));
            let map = open.map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => GalleryError::corrupt(&path, 0, e.to_string()),
                _ => GalleryError::io(&path, e),
            })?;
            files.insert(id, Arc::new(MappedFile { path, map }));
        }
        let block = |entry: &BlockEntry| {
            let columns = entry.columns.iter().filter_map(|c| {
                let file = files.get(&c.id)?.clone();
                Some((c.id, Column::of_file(file, c.offset, c.len, c.crc)))
            });
            Arc::new(Block {
                first_row: entry.first_row,
                rows: entry.rows,
                first_position: entry.first_position,
                columns: columns.collect(),
            })
        };
        Ok(self.directory.blocks[from..].iter().map(block).collect())
    }

    pub fn is_full(&self) -> bool {
        self.directory.blocks.len() >= STRIPE_BLOCKS
    }

    pub fn room(&self) -> usize {
        STRIPE_BLOCKS - self.directory.blocks.len()
    }

    /// Appends whole blocks, makes them durable, and returns them mapped.
    pub fn append(&mut self, blocks: &[Arc<Block>]) -> Result<Vec<Arc<Block>>, GalleryError> {
        let before = self.directory.blocks.len();
        let mut lengths = self.lengths();
        let mut pending: BTreeMap<ColumnId, Vec<u8>> = BTreeMap::new();
        let mut entries = Vec::new();
        for block in blocks {
            let mut columns = Vec::new();
            for (id, column) in &block.columns {
                let bytes = column.bytes()?;
                let start = lengths.entry(*id).or_insert(0).next_multiple_of(ALIGNMENT as u64);
                let buffer = pending.entry(*id).or_default();
                buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
                buffer.extend_from_slice(bytes);
                lengths.insert(*id, start + bytes.len() as u64);
                let len = u32::try_from(bytes.len())
                    .map_err(|_| GalleryError::Limit("a block's column is longer than 4 GiB".into()))?;
                columns.push(ColumnEntry { id: *id, offset: start, len, crc: crc32c::crc32c(bytes) });
            }
            entries.push(BlockEntry {
                first_row: block.first_row,
                rows: block.rows,
                first_position: block.first_position,
                columns,
            });
        }
        for (id, buffer) in pending {
            let path = self.dir.join(id.file_name());
            let end = lengths[&id];
            let start = end - buffer.len() as u64;
            write_allocated(&*self.storage, &path, start, &buffer).map_err(|e| GalleryError::io(&path, e))?;
        }
        self.storage.sync_dir(&self.dir).map_err(|e| GalleryError::io(&self.dir, e))?;
        self.directory.blocks.extend(entries);
        let written = write_record(&*self.storage, &self.dir.join("DIRECTORY"), DIRECTORY_MAGIC, &self.directory)
            .and_then(|()| self.map(before));
        if written.is_err() {
            self.directory.blocks.truncate(before);
        }
        written
    }
}

/// Writes into space that was allocated first: on a full disk this is an error, never a hole.
fn write_allocated(storage: &dyn Storage, path: &Path, start: u64, bytes: &[u8]) -> io::Result<()> {
    let file = storage.open(path, Open::Write)?;
    file.allocate(start, bytes.len() as u64)?;
    storage::write_all_at(&*file, bytes, start)?;
    file.sync_data()
}

/// What is to be copied of a file.
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Its first bytes, this many.
    Prefix(u64),
}

/// See [`super::Gallery::files_in`].
pub(super) fn list(dir: &Path) -> Result<Vec<(PathBuf, Content)>, GalleryError> {
    let disk = storage::Disk;
    let read = |path: &Path| disk.read(path).map_err(|e| GalleryError::io(path, e));
    let Some(manifest) = read_manifest(&disk, dir)? else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for (number, generation) in (0u32..).zip(&manifest.stripes) {
        let stripe = StripeFiles::path(dir, number, *generation);
        let relative = PathBuf::from(stripe.file_name().unwrap_or_default());
        let path = stripe.join("DIRECTORY");
        let directory: Directory =
            read_record(&disk, &path, DIRECTORY_MAGIC)?.ok_or_else(|| GalleryError::Missing { path: path.clone() })?;
        let bytes = record(DIRECTORY_MAGIC, &directory)?;
        let lengths =
            StripeFiles { storage: storage::disk(), dir: stripe, generation: *generation, directory }.lengths();
        all.push((relative.join("DIRECTORY"), Content::Bytes(bytes)));
        all.extend(lengths.into_iter().map(|(id, len)| (relative.join(id.file_name()), Content::Prefix(len))));
    }
    let overlay = dir.join("OVERLAY");
    if overlay.exists() {
        all.push((PathBuf::from("OVERLAY"), Content::Bytes(read(&overlay)?)));
    }
    if manifest.tail_rows > 0 {
        let path = tail::path(dir, manifest.tail);
        all.push((PathBuf::from(path.file_name().unwrap_or_default()), Content::Bytes(read(&path)?)));
    }
    // What the directories and the overlay know beyond this manifest is forgotten or replayed when it is opened.
    all.push((PathBuf::from("MANIFEST"), Content::Bytes(record(MANIFEST_MAGIC, &manifest)?)));
    Ok(all)
}
