//! AVX2: distances by nibble tables (Mula), one made for each nibble of the probe's code: no XOR, and no sum across a register.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Best, Block, Distances, ENTRIES, Hits, Window};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2; windows as there.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn scan(blocks: &[Block], prefix: u64, windows: &[Window], limit: u8, hits: &mut Hits) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx2>(blocks, prefix, windows, limit, hits) }
}

/// [`super::weigh_each`] with the POPCNT instruction.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn weigh(blocks: &[Block], rest: u64, hits: &Hits, weights: &[u8; 256], best: &mut Best) {
    super::weigh_each(blocks, rest, hits, weights, best);
}

/// [`super::settle_each`], vectorised by the compiler.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn settle(best: &mut Best, scores: &mut [u16; ENTRIES]) {
    super::settle_each(best, scores);
}

struct Avx2;

/// Bits of a nibble.
const BITS: [i8; 16] = [0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4];

/// Sum and carry of three bits.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn full_adder(a: __m256i, b: __m256i, c: __m256i) -> (__m256i, __m256i) {
    // SAFETY: the caller's promise; registers only.
    unsafe {
        let both = _mm256_xor_si256(a, b);
        let carry = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(both, c));
        (_mm256_xor_si256(both, c), carry)
    }
}

/// The bits of each byte, counted by nibble.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn count(bytes: __m256i) -> __m256i {
    // SAFETY: the caller's promise; a load of a table of 16 bytes.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(BITS.as_ptr().cast()));
        let nibble = _mm256_set1_epi8(0x0f);
        let low = _mm256_shuffle_epi8(table, _mm256_and_si256(bytes, nibble));
        let high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), nibble));
        _mm256_add_epi8(low, high)
    }
}

impl Distances for Avx2 {
    /// Each byte of the prefix, 32 times.
    type Code = [__m256i; 8];
    type Near = __m256i;
    const WIDTH: usize = 32;

    #[inline(always)]
    unsafe fn code(prefix: u64) -> Self::Code {
        // SAFETY: AVX2 is there by the caller's promise; registers only.
        prefix.to_le_bytes().map(|byte| unsafe { _mm256_set1_epi8(byte as i8) })
    }

    /// Of the eight bits at each place of a byte the sum is made first, bit by bit, so that four bytes are counted instead of
    /// eight. A distance is at most 64, so bytes suffice.
    #[inline(always)]
    unsafe fn distances(block: &Block, part: usize, code: &Self::Code) -> Self::Near {
        // SAFETY: AVX2 is there by the caller's promise. Loads of 32 bytes at 0 or 32 of 64.
        unsafe {
            let differ = |k: usize| {
                let bytes = _mm256_loadu_si256(block.prefixes[k].as_ptr().add(32 * part).cast());
                _mm256_xor_si256(bytes, code[k])
            };
            let (a, one) = full_adder(differ(0), differ(1), differ(2));
            let (b, two) = full_adder(differ(3), differ(4), differ(5));
            let (c, three) = full_adder(differ(6), differ(7), a);
            let (ones, four) = (_mm256_xor_si256(b, c), _mm256_and_si256(b, c));
            let (d, five) = full_adder(one, two, three);
            let (twos, six) = (_mm256_xor_si256(d, four), _mm256_and_si256(d, four));
            let fours = _mm256_add_epi8(count(five), count(six));
            let twos = _mm256_add_epi8(count(twos), _mm256_add_epi8(fours, fours));
            _mm256_add_epi8(count(ones), _mm256_add_epi8(twos, twos))
        }
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        // SAFETY: AVX2 is there by the caller's promise; registers only.
        unsafe {
            // At or above: max(x, limit) == x, unsigned.
            let above = _mm256_cmpeq_epi8(_mm256_max_epu8(near, _mm256_set1_epi8(limit as i8)), near);
            u64::from(!_mm256_movemask_epi8(above) as u32)
        }
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        // SAFETY: AVX2 is there by the caller's promise; one store of 32 bytes into 64.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), near) };
    }
}
