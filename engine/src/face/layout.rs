//! How a block's face entries lie in a file: three payloads, each a multiple of 64 bytes.
//!
//! ```text
//! originals   header 64 B | rows x stride x f32 (values as given; stride = dimension rounded up to 16)
//! plane       header 64 B | summaries: steps x tiles x 32 B, padded to 64 | row figures | codes
//! row figures scale: tiles x 64 x f32 | per step and tile: error 64 x bf16, rest 64 x bf16 (4-bit: code norm 64 x bf16)
//! codes       8-bit: a tile after the other, whole | 4-bit: a step after the other, each with all tiles
//! ```
//!
//! A tile is 64 entries (the last is padded), a *step* a prefix that a search may stop at: 64, 128, ... dimensions, and
//! all. bf16 figures are rounded up. A summary bounds a tile's figures at one step, so that a search reads them only
//! for tiles with a survivor.
//!
//! A single probe is bound by memory, and what it reads of the 4-bit plane must be one run of bytes: half of each tile
//! (8 KiB of every 16) comes at 11 GB/s where the same amount in one run comes at 25. Batches read a tile a hundred
//! times from the cache; there a tile is in one piece.
//!
//! Parsing checks lengths, every header field and every summary; row figures are guarded by the gallery's
//! checksums, and one that is not a number makes its entry a survivor, never a loss.

use bytemuck::{Pod, Zeroable};

use super::FaceError;
use super::basis::{Basis, BasisId};
use crate::kernel::dot_i4::CHUNK;
use crate::kernel::dot_i8::{ROWS, TILE_STEP};
use crate::kernel::prefetch;

/// Dimensions between two prefixes that a search may stop at.
pub const STEP: usize = 64;
/// Most entries of one block.
pub const ENTRIES_MAX: usize = 65_536;

const VERSION: u16 = 2;

/// A 64-byte line: what payloads are made of, so that they start on one.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes that start on a 64-byte boundary, in whole lines.
#[derive(Clone, Default)]
pub struct AlignedBytes(Vec<Line>);

impl AlignedBytes {
    /// Zeros; `length` is rounded up to whole lines.
    pub fn zeroed(length: usize) -> Self {
        Self(vec![Line([0; 64]); length.div_ceil(64)])
    }

    /// A copy, for bytes that lie anywhere.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy[..bytes.len()].copy_from_slice(bytes);
        copy
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Never prints contents: they are sensitive personal data.
impl std::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBytes({})", self.len())
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 4],
    version: u16,
    bits: u16,
    dimension: u32,
    rows: u32,
    length: u64,
    basis: BasisId,
    reserved: [u8; 24],
}

/// Bounds of a tile's row figures at one step.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Summary {
    pub scale_min: f32,
    pub scale_max: f32,
    pub error_max: f32,
    pub rest_max: f32,
    pub code_norm_max: f32,
    pub reserved: [f32; 3],
}

/// Which payload a header belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Originals,
    Plane8,
    Plane4,
}

impl Payload {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Originals => *b"DNFO",
            Self::Plane8 => *b"DNF8",
            Self::Plane4 => *b"DNF4",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Originals => "face originals",
            Self::Plane8 => "face int8 plane",
            Self::Plane4 => "face 4-bit plane",
        }
    }

    pub(super) fn bits(self) -> usize {
        match self {
            Self::Originals => 32,
            Self::Plane8 => 8,
            Self::Plane4 => 4,
        }
    }

    /// bf16 figures of a row at one step.
    fn figures(self) -> usize {
        if self == Self::Plane4 { 3 } else { 2 }
    }
}

/// Where things lie in a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub payload: Payload,
    pub dimension: usize,
    pub padded: usize,
    pub rows: usize,
    pub tiles: usize,
    pub steps: usize,
    /// Values of an original row.
    pub stride: usize,
    pub figures_at: usize,
    pub codes_at: usize,
    /// Bytes of a tile's codes: of all dimensions in 8 bits, of one step in 4.
    pub codes_tile: usize,
    pub length: usize,
}

