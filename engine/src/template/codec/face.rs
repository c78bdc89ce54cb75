//! Face embeddings: float32 as base64, a JSON array, or rows of a NumPy `.npy` file.
//!
//! There is no interchange standard, so the caller names the model. Values are taken as they are (comparison uses the
//! cosine); NaN, infinity and a norm of zero are refused by [`FaceTemplate::new`].

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ndarray::{ArrayView2, ShapeBuilder as _};
use ndarray_npy::npy::header::Header;

use crate::template::{DIMENSION_MAX, DIMENSION_MIN, FaceTemplate, FaceTemplateError};

/// The longest JSON text of one embedding, in bytes: 1,024 numbers with every digit, spaces and line ends.
const JSON_LENGTH_MAX: usize = 64 << 10;
/// The longest `.npy` header: NumPy writes 128 bytes.
const NPY_HEADER_MAX: usize = 4096;
/// Magic, version and length of an `.npy` header of version 1.0.
const NPY_PREFIX: usize = 10;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a face embedding can't be read. Never holds values of the embedding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaceDecodeError {
    /// Not base64.
    #[error("base64 of a face embedding: {reason} at byte {offset}; expected A-Z a-z 0-9 + / and padding")]
    Base64 {
        /// Where, in bytes of the text.
        offset: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not a whole number of float32.
    #[error(
        "base64 of a face embedding holds {found} bytes; expected 4 for each of {DIMENSION_MIN} to {DIMENSION_MAX} little-endian float32"
    )]
    Length {
        /// Bytes after decoding; the text's length divided by 4, times 3, when it was too long to decode.
        found: usize,
    },
    /// Not a JSON array of numbers.
    #[error(
        "JSON of a face embedding, byte {offset}: {found}; expected an array of {DIMENSION_MIN} to {DIMENSION_MAX} numbers"
    )]
    Json {
        /// Where, in bytes of the text.
        offset: usize,
        /// What is wrong.
        found: &'static str,
    },
    /// Not an `.npy` file of one or more embeddings.
    #[error(".npy of face embeddings: {field} at byte {offset} is {found}; expected {expected}")]
    Npy {
        /// Where the field starts.
        offset: usize,
        /// Which field.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The values are not an acceptable embedding.
    #[error("face embedding {}: {source}", row + 1)]
    Template {
        /// Which one, from 0.
        row: usize,
        /// What is wrong.
        source: FaceTemplateError,
    },
}

/// Reads little-endian float32 values in base64 (standard alphabet, padding optional).
///
/// # Errors
/// Not base64, not 64 to 1,024 values, or refused by [`FaceTemplate::new`].
pub fn decode_face_base64(model: &str, text: &str) -> Result<FaceTemplate, FaceDecodeError> {
    if text.len() > (DIMENSION_MAX * 4).div_ceil(3) * 4 {
        return Err(FaceDecodeError::Length { found: text.len() / 4 * 3 });
    }
    let bytes = BASE64.decode(text).map_err(|error| {
        use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
        let (offset, reason) = match error {
            InvalidByte(offset, _) => (offset, "a character that has no place there"),
            InvalidLastSymbol(offset, _) => (offset, "a last character with bits to spare"),
            InvalidLength(length) => (length, "an incomplete last group"),
            InvalidPadding => (text.len(), "wrong padding"),
        };
        FaceDecodeError::Base64 { offset, reason }
    })?;
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(FaceDecodeError::Length { found: bytes.len() });
    }
    template(model, values.iter().map(|&v| f32::from_le_bytes(v)).collect())
}

/// Reads a JSON array of numbers; each is rounded to float32.
///
/// # Errors
/// Not such an array, not 64 to 1,024 values, or refused by [`FaceTemplate::new`] (`1e39` is infinite in float32).
pub fn decode_face_json(model: &str, text: &[u8]) -> Result<FaceTemplate, FaceDecodeError> {
    if text.len() > JSON_LENGTH_MAX {
        return Err(FaceDecodeError::Json { offset: JSON_LENGTH_MAX, found: "too long a text" });
    }
    // The parser works in place.
    let mut copy = text.to_vec();
    let values: Vec<f32> = simd_json::serde::from_slice(&mut copy)
        .map_err(|error| FaceDecodeError::Json { offset: error.index(), found: "something else" })?;
    template(model, values)
}

