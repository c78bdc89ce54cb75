//! [`super::products`] and [`super::rotate`] with AVX2 and with AVX-512.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]
#![allow(unsafe_code)]

use super::{LANES, PANEL, ROTATED};
use std::arch::x86_64::*;

/// The caller has checked that the CPU has the features.
pub(super) fn products_avx2(a: &[f32], b: &[f32]) -> (f64, f64) {
    debug_assert_eq!(a.len(), b.len());
    // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 and FMA (`Isa::available`).
    unsafe { products_ymm(a, b) }
}

/// Intrinsics, and no common code with the other paths: a closure or function that the compiler does not inline here is
/// compiled without FMA, and each `mul_add` becomes a call.
///
/// # Safety
/// - The CPU has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn products_ymm(a: &[f32], b: &[f32]) -> (f64, f64) {
    let mut dot = [_mm256_setzero_pd(); 4];
    let mut norm = [_mm256_setzero_pd(); 4];
    let (whole_a, tail_a) = a.as_chunks::<LANES>();
    let (whole_b, tail_b) = b.as_chunks::<LANES>();
    let (mut last_a, mut last_b) = ([0f32; LANES], [0f32; LANES]);
    last_a[..tail_a.len()].copy_from_slice(tail_a);
    last_b[..tail_b.len()].copy_from_slice(tail_b);
    let tail = (!tail_a.is_empty()).then_some((&last_a, &last_b));
    for (a, b) in whole_a.iter().zip(whole_b).chain(tail) {
        for quarter in 0..4 {
            // SAFETY: four of sixteen values, from `quarter * 4`.
            let (x, y) =
                unsafe { (_mm_loadu_ps(a.as_ptr().add(quarter * 4)), _mm_loadu_ps(b.as_ptr().add(quarter * 4))) };
            let (x, y) = (_mm256_cvtps_pd(x), _mm256_cvtps_pd(y));
            dot[quarter] = _mm256_fmadd_pd(x, y, dot[quarter]);
            norm[quarter] = _mm256_fmadd_pd(y, y, norm[quarter]);
        }
    }
    (fold_ymm(dot), fold_ymm(norm))
}

/// The order of `super::fold`.
#[target_feature(enable = "avx2")]
fn fold_ymm(lanes: [__m256d; 4]) -> f64 {
    let (low, high) = (_mm256_add_pd(lanes[0], lanes[2]), _mm256_add_pd(lanes[1], lanes[3]));
    let four = _mm256_add_pd(low, high);
    let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
    _mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two))
}

/// The caller has checked that the CPU has the features.
pub(super) fn products_avx512(a: &[f32], b: &[f32]) -> (f64, f64) {
    debug_assert_eq!(a.len(), b.len());
    // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F (`Isa::available`); `products` has cut both slices to one
    // length.
    unsafe { products_zmm(a, b) }
}

/// # Safety
/// - The CPU has AVX-512 F.
/// - `a` and `b` have one length.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
unsafe fn products_zmm(a: &[f32], b: &[f32]) -> (f64, f64) {
    let mut dot = [_mm512_setzero_pd(); 2];
    let mut norm = [_mm512_setzero_pd(); 2];
    let length = a.len();
    let mut at = 0;
    while at < length {
        let left = (length - at).min(16);
        for half in 0..2 {
            let here = left.saturating_sub(half * 8).min(8);
            let mask = (0xffu32 >> (8 - here)) as u8;
            let offset = at + half * 8;
            // SAFETY: the mask lets through `here` elements from `offset`, and `offset + here <= length` whenever `here > 0`; lanes
            // that the mask holds back are not read.
            let (x, y) = unsafe {
                (
                    _mm256_maskz_loadu_ps(mask, a.as_ptr().wrapping_add(offset)),
                    _mm256_maskz_loadu_ps(mask, b.as_ptr().wrapping_add(offset)),
                )
            };
            let (x, y) = (_mm512_cvtps_pd(x), _mm512_cvtps_pd(y));
            dot[half] = _mm512_fmadd_pd(x, y, dot[half]);
            norm[half] = _mm512_fmadd_pd(y, y, norm[half]);
        }
        at += 16;
    }
    (fold(dot), fold(norm))
}