impl Shape {
    pub(super) fn new(payload: Payload, dimension: usize, rows: usize) -> Self {
        let padded = dimension.next_multiple_of(8);
        let (tiles, steps) = (rows.div_ceil(ROWS), padded.div_ceil(STEP));
        let stride = dimension.next_multiple_of(16);
        let header = size_of::<Header>();
        let mut shape = Self {
            payload,
            dimension,
            padded,
            rows,
            tiles,
            steps,
            stride,
            figures_at: header,
            codes_at: header,
            codes_tile: 0,
            length: header + rows * stride * 4,
        };
        if payload != Payload::Originals {
            shape.figures_at = header + (tiles * steps * size_of::<Summary>()).next_multiple_of(64);
            shape.codes_at = shape.figures_at + tiles * ROWS * (4 + steps * payload.figures() * 2);
            (shape.codes_tile, shape.length) = if payload == Payload::Plane4 {
                // The last step is filled up with zeros.
                (CHUNK, shape.codes_at + steps * tiles * CHUNK)
            } else {
                let tile = padded * TILE_STEP / 4;
                (tile, shape.codes_at + tiles * tile)
            };
        }
        debug_assert!(shape.length.is_multiple_of(64) && shape.codes_at.is_multiple_of(64));
        shape
    }

    pub(super) fn header(&self, basis: BasisId) -> Header {
        Header {
            magic: self.payload.magic(),
            version: VERSION,
            bits: self.payload.bits() as u16,
            dimension: self.dimension as u32,
            rows: self.rows as u32,
            length: self.length as u64,
            basis,
            reserved: [0; 24],
        }
    }

    /// Checks the header against the bytes and the basis.
    fn parse(payload: Payload, bytes: &[u8], basis: &Basis) -> Result<Self, FaceError> {
        let what = payload.name();
        let format = |field, expected: u64, found: u64| FaceError::Format { what, field, expected, found };
        let size = size_of::<Header>();
        if bytes.len() < size {
            return Err(format("length", size as u64, bytes.len() as u64));
        }
        let address = bytes.as_ptr() as usize;
        if !address.is_multiple_of(64) {
            return Err(format("alignment", 0, (address % 64) as u64));
        }
        let header: Header = bytemuck::pod_read_unaligned(&bytes[..size]);
        if header.magic != payload.magic() {
            let word = |m: [u8; 4]| u64::from(u32::from_le_bytes(m));
            return Err(format("magic", word(payload.magic()), word(header.magic)));
        }
        let check = |field, expected: u64, found: u64| {
            if expected == found { Ok(()) } else { Err(format(field, expected, found)) }
        };
        check("version", u64::from(VERSION), u64::from(header.version))?;
        check("bits", payload.bits() as u64, u64::from(header.bits))?;
        check("dimension", basis.dimension() as u64, u64::from(header.dimension))?;
        if header.rows as usize > ENTRIES_MAX {
            return Err(format("rows", ENTRIES_MAX as u64, u64::from(header.rows)));
        }
        check("reserved", 0, header.reserved.iter().map(|&b| u64::from(b)).sum())?;
        if header.basis != basis.id() {
            return Err(FaceError::OtherBasis);
        }
        let shape = Self::new(payload, header.dimension as usize, header.rows as usize);
        check("length", shape.length as u64, header.length)?;
        check("length", shape.length as u64, bytes.len() as u64)?;
        Ok(shape)
    }

    /// Where an entry's scale is.
    pub(super) fn scale_at(&self, entry: usize) -> usize {
        self.figures_at + entry * 4
    }

    /// Where an entry's error (0), rest (1) or code norm (2) at a step is.
    pub(super) fn figure_at(&self, entry: usize, step: usize, which: usize) -> usize {
        let (tile, r) = (entry / ROWS, entry % ROWS);
        let column = (step * self.tiles + tile) * self.payload.figures() + which;
        self.figures_at + self.tiles * ROWS * 4 + (column * ROWS + r) * 2
    }

    /// Dimensions of the prefix of a step.
    pub(super) fn prefix(&self, step: usize) -> usize {
        ((step + 1) * STEP).min(self.padded)
    }
}

/// A block's embeddings as given: what a score is made of.
#[derive(Clone, Copy)]
pub struct Originals<'a> {
    shape: Shape,
    values: &'a [f32],
}

impl<'a> Originals<'a> {
    /// Reads a payload in place.
    ///
    /// # Errors
    /// [`FaceError::Format`] naming the field, [`FaceError::OtherBasis`].
    pub fn parse(bytes: &'a [u8], basis: &Basis) -> Result<Self, FaceError> {
        let shape = Shape::parse(Payload::Originals, bytes, basis)?;
        Ok(Self { shape, values: floats(&bytes[shape.codes_at..], "values")? })
    }

