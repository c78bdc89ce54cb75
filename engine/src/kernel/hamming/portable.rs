//! Plain Rust.

use super::{BLOCK_MINUTIAE, Block, Distances};

pub(super) struct Portable;

impl Distances for Portable {
    type Code = [u8; 8];
    type Near = [u8; BLOCK_MINUTIAE];
    const WIDTH: usize = BLOCK_MINUTIAE;

    #[inline(always)]
    unsafe fn code(prefix: u64) -> Self::Code {
        prefix.to_le_bytes()
    }

    #[inline(always)]
    unsafe fn distances(block: &Block, _part: usize, code: &Self::Code) -> Self::Near {
        let mut near = [0; BLOCK_MINUTIAE];
        for (bytes, code) in block.prefixes.iter().zip(code) {
            for (distance, byte) in near.iter_mut().zip(bytes) {
                *distance += (byte ^ code).count_ones() as u8;
            }
        }
        near
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        let closest = near.iter().fold(u8::MAX, |least, &distance| least.min(distance));
        if closest >= limit {
            return 0;
        }
        let bit = |place: usize| u64::from(near[place] < limit) << place;
        (0..BLOCK_MINUTIAE).fold(0, |mask, place| mask | bit(place))
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        *bytes = near;
    }
}
