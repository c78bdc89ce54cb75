//! How a record stands in a segment.
//!
//! ```text
//! segment:  header (64 bytes), then records back to back
//! header:   0 "DUYNHATJ"   8 u32 version   12 u32 zero   16 u64 first position   24 [u8;16] gallery   40 zeros   60 u32 CRC32C of 0..60
//! record:   0 u32 "DNR1"   4 u32 payload length   8 u64 position   16 u64 durable   24 u16 kind   26 u16 version   28 u32 CRC32C of 4..28 and the payload   32 payload
//! ```
//! Bit 15 of the kind: redacted. Bit 14: the payload is sealed under the storage key, for this gallery, position and kind.
//! All little-endian. `durable` is the last position that was known to be durable when the record was written. It tells
//! a torn tail from damage: a record that cannot be read is *torn* when no later record claims it was durable, and
//! *damaged* when one does.

use crate::codec::{self, CodecError, RECORD_BYTES_MAX};

use super::{Event, REDACTED};
use crate::storage::StorageKey;

/// Length of a file's header.
pub(super) const HEADER_LEN: usize = 64;
/// Length of a record's header.
pub(super) const RECORD_HEADER_LEN: usize = 32;
const SEGMENT_MAGIC: &[u8; 8] = b"DUYNHATJ";
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"DNR1");
/// The version of segments and of records that this build writes, and the only one it reads.
pub const FORMAT_VERSION: u16 = 1;

/// A header: magic, version, a position, the gallery, checksum.
pub(super) fn header(magic: &[u8; 8], position: u64, gallery: [u8; 16]) -> [u8; HEADER_LEN] {
    let mut h = [0u8; HEADER_LEN];
    h[..8].copy_from_slice(magic);
    h[8..12].copy_from_slice(&u32::from(FORMAT_VERSION).to_le_bytes());
    h[16..24].copy_from_slice(&position.to_le_bytes());
    h[24..40].copy_from_slice(&gallery);
    let crc = crc32c::crc32c(&h[..60]);
    h[60..].copy_from_slice(&crc.to_le_bytes());
    h
}

/// Position and gallery, or what is wrong with what should be `name`.
pub(super) fn parse_header(h: &[u8], magic: &[u8; 8], name: &str) -> Result<(u64, [u8; 16]), String> {
    let Some(h) = h.get(..HEADER_LEN) else {
        return Err(format!("{} bytes; the header of {name} has {HEADER_LEN}", h.len()));
    };
    if &h[..8] != magic {
        return Err(format!("not {name}"));
    }
    if u32_at(h, 60) != crc32c::crc32c(&h[..60]) {
        return Err(format!("the checksum of {name} is wrong"));
    }
    let version = u32_at(h, 8);
    if version != u32::from(FORMAT_VERSION) {
        return Err(format!("format version {version}; this build reads {FORMAT_VERSION}"));
    }
    let mut gallery = [0; 16];
    gallery.copy_from_slice(&h[24..40]);
    Ok((u64_at(h, 16), gallery))
}

pub(super) fn segment_header(first_position: u64, gallery: [u8; 16]) -> [u8; HEADER_LEN] {
    header(SEGMENT_MAGIC, first_position, gallery)
}

/// First position and gallery, or what is wrong.
pub(super) fn parse_segment_header(h: &[u8]) -> Result<(u64, [u8; 16]), String> {
    parse_header(h, SEGMENT_MAGIC, "a journal segment")
}

/// Bit of the kind that says: sealed.
const SEALED: u16 = 0x4000;

/// The key that a journal's payloads are sealed under, and the gallery that they are sealed for.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a> {
    pub key: Option<&'a StorageKey>,
    pub gallery: [u8; 16],
}

