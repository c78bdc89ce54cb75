//! The partial last block in a file of its own, so that a start need not extract its references again.
//!
//! ```text
//! gallery/tail-0000000007   0 "DUYNHATT"  8 u32 version  12 u32 CRC32C of bytes 16 to 24 + n  16 u64 n
//!                           24 the index, n bytes; then the payloads of the columns, each at a multiple of 64
//! ```
//! A tail is written whole and never changed. Each flush writes another one, under the next number; the manifest says
//! which one counts, and the one before is removed when that is durable. What a crash leaves without a name in the
//! manifest goes at the next start. The payloads are those of the columns of a stripe, mapped and verified like them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::Block;
use super::column::{ALIGNMENT, Column, MappedFile};
use super::faces::FaceModels;
use super::files::{BLOCKS_FORMAT_VERSION, BlockEntry, ColumnEntry};
use super::map::{Access, Map};
use super::{BLOCK_ROWS, GalleryError, Reference, rewrite};
use crate::codec;
use crate::storage::{self, Open, Storage};

/// The version of a tail that this build writes; it reads versions 1 and 2 too.
const VERSION: u32 = BLOCKS_FORMAT_VERSION;
const MAGIC: &[u8; 8] = b"DUYNHATT";
const HEADER: usize = 24;
const PREFIX: &str = "tail-";

/// What is known of the tail that the manifest names.
#[derive(Clone, Default)]
pub(super) struct Tail {
    /// Its number; none is given twice.
    pub number: u64,
    /// Its rows; 0 when the manifest names none.
    pub rows: u32,
    /// Which face bases it names, by model.
    pub bases: Vec<(u8, usize)>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    gallery: [u8; 16],
    number: u64,
    /// Offsets are from the beginning of the payloads.
    blocks: Vec<BlockEntry>,
}

/// The pieces of a tail, and their references.
type Opened = (Vec<Arc<Block>>, Vec<Arc<Reference>>);

/// Where a tail lies.
pub(super) fn path(gallery_dir: &Path, number: u64) -> PathBuf {
    gallery_dir.join(format!("{PREFIX}{number:010}"))
}

/// Whether a file in the gallery's folder has the name of a tail.
pub(super) fn is_tail(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The face bases that blocks name, by model.
pub(super) fn bases(pieces: &[Arc<Block>], models: &FaceModels) -> Result<Vec<(u8, usize)>, GalleryError> {
    let mut named = Vec::new();
    for piece in pieces {
        for number in 0..models.iter().len() as u8 {
            named.extend(piece.faces_basis(number)?.map(|basis| (number, basis)));
        }
    }
    named.sort_unstable();
    named.dedup();
    Ok(named)
}

/// Writes the pieces of the partial block, durably, under a number that no manifest names.
pub(super) fn write(
    storage: &dyn Storage,
    gallery_dir: &Path,
    gallery: [u8; 16],
    number: u64,
    pieces: &[Arc<Block>],
) -> Result<(), GalleryError> {
    let mut payloads: Vec<u8> = Vec::new();
    let mut blocks = Vec::new();
    for piece in pieces {
        let mut columns = Vec::new();
        for (id, column) in &piece.columns {
            let bytes = column.bytes()?;
            payloads.resize(payloads.len().next_multiple_of(ALIGNMENT), 0);
            let len = u32::try_from(bytes.len())
                .map_err(|_| GalleryError::Limit("a block's column is longer than 4 GiB".into()))?;
            let (offset, crc) = (payloads.len() as u64, crc32c::crc32c(bytes));
            columns.push(ColumnEntry { id: *id, offset, len, crc });
            payloads.extend_from_slice(bytes);
        }
        let (first_row, rows, first_position) = (piece.first_row, piece.rows, piece.first_position);
        blocks.push(BlockEntry { first_row, rows, first_position, columns });
    }
    let index = codec::encode(&Index { gallery, number, blocks })?;
    let mut checked = (index.len() as u64).to_le_bytes().to_vec();
    checked.extend(&index);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32c::crc32c(&checked).to_le_bytes());
    bytes.extend(checked);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend(payloads);
    let path = path(gallery_dir, number);
    storage::replace(storage, &path, &bytes).map_err(|e| GalleryError::io(&path, e))
}

