//! AVX2: popcount by nibble table (Mula), summed per 64-bit lane with SAD.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Lane, Query};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX2 and POPCNT; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx2,popcnt")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx2, P>(blocks, queries, limit, lanes) }
}

struct Avx2;

impl Distances for Avx2 {
    /// Lanes 0 to 31 and 32 to 63.
    type Near = [__m256i; 2];

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[[u64; 2]; P]) -> [Self::Near; P] {
        // SAFETY: AVX2 is there by the caller's promise. Each load reads four of a word's 64 slots from `8 * k + 4 *
        // half` with `k < 8`, `half < 2`, and 8 * 7 + 4 + 4 = 64.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
            let nibble = _mm256_set1_epi8(0x0f);
            let zero = _mm256_setzero_si256();
            let count = |x: __m256i| {
                let low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
                let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble));
                _mm256_add_epi8(low, high)
            };
            let mut near = [[zero; 2]; P];
            for half in 0..2 {
                let mut counts = [[zero; 8]; P];
                for k in 0..8 {
                    let slot = 8 * k + 4 * half;
                    let first = _mm256_loadu_si256(block.words[0].as_ptr().add(slot).cast());
                    let second = _mm256_loadu_si256(block.words[1].as_ptr().add(slot).cast());
                    for p in 0..P {
                        let a = count(_mm256_xor_si256(first, _mm256_set1_epi64x(codes[p][0] as i64)));
                        let b = count(_mm256_xor_si256(second, _mm256_set1_epi64x(codes[p][1] as i64)));
                        counts[p][k] = _mm256_sad_epu8(_mm256_add_epi8(a, b), zero);
                    }
                }
                for p in 0..P {
                    let c = &counts[p];
                    let four = [
                        _mm256_packus_epi32(c[0], c[1]),
                        _mm256_packus_epi32(c[2], c[3]),
                        _mm256_packus_epi32(c[4], c[5]),
                        _mm256_packus_epi32(c[6], c[7]),
                    ];
                    let two = [_mm256_packus_epi32(four[0], four[1]), _mm256_packus_epi32(four[2], four[3])];
                    near[p][half] = _mm256_packus_epi16(two[0], two[1]);
                }
            }
            near
        }
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        // SAFETY: AVX2 is there by the caller's promise; registers only.
        unsafe {
            let limit = _mm256_set1_epi8(limit as i8);
            // below(x): not max(x, limit) == x, unsigned.
            let mask = |x: __m256i| !_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(x, limit), x)) as u32;
            u64::from(mask(near[0])) | u64::from(mask(near[1])) << 32
        }
    }

    #[inline(always)]
    unsafe fn bytes(near: Self::Near) -> [u8; BLOCK_MINUTIAE] {
        let mut bytes = [0; BLOCK_MINUTIAE];
        // SAFETY: AVX2 is there by the caller's promise; two stores of 32 bytes into 64.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), near[0]);
            _mm256_storeu_si256(bytes.as_mut_ptr().add(32).cast(), near[1]);
        }
        bytes
    }
}
