//! From embeddings to a block's payloads: normalise, rotate, quantise, and record what was lost.
//!
//! Every stored byte comes from sums in one fixed order ([`crate::kernel::dot_f32`]) and from single operations of
//! `f64`, so it is the same on every ISA.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use super::FaceError;
use super::basis::Basis;
use super::layout::{AlignedBytes, FaceBlock, Payload, STEP, Shape, Summary, ceil_bf16, ceil_f32, widen};
use crate::kernel::dot_f32::{PANEL, ROTATED, rotate};
use crate::kernel::dot_i4::CHUNK;
use crate::kernel::dot_i8::{NARROW_DIMENSIONS, NARROW_LANES, NARROW_SUM, ROWS, TILE_STEP};
use crate::kernel::{Isa, Vectorized, vectorize};

/// The three payloads of a block's face entries, each a multiple of 64 bytes.
#[derive(Clone, Debug)]
pub struct FaceBlockBytes {
    /// Embeddings as given, fp32; cold.
    pub originals: AlignedBytes,
    /// int8 tiles, scales and norms; read by batches.
    pub plane8: AlignedBytes,
    /// 4-bit tiles, scales and norms; read by single probes.
    pub plane4: AlignedBytes,
}

impl FaceBlockBytes {
    /// The block, read in place.
    ///
    /// # Errors
    /// [`FaceError::OtherBasis`] when the block was encoded with another basis.
    pub fn parse<'a>(&'a self, basis: &Basis) -> Result<FaceBlock<'a>, FaceError> {
        FaceBlock::parse(basis, &self.originals, &self.plane8, &self.plane4)
    }
}

/// Encodes up to 65,536 embeddings of one model as a block. None is allowed.
///
/// The cost is about `dimension^2` fp64 multiply-adds a row; callers spread blocks over threads.
///
/// # Errors
/// A row of another dimension, with a value that is not finite, or with a norm out of `1e-15..=1e15`; too many rows.
pub fn encode_block(isa: Isa, basis: &Basis, rows: &[&[f32]]) -> Result<FaceBlockBytes, FaceError> {
    if rows.len() > super::layout::ENTRIES_MAX {
        return Err(FaceError::Rows { found: rows.len() });
    }
    let shape = |payload| Shape::new(payload, basis.dimension(), rows.len());
    let mut originals = start(&shape(Payload::Originals), basis);
    let mut plane8 = PlaneWriter::new(shape(Payload::Plane8), basis);
    let mut plane4 = PlaneWriter::new(shape(Payload::Plane4), basis);
    let shape = shape(Payload::Originals);

    let mut rotator = Rotator::new(basis);
    let mut quantised = Quantised::new(basis.padded());
    for (tile, rows) in rows.chunks(ROWS).enumerate() {
        rotator.rotate(isa, basis, rows)?;
        let mut own = [(0f32, 0f32); ROWS];
        for (r, own) in own.iter_mut().enumerate().take(rows.len()) {
            *own = (scale8(rotator.row(r)), scale4(rotator.row(r), basis.weights()));
        }
        let shared8 = shared_scale(own[..rows.len()].iter().map(|o| o.0), 1.5, 1.5);
        let shared4 = shared_scale(own[..rows.len()].iter().map(|o| o.1), 1.0, 1.5);
        for (r, values) in rows.iter().enumerate() {
            let entry = tile * ROWS + r;
            let at = shape.codes_at + entry * shape.stride * 4;
            let bytes: &[u8] = bytemuck::cast_slice(values);
            originals[at..at + bytes.len()].copy_from_slice(bytes);
            let row = rotator.row(r);
            quantised.int8(row, shared8.unless_outlier(own[r].0));
            plane8.put(entry, &quantised);
            quantised.int4(row, basis.weights(), shared4.unless_outlier(own[r].1));
            plane4.put(entry, &quantised);
        }
    }
    Ok(FaceBlockBytes { originals, plane8: plane8.finish(), plane4: plane4.finish() })
}

