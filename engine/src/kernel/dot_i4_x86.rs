//! [`super::add_i4`] with AVX2 and with AVX-512 VNNI.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]
#![allow(unsafe_code)]

use super::{CHUNK, CHUNK_DIMENSIONS, ROWS, TILE_STEP};
use std::arch::x86_64::*;

type Chunk = [u8; CHUNK];
type Probe = [i8; CHUNK_DIMENSIONS];

/// The caller has checked that the CPU has the features.
pub(super) fn add_avx512(chunk: &Chunk, ahead: Option<&Chunk>, probe: &Probe, sums: &mut [i32; ROWS]) {
    // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F, BW and VNNI (`Isa::available`).
    unsafe { vnni(chunk, ahead, probe, sums) }
}

/// The caller has checked that the CPU has the features.
pub(super) fn add_avx2(chunk: &Chunk, ahead: Option<&Chunk>, probe: &Probe, sums: &mut [i32; ROWS]) {
    // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 (`Isa::available`).
    unsafe { avx2(chunk, ahead, probe, sums) }
}

/// Four codes of a probe, in every 32-bit lane of what comes of it.
#[inline(always)]
fn four(q: &[i8; 8], first: usize) -> i32 {
    i32::from_le_bytes([q[first], q[first + 1], q[first + 2], q[first + 3]].map(|b| b as u8))
}

/// Asks the second-level cache for a line of the chunk that comes later: a block's codes fill the first.
#[inline(always)]
fn ask(ahead: Option<&Chunk>, at: usize) {
    if let Some(ahead) = ahead {
        // SAFETY: SSE is part of x86-64; a prefetch of any address has no effect but on the cache.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(ahead.as_ptr().wrapping_add(at).cast()) };
    }
}

/// # Safety
/// - The CPU has AVX-512 F, BW and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn vnni(chunk: &Chunk, ahead: Option<&Chunk>, probe: &Probe, sums: &mut [i32; ROWS]) {
    let low = _mm512_set1_epi8(15);
    let mut first = [_mm512_setzero_si512(); 4];
    let mut second = [_mm512_setzero_si512(); 4];
    for (step, q) in probe.as_chunks::<8>().0.iter().enumerate() {
        let (q0, q1) = (_mm512_set1_epi32(four(q, 0)), _mm512_set1_epi32(four(q, 4)));
        for quarter in 0..4 {
            let at = step * TILE_STEP + quarter * 64;
            ask(ahead, at);
            // SAFETY: 64 bytes at `step * 256 + quarter * 64` of 2,048, with `step < 8` and `quarter < 4`.
            let codes = unsafe { _mm512_loadu_si512(chunk.as_ptr().add(at).cast()) };
            first[quarter] = _mm512_dpbusd_epi32(first[quarter], _mm512_and_si512(codes, low), q0);
            let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), low);
            second[quarter] = _mm512_dpbusd_epi32(second[quarter], high, q1);
        }
    }
    for quarter in 0..4 {
        // SAFETY: 16 i32 from `quarter * 16` of 64.
        unsafe {
            let sums = sums.as_mut_ptr().add(quarter * 16).cast();
            let sum = _mm512_add_epi32(first[quarter], second[quarter]);
            _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_loadu_si512(sums), sum));
        }
    }
}

/// Steps whose products are added in 16 bits: 15 x 128 x 2 for `vpmaddubsw`, two of them a step, four steps: 30,720.
const NARROW_STEPS: usize = 4;

/// # Safety
/// - The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn avx2(chunk: &Chunk, ahead: Option<&Chunk>, probe: &Probe, sums: &mut [i32; ROWS]) {
    let low = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    for (part, probe) in probe.as_chunks::<{ 8 * NARROW_STEPS }>().0.iter().enumerate() {
        let mut narrow = [_mm256_setzero_si256(); 8];
        for (step, q) in probe.as_chunks::<8>().0.iter().enumerate() {
            let (q0, q1) = (_mm256_set1_epi32(four(q, 0)), _mm256_set1_epi32(four(q, 4)));
            let at = (part * NARROW_STEPS + step) * TILE_STEP;
            for (eighth, sum) in narrow.iter_mut().enumerate() {
                if eighth % 2 == 0 {
                    ask(ahead, at + eighth * 32);
                }
                // SAFETY: 32 bytes at `step * 256 + eighth * 32` of 2,048, with steps and eighths below 8.
                let codes = unsafe { _mm256_loadu_si256(chunk.as_ptr().add(at + eighth * 32).cast()) };
                let first = _mm256_maddubs_epi16(_mm256_and_si256(codes, low), q0);
                let second = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(codes), low), q1);
                *sum = _mm256_add_epi16(*sum, _mm256_add_epi16(first, second));
            }
        }
        for (eighth, narrow) in narrow.into_iter().enumerate() {
            // SAFETY: eight i32 from `eighth * 8` of 64.
            unsafe {
                let sums = sums.as_mut_ptr().add(eighth * 8).cast();
                let sum = _mm256_madd_epi16(narrow, ones);
                _mm256_storeu_si256(sums, _mm256_add_epi32(_mm256_loadu_si256(sums), sum));
            }
        }
    }
}
