//! A cursor over a binary record. Every read is checked, every failure names format, field and offset.

use super::{DecodeError, Format};

/// Big-endian reads from a record of one format.
pub(super) struct Reader<'a> {
    pub(super) format: Format,
    /// The view being read, from 0: names it in errors.
    pub(super) view: Option<usize>,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(format: Format, bytes: &'a [u8]) -> Self {
        Self { format, view: None, bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, count: usize, field: &str) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(slice) = rest.get(..count) else {
            return Err(DecodeError::Truncated {
                format: self.format,
                offset: self.at,
                field: self.label(field),
                expected: count,
                found: rest.len(),
            });
        };
        self.at += count;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, field)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self, field: &str) -> Result<u8, DecodeError> {
        self.array(field).map(|[b]: [u8; 1]| b)
    }

    pub(super) fn u16(&mut self, field: &str) -> Result<u16, DecodeError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &str) -> Result<u32, DecodeError> {
        self.array(field).map(u32::from_be_bytes)
    }

    fn label(&self, field: &str) -> String {
        match self.view {
            Some(view) => format!("view {} {field}", view + 1),
            None => field.to_owned(),
        }
    }

    /// The error for a field of `size` bytes that was just read.
    pub(super) fn invalid(
        &self,
        size: usize,
        field: &str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> DecodeError {
        DecodeError::Invalid {
            format: self.format,
            offset: self.at.saturating_sub(size),
            field: self.label(field),
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}
