//! What can be wrong with a record, and what is odd but accepted.

use super::{Foreign, Format};

/// Why a record is refused. Says what it looked like, where, what was expected and what was found.
///
/// A message holds field values (a resolution, one coordinate), never a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Nothing that this module knows.
    #[error(
        "not a finger template that is known here: {found}; expected ISO/IEC 19794-2 or ANSI INCITS 378 (\"FMR\"), \
         NIST .xyt lines or duynhat-finger-1 JSON"
    )]
    Unrecognised {
        /// What the first bytes look like, in words.
        found: String,
    },
    /// A known format that is not decoded here.
    #[error("this is {}, which is not decoded here: {}", format.name(), format.advice())]
    Unsupported {
        /// Which one.
        format: Foreign,
    },
    /// The record ends too early.
    #[error("{} record ends too early: {field} at byte {offset} needs {expected} bytes, found {found}", format.name())]
    Truncated {
        /// What the record looked like.
        format: Format,
        /// Where the field starts, in bytes from the start of the record.
        offset: usize,
        /// Which field.
        field: String,
        /// Bytes that the field needs.
        expected: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// A field holds something that it may not.
    #[error("{} record: {field} at byte {offset} is {found}; expected {expected}", format.name())]
    Invalid {
        /// What the record looked like.
        format: Format,
        /// Where the field starts, in bytes from the start of the record.
        offset: usize,
        /// Which field.
        field: String,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// More than is accepted of something.
    #[error("{} record: {found} {what}; at most {max} are accepted", format.name())]
    Limit {
        /// What the record looked like.
        format: Format,
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The most that is accepted.
        max: usize,
        /// How many there are.
        found: usize,
    },
}

impl DecodeError {
    /// The name of the format that the record looked like, where it looked like one.
    pub fn looked_like(&self) -> Option<&'static str> {
        match self {
            Self::Unrecognised { .. } => None,
            Self::Unsupported { format } => Some(format.name()),
            Self::Truncated { format, .. } | Self::Invalid { format, .. } | Self::Limit { format, .. } => {
                Some(format.name())
            }
        }
    }

    /// Where the trouble starts, in bytes from the start of the record, where there is such a place.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::Truncated { offset, .. } | Self::Invalid { offset, .. } => Some(*offset),
            _ => None,
        }
    }
}

/// Odd but accepted. Views and minutiae are counted from 1 in the words, from 0 in the fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Minutiae of one view that were there more than once.
    #[error("view {}: {count} exact duplicate minutiae merged", view + 1)]
    Duplicates {
        /// Which view, from 0.
        view: usize,
        /// How many were dropped.
        count: usize,
    },
    /// A length field says less than the record holds.
    #[error("{field} says {declared} bytes; the content takes {actual}")]
    DeclaredLength {
        /// Which length.
        field: String,
        /// What it says.
        declared: usize,
        /// What the content takes.
        actual: usize,
    },
    /// Bytes after the last view.
    #[error("{count} bytes after the last view, from byte {offset}, ignored")]
    TrailingBytes {
        /// Where they start.
        offset: usize,
        /// How many.
        count: usize,
    },
    /// Bytes inside a view's declared length that its fields do not account for.
    #[error("view {}: {count} bytes of unknown meaning at byte {offset}, ignored", view + 1)]
    UnknownBytes {
        /// Which view, from 0.
        view: usize,
        /// Where they start.
        offset: usize,
        /// How many.
        count: usize,
    },
    /// Extended data that can't be walked; skipped by its total length.
    #[error("view {}: extended data at byte {offset} is not a list of blocks; skipped", view + 1)]
    ExtendedData {
        /// Which view, from 0.
        view: usize,
        /// Where it starts.
        offset: usize,
    },
    /// Qualities 254 (not reported) and 255 (failed): read as unknown.
    #[error("view {}: {count} qualities say 254 or 255 (not reported); read as unknown", view + 1)]
    QualityNotReported {
        /// Which view, from 0.
        view: usize,
        /// How many.
        count: usize,
    },
    /// Reserved bits that should be zero.
    #[error("view {}: reserved bits are set in {count} minutiae; ignored", view + 1)]
    ReservedBits {
        /// Which view, from 0.
        view: usize,
        /// In how many minutiae.
        count: usize,
    },
    /// Different resolutions across and down: positions and directions are corrected for it.
    #[error("view {}: resolution differs across and down; positions and directions corrected", view + 1)]
    NonSquarePixels {
        /// Which view, from 0.
        view: usize,
    },
    /// The format does not carry the image size, and none was given: the smallest that holds the minutiae.
    #[error("the image size is not in the record and none was given; taken as {width_px} x {height_px} px")]
    ImageSizeAssumed {
        /// Assumed width.
        width_px: u32,
        /// Assumed height.
        height_px: u32,
    },
}

/// Why a record can't be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A record holds at least one view.
    #[error("no views to write")]
    NoViews,
    /// More views than one record may hold.
    #[error("{found} views; at most {max} are accepted")]
    TooManyViews {
        /// How many there are.
        found: usize,
        /// The most.
        max: usize,
    },
    /// The view number has four bits.
    #[error("{found} views of one finger ({position}); at most 16 can be numbered")]
    TooManyOfOneFinger {
        /// How many there are.
        found: usize,
        /// Which finger.
        position: super::super::FingerPosition,
    },
    /// The impression type has four bits.
    #[error("impression type {found}; expected 0 to 15")]
    ImpressionType {
        /// What was given.
        found: u8,
    },
}