/// One scale for a tile: the first filter has one limit for all its rows, which is as good as the largest scale is near
/// the others. Rows that would need far more keep their own, so that one odd vector does not blur 63 others.
#[derive(Clone, Copy)]
struct SharedScale {
    scale: f32,
    largest: f32,
}

/// The largest scale, at most `stretch` times the median; a row above `outlier` times the median is left alone.
fn shared_scale(own: impl Iterator<Item = f32>, stretch: f32, outlier: f32) -> SharedScale {
    let mut sorted: Vec<f32> = own.collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f32::MIN_POSITIVE);
    let largest = sorted.last().copied().unwrap_or(f32::MIN_POSITIVE);
    SharedScale { scale: largest.min(median * stretch), largest: median * outlier }
}

impl SharedScale {
    fn unless_outlier(self, own: f32) -> f32 {
        if own > self.largest { own } else { self.scale }
    }
}

/// The scale with which no component of a row leaves int8.
pub(super) fn scale8(row: &[f64]) -> f32 {
    let largest = row.iter().fold(0f64, |most, v| most.max(v.abs()));
    ceil_f32(largest / 127.0).max(f32::MIN_POSITIVE)
}

/// Half the step of the best uniform 16-level quantiser of normal variables with the spread of a row's weighted
/// components (0.3352 of the spread: Max, "Quantizing for minimum distortion", 1960).
fn scale4(row: &[f64], weights: &[f32]) -> f32 {
    let mut lanes = [0f64; 8];
    for (row, weights) in row.as_chunks::<8>().0.iter().zip(weights.as_chunks::<8>().0) {
        for l in 0..8 {
            let z = row[l] / f64::from(weights[l]);
            lanes[l] += z * z;
        }
    }
    let spread = (lanes.iter().sum::<f64>() / row.len() as f64).sqrt();
    ceil_f32(spread * 0.1676).max(f32::MIN_POSITIVE)
}

fn start(shape: &Shape, basis: &Basis) -> AlignedBytes {
    let mut bytes = AlignedBytes::zeroed(shape.length);
    let header = shape.header(basis.id());
    let header = bytemuck::bytes_of(&header);
    bytes[..header.len()].copy_from_slice(header);
    bytes
}

/// Octets of rows that share a pass over the matrix: a tile.
const GROUPS: usize = ROWS / ROTATED;

/// Normalises and rotates up to a tile of rows; keeps its memory.
pub(super) struct Rotator {
    padded: usize,
    inputs: Vec<f64>,
    outputs: Vec<[f64; ROTATED]>,
    rotated: Vec<f64>,
}

impl Rotator {
    pub(super) fn new(basis: &Basis) -> Self {
        let padded = basis.padded();
        Self {
            padded,
            inputs: vec![0.0; padded * ROTATED * GROUPS],
            outputs: vec![[0.0; ROTATED]; padded.next_multiple_of(PANEL)],
            rotated: vec![0.0; padded * ROTATED * GROUPS],
        }
    }

    /// At most a tile of rows.
    pub(super) fn rotate(&mut self, isa: Isa, basis: &Basis, rows: &[&[f32]]) -> Result<(), FaceError> {
        debug_assert!(rows.len() <= ROTATED * GROUPS && basis.padded() == self.padded);
        self.inputs.fill(0.0);
        for (r, row) in rows.iter().enumerate() {
            let norm = super::norm(row, basis.dimension())?;
            let octet = &mut self.inputs[r / ROTATED * self.padded * ROTATED..];
            for (j, &v) in row.iter().enumerate() {
                // Rounded to f32 so that products are exact; the bound counts it.
                octet[j * ROTATED + r % ROTATED] = f64::from((f64::from(v) / norm) as f32);
            }
        }
        let octets = rows.len().div_ceil(ROTATED);
        let panel_length = self.padded * PANEL;
        for (p, panel) in basis.panels().chunks_exact(panel_length).enumerate() {
            for octet in 0..octets {
                let inputs = &self.inputs[octet * self.padded * ROTATED..][..self.padded * ROTATED];
                let outputs = &mut self.outputs[p * PANEL..][..PANEL];
                rotate(isa, panel, inputs, outputs);
                for (i, sums) in outputs.iter().enumerate().take(self.padded - p * PANEL) {
                    for (r, &sum) in sums.iter().enumerate() {
                        self.rotated[(octet * ROTATED + r) * self.padded + p * PANEL + i] = sum;
                    }
                }
            }
        }
        Ok(())
    }

