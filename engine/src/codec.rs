//! The one place that knows bincode.
//!
//! Every structured record on disk (log events, manifests) is encoded here: bincode 2.0.1, standard configuration
//! (little-endian, variable-length integers). Decoding has a limit, and refuses trailing bytes.

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest record that decodes, in bytes of memory.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// Encodes a value.
///
/// # Errors
/// A type that cannot be encoded (a sequence of unknown length); none of this crate's is.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|e| CodecError(e.to_string()))
}

/// Encodes a value behind what `out` holds.
///
/// # Errors
/// As [`encode`]; `out` then ends with a part of it.
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let written = bincode::serde::encode_into_std_write(value, out, bincode::config::standard());
    written.map(drop).map_err(|e| CodecError(e.to_string()))
}

/// Decodes a value that fills `bytes` exactly.
///
/// # Errors
/// Anything that [`encode`] did not write, trailing bytes, or more than [`RECORD_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let config = bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).map_err(|e| CodecError(e.to_string()))?;
    if used != bytes.len() {
        return Err(CodecError(format!("{} bytes after the record", bytes.len() - used)));
    }
    Ok(value)
}

/// A record could not be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Bytes encoded in one piece rather than one by one.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, v: &[u8]) -> Result<Blob, E> {
                Ok(Blob(v.to_vec()))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, v: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(v))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailing_bytes_and_truncation_are_refused() {
        let bytes = encode(&(7u64, "abc".to_owned(), Blob(vec![1, 2, 3]))).unwrap();
        assert_eq!(decode::<(u64, String, Blob)>(&bytes).unwrap().2.0, [1, 2, 3]);
        for n in 0..bytes.len() {
            assert!(decode::<(u64, String, Blob)>(&bytes[..n]).is_err(), "{n}");
        }
        let mut more = bytes;
        more.push(0);
        assert!(decode::<(u64, String, Blob)>(&more).is_err());
    }

    #[test]
    fn a_hostile_length_is_an_error_and_not_an_allocation() {
        // A u64 length of 2^60 for a byte string.
        let mut bytes = vec![253];
        bytes.extend((1u64 << 60).to_le_bytes());
        assert!(decode::<Blob>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
    }
}
