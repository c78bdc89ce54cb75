//! Domain types and the codecs that read and write them. No I/O.
//!
//! Terms follow ISO/IEC 2382-37. Everything downstream of a codec works on the *normalised* types of this
//! module: positions in quarter pixels at 500 dpi, directions in 65,536ths of a turn. A codec keeps what the file
//! said in its own record type and hands over [`FingerTemplate`]s.

mod check;
pub mod codec;
mod face;
mod finger;
mod person;

pub use check::{ClaimRule, FaceRule, FingerRule, LegalReason, Outcome, Purpose};
pub use codec::{
    DecodeError, DecodeOptions, Detection, EncodeError, FaceDecodeError, FaceRows, FingerRecord, Format, RecordView,
    Resolution, Warning, XytImage, decode, decode_face_base64, decode_face_json, decode_face_npy, detect,
    encode_iso_2005, encode_json, encode_xyt,
};
pub use face::{DIMENSION_MAX, DIMENSION_MIN, FaceTemplate, FaceTemplateError};
pub use finger::{
    EXTRACTOR_LENGTH_MAX, Extractor, FingerPosition, FingerTemplate, FingerTemplateError, MINUTIAE_MAX, Minutia,
    MinutiaKind, SIDE_QUARTER_PX_MAX,
};
pub use person::{
    Biometrics, BiometricsError, FACES_MAX, IMPRESSIONS_MAX, MissingFinger, MissingReason, NAME_LENGTH_MAX,
};
