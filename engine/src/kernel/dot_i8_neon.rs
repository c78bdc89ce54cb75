//! [`super::tile_i8`] with NEON and SDOT.
//!
//! `vdotq_s32` is not stable, so SDOT is written in assembly. The references lose their bias by one XOR, which six
//! probes share.
#![allow(unsafe_code)]

use super::{GROUP_STEP, PROBES, ROWS, TILE_STEP, TileSums};
use std::arch::aarch64::*;
use std::arch::asm;

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile(rows: &[u8], probes: &[i8], start: &[i32; PROBES], out: &mut TileSums) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * GROUP_STEP, probes.len());
    let mut found = false;
    for row in (0..ROWS).step_by(16) {
        // SAFETY: `Level::Neon` is only had when the CPU has the dot product (`Isa::available`); `tile_i8` has asserted the
        // lengths; `row + 16 <= 64` by the loop.
        found |= unsafe { part(rows, probes, start, out, row) };
    }
    found
}

/// `sum + a . b`, four signed bytes a lane.
///
/// # Safety
/// The CPU has the dot product.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: registers only; the feature is enabled here.
    unsafe {
        asm!("sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b", sum = inout(vreg) sum, a = in(vreg) a, b = in(vreg) b,
             options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// 16 references from `row` against all six probes.
///
/// # Safety
/// - The CPU has NEON and the dot product.
/// - `rows` holds n x 256 bytes and `probes` n x 24; `row + 16 <= 64`.
#[target_feature(enable = "neon,dotprod")]
unsafe fn part(rows: &[u8], probes: &[i8], start: &[i32; PROBES], out: &mut TileSums, row: usize) -> bool {
    let bias = vdupq_n_u8(0x80);
    let mut sums: [[int32x4_t; 4]; PROBES] = std::array::from_fn(|p| [vdupq_n_s32(start[p]); 4]);
    for step in 0..rows.len() / TILE_STEP {
        // SAFETY: `step * 256 + row * 4 + 64 <= len` because `row + 16 <= 64`.
        let codes: [int8x16_t; 4] = unsafe {
            let at = rows.as_ptr().add(step * TILE_STEP + row * 4);
            [0, 16, 32, 48].map(|offset| vreinterpretq_s8_u8(veorq_u8(vld1q_u8(at.add(offset)), bias)))
        };
        for (p, sum) in sums.iter_mut().enumerate() {
            // SAFETY: four bytes at `step * 24 + p * 4`, with `p < 6`; the feature for `sdot` is enabled.
            unsafe {
                let four = probes.as_ptr().add(step * GROUP_STEP + p * 4).cast::<i32>().read_unaligned();
                let probe = vreinterpretq_s8_s32(vdupq_n_s32(four));
                for (lane, &code) in sum.iter_mut().zip(&codes) {
                    *lane = sdot(*lane, code, probe);
                }
            }
        }
    }
    let mut most = vdupq_n_s32(i32::MIN);
    for (p, sum) in sums.iter().enumerate() {
        for (quarter, &value) in sum.iter().enumerate() {
            most = vmaxq_s32(most, value);
            // SAFETY: four i32 from `row + 4 * quarter` of a lane of 64, with `row + 16 <= 64`.
            unsafe { vst1q_s32(out[p].as_mut_ptr().add(row + 4 * quarter), value) };
        }
    }
    vmaxvq_s32(most) >= 0
}