    /// A rotated row.
    pub(super) fn row(&self, r: usize) -> &[f64] {
        &self.rotated[r * self.padded..][..self.padded]
    }
}

/// One vector's codes and, for each step, upper bounds of what the codes leave out.
pub(super) struct Quantised {
    /// -127..=127 in 8 bits, 0..=15 in 4.
    pub codes: Vec<i8>,
    pub scale: f32,
    /// Norm of the quantisation error within each prefix.
    pub errors: Vec<f64>,
    /// Norm of what follows each prefix.
    pub rests: Vec<f64>,
    /// Norm of the codes times the scale within each prefix.
    pub code_norms: Vec<f64>,
}

/// Covers the rounding of sums of at most 1,024 squares and of a root in `f64`.
const UP: f64 = 1.0 + 1e-12;

/// Adding and taking away 1.5 x 2^52 rounds to the nearest integer, ties to even; baseline SSE2 has no instruction.
pub(super) const ROUNDER: f64 = 6_755_399_441_055_744.0;

impl Quantised {
    pub(super) fn new(padded: usize) -> Self {
        let steps = padded.div_ceil(STEP);
        Self {
            codes: vec![0; padded],
            scale: 0.0,
            errors: vec![0.0; steps],
            rests: vec![0.0; steps],
            code_norms: vec![0.0; steps],
        }
    }

    /// `row ~ scale x codes`. Components that the scale can't hold are cut, and counted in the error.
    pub(super) fn int8(&mut self, row: &[f64], scale: f32) {
        let inverse = 1.0 / f64::from(scale);
        for (code, &v) in self.codes.iter_mut().zip(row) {
            *code = ((v * inverse).clamp(-127.0, 127.0) + ROUNDER - ROUNDER) as i32 as i8;
        }
        self.measure(row, scale);
    }

    /// [`Quantised::int8`] with codes that are narrow ([`NARROW_SUM`]) and the scale, of four, that leaves the least error
    /// in the first half of the dimensions: some lanes are better cut than all codes blurred.
    pub(super) fn narrow(&mut self, isa: Isa, row: &[f64]) {
        vectorize(isa, NarrowCodes { quantised: self, row });
    }

    /// What the codes leave out of `row`.
    #[inline(always)]
    fn measure(&mut self, row: &[f64], scale: f32) {
        self.scale = scale;
        let scale = f64::from(scale);
        let (mut error, mut code_norm) = (0f64, 0f64);
        for (step, (codes, row)) in self.codes.chunks(STEP).zip(row.chunks(STEP)).enumerate() {
            error += sum_squares(codes, row, |c, v| v - scale * f64::from(c));
            code_norm += sum_squares(codes, row, |c, _| scale * f64::from(c));
            self.errors[step] = error.sqrt() * UP;
            self.code_norms[step] = code_norm.sqrt() * UP;
        }
        self.finish_rests(row);
    }

    /// `row ~ scale x weights x (2 codes - 15)`.
    fn int4(&mut self, row: &[f64], weights: &[f32], scale: f32) {
        self.scale = scale;
        let scale = f64::from(scale);
        let inverse = 0.5 / scale;
        for ((code, &v), &w) in self.codes.iter_mut().zip(row).zip(weights) {
            *code = ((v / f64::from(w) * inverse + 7.5).clamp(0.0, 15.0) + ROUNDER - ROUNDER) as i32 as i8;
        }
        let (mut error, mut code_norm) = (0f64, 0f64);
        let parts = self.codes.chunks(STEP).zip(row.chunks(STEP)).zip(weights.chunks(STEP));
        for (step, ((codes, row), w)) in parts.enumerate() {
            error += sum_squares_weighted(codes, row, w, scale);
            code_norm += sum_squares(codes, row, |c, _| scale * f64::from(2 * i32::from(c) - 15));
            self.errors[step] = error.sqrt() * UP;
            self.code_norms[step] = code_norm.sqrt() * UP;
        }
        self.finish_rests(row);
    }