    /// Entries.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// An entry's values, followed by zeros up to a multiple of 16.
    pub fn row(&self, entry: usize) -> &'a [f32] {
        &self.values[entry * self.shape.stride..][..self.shape.stride]
    }

    /// An entry's values as given.
    pub fn values(&self, entry: usize) -> &'a [f32] {
        &self.row(entry)[..self.shape.dimension]
    }
}

/// A block's codes of one width, with what the bound needs.
#[derive(Clone, Copy)]
pub struct Plane<'a> {
    pub(super) shape: Shape,
    pub(super) summaries: &'a [Summary],
    bytes: &'a [u8],
}

impl<'a> Plane<'a> {
    /// Reads an int8 payload in place.
    ///
    /// # Errors
    /// [`FaceError::Format`] naming the field, [`FaceError::OtherBasis`].
    pub fn parse8(bytes: &'a [u8], basis: &Basis) -> Result<Self, FaceError> {
        Self::parse(Payload::Plane8, bytes, basis)
    }

    /// Reads a 4-bit payload in place.
    ///
    /// # Errors
    /// [`FaceError::Format`] naming the field, [`FaceError::OtherBasis`].
    pub fn parse4(bytes: &'a [u8], basis: &Basis) -> Result<Self, FaceError> {
        Self::parse(Payload::Plane4, bytes, basis)
    }

    fn parse(payload: Payload, bytes: &'a [u8], basis: &Basis) -> Result<Self, FaceError> {
        let shape = Shape::parse(payload, bytes, basis)?;
        let count = shape.tiles * shape.steps;
        let summaries: &[Summary] =
            bytemuck::try_cast_slice(&bytes[size_of::<Header>()..][..count * size_of::<Summary>()])
                .map_err(|_| FaceError::Format { what: payload.name(), field: "summaries", expected: 0, found: 1 })?;
        for (at, s) in summaries.iter().enumerate() {
            let size = |v: f32| (0.0..1e6).contains(&v);
            let good = s.scale_min > 0.0
                && s.scale_max >= s.scale_min
                && size(s.scale_max)
                && [s.error_max, s.rest_max, s.code_norm_max].into_iter().all(size);
            if !good {
                return Err(FaceError::Format {
                    what: payload.name(),
                    field: "summary",
                    expected: count as u64,
                    found: at as u64,
                });
            }
        }
        Ok(Self { shape, summaries, bytes })
    }

    /// Entries.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    pub(super) fn summary(&self, tile: usize, step: usize) -> &'a Summary {
        &self.summaries[step * self.shape.tiles + tile]
    }

    /// A tile's 8-bit codes up to the end of a step.
    pub(super) fn codes8(&self, tile: usize, step: usize) -> &'a [u8] {
        debug_assert!(self.shape.payload == Payload::Plane8);
        let length = self.shape.prefix(step) * TILE_STEP / 4;
        &self.bytes[self.shape.codes_at + tile * self.shape.codes_tile..][..length]
    }

    /// All tiles' 4-bit codes up to the end of a step: [`CHUNK`] bytes a step and tile, step by step.
    pub(super) fn codes4(&self, step: usize) -> &'a [u8] {
        debug_assert!(self.shape.payload == Payload::Plane4);
        &self.bytes[self.shape.codes_at..][..(step + 1) * self.shape.tiles * CHUNK]
    }

    /// What a search at a step reads beside the codes: the tiles' summaries, all scales, and the step's figures.
    pub(super) fn figure_bytes(&self, step: usize) -> [&'a [u8]; 3] {
        let (tiles, width) = (self.shape.tiles, self.shape.payload.figures() * ROWS * 2);
        let summaries = &self.summaries[step * tiles..][..tiles];
        let scales = tiles * ROWS * 4;
        [
            bytemuck::cast_slice(summaries),
            &self.bytes[self.shape.figures_at..][..scales],
            &self.bytes[self.shape.figures_at + scales + step * tiles * width..][..tiles * width],
        ]
    }

    /// Asks for what a closer look at an entry reads: its codes of the steps after `step` up to `confirm`, and its
    /// figures there.
    pub(super) fn ask4(&self, entry: usize, step: usize, confirm: usize) {
        let codes = self.codes4(confirm);
        for chunk in step + 1..=confirm {
            let at = (chunk * self.shape.tiles + entry / ROWS) * CHUNK + entry % ROWS * 4;
            for line in 0..CHUNK / TILE_STEP {
                prefetch(&codes[at + line * TILE_STEP..][..4]);
            }
        }
        for which in 0..self.shape.payload.figures() {
            let at = self.shape.figure_at(entry, confirm, which);
            prefetch(&self.bytes[at..at + 2]);
        }
    }

    /// An entry's `(scale, error, rest, code norm)` at a step; the code norm only in 4 bits.
    pub(super) fn figures(&self, entry: usize, step: usize) -> RowFigures {
        let at = self.shape.scale_at(entry);
        let scale = f32::from_bits(u32::from_le_bytes(bytemuck::pod_read_unaligned(&self.bytes[at..at + 4])));
        let figures = self.shape.payload.figures();
        let bf16 = |which: usize| {
            let at = self.shape.figure_at(entry, step, which);
            widen(u16::from_le_bytes(bytemuck::pod_read_unaligned(&self.bytes[at..at + 2])))
        };
        RowFigures {
            scale: f64::from(scale),
            error: f64::from(bf16(0)),
            rest: f64::from(bf16(1)),
            code_norm: if figures == 3 { f64::from(bf16(2)) } else { 0.0 },
        }
    }

    /// Which lanes of a tile hold entries, lane 0 in the lowest bit.
    pub(super) fn filled_mask(&self, tile: usize) -> u64 {
        const { assert!(ROWS == 64, "a bit a lane") };
        u64::MAX >> (ROWS - (self.shape.rows - tile * ROWS).min(ROWS))
    }
}

