//! Which of 64 sums reached their limit: what follows the tile kernels, whose sums begin at the negated limit.
#![allow(unsafe_code)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

/// Bit r is set where sum r is not negative. Integers only: every path gives the same.
#[inline]
pub fn reached(isa: Isa, sums: &[i32; 64]) -> u64 {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F and DQ (`Isa::available`).
        Level::Avx512 => unsafe { avx512(sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is only had when the CPU has AVX2, and so AVX (`Isa::available`).
        Level::Avx2 => unsafe { avx2(sums) },
        _ => portable(sums),
    }
}

fn portable(sums: &[i32; 64]) -> u64 {
    let mut bits = 0;
    for (r, &sum) in sums.iter().enumerate() {
        bits |= u64::from(sum >= 0) << r;
    }
    bits
}

/// # Safety
/// - The CPU has AVX-512 F and DQ.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
unsafe fn avx512(sums: &[i32; 64]) -> u64 {
    use std::arch::x86_64::*;
    let mut negative = 0;
    for quarter in 0..4 {
        // SAFETY: 16 i32 from `quarter * 16` of 64.
        let sums = unsafe { _mm512_loadu_si512(sums.as_ptr().add(quarter * 16).cast()) };
        negative |= u64::from(_mm512_movepi32_mask(sums)) << (quarter * 16);
    }
    !negative
}

/// # Safety
/// - The CPU has AVX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn avx2(sums: &[i32; 64]) -> u64 {
    use std::arch::x86_64::*;
    let mut negative = 0;
    for eight in 0..8 {
        // SAFETY: eight i32 from `eight * 8` of 64.
        let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().add(eight * 8).cast()) };
        negative |= u64::from(_mm256_movemask_ps(_mm256_castsi256_ps(sums)) as u8) << (eight * 8);
    }
    !negative
}

/// The places of the set bits of a word, ascending.
#[derive(Clone, Copy, Debug)]
pub struct Bits(pub u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        (self.0 != 0).then(|| {
            let place = self.0.trailing_zeros() as usize;
            self.0 &= self.0 - 1;
            place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_isa_gives_the_bits_of_what_is_not_negative(
            sums in prop::array::uniform32(prop_oneof![any::<i32>(), -1i32..=1]),
            more in prop::array::uniform32(prop_oneof![any::<i32>(), Just(i32::MIN)]),
        ) {
            let sums: [i32; 64] = std::array::from_fn(|r| if r % 2 == 0 { sums[r / 2] } else { more[r / 2] });
            let expected: Vec<usize> = (0..64).filter(|&r| sums[r] >= 0).collect();
            for isa in Isa::available() {
                prop_assert_eq!(&Bits(reached(isa, &sums)).collect::<Vec<_>>(), &expected, "{}", isa);
            }
        }
    }
}