    #[inline(always)]
    fn finish_rests(&mut self, row: &[f64]) {
        let mut rest = 0f64;
        for (step, part) in row.chunks(STEP).enumerate().rev() {
            self.rests[step] = rest.sqrt() * UP;
            rest += sum_squares(&self.codes, part, |_, v| v);
        }
    }
}

/// [`Quantised::narrow`].
struct NarrowCodes<'a> {
    quantised: &'a mut Quantised,
    row: &'a [f64],
}

impl Vectorized for NarrowCodes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { quantised, row } = self;
        let half = &row[..(row.len() / 2).next_multiple_of(NARROW_DIMENSIONS).min(row.len())];
        let fullest = half.chunks(NARROW_DIMENSIONS).fold(0f64, |most, part| {
            let (above, below) = lane_sums(part);
            most.max(above[0]).max(above[1]).max(-below[0]).max(-below[1])
        });
        let mut best = (f64::INFINITY, f32::MIN_POSITIVE);
        for clip in [1.04, 0.9, 0.78, 0.66] {
            let scale = ceil_f32(fullest * clip / f64::from(NARROW_SUM)).max(f32::MIN_POSITIVE);
            narrow_codes(&mut quantised.codes, half, scale);
            let error = sum_squares(&quantised.codes, half, |c, v| v - f64::from(scale) * f64::from(c));
            if error < best.0 {
                best = (error, scale);
            }
        }
        narrow_codes(&mut quantised.codes, row, best.1);
        quantised.measure(row, best.1);
    }
}

/// Codes of `row`, which may be its first dimensions only.
#[inline(always)]
fn narrow_codes(codes: &mut [i8], row: &[f64], scale: f32) {
    let inverse = 1.0 / f64::from(scale);
    for (codes, row) in codes.chunks_mut(NARROW_DIMENSIONS).zip(row.chunks(NARROW_DIMENSIONS)) {
        let mut whole = [0i32; NARROW_DIMENSIONS];
        for (code, &v) in whole.iter_mut().zip(row) {
            *code = ((v * inverse).clamp(-127.0, 127.0) + ROUNDER).to_bits() as i32;
        }
        let (above, below) = lane_sums(&whole);
        if above.iter().any(|&sum| sum > NARROW_SUM) || below.iter().any(|&sum| sum < -NARROW_SUM) {
            // Towards zero: what is left of a side adds up to no more than it may.
            for (code, lane) in whole.iter_mut().zip(NARROW_LANES.into_iter().cycle()) {
                let side = if *code > 0 { above[lane] } else { -below[lane] };
                *code = *code * NARROW_SUM / side.max(NARROW_SUM);
            }
        }
        for (code, whole) in codes.iter_mut().zip(whole) {
            *code = whole as i8;
        }
    }
}

/// The sums of what is positive and of what is negative, in both lanes of up to [`NARROW_DIMENSIONS`].
#[inline(always)]
fn lane_sums<T: Copy + Default + PartialOrd + std::ops::Add<Output = T>>(values: &[T]) -> ([T; 2], [T; 2]) {
    let zero = T::default();
    let (mut above, mut below) = ([zero; 4], [zero; 4]);
    for four in values.as_chunks::<4>().0 {
        for d in 0..4 {
            above[d] = above[d] + if four[d] > zero { four[d] } else { zero };
            below[d] = below[d] + if four[d] < zero { four[d] } else { zero };
        }
    }
    // As NARROW_LANES says.
    ([above[0] + above[1], above[2] + above[3]], [below[0] + below[1], below[2] + below[3]])
}

