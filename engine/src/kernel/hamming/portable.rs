//! Plain Rust.

use super::{BLOCK_MINUTIAE, Block, Distances};

pub(super) struct Portable;

impl Distances for Portable {
    type Source = Block;
    type Code = u64;
    /// By slot, which is how the words lie; `below` turns it into places.
    type Near = [u8; BLOCK_MINUTIAE];

    #[inline(always)]
    fn code(prefix: u64) -> u64 {
        prefix
    }

    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Block, codes: &[u64; P]) -> [Self::Near; P] {
        let mut near = [[0; BLOCK_MINUTIAE]; P];
        for (near, code) in near.iter_mut().zip(codes) {
            for (distance, word) in near.iter_mut().zip(&block.prefixes) {
                *distance = (word ^ code).count_ones() as u8;
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
        let bit = |place: usize| u64::from(near[Block::slot(place)] < limit) << place;
        (0..BLOCK_MINUTIAE).fold(0, |mask, place| mask | bit(place))
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        *bytes = std::array::from_fn(|place| near[Block::slot(place)]);
    }
}
