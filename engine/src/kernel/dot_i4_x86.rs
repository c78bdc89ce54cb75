//! [`super::tile_i4`] with AVX2 and with AVX-512 VNNI.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]
#![allow(unsafe_code)]

use super::{ROWS, TILE_STEP};
use std::arch::x86_64::*;

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile_avx512(rows: &[u8], next: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * 8, probe.len());
    // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F, BW and VNNI (`Isa::available`); `tile_i4` has asserted
    // that `probe` holds 8 bytes for each 256 of `rows`.
    unsafe { vnni(rows, next, probe, start, out) }
}

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile_avx2(rows: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * 8, probe.len());
    let mut found = false;
    for row in (0..ROWS).step_by(32) {
        // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 (`Isa::available`); `tile_i4` has asserted the lengths; `row
        // + 32 <= 64` by the loop.
        found |= unsafe { half(rows, probe, start, out, row) };
    }
    found
}

/// # Safety
/// - The CPU has AVX-512 F, BW and VNNI.
/// - `rows` holds n x 256 bytes and `probe` n x 8.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn vnni(rows: &[u8], next: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    let low = _mm512_set1_epi8(15);
    let mut first = [_mm512_set1_epi32(start); 4];
    let mut second = [_mm512_setzero_si512(); 4];
    for step in 0..rows.len() / TILE_STEP {
        // SAFETY: 8 bytes at `step * 8`.
        let (q0, q1) = unsafe {
            let at = probe.as_ptr().add(step * 8);
            (at.cast::<i32>().read_unaligned(), at.add(4).cast::<i32>().read_unaligned())
        };
        let (q0, q1) = (_mm512_set1_epi32(q0), _mm512_set1_epi32(q1));
        for quarter in 0..4 {
            let at = step * TILE_STEP + quarter * 64;
            if at < next.len() {
                _mm_prefetch::<_MM_HINT_T0>(next.as_ptr().wrapping_add(at).cast());
            }
            // SAFETY: 64 bytes at `step * 256 + quarter * 64`.
            let codes = unsafe { _mm512_loadu_si512(rows.as_ptr().add(at).cast()) };
            first[quarter] = _mm512_dpbusd_epi32(first[quarter], _mm512_and_si512(codes, low), q0);
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low);
            second[quarter] = _mm512_dpbusd_epi32(second[quarter], high, q1);
        }
    }
    let sums: [__m512i; 4] = std::array::from_fn(|quarter| _mm512_add_epi32(first[quarter], second[quarter]));
    let all = _mm512_and_si512(_mm512_and_si512(sums[0], sums[1]), _mm512_and_si512(sums[2], sums[3]));
    if _mm512_cmplt_epi32_mask(all, _mm512_setzero_si512()) == 0xffff {
        return false;
    }
    for (quarter, &sum) in sums.iter().enumerate() {
        // SAFETY: 16 i32 from `quarter * 16` of 64.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(quarter * 16).cast(), sum) };
    }
    true
}

/// 32 references from `row`. `vpmaddubsw` can't saturate here: 15 x 128 x 2 twice is 7,680.
///
/// # Safety
/// - The CPU has AVX2.
/// - `rows` holds n x 256 bytes and `probe` n x 8; `row + 32 <= 64`.
#[target_feature(enable = "avx2")]
unsafe fn half(rows: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS], row: usize) -> bool {
    let low = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_set1_epi32(start); 4];
    for step in 0..rows.len() / TILE_STEP {
        // SAFETY: 8 bytes at `step * 8`.
        let (q0, q1) = unsafe {
            let at = probe.as_ptr().add(step * 8);
            (at.cast::<i32>().read_unaligned(), at.add(4).cast::<i32>().read_unaligned())
        };
        let (q0, q1) = (_mm256_set1_epi32(q0), _mm256_set1_epi32(q1));
        for (eighth, sum) in sums.iter_mut().enumerate() {
            // SAFETY: 32 bytes at `step * 256 + row * 4 + eighth * 32`, with `row + 32 <= 64`.
            let codes =
                unsafe { _mm256_loadu_si256(rows.as_ptr().add(step * TILE_STEP + row * 4 + eighth * 32).cast()) };
            let first = _mm256_maddubs_epi16(_mm256_and_si256(codes, low), q0);
            let second = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(codes), low), q1);
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_add_epi16(first, second), ones));
        }
    }
    let mut all = _mm256_set1_epi32(-1);
    for (eighth, &sum) in sums.iter().enumerate() {
        all = _mm256_and_si256(all, sum);
        // SAFETY: eight i32 from `row + eighth * 8` of 64, with `row + 32 <= 64`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(row + eighth * 8).cast(), sum) };
    }
    _mm256_movemask_ps(_mm256_castsi256_ps(all)) != 0xff
}
