//! [`super::tile_i4`] with AVX2 and with AVX-512 VNNI.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]
#![allow(unsafe_code)]

use super::{CHUNK, CHUNK_DIMENSIONS, Chunks, ROWS, TILE_STEP};
use std::arch::x86_64::*;

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile_avx512(chunks: Chunks<'_>, ahead: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F, BW and VNNI (`Isa::available`).
    unsafe { vnni(chunks, ahead, probe, start, out) }
}

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile_avx2(chunks: Chunks<'_>, ahead: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    let mut found = false;
    for row in (0..ROWS).step_by(32) {
        // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 (`Isa::available`); `row + 32 <= 64` by the loop.
        found |= unsafe { half(chunks, ahead, probe, start, out, row) };
    }
    found
}

/// # Safety
/// - The CPU has AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn vnni(chunks: Chunks<'_>, ahead: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS]) -> bool {
    let low = _mm512_set1_epi8(15);
    let mut first = [_mm512_set1_epi32(start); 4];
    let mut second = [_mm512_setzero_si512(); 4];
    for (chunk, probe) in probe.as_chunks::<CHUNK_DIMENSIONS>().0.iter().enumerate() {
        let codes = chunks.get(chunk);
        for (step, q) in probe.as_chunks::<8>().0.iter().enumerate() {
            let q0 = _mm512_set1_epi32(i32::from_le_bytes([q[0], q[1], q[2], q[3]].map(|b| b as u8)));
            let q1 = _mm512_set1_epi32(i32::from_le_bytes([q[4], q[5], q[6], q[7]].map(|b| b as u8)));
            for quarter in 0..4 {
                let at = step * TILE_STEP + quarter * 64;
                if chunk * CHUNK + at < ahead.len() {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.as_ptr().wrapping_add(chunk * CHUNK + at).cast());
                }
                // SAFETY: 64 bytes at `step * 256 + quarter * 64` of 2,048, with `step < 8` and `quarter < 4`.
                let codes = unsafe { _mm512_loadu_si512(codes.as_ptr().add(at).cast()) };
                first[quarter] = _mm512_dpbusd_epi32(first[quarter], _mm512_and_si512(codes, low), q0);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low);
                second[quarter] = _mm512_dpbusd_epi32(second[quarter], high, q1);
            }
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

/// Steps whose products are added in 16 bits: 15 x 128 x 2 for `vpmaddubsw`, two of them a step, four steps: 30,720.
const NARROW_STEPS: usize = 4;

/// 32 references from `row`.
///
/// # Safety
/// - The CPU has AVX2.
/// - `row + 32 <= 64`.
#[target_feature(enable = "avx2")]
unsafe fn half(chunks: Chunks<'_>, ahead: &[u8], probe: &[i8], start: i32, out: &mut [i32; ROWS], row: usize) -> bool {
    let low = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_set1_epi32(start); 4];
    for (chunk, probe) in probe.as_chunks::<CHUNK_DIMENSIONS>().0.iter().enumerate() {
        let codes = chunks.get(chunk);
        for (part, probe) in probe.as_chunks::<{ 8 * NARROW_STEPS }>().0.iter().enumerate() {
            let mut narrow = [_mm256_setzero_si256(); 4];
            for (step, q) in probe.as_chunks::<8>().0.iter().enumerate() {
                let q0 = _mm256_set1_epi32(i32::from_le_bytes([q[0], q[1], q[2], q[3]].map(|b| b as u8)));
                let q1 = _mm256_set1_epi32(i32::from_le_bytes([q[4], q[5], q[6], q[7]].map(|b| b as u8)));
                let at = (part * NARROW_STEPS + step) * TILE_STEP + row * 4;
                for line in [0, 64] {
                    if chunk * CHUNK + at + line < ahead.len() {
                        _mm_prefetch::<_MM_HINT_T1>(ahead.as_ptr().wrapping_add(chunk * CHUNK + at + line).cast());
                    }
                }
                for (eighth, sum) in narrow.iter_mut().enumerate() {
                    // SAFETY: 32 bytes at `step * 256 + row * 4 + eighth * 32` of 2,048, with steps below 8, `eighth < 4` and
                    // `row <= 32`.
                    let codes = unsafe { _mm256_loadu_si256(codes.as_ptr().add(at + eighth * 32).cast()) };
                    let first = _mm256_maddubs_epi16(_mm256_and_si256(codes, low), q0);
                    let second = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(codes), low), q1);
                    *sum = _mm256_add_epi16(*sum, _mm256_add_epi16(first, second));
                }
            }
            for (sum, narrow) in sums.iter_mut().zip(narrow) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(narrow, ones));
            }
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
