//! NEON: CNT counts the bits of each byte.

use std::arch::aarch64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Hits, Window};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has NEON; windows as there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn scan(blocks: &[Block], prefix: u64, windows: &[Window], limit: u8, hits: &mut Hits) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Neon>(blocks, prefix, windows, limit, hits) }
}

struct Neon;

impl Distances for Neon {
    /// Each byte of the prefix, sixteen times.
    type Code = [uint8x16_t; 8];
    /// By place, sixteen to a register.
    type Near = [uint8x16_t; 4];
    const WIDTH: usize = BLOCK_MINUTIAE;

    #[inline(always)]
    unsafe fn code(prefix: u64) -> Self::Code {
        // SAFETY: NEON is there by the caller's promise; registers only.
        prefix.to_le_bytes().map(|byte| unsafe { vdupq_n_u8(byte) })
    }

    #[inline(always)]
    unsafe fn distances(block: &Block, _part: usize, code: &Self::Code) -> Self::Near {
        // SAFETY: NEON is there by the caller's promise. Each load reads 16 of 64 bytes from `16 * quarter`, `quarter < 4`.
        unsafe {
            let mut near = [vdupq_n_u8(0); 4];
            for (bytes, code) in block.prefixes.iter().zip(code) {
                for (quarter, near) in near.iter_mut().enumerate() {
                    let bytes = vld1q_u8(bytes.as_ptr().add(16 * quarter));
                    *near = vaddq_u8(*near, vcntq_u8(veorq_u8(bytes, *code)));
                }
            }
            near
        }
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        // SAFETY: NEON is there by the caller's promise.
        unsafe {
            let least = vminq_u8(vminq_u8(near[0], near[1]), vminq_u8(near[2], near[3]));
            if vminvq_u8(least) >= limit {
                return 0;
            }
            // Bit `i % 8` of each byte that is below, then three pairwise additions gather eight bytes into one.
            let bits: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
            let bits = vld1q_u8(bits.as_ptr());
            let limit = vdupq_n_u8(limit);
            let low = vpaddq_u8(vandq_u8(vcltq_u8(near[0], limit), bits), vandq_u8(vcltq_u8(near[1], limit), bits));
            let high = vpaddq_u8(vandq_u8(vcltq_u8(near[2], limit), bits), vandq_u8(vcltq_u8(near[3], limit), bits));
            let both = vpaddq_u8(low, high);
            vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(both, both)))
        }
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        // SAFETY: NEON is there by the caller's promise; four stores of 16 bytes into 64.
        unsafe {
            for (quarter, register) in near.into_iter().enumerate() {
                vst1q_u8(bytes.as_mut_ptr().add(16 * quarter), register);
            }
        }
    }
}