fn template(model: &str, values: Vec<f32>) -> Result<FaceTemplate, FaceDecodeError> {
    FaceTemplate::new(model, 0, values).map_err(|source| FaceDecodeError::Template { row: 0, source })
}

/// Embeddings read from an `.npy` file: one a row.
#[derive(Clone, PartialEq)]
pub struct FaceRows {
    dimension: usize,
    values: Vec<f32>,
}

impl FaceRows {
    /// Values in each row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Number of rows, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// The rows in order, as they are in the file: not yet checked for NaN, infinity and norm.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimension)
    }

    /// One row.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        self.values.get(row.checked_mul(self.dimension)?..)?.get(..self.dimension)
    }

    /// Each row as a checked template of `model`.
    pub fn templates(&self, model: &str) -> impl ExactSizeIterator<Item = Result<FaceTemplate, FaceDecodeError>> {
        self.rows().enumerate().map(move |(row, values)| {
            FaceTemplate::new(model, 0, values.to_vec()).map_err(|source| FaceDecodeError::Template { row, source })
        })
    }
}

/// Never prints values: a template is sensitive personal data.
impl std::fmt::Debug for FaceRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaceRows")
            .field("dimension", &self.dimension)
            .field("rows", &self.len())
            .finish_non_exhaustive()
    }
}

fn npy(offset: usize, field: &'static str, expected: impl Into<String>, found: impl Into<String>) -> FaceDecodeError {
    FaceDecodeError::Npy { offset, field, expected: expected.into(), found: found.into() }
}

