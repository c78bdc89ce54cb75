//! [`super::tile_i8`] with AVX2.
//!
//! `vpmaddubsw` saturates at 16 bits, so bytes are widened to 16 bits (even and odd ones apart) and multiplied with
//! `vpmaddwd`, which is exact: 255 x 128 x 2 fits in 32 bits.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]
#![allow(unsafe_code)]

use super::{GROUP_STEP, PROBES, ROWS, TILE_STEP, TileSums};
use std::arch::x86_64::*;

/// Probes that share a pass over 16 references: 6 accumulators, 4 registers of references, 4 of probes.
const SHARED: usize = 3;

/// `start` counts the references' bias. The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile(rows: &[u8], probes: &[i8], start: &[i32; PROBES], out: &mut TileSums) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * GROUP_STEP, probes.len());
    let mut found = false;
    for first in (0..PROBES).step_by(SHARED) {
        for row in (0..ROWS).step_by(16) {
            // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 (`Isa::available`); `tile_i8` has asserted the
            // lengths; `first + 3 <= 6` and `row + 16 <= 64` by the loops.
            found |= unsafe { part(rows, probes, start, out, first, row) };
        }
    }
    found
}

/// 16 references from `row` against three probes from `first`.
///
/// # Safety
/// - The CPU has AVX2.
/// - `rows` holds n x 256 bytes and `probes` n x 24; `first + 3 <= 6`, `row + 16 <= 64`.
#[target_feature(enable = "avx2")]
unsafe fn part(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    out: &mut TileSums,
    first: usize,
    row: usize,
) -> bool {
    let low_bytes = _mm256_set1_epi16(0xff);
    let mut sums: [[__m256i; 2]; SHARED] = std::array::from_fn(|p| [_mm256_set1_epi32(start[first + p]); 2]);
    for step in 0..rows.len() / TILE_STEP {
        // SAFETY: `step * 256 + row * 4 + 64 <= len` because `row + 16 <= 64`.
        let (a, b) = unsafe {
            let at = rows.as_ptr().add(step * TILE_STEP + row * 4);
            (_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(32).cast()))
        };
        let even = [_mm256_and_si256(a, low_bytes), _mm256_and_si256(b, low_bytes)];
        let odd = [_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8)];
        for (p, sum) in sums.iter_mut().enumerate() {
            // SAFETY: four bytes at `step * 24 + (first + p) * 4`, with `first + p < 6`.
            let four =
                unsafe { probes.as_ptr().add(step * GROUP_STEP + (first + p) * 4).cast::<i32>().read_unaligned() };
            let probe = _mm256_set1_epi32(four);
            let probe_even = _mm256_srai_epi16(_mm256_slli_epi16(probe, 8), 8);
            let probe_odd = _mm256_srai_epi16(probe, 8);
            for half in 0..2 {
                sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(even[half], probe_even));
                sum[half] = _mm256_add_epi32(sum[half], _mm256_madd_epi16(odd[half], probe_odd));
            }
        }
    }
    let mut all = _mm256_set1_epi32(-1);
    for (p, sum) in sums.iter().enumerate() {
        for (half, &value) in sum.iter().enumerate() {
            all = _mm256_and_si256(all, value);
            // SAFETY: eight i32 from `row + 8 * half` of a lane of 64, with `row + 16 <= 64`.
            unsafe { _mm256_storeu_si256(out[first + p].as_mut_ptr().add(row + 8 * half).cast(), value) };
        }
    }
    _mm256_movemask_ps(_mm256_castsi256_ps(all)) != 0xff
}
