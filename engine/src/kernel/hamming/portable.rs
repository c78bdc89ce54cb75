//! Plain Rust.

use super::{BLOCK_MINUTIAE, Block, Distances};

pub(super) struct Portable;

impl Distances for Portable {
    type Near = [u8; BLOCK_MINUTIAE];

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[[u64; 2]; P]) -> [Self::Near; P] {
        let mut near = [[0; BLOCK_MINUTIAE]; P];
        for (near, code) in near.iter_mut().zip(codes) {
            // By slot, which is how the words lie; `below` and `bytes` turn it into lane order.
            for ((distance, first), second) in near.iter_mut().zip(&block.words[0]).zip(&block.words[1]) {
                *distance = ((first ^ code[0]).count_ones() + (second ^ code[1]).count_ones()) as u8;
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
        (0..BLOCK_MINUTIAE).fold(0, |mask, lane| mask | u64::from(near[Block::slot(lane)] < limit) << lane)
    }

    #[inline(always)]
    unsafe fn bytes(near: Self::Near) -> [u8; BLOCK_MINUTIAE] {
        std::array::from_fn(|lane| near[Block::slot(lane)])
    }
}
