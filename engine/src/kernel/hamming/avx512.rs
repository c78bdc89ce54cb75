//! AVX-512: VPOPCNTB, added byte by byte, compared to a mask.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Hits, Window};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX-512 F, BW and BITALG, and all of AVX2's level; windows as there.
#[target_feature(enable = "avx512f,avx512bw,avx512bitalg,avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn scan(blocks: &[Block], prefix: u64, windows: &[Window], limit: u8, hits: &mut Hits) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx512>(blocks, prefix, windows, limit, hits) }
}

struct Avx512;

impl Distances for Avx512 {
    /// Each byte of the prefix, 64 times.
    type Code = [__m512i; 8];
    type Near = __m512i;
    const WIDTH: usize = BLOCK_MINUTIAE;

    #[inline(always)]
    unsafe fn code(prefix: u64) -> Self::Code {
        // SAFETY: the features are there by the caller's promise; registers only.
        prefix.to_le_bytes().map(|byte| unsafe { _mm512_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn distances(block: &Block, _part: usize, code: &Self::Code) -> Self::Near {
        // SAFETY: the features are there by the caller's promise. Each load reads the 64 bytes of one array of 64; they are
        // 64-byte aligned, since a block is, and they come first in it.
        unsafe {
            let mut near = [_mm512_setzero_si512(); 2];
            for (k, (bytes, code)) in block.prefixes.iter().zip(code).enumerate() {
                let differ = _mm512_xor_si512(_mm512_load_si512(bytes.as_ptr().cast()), *code);
                near[k % 2] = _mm512_add_epi8(near[k % 2], _mm512_popcnt_epi8(differ));
            }
            _mm512_add_epi8(near[0], near[1])
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