/// Maps a tail that begins at `first_row` and has `rows` rows: its pieces, and their references taken out of them, which
/// verifies every checksum.
pub(super) fn open(
    storage: &dyn Storage,
    gallery_dir: &Path,
    gallery: [u8; 16],
    models: &FaceModels,
    number: u64,
    rows: std::ops::Range<u64>,
) -> Result<Opened, GalleryError> {
    let path = path(gallery_dir, number);
    let map = map(storage, &path)?;
    let (index, start) = index(&path, map.bytes())?;
    if index.gallery != gallery {
        return Err(GalleryError::Foreign { path });
    }
    if index.number != number {
        return Err(GalleryError::corrupt(&path, HEADER as u64, format!("is number {}", index.number)));
    }
    let file = Arc::new(MappedFile { path: path.clone(), map });
    let (mut pieces, mut partial, mut next) = (Vec::new(), Vec::new(), rows.start);
    for entry in index.blocks {
        if entry.first_row != next || entry.rows == 0 || entry.rows as usize >= BLOCK_ROWS {
            let what = format!("a piece of {} rows from row {}; expected row {next}", entry.rows, entry.first_row);
            return Err(GalleryError::corrupt(&path, HEADER as u64, what));
        }
        next += u64::from(entry.rows);
        let mut columns = BTreeMap::new();
        for c in entry.columns {
            columns.insert(c.id, Column::of_file(file.clone(), start.saturating_add(c.offset), c.len, c.crc));
        }
        let (first_row, rows, first_position) = (entry.first_row, entry.rows, entry.first_position);
        let block = Block { first_row, rows, first_position, columns };
        block.verify(models)?;
        partial.extend(rewrite::references(&block, models, |_| true)?);
        pieces.push(Arc::new(block));
    }
    if next != rows.end || partial.len() as u64 != rows.end - rows.start {
        let what = format!("holds rows {} to {next}; {} to {} are recorded", rows.start, rows.start, rows.end);
        return Err(GalleryError::corrupt(&path, HEADER as u64, what));
    }
    Ok((pieces, partial))
}

/// Reads a tail and compares it with its checksums; returns its bytes.
pub(super) fn verify(storage: &dyn Storage, gallery_dir: &Path, number: u64) -> Result<u64, GalleryError> {
    let path = path(gallery_dir, number);
    let map = map(storage, &path)?;
    let bytes = map.bytes();
    let (index, start) = index(&path, bytes)?;
    for column in index.blocks.iter().flat_map(|b| &b.columns) {
        let offset = start.saturating_add(column.offset);
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let payload = bytes.get(at..at.saturating_add(column.len as usize));
        if payload.map(crc32c::crc32c) != Some(column.crc) {
            return Err(GalleryError::corrupt(&path, offset, "the block's checksum is wrong"));
        }
    }
    Ok(bytes.len() as u64)
}

fn map(storage: &dyn Storage, path: &Path) -> Result<Map, GalleryError> {
    let file = storage.open(path, Open::Read).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => GalleryError::Missing { path: path.to_owned() },
        _ => GalleryError::io(path, e),
    })?;
    let length = file.len().map_err(|e| GalleryError::io(path, e))?;
    Map::new(&*file, length, Access::Sequential).map_err(|e| GalleryError::io(path, e))
}

/// The index, and where the payloads begin.
fn index(path: &Path, bytes: &[u8]) -> Result<(Index, u64), GalleryError> {
    let corrupt = |offset: u64, what: String| GalleryError::corrupt(path, offset, what);
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if bytes.get(..8) != Some(MAGIC) {
        return Err(corrupt(0, "not the file that belongs here".into()));
    }
    match word(8) {
        Some(1..=VERSION) => {}
        Some(v) => return Err(corrupt(8, format!("format version {v}; this build reads 1 to {VERSION}"))),
        None => return Err(corrupt(8, "shorter than its header".into())),
    }
    let length = bytes.get(16..HEADER).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let end = length.and_then(|n| usize::try_from(n).ok()).and_then(|n| HEADER.checked_add(n));
    let index = end.and_then(|end| bytes.get(HEADER..end));
    let (Some(index), Some(end)) = (index, end) else {
        return Err(corrupt(16, "its index is longer than the file".into()));
    };
    if word(12) != Some(crc32c::crc32c(&bytes[16..end])) {
        return Err(corrupt(12, "the checksum is wrong".into()));
    }
    let index = codec::decode(index).map_err(|e| corrupt(HEADER as u64, e.to_string()))?;
    Ok((index, end.next_multiple_of(ALIGNMENT) as u64))
}
