//! Codecs of the template formats, one file per edition of a standard.
//!
//! | format | read | written |
//! |---|---|---|
//! | ISO/IEC 19794-2:2005, :2011 | yes | 2005, at 500 dpi |
//! | ANSI INCITS 378-2004, -2009 | yes | no |
//! | NIST .xyt, `duynhat-finger-1` JSON | yes | yes |
//! | ISO/IEC 39794-2, ANSI/NIST-ITL, CBEFF, images | recognised and explained | no |
//! | face embeddings: base64, JSON array, `.npy` | yes | no |
//!
//! Invariants. No input panics; every refusal is a [`DecodeError`] that names format, offset, expectation and finding.
//! A record that decodes has 1 to [`VIEWS_MAX`] views, each with at most [`MINUTIAE_MAX`](super::MINUTIAE_MAX) distinct
//! minutiae, all inside the image, normalised to 500 dpi. Memory is bounded by a small multiple of
//! [`RECORD_LENGTH_MAX`]. What is odd but harmless is accepted with a [`Warning`].

mod ansi_2004;
mod ansi_2009;
mod binary;
mod detect;
mod error;
mod face;
mod iso_2005;
mod iso_2011;
mod json;
mod normalise;
mod reader;
#[cfg(test)]
mod tests;
mod xyt;

pub use detect::{Detection, Foreign, detect};
pub use error::{DecodeError, EncodeError, Warning};
pub use face::{FaceDecodeError, FaceRows, decode_face_base64, decode_face_json, decode_face_npy};
pub use iso_2005::encode_iso_2005;
pub use json::encode_json;
pub use normalise::{PX_PER_CM_500_DPI, RESOLUTION_PX_CM_MAX, RESOLUTION_PX_CM_MIN, Resolution, SIDE_PX_MAX};
pub use xyt::encode_xyt;

use super::{Extractor, FingerPosition, FingerTemplate};

/// The longest record that is read, in bytes.
pub const RECORD_LENGTH_MAX: usize = 1 << 20;
/// The most views that one record may hold.
pub const VIEWS_MAX: usize = 64;

/// The finger formats that are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// ISO/IEC 19794-2:2005, record format.
    Iso2005,
    /// ISO/IEC 19794-2:2011, record format.
    Iso2011,
    /// ANSI INCITS 378-2004.
    Ansi2004,
    /// ANSI INCITS 378-2009 and its amendment 1.
    Ansi2009,
    /// NIST `.xyt` text.
    Xyt,
    /// `duynhat-finger-1` JSON.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::Iso2005, Self::Iso2011, Self::Ansi2004, Self::Ansi2009, Self::Xyt, Self::Json];

    /// The standard's name and edition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso2005 => "ISO/IEC 19794-2:2005",
            Self::Iso2011 => "ISO/IEC 19794-2:2011",
            Self::Ansi2004 => "ANSI INCITS 378-2004",
            Self::Ansi2009 => "ANSI INCITS 378-2009",
            Self::Xyt => "NIST .xyt",
            Self::Json => "duynhat-finger-1 JSON",
        }
    }

    /// Short name for options and JSON, e.g. `iso-2005`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Iso2005 => "iso-2005",
            Self::Iso2011 => "iso-2011",
            Self::Ansi2004 => "ansi-2004",
            Self::Ansi2009 => "ansi-2009",
            Self::Xyt => "xyt",
            Self::Json => "json",
        }
    }
}

/// What the caller knows beyond the bytes.
#[derive(Clone, Debug, Default)]
pub struct DecodeOptions {
    /// Who extracted the minutiae; known, it overrides what a JSON document says.
    pub extractor: Extractor,
    /// Read as this format instead of detecting it.
    pub format: Option<Format>,
    /// What `.xyt` does not say.
    pub xyt: XytImage,
}