/// Why an event could not be had from a frame whose checksum holds.
pub(super) enum EventError {
    /// It is not what was written.
    Damage(String),
    /// It is of a kind that this build does not know.
    Newer(u16),
    /// It is sealed, and the key is not there or another one.
    Key(&'static str),
}

/// Appends the record to `out`; a part of it when it fails.
pub(super) fn write_record(
    position: u64,
    durable: u64,
    event: &Event,
    seal: Seal<'_>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = out.len();
    out.extend([0; RECORD_HEADER_LEN]);
    let mut kind = event.kind();
    match seal.key {
        None => codec::encode_into(event, out)?,
        Some(key) => {
            kind |= SEALED;
            let context = context(&seal.gallery, position, kind);
            let sealed = key.seal(&[&context], &codec::encode(event)?);
            out.extend(sealed.map_err(|e| CodecError::new(e.to_string()))?);
        }
    }
    let (header, payload) = out[start..].split_at_mut(RECORD_HEADER_LEN);
    if payload.len() > RECORD_BYTES_MAX {
        // It could be written, but never read again.
        return Err(CodecError::new(format!("a record of {} bytes; the limit is {RECORD_BYTES_MAX}", payload.len())));
    }
    header[..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
    header[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[8..16].copy_from_slice(&position.to_le_bytes());
    header[16..24].copy_from_slice(&durable.to_le_bytes());
    header[24..26].copy_from_slice(&kind.to_le_bytes());
    header[26..28].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[4..28]), payload);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// What a payload is sealed for.
fn context(gallery: &[u8; 16], position: u64, kind: u16) -> Vec<u8> {
    [b"journal", &gallery[..], &position.to_le_bytes(), &kind.to_le_bytes(), &FORMAT_VERSION.to_le_bytes()].concat()
}

/// A record's frame whose checksum holds.
pub(super) struct Frame<'a> {
    pub position: u64,
    pub durable: u64,
    pub kind: u16,
    pub version: u16,
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, or what is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let Some(header) = bytes.get(..RECORD_HEADER_LEN) else {
            return Err("fewer bytes than a record's header");
        };
        if u32_at(header, 0) != RECORD_MAGIC {
            return Err("no record begins here");
        }
        let len = u32_at(header, 4) as usize;
        if len > RECORD_BYTES_MAX {
            return Err("the record's length is beyond the limit");
        }
        let Some(payload) = bytes.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + len) else {
            return Err("the record is longer than the file");
        };
        if u32_at(header, 28) != crc32c::crc32c_append(crc32c::crc32c(&header[4..28]), payload) {
            return Err("the record's checksum is wrong");
        }
        Ok(Self {
            position: u64_at(header, 8),
            durable: u64_at(header, 16),
            kind: u16::from_le_bytes([header[24], header[25]]),
            version: u16::from_le_bytes([header[26], header[27]]),
            payload,
        })
    }

    /// Bytes that the record takes.
    pub fn len(&self) -> usize {
        RECORD_HEADER_LEN + self.payload.len()
    }

    /// The kind of the event, redacted or not, without the bit that says how it is stored.
    pub fn event_kind(&self) -> u16 {
        self.kind & !SEALED
    }

    /// The event itself.
    pub fn event(&self, seal: Seal<'_>) -> Result<Event, EventError> {
        let damage = EventError::Damage;
        if self.version != FORMAT_VERSION {
            return Err(damage(format!("record version {}; this build reads {FORMAT_VERSION}", self.version)));
        }
        let kind = self.event_kind() & !REDACTED;
        if kind > Event::KIND_LAST {
            return Err(EventError::Newer(kind));
        }
        let event: Event = if self.kind & SEALED == 0 {
            codec::decode(self.payload).map_err(|e| damage(e.to_string()))?
        } else {
            let key = seal.key.ok_or(EventError::Key("the log is encrypted, and no key file was given"))?;
            let context = context(&seal.gallery, self.position, self.kind);
            // The frame's checksum holds, so it is what was written: under another key.
            let wrong = EventError::Key("the log was encrypted under another key than the one that was given");
            codec::decode(&key.open(&[&context], self.payload).ok_or(wrong)?).map_err(|e| damage(e.to_string()))?
        };
        if event.kind() != self.event_kind() {
            return Err(damage(format!("the frame says kind {}, the record {}", self.event_kind(), event.kind())));
        }
        Ok(event)
    }
}

/// Whether a whole record beyond `bytes[0]` claims that `position` was durable.
pub(super) fn later_record_knows(bytes: &[u8], position: u64) -> bool {
    let magic = RECORD_MAGIC.to_le_bytes();
    let mut from = 1;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.windows(4).position(|w| w == magic)) {
        let at = from + at;
        if let Ok(frame) = Frame::parse(&bytes[at..]) {
            if frame.durable >= position {
                return true;
            }
            from = at + frame.len();
        } else {
            from = at + 1;
        }
    }
    false
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32
}
