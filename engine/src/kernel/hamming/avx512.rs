//! AVX-512: VPOPCNTQ, packs to bytes, byte compression to gather the hits without a branch.

use std::arch::x86_64::*;

use super::{Block, Distances, LANE_MAX, Lane, Query, SLOTS};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VBMI2 and VPOPCNTDQ, and AVX2; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx512vpopcntdq,avx2,popcnt")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx512, P>(blocks, queries, limit, lanes) }
}

struct Avx512;

impl Distances for Avx512 {
    type Near = __m512i;

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[u64; P]) -> [Self::Near; P] {
        // SAFETY: the features are there by the caller's promise. Each load reads slots `8 * k` to `8 * k + 7` of 64,
        // `k < 8`; a block is 64-byte aligned by its type and 8 slots are 64 bytes.
        unsafe {
            let mut words = [_mm512_setzero_si512(); 8];
            for (k, words) in words.iter_mut().enumerate() {
                *words = _mm512_load_si512(block.words[0].as_ptr().add(8 * k).cast());
            }
            let mut near = [_mm512_setzero_si512(); P];
            for (near, &code) in near.iter_mut().zip(codes) {
                let code = _mm512_set1_epi64(code as i64);
                let mut c = [_mm512_setzero_si512(); 8];
                for (count, words) in c.iter_mut().zip(words) {
                    *count = _mm512_popcnt_epi64(_mm512_xor_si512(words, code));
                }
                let four = [
                    _mm512_packus_epi32(c[0], c[1]),
                    _mm512_packus_epi32(c[2], c[3]),
                    _mm512_packus_epi32(c[4], c[5]),
                    _mm512_packus_epi32(c[6], c[7]),
                ];
                let two = [_mm512_packus_epi32(four[0], four[1]), _mm512_packus_epi32(four[2], four[3])];
                *near = _mm512_packus_epi16(two[0], two[1]);
            }
            near
        }
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        // SAFETY: the features are there by the caller's promise; registers only.
        unsafe { _mm512_cmplt_epu8_mask(near, _mm512_set1_epi8(limit as i8)) }
    }

    /// Compresses in a register and stores whole vectors: compressing stores are microcoded on Zen 4. A block rarely
    /// holds more than two hits, so the first 16 are written without a branch.
    #[inline(always)]
    unsafe fn append(mask: u64, base: u16, slots: &mut [u16; LANE_MAX], length: usize) -> usize {
        debug_assert!(length + 64 <= LANE_MAX);
        let count = mask.count_ones() as usize;
        // SAFETY: the features are there and 64 places are left from `length`, by the caller's promise; four stores of
        // 16 places each. `SLOTS` is 64 bytes.
        unsafe {
            let base = _mm256_set1_epi16(base as i16);
            let found = _mm512_maskz_compress_epi8(mask, _mm512_loadu_si512(SLOTS.as_ptr().cast()));
            let to = slots.as_mut_ptr().add(length);
            let wide = |part: __m128i| _mm256_add_epi16(_mm256_cvtepu8_epi16(part), base);
            _mm256_storeu_si256(to.cast(), wide(_mm512_castsi512_si128(found)));
            if count > 16 {
                _mm256_storeu_si256(to.add(16).cast(), wide(_mm512_extracti32x4_epi32::<1>(found)));
                _mm256_storeu_si256(to.add(32).cast(), wide(_mm512_extracti32x4_epi32::<2>(found)));
                _mm256_storeu_si256(to.add(48).cast(), wide(_mm512_extracti32x4_epi32::<3>(found)));
            }
        }
        length + count
    }
}