/// An entry's figures at one step, widened.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowFigures {
    pub scale: f64,
    pub error: f64,
    pub rest: f64,
    pub code_norm: f64,
}

/// A block's face entries of one model.
#[derive(Clone, Copy)]
pub struct FaceBlock<'a> {
    /// Embeddings as given.
    pub originals: Originals<'a>,
    /// int8 codes, for batches.
    pub plane8: Plane<'a>,
    /// 4-bit codes, for single probes.
    pub plane4: Plane<'a>,
    pub(super) basis: BasisId,
}

impl<'a> FaceBlock<'a> {
    /// Reads the three payloads of [`super::encode_block`] in place; each must start on a 64-byte boundary.
    ///
    /// # Errors
    /// [`FaceError::Format`] naming the field, [`FaceError::OtherBasis`].
    pub fn parse(basis: &Basis, originals: &'a [u8], plane8: &'a [u8], plane4: &'a [u8]) -> Result<Self, FaceError> {
        let block = Self {
            originals: Originals::parse(originals, basis)?,
            plane8: Plane::parse8(plane8, basis)?,
            plane4: Plane::parse4(plane4, basis)?,
            basis: basis.id(),
        };
        for rows in [block.plane8.rows(), block.plane4.rows()] {
            if rows != block.originals.rows() {
                return Err(FaceError::Format {
                    what: "face block",
                    field: "rows",
                    expected: block.originals.rows() as u64,
                    found: rows as u64,
                });
            }
        }
        Ok(block)
    }

    /// Entries.
    pub fn rows(&self) -> usize {
        self.originals.rows()
    }

    /// What the block was encoded with.
    pub fn basis(&self) -> BasisId {
        self.basis
    }
}

/// Never prints values: a template is sensitive personal data.
impl std::fmt::Debug for FaceBlock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaceBlock").field("rows", &self.rows()).finish_non_exhaustive()
    }
}

fn floats<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a [f32], FaceError> {
    bytemuck::try_cast_slice(bytes).map_err(|_| FaceError::Format {
        what: "face originals",
        field,
        expected: 0,
        found: bytes.len() as u64 % 4,
    })
}

/// The least bf16 at or above a value that is not negative.
pub(super) fn ceil_bf16(value: f64) -> u16 {
    let narrow = ceil_f32(value).to_bits();
    // Adding to the bits carries into the exponent as it should; 0xffff rounds up.
    ((narrow + 0xffff) >> 16) as u16
}

/// The value of a bf16.
pub(super) fn widen(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// The least `f32` at or above a value.
pub(super) fn ceil_f32(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value { near.next_up() } else { near }
}