/// Image of an `.xyt` file, which holds minutiae only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XytImage {
    /// Width and height in pixels; without it the smallest image that holds the minutiae is assumed.
    pub size_px: Option<(u16, u16)>,
    /// Resolution in px/cm; 197, which is 500 dpi, by default.
    pub resolution_px_cm: u16,
}

impl Default for XytImage {
    fn default() -> Self {
        Self { size_px: None, resolution_px_cm: 197 }
    }
}

/// A decoded record.
#[derive(Clone, Debug, PartialEq)]
pub struct FingerRecord {
    /// What it was.
    pub format: Format,
    /// Image width of the first view, in the record's own pixels.
    pub width_px: u32,
    /// Image height of the first view, in the record's own pixels.
    pub height_px: u32,
    /// Resolution of the first view.
    pub resolution: Resolution,
    /// The views in the record's order; never empty.
    pub views: Vec<RecordView>,
    /// What was odd.
    pub warnings: Vec<Warning>,
}

impl FingerRecord {
    fn new(format: Format, views: Vec<RecordView>, warnings: Vec<Warning>) -> Self {
        let (width_px, height_px, resolution) =
            views.first().map_or((0, 0, Resolution::NORMAL), |v| (v.width_px, v.height_px, v.resolution));
        Self { format, width_px, height_px, resolution, views, warnings }
    }
}

/// One view of a record: what the record said, and the normalised template (which holds position and quality).
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// The standard's code: 0 live-scan plain, 1 live-scan rolled, 2 non-live plain, 3 non-live rolled, 8 swipe, ...
    pub impression_type: u8,
    /// Minutiae in the record, before duplicates were merged.
    pub minutiae_declared: usize,
    /// Image width in the record's own pixels.
    pub width_px: u32,
    /// Image height in the record's own pixels.
    pub height_px: u32,
    /// The record's own resolution.
    pub resolution: Resolution,
    /// Normalised to 500 dpi.
    pub template: FingerTemplate,
}

impl RecordView {
    /// Which finger.
    pub fn position(&self) -> FingerPosition {
        self.template.position
    }

    /// Overall quality 1 to 100; 0 means unknown.
    pub fn quality(&self) -> u8 {
        self.template.quality
    }
}

/// A view to be written from a template that came from elsewhere: live-scan plain, 500 dpi.
impl From<FingerTemplate> for RecordView {
    fn from(template: FingerTemplate) -> Self {
        Self {
            impression_type: 0,
            minutiae_declared: template.minutiae().len(),
            width_px: u32::from(template.width.div_ceil(4)),
            height_px: u32::from(template.height.div_ceil(4)),
            resolution: Resolution::NORMAL,
            template,
        }
    }
}

/// Decodes a finger template record of any known format and normalises its views.
///
/// Linear in the length of `bytes`.
///
/// # Errors
/// [`DecodeError`] says what the record looked like and what is wrong where. Bytes beyond [`RECORD_LENGTH_MAX`] are
/// refused unread.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<FingerRecord, DecodeError> {
    let format = match (options.format, detect(bytes)) {
        (Some(format), _) | (None, Detection::Finger(format)) => format,
        (None, Detection::Foreign(format)) => return Err(DecodeError::Unsupported { format }),
        (None, Detection::Unknown { found }) => return Err(DecodeError::Unrecognised { found }),
    };
    if bytes.len() > RECORD_LENGTH_MAX {
        return Err(DecodeError::Limit { format, what: "bytes", max: RECORD_LENGTH_MAX, found: bytes.len() });
    }
    match format {
        Format::Iso2005 => iso_2005::decode(bytes, options),
        Format::Iso2011 => iso_2011::decode(bytes, options),
        Format::Ansi2004 => ansi_2004::decode(bytes, options),
        Format::Ansi2009 => ansi_2009::decode(bytes, options),
        Format::Xyt => xyt::decode(bytes, options),
        Format::Json => json::decode(bytes, options),
    }
}
