//! AVX-512: VPOPCNTQ, funnel shifts to pack the counts, byte compression to gather the hits without a branch.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Lane, Query};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VBMI2 and VPOPCNTDQ; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx512vpopcntdq,avx2,popcnt")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx512, P>(blocks, queries, limit, lanes) }
}

struct Avx512;

impl Distances for Avx512 {
    type Near = __m512i;

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[[u64; 2]; P]) -> [Self::Near; P] {
        // SAFETY: the features are there by the caller's promise. Each load reads slots `8 * k` to `8 * k + 7` of 64,
        // `k < 8`; a block is 64-byte aligned by its type and 8 slots are 64 bytes.
        unsafe {
            let mut near = [_mm512_setzero_si512(); P];
            let mut counts = [[_mm512_setzero_si512(); 8]; P];
            for k in 0..8 {
                let first = _mm512_load_si512(block.words[0].as_ptr().add(8 * k).cast());
                let second = _mm512_load_si512(block.words[1].as_ptr().add(8 * k).cast());
                for p in 0..P {
                    let a = _mm512_popcnt_epi64(_mm512_xor_si512(first, _mm512_set1_epi64(codes[p][0] as i64)));
                    let b = _mm512_popcnt_epi64(_mm512_xor_si512(second, _mm512_set1_epi64(codes[p][1] as i64)));
                    counts[p][k] = _mm512_add_epi64(a, b);
                }
            }
            for p in 0..P {
                let c = &counts[p];
                let four = [
                    _mm512_packus_epi32(c[0], c[1]),
                    _mm512_packus_epi32(c[2], c[3]),
                    _mm512_packus_epi32(c[4], c[5]),
                    _mm512_packus_epi32(c[6], c[7]),
                ];
                let two = [_mm512_packus_epi32(four[0], four[1]), _mm512_packus_epi32(four[2], four[3])];
                near[p] = _mm512_packus_epi16(two[0], two[1]);
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
    unsafe fn bytes(near: Self::Near) -> [u8; BLOCK_MINUTIAE] {
        let mut bytes = [0; BLOCK_MINUTIAE];
        // SAFETY: the features are there by the caller's promise; one store of 64 bytes into 64.
        unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), near) };
        bytes
    }

    /// Compresses in a register and stores whole vectors: compressing stores are microcoded on Zen 4.
    #[inline(always)]
    unsafe fn append(near: Self::Near, mask: u64, block: &Block, lane: &mut Lane, length: &mut usize) {
        if mask == 0 {
            return;
        }
        debug_assert!(*length + BLOCK_MINUTIAE <= lane.distances.len());
        // SAFETY: the features are there and 64 places are left in the lane, by the caller's promise; the entries are
        // 64 bytes.
        unsafe {
            let entries = _mm512_load_si512(block.entries.as_ptr().cast());
            let distances = lane.distances.as_mut_ptr().add(*length);
            _mm512_storeu_si512(distances.cast(), _mm512_maskz_compress_epi8(mask, near));
            let numbers = lane.entries.as_mut_ptr().add(*length);
            _mm512_storeu_si512(numbers.cast(), _mm512_maskz_compress_epi8(mask, entries));
        }
        *length += mask.count_ones() as usize;
    }
}
