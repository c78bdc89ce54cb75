//! AVX-512: VPOPCNTQ, packed to bytes, compared to a mask.
//!
//! Not faster on Zen 4: VPCOMPRESSB of places or distances (the shuffle pipes are busy with the packs, and its store form
//! is microcoded), a funnel shift in place of the packs.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Lane, Query};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VBMI2 and VPOPCNTDQ, and all of AVX2's level; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx512vpopcntdq,avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx512, P>(blocks, queries, limit, lanes) }
}

struct Avx512;

impl Distances for Avx512 {
    type Source = Block;
    type Code = u64;
    type Near = __m512i;

    #[inline(always)]
    fn code(prefix: u64) -> u64 {
        prefix
    }

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[u64; P]) -> [Self::Near; P] {
        // SAFETY: the features are there by the caller's promise. Each load reads slots `8 * k` to `8 * k + 7` of 64,
        // `k < 8`; a block is 64-byte aligned by its type and 8 slots are 64 bytes.
        unsafe {
            let mut words = [_mm512_setzero_si512(); 8];
            for (k, words) in words.iter_mut().enumerate() {
                *words = _mm512_load_si512(block.prefixes.as_ptr().add(8 * k).cast());
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

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        // SAFETY: the features are there by the caller's promise; one store of 64 bytes into 64.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), near) };
    }
}