/// Squares of `f(code, value)` summed in eight lanes, which the compiler makes vectors of.
#[inline(always)]
fn sum_squares(codes: &[i8], values: &[f64], f: impl Fn(i8, f64) -> f64) -> f64 {
    let mut lanes = [0f64; 8];
    // Both lengths are multiples of eight: prefixes are, and so is the padded dimension.
    for (codes, values) in codes.as_chunks::<8>().0.iter().zip(values.as_chunks::<8>().0) {
        for l in 0..8 {
            let v = f(codes[l], values[l]);
            lanes[l] += v * v;
        }
    }
    lanes.iter().sum()
}

/// [`sum_squares`] of the 4-bit error.
#[inline(always)]
fn sum_squares_weighted(codes: &[i8], values: &[f64], weights: &[f32], scale: f64) -> f64 {
    let mut lanes = [0f64; 8];
    let parts = codes.as_chunks::<8>().0.iter().zip(values.as_chunks::<8>().0).zip(weights.as_chunks::<8>().0);
    for ((codes, values), weights) in parts {
        for l in 0..8 {
            let v = values[l] - scale * f64::from(weights[l]) * f64::from(2 * i32::from(codes[l]) - 15);
            lanes[l] += v * v;
        }
    }
    lanes.iter().sum()
}

/// Fills a plane entry by entry, in any order.
struct PlaneWriter {
    shape: Shape,
    bytes: AlignedBytes,
    summaries: Vec<Summary>,
}

impl PlaneWriter {
    fn new(shape: Shape, basis: &Basis) -> Self {
        let mut bytes = start(&shape, basis);
        if shape.payload == Payload::Plane8 {
            // Lanes without an entry hold zero, biased.
            bytes[shape.codes_at..].fill(0x80);
        }
        let empty = Summary {
            scale_min: f32::MAX,
            scale_max: 0.0,
            error_max: 0.0,
            rest_max: 0.0,
            code_norm_max: 0.0,
            reserved: [0.0; 3],
        };
        Self { shape, bytes, summaries: vec![empty; shape.tiles * shape.steps] }
    }

    fn put(&mut self, entry: usize, row: &Quantised) {
        let shape = self.shape;
        let (tile, r) = (entry / ROWS, entry % ROWS);
        if shape.payload == Payload::Plane8 {
            let codes = &mut self.bytes[shape.codes_at + tile * shape.codes_tile..][..shape.codes_tile];
            for (part, four) in codes.chunks_exact_mut(TILE_STEP).zip(row.codes.as_chunks::<4>().0) {
                part[r * 4..r * 4 + 4].copy_from_slice(&four.map(|c| c as u8 ^ 0x80));
            }
        } else {
            for (step, codes) in row.codes.chunks(STEP).enumerate() {
                let chunk = &mut self.bytes[shape.codes_at + (step * shape.tiles + tile) * CHUNK..][..CHUNK];
                for (part, eight) in chunk.chunks_exact_mut(TILE_STEP).zip(codes.as_chunks::<8>().0) {
                    for d in 0..4 {
                        part[r * 4 + d] = eight[d] as u8 | (eight[4 + d] as u8) << 4;
                    }
                }
            }
        }
        let at = shape.scale_at(entry);
        self.bytes[at..at + 4].copy_from_slice(&row.scale.to_le_bytes());
        let width = if shape.payload == Payload::Plane4 { 3 } else { 2 };
        for step in 0..shape.steps {
            let here = [row.errors[step], row.rests[step], row.code_norms[step]].map(ceil_bf16);
            for (which, value) in here.iter().enumerate().take(width) {
                let at = shape.figure_at(entry, step, which);
                self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
            let s = &mut self.summaries[step * shape.tiles + tile];
            s.scale_min = s.scale_min.min(row.scale);
            s.scale_max = s.scale_max.max(row.scale);
            s.error_max = s.error_max.max(widen(here[0]));
            s.rest_max = s.rest_max.max(widen(here[1]));
            if width == 3 {
                s.code_norm_max = s.code_norm_max.max(widen(here[2]));
            }
        }
    }

    fn finish(mut self) -> AlignedBytes {
        let summaries: &[u8] = bytemuck::cast_slice(&self.summaries);
        self.bytes[64..64 + summaries.len()].copy_from_slice(summaries);
        self.bytes
    }
}
