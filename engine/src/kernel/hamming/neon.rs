//! NEON: CNT per byte, then three levels of pairwise addition give one byte a pair.

use std::arch::aarch64::*;

use super::{BLOCK_MINUTIAE, Block, Distances, Lane, Query};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has NEON; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "neon")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Block], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Neon, P>(blocks, queries, limit, lanes) }
}

struct Neon;

impl Distances for Neon {
    type Source = Block;
    type Code = u64;
    /// By place, sixteen to a register.
    type Near = [uint8x16_t; 4];

    #[inline(always)]
    fn code(prefix: u64) -> u64 {
        prefix
    }

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[u64; P]) -> [Self::Near; P] {
        // SAFETY: NEON is there by the caller's promise. Each load reads two slots from `8 * k + 2 * quarter`, with
        // `k < 8`, `quarter < 4`, and 8 * 7 + 2 * 3 + 2 = 64.
        unsafe {
            let mut near = [[vdupq_n_u8(0); 4]; P];
            for quarter in 0..4 {
                for p in 0..P {
                    let code = vdupq_n_u64(codes[p]);
                    let mut counts = [vdupq_n_u8(0); 8];
                    for (k, count) in counts.iter_mut().enumerate() {
                        let slot = 8 * k + 2 * quarter;
                        let words = vld1q_u64(block.prefixes.as_ptr().add(slot));
                        *count = vcntq_u8(vreinterpretq_u8_u64(veorq_u64(words, code)));
                    }
                    let four = [
                        vpaddq_u8(counts[0], counts[1]),
                        vpaddq_u8(counts[2], counts[3]),
                        vpaddq_u8(counts[4], counts[5]),
                        vpaddq_u8(counts[6], counts[7]),
                    ];
                    let two = [vpaddq_u8(four[0], four[1]), vpaddq_u8(four[2], four[3])];
                    near[p][quarter] = vpaddq_u8(two[0], two[1]);
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
