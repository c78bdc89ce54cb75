//! Single segments: the first record without reading the rest, and the verification of what no longer changes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::frame::{self, Frame, HEADER_LEN, RECORD_HEADER_LEN, Seal};
use super::journal::segments;
use super::{LogError, Record, watermark};
use crate::codec::RECORD_BYTES_MAX;
use crate::storage;

/// The journal's first record, without reading more than that; `None` when there is none yet.
///
/// # Errors
/// No journal there, damage, I/O.
pub fn first_record(dir: &Path) -> Result<Option<Record>, LogError> {
    let Some((first, path)) = segments(&storage::Disk, dir)?.into_iter().next() else {
        return Err(LogError::Missing { path: dir.into() });
    };
    let corrupt = |offset: usize, what: String| LogError::Corrupt { path: path.clone(), offset: offset as u64, what };
    let io = |e| LogError::io(&path, e);
    let mut file = File::open(&path).map_err(io)?;
    let mut bytes = Vec::new();
    file.by_ref().take((HEADER_LEN + RECORD_HEADER_LEN) as u64).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() < HEADER_LEN + RECORD_HEADER_LEN {
        return Ok(None);
    }
    let (_, gallery) = frame::parse_segment_header(&bytes).map_err(|what| corrupt(0, what))?;
    let at = HEADER_LEN + 4;
    let length = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
    if length > RECORD_BYTES_MAX {
        return Err(corrupt(at, "the record's length is beyond the limit".into()));
    }
    file.take(length as u64).read_to_end(&mut bytes).map_err(io)?;
    let frame = match Frame::parse(&bytes[HEADER_LEN..]) {
        Ok(frame) if frame.position == first => frame,
        // Whether that is a torn tail is for the reader of the whole to say.
        _ => return Ok(None),
    };
    let key = storage::key_in_use();
    let seal = Seal { key: key.as_deref(), gallery };
    let event = frame.event(seal).map_err(|e| LogError::event(&path, HEADER_LEN, e))?;
    Ok(Some(Record { position: first, event }))
}

/// The segments that no longer grow, by first position.
///
/// # Errors
/// I/O.
pub fn closed(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let mut all = segments(&storage::Disk, dir)?;
    all.pop();
    Ok(all)
}

/// Reads a closed segment and verifies every checksum and position; returns its records and bytes.
///
/// # Errors
/// Damage with its offset, I/O.
pub fn verify_closed(path: &Path, first: u64) -> Result<(u64, u64), LogError> {
    let bytes = std::fs::read(path).map_err(|e| LogError::io(path, e))?;
    let corrupt = |offset: usize, what: String| LogError::Corrupt { path: path.into(), offset: offset as u64, what };
    frame::parse_segment_header(&bytes).map_err(|what| corrupt(0, what))?;
    let (mut offset, mut position) = (HEADER_LEN, first);
    while offset < bytes.len() {
        let frame = Frame::parse(&bytes[offset..]).map_err(|what| corrupt(offset, what.into()))?;
        if frame.position != position {
            return Err(corrupt(offset, format!("position {} where {position} was expected", frame.position)));
        }
        offset += frame.len();
        position += 1;
    }
    Ok((position - first, bytes.len() as u64))
}

/// What of the journal is known to be durable, to be copied while it grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Each segment with the bytes of it that count.
    pub segments: Vec<(PathBuf, u64)>,
    /// The last position in it.
    pub position: u64,
    /// Whose journal it is.
    pub gallery: [u8; 16],
}

/// What is durable now: everything that the writer has noted, and without a writer (`all`) everything that can be read.
///
/// # Errors
/// No journal there, damage, I/O.
pub fn durable_prefix(dir: &Path, all: bool) -> Result<Prefix, LogError> {
    let noted = watermark::read(&storage::Disk, dir)?.map_or(0, |noted| noted.position);
    let mut found = segments(&storage::Disk, dir)?;
    let Some((first, path)) = found.pop() else { return Err(LogError::Missing { path: dir.into() }) };
    let bytes = std::fs::read(&path).map_err(|e| LogError::io(&path, e))?;
    let corrupt = |offset: usize, what: String| LogError::Corrupt { path: path.clone(), offset: offset as u64, what };
    let (_, gallery) = frame::parse_segment_header(&bytes).map_err(|what| corrupt(0, what))?;
    let (mut offset, mut position) = (HEADER_LEN, first);
    while offset < bytes.len() && (all || position <= noted) {
        match Frame::parse(&bytes[offset..]) {
            Ok(frame) if frame.position == position => {
                offset += frame.len();
                position += 1;
            }
            _ if position > noted => break,
            Ok(frame) => {
                return Err(corrupt(offset, format!("position {} where {position} was expected", frame.position)));
            }
            Err(what) => return Err(corrupt(offset, what.into())),
        }
    }
    let mut parts = Vec::new();
    for (_, path) in found {
        let len = std::fs::metadata(&path).map_err(|e| LogError::io(&path, e))?.len();
        parts.push((path, len));
    }
    parts.push((path, offset as u64));
    Ok(Prefix { segments: parts, position: position - 1, gallery })
}