/// Reads an `.npy` file of float32 or float64 (rounded to float32), either byte order, C or Fortran order: one
/// embedding (1-d) or one a row (2-d). Costs one copy of the values.
///
/// # Errors
/// [`FaceDecodeError::Npy`] on anything else, on missing bytes and on bytes to spare.
pub fn decode_face_npy(bytes: &[u8]) -> Result<FaceRows, FaceDecodeError> {
    let start = check_npy_header(bytes)?;
    let mut head = &bytes[..start];
    let header = Header::from_reader(&mut head)
        .map_err(|_| npy(NPY_PREFIX, "header", "a dictionary of descr, fortran_order and shape", "something else"))?;
    let descriptor = header.type_descriptor.as_string().map_or("", String::as_str);
    let read: fn(&[u8]) -> f32 = match descriptor {
        "<f4" => |b| f32::from_le_bytes(fixed(b)),
        ">f4" => |b| f32::from_be_bytes(fixed(b)),
        "<f8" => |b| f64::from_le_bytes(fixed(b)) as f32,
        ">f8" => |b| f64::from_be_bytes(fixed(b)) as f32,
        _ => {
            let found = if descriptor.is_empty() { "not one number a value" } else { descriptor };
            return Err(npy(NPY_PREFIX, "descr", "float32 or float64 (<f4, >f4, <f8 or >f8)", found));
        }
    };
    let size = if descriptor.ends_with('4') { 4 } else { 8 };
    let (rows, dimension) = match header.shape[..] {
        [dimension] => (1, dimension),
        [rows, dimension] => (rows, dimension),
        _ => return Err(npy(NPY_PREFIX, "shape", "1 or 2 axes", format!("{} axes", header.shape.len()))),
    };
    if rows == 0 || !(DIMENSION_MIN..=DIMENSION_MAX).contains(&dimension) {
        let expected = format!("1 or more rows of {DIMENSION_MIN} to {DIMENSION_MAX} values");
        return Err(npy(NPY_PREFIX, "shape", expected, format!("{rows} rows of {dimension}")));
    }
    let data = &bytes[start..];
    let needed = rows.checked_mul(dimension).and_then(|count| count.checked_mul(size));
    if needed != Some(data.len()) {
        let expected = format!("{rows} rows of {dimension} values of {size} bytes");
        return Err(npy(start, "data", expected, format!("{} bytes", data.len())));
    }
    let stored: Vec<f32> = data.chunks_exact(size).map(read).collect();
    let values = if header.layout.is_fortran() {
        ArrayView2::from_shape((rows, dimension).f(), &stored)
            .map_err(|_| npy(NPY_PREFIX, "shape", "one that fits memory", format!("{rows} rows of {dimension}")))?
            .iter()
            .copied()
            .collect()
    } else {
        stored
    };
    Ok(FaceRows { dimension, values })
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

/// Where the data start. The header parser recurses and backtracks, so that it gets only flat, short headers to see:
/// one dictionary with at most one tuple, as every array of plain numbers has.
fn check_npy_header(bytes: &[u8]) -> Result<usize, FaceDecodeError> {
    if !bytes.starts_with(b"\x93NUMPY") {
        return Err(npy(0, "magic", "\\x93NUMPY", "something else"));
    }
    let (prefix, length) = match *bytes {
        [_, _, _, _, _, _, 1, 0, a, b, ..] => (NPY_PREFIX, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, 2..=3, 0, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        [_, _, _, _, _, _, major, minor, ..] if !(1..=3).contains(&major) || minor != 0 => {
            return Err(npy(6, "version", "1.0, 2.0 or 3.0", format!("{major}.{minor}")));
        }
        _ => return Err(npy(6, "version and header length", "4 bytes or more", "the end of the file")),
    };
    if length > NPY_HEADER_MAX {
        return Err(npy(8, "header length", format!("at most {NPY_HEADER_MAX} bytes"), length.to_string()));
    }
    let Some(header) = bytes.get(prefix..prefix + length) else {
        return Err(npy(prefix, "header", format!("{length} bytes"), format!("{} bytes", bytes.len() - prefix)));
    };
    let count = |wanted: u8| header.iter().filter(|&&b| b == wanted).count();
    if count(b'{') != 1 || count(b'(') > 1 || count(b'[') > 0 || !header.is_ascii() {
        return Err(npy(prefix, "header", "a dictionary of descr, fortran_order and shape", "something else"));
    }
    Ok(prefix + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32 * 0.25 - 3.0).collect()
    }

    fn npy_file(header: &str, data: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\0".to_vec();
        out.extend(((header.len() + 1) as u16).to_le_bytes());
        out.extend(header.bytes());
        out.push(b'\n');
        out.extend(data.into_iter().flatten());
        out
    }

    #[test]
    fn base64_json_and_npy_of_the_same_values_are_the_same_template() {
        let values = values(128);
        let expected = FaceTemplate::new("arcface-r50", 0, values.clone()).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
        assert_eq!(decode_face_base64("arcface-r50", &text).unwrap(), expected);
        assert_eq!(decode_face_base64("arcface-r50", text.trim_end_matches('=')).unwrap(), expected);
        let json = format!("{values:?}");
        assert_eq!(decode_face_json("arcface-r50", json.as_bytes()).unwrap(), expected);
        for (kind, data) in [
            ("<f4", values.iter().map(|v| v.to_le_bytes().to_vec()).collect::<Vec<_>>()),
            (">f4", values.iter().map(|v| v.to_be_bytes().to_vec()).collect()),
            ("<f8", values.iter().map(|v| f64::from(*v).to_le_bytes().to_vec()).collect()),
            (">f8", values.iter().map(|v| f64::from(*v).to_be_bytes().to_vec()).collect()),
        ] {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (128,), }}");
            let rows = decode_face_npy(&npy_file(&header, data)).unwrap();
            assert_eq!(
                rows.templates("arcface-r50").collect::<Result<Vec<_>, _>>().unwrap(),
                std::slice::from_ref(&expected)
            );
        }
    }

    #[test]
    fn fortran_order_gives_the_same_rows_as_c_order() {
        let values = values(3 * 64);
        let c = values.iter().map(|v| v.to_le_bytes().to_vec());
        let c = npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 64), }", c);
        let f = (0..64).flat_map(|column| (0..3).map(move |row| row * 64 + column));
        let f = f.map(|i: usize| values[i].to_le_bytes().to_vec());
        let f = npy_file("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 64), }", f);
        let rows = decode_face_npy(&c).unwrap();
        assert_eq!((rows.len(), rows.dimension()), (3, 64));
        assert!(rows == decode_face_npy(&f).unwrap());
        assert_eq!(rows.rows().nth(1).unwrap(), &values[64..128]);
    }

    #[test]
    fn nan_infinity_zero_norm_and_wrong_dimensions_are_refused() {
        let bad = |change: fn(&mut Vec<f32>)| {
            let mut values = values(64);
            change(&mut values);
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            decode_face_base64("m", &base64::engine::general_purpose::STANDARD.encode(bytes)).unwrap_err()
        };
        let source = |error| match error {
            FaceDecodeError::Template { row: 0, source } => source,
            other => panic!("{other}"),
        };
        assert_eq!(source(bad(|v| v[7] = f32::NAN)), FaceTemplateError::NotFinite { index: 7 });
        assert_eq!(source(bad(|v| v[9] = f32::INFINITY)), FaceTemplateError::NotFinite { index: 9 });
        assert_eq!(source(bad(|v| v.fill(0.0))), FaceTemplateError::Norm);
        assert_eq!(source(bad(|v| v.truncate(63))), FaceTemplateError::Dimension { found: 63 });
        assert!(matches!(bad(|v| v.resize(1025, 1.0)), FaceDecodeError::Length { .. }));
        let mut text = format!("{:?}", values(64));
        text = text.replacen("-3.0", "1e39", 1);
        assert_eq!(
            source(decode_face_json("m", text.as_bytes()).unwrap_err()),
            FaceTemplateError::NotFinite { index: 0 }
        );
        assert!(matches!(decode_face_base64("m", "ab!d"), Err(FaceDecodeError::Base64 { offset: 2, .. })));
        assert!(matches!(decode_face_base64("m", "AAAAAAA="), Err(FaceDecodeError::Length { found: 5 })));
        assert!(matches!(decode_face_json("m", "[".repeat(60_000).as_bytes()), Err(FaceDecodeError::Json { .. })));
        assert_eq!(
            source(decode_face_base64("a model", &BASE64.encode([1; 256])).unwrap_err()),
            FaceTemplateError::Model
        );
    }

    #[test]
    fn hostile_npy_headers_are_refused_before_anything_is_allocated_or_recurses() {
        let said = |bytes: &[u8]| decode_face_npy(bytes).unwrap_err().to_string();
        let shape =
            |shape: &str| npy_file(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), []);
        assert!(said(&shape("(1000000000000, 512)")).contains("data at byte"));
        assert!(said(&shape("(18446744073709551615, 512)")).contains("data at byte"));
        assert!(said(&shape("(1e999, 512)")).contains("header"));
        assert!(said(&shape("(0, 512)")).contains("0 rows"));
        assert!(said(&shape("(2, 3, 4)")).contains("3 axes"));
        assert!(said(&npy_file(&"(".repeat(4000), [])).contains("header"));
        assert!(said(b"\x93NUMPY\x02\0\xff\xff\xff\xff").contains("header length"));
        assert!(said(b"\x93NUMPY\x01\0").contains("end of the file"));
        assert!(said(b"\x93NUMPY\x07\0").contains("version"));
        assert!(said(b"PK").contains("magic"));
        let ints = npy_file("{'descr': '<i8', 'fortran_order': False, 'shape': (64,), }", [vec![0; 512]]);
        assert!(said(&ints).contains("descr at byte 10 is <i8"));
    }
}
