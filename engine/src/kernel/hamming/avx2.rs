//! AVX2: popcount by nibble table (Mula), summed per 64-bit lane with SAD, packed to bytes.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Best, Block, Distances, ENTRIES, Lane, Query};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx2, P>(blocks, queries, limit, lanes) }
}

/// [`super::weigh_each`] with the POPCNT instruction.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn weigh(blocks: &[Block], rest: u64, lane: &Lane, weights: &[u8; 256], best: &mut Best) {
    super::weigh_each(blocks, rest, lane, weights, best);
}

/// [`super::settle_each`], vectorised by the compiler.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn settle(best: &mut Best, scores: &mut [u16; ENTRIES]) {
    super::settle_each(best, scores);
}

struct Avx2;

impl Distances for Avx2 {
    /// Places 0 to 31 and 32 to 63.
    type Near = [__m256i; 2];

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[u64; P]) -> [Self::Near; P] {
        // SAFETY: AVX2 is there by the caller's promise. Each load reads four of 64 slots from `8 * (2 * k + odd) + 4 *
        // half` with `k < 4`, `odd < 2`, `half < 2`, and 8 * 7 + 4 + 4 = 64.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
            let nibble = _mm256_set1_epi8(0x0f);
            let zero = _mm256_setzero_si256();
            let mut near = [[zero; 2]; P];
            // One probe minutia after another: sixteen registers hold no more, and the block stays in the L1 cache.
            for (near, &code) in near.iter_mut().zip(codes) {
                let code = _mm256_set1_epi64x(code as i64);
                for (half, near) in near.iter_mut().enumerate() {
                    let mut pairs = [zero; 4];
                    for (k, pair) in pairs.iter_mut().enumerate() {
                        let mut counts = [zero; 2];
                        for (odd, counts) in counts.iter_mut().enumerate() {
                            let slot = 8 * (2 * k + odd) + 4 * half;
                            let words = _mm256_loadu_si256(block.prefixes.as_ptr().add(slot).cast());
                            let x = _mm256_xor_si256(words, code);
                            let low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
                            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble);
                            let bytes = _mm256_add_epi8(low, _mm256_shuffle_epi8(table, high));
                            *counts = _mm256_sad_epu8(bytes, zero);
                        }
                        *pair = _mm256_packus_epi32(counts[0], counts[1]);
                    }
                    let low = _mm256_packus_epi32(pairs[0], pairs[1]);
                    let high = _mm256_packus_epi32(pairs[2], pairs[3]);
                    *near = _mm256_packus_epi16(low, high);
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
            // At or above: max(x, limit) == x, unsigned.
            let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(near[0], limit), near[0])) as u32;
            let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(near[1], limit), near[1])) as u32;
            !(u64::from(low) | u64::from(high) << 32)
        }
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        // SAFETY: AVX2 is there by the caller's promise; two stores of 32 bytes into 64.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), near[0]);
            _mm256_storeu_si256(bytes.as_mut_ptr().add(32).cast(), near[1]);
        }
    }
}