/// The order of `super::fold`.
#[target_feature(enable = "avx512f")]
fn fold(lanes: [__m512d; 2]) -> f64 {
    let eight = _mm512_add_pd(lanes[0], lanes[1]);
    let four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd::<1>(eight));
    let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
    _mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two))
}

/// Checks the lengths; the caller has checked that the CPU has the features.
pub(super) fn panel_avx512(panel: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]]) {
    let inputs = rows.len() / ROTATED;
    assert!(panel.len() == inputs * PANEL && out.len() == PANEL);
    for half in [0, 8] {
        // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F (`Isa::available`); the lengths are asserted; `half + 8
        // <= PANEL`.
        unsafe { half_zmm(panel, rows, out, inputs, half) }
    }
}

/// Eight outputs from `first`, eight rows: a register an output.
///
/// # Safety
/// - The CPU has AVX-512 F.
/// - `panel` holds `inputs` x 16, `rows` `inputs` x 8, `out` 16; `first + 8 <= 16`.
#[target_feature(enable = "avx512f")]
unsafe fn half_zmm(panel: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]], inputs: usize, first: usize) {
    let mut sums = [_mm512_setzero_pd(); 8];
    for j in 0..inputs {
        // SAFETY: `j < inputs`; eight values of `rows` at `j * 8`, and of `panel` at `j * 16 + first`.
        unsafe {
            let row = _mm512_loadu_pd(rows.as_ptr().add(j * ROTATED));
            let weights = panel.as_ptr().add(j * PANEL + first);
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_fmadd_pd(_mm512_set1_pd(*weights.add(i)), row, *sum);
            }
        }
    }
    for (i, &sum) in sums.iter().enumerate() {
        // SAFETY: an output holds eight values.
        unsafe { _mm512_storeu_pd(out[first + i].as_mut_ptr(), sum) };
    }
}

/// Checks the lengths; the caller has checked that the CPU has the features.
pub(super) fn panel_avx2(panel: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]]) {
    let inputs = rows.len() / ROTATED;
    assert!(panel.len() == inputs * PANEL && out.len() == PANEL);
    for quarter in [0, 4, 8, 12] {
        // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 and FMA (`Isa::available`); the lengths are asserted; `quarter +
        // 4 <= PANEL`.
        unsafe { quarter_ymm(panel, rows, out, inputs, quarter) }
    }
}

/// Four outputs from `first`, eight rows: two registers an output.
///
/// # Safety
/// - The CPU has AVX2 and FMA.
/// - `panel` holds `inputs` x 16, `rows` `inputs` x 8, `out` 16; `first + 4 <= 16`.
#[target_feature(enable = "avx2,fma")]
unsafe fn quarter_ymm(panel: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]], inputs: usize, first: usize) {
    let mut sums = [[_mm256_setzero_pd(); 2]; 4];
    for j in 0..inputs {
        // SAFETY: `j < inputs`; eight values of `rows` at `j * 8`, four of `panel` at `j * 16 + first`.
        unsafe {
            let row = rows.as_ptr().add(j * ROTATED);
            let row = [_mm256_loadu_pd(row), _mm256_loadu_pd(row.add(4))];
            let weights = panel.as_ptr().add(j * PANEL + first);
            for (i, sum) in sums.iter_mut().enumerate() {
                let weight = _mm256_set1_pd(*weights.add(i));
                sum[0] = _mm256_fmadd_pd(weight, row[0], sum[0]);
                sum[1] = _mm256_fmadd_pd(weight, row[1], sum[1]);
            }
        }
    }
    for (i, sum) in sums.iter().enumerate() {
        // SAFETY: an output holds eight values, four a register.
        unsafe {
            _mm256_storeu_pd(out[first + i].as_mut_ptr(), sum[0]);
            _mm256_storeu_pd(out[first + i].as_mut_ptr().add(4), sum[1]);
        }
    }
}
