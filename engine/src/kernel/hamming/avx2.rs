//! AVX2: distances by nibble tables (Mula), one made for each nibble of the probe's code, over prefixes that were turned to
//! lie byte by byte: no XOR, no sum across a register, and the distances come out as bytes.

use std::arch::x86_64::*;

use super::{BLOCK_MINUTIAE, Best, Block, Distances, ENTRIES, Lane, Query, Turned};

/// [`super::scan`] for this instruction set.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2; at most [`super::CALL_BLOCKS_MAX`] blocks.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn scan<const P: usize>(blocks: &[Turned], queries: &[Query; P], limit: u8, lanes: &mut [Lane; P]) {
    // SAFETY: the caller's promise.
    unsafe { super::scan::<Avx2, P>(blocks, queries, limit, lanes) }
}

/// [`super::weigh_each`] with the POPCNT instruction.
///
/// # Safety
/// The CPU has AVX2, POPCNT, BMI1 and BMI2.
#[target_feature(enable = "avx2,popcnt,bmi1,bmi2")]
pub(super) unsafe fn weigh(blocks: &[Block], rest: u64, lane: &Lane, weights: &[u8; 256], best: &mut Best) {
    super::weigh_each(blocks, rest, lane, weights, best);
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

/// Bits in which two nibbles differ.
const NIBBLES: [[u8; 16]; 16] = {
    let mut table = [[0; 16]; 16];
    let mut a = 0;
    while a < 16 {
        let mut b = 0;
        while b < 16 {
            table[a][b] = (a ^ b).count_ones() as u8;
            b += 1;
        }
        a += 1;
    }
    table
};

/// Turns a block: bytes of the prefixes, by place.
///
/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn turn(block: &Block) -> Turned {
    let mut turned = Turned([[0; BLOCK_MINUTIAE]; 8]);
    // The two words of a lane, byte by byte.
    let interleave = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    for half in 0..2 {
        // By `Block::slot`, slots `8 * m + 4 * half ..` are places `2 * m`, `2 * m + 1` of 16 times `2 * half` in the low
        // lane, and of the next 16 in the high one.
        let mut s = [_mm256_setzero_si256(); 8];
        for (m, s) in s.iter_mut().enumerate() {
            // SAFETY: four of 64 slots from `8 * m + 4 * half` with `m < 8`, `half < 2`, and 8 * 7 + 4 + 4 = 64.
            let words = unsafe { _mm256_loadu_si256(block.prefixes.as_ptr().add(8 * m + 4 * half).cast()) };
            *s = _mm256_shuffle_epi8(words, interleave);
        }
        // A transposition of eight by eight pairs of bytes in each lane.
        let mut t = [_mm256_setzero_si256(); 8];
        for k in 0..4 {
            t[2 * k] = _mm256_unpacklo_epi16(s[2 * k], s[2 * k + 1]);
            t[2 * k + 1] = _mm256_unpackhi_epi16(s[2 * k], s[2 * k + 1]);
        }
        let mut u = [_mm256_setzero_si256(); 8];
        for k in 0..2 {
            for odd in 0..2 {
                let (a, b) = (t[4 * k + odd], t[4 * k + 2 + odd]);
                u[4 * k + 2 * odd] = _mm256_unpacklo_epi32(a, b);
                u[4 * k + 2 * odd + 1] = _mm256_unpackhi_epi32(a, b);
            }
        }
        for k in 0..4 {
            let (a, b) = (u[k], u[4 + k]);
            for (byte, value) in [(2 * k, _mm256_unpacklo_epi64(a, b)), (2 * k + 1, _mm256_unpackhi_epi64(a, b))] {
                // SAFETY: 32 bytes from `32 * half` of 64.
                unsafe { _mm256_storeu_si256(turned.0[byte].as_mut_ptr().add(32 * half).cast(), value) };
            }
        }
    }
    turned
}

impl Distances for Avx2 {
    type Source = Turned;
    /// For each nibble of the prefix, how far each other one is from it.
    type Code = [[u8; 16]; 16];
    /// Places 0 to 31 and 32 to 63.
    type Near = [__m256i; 2];

    #[inline(always)]
    fn code(prefix: u64) -> Self::Code {
        std::array::from_fn(|nibble| NIBBLES[(prefix >> (4 * nibble) & 15) as usize])
    }

    /// One table look-up a nibble, and no XOR: the table knows the probe's nibble. Splitting bytes into nibbles is shared
    /// by the probe minutiae. A distance is at most 64, so bytes suffice.
    #[inline(always)]
    unsafe fn distances<const P: usize>(block: &Turned, codes: &[Self::Code; P]) -> [Self::Near; P] {
        // SAFETY: AVX2 is there by the caller's promise. Loads of 32 bytes at 0 and 32 of 64, and of whole tables.
        unsafe {
            let nibble = _mm256_set1_epi8(0x0f);
            let mut near = [[_mm256_setzero_si256(); 2]; P];
            for (byte, places) in block.0.iter().enumerate() {
                let load = |half: usize| _mm256_loadu_si256(places.as_ptr().add(32 * half).cast());
                let words = [load(0), load(1)];
                let low = words.map(|w| _mm256_and_si256(w, nibble));
                let high = words.map(|w| _mm256_and_si256(_mm256_srli_epi16::<4>(w), nibble));
                for (near, tables) in near.iter_mut().zip(codes) {
                    let table = |k: usize| _mm256_broadcastsi128_si256(_mm_loadu_si128(tables[k].as_ptr().cast()));
                    let (of_low, of_high) = (table(2 * byte), table(2 * byte + 1));
                    for half in 0..2 {
                        let sum = _mm256_add_epi8(
                            _mm256_shuffle_epi8(of_low, low[half]),
                            _mm256_shuffle_epi8(of_high, high[half]),
                        );
                        near[half] = _mm256_add_epi8(near[half], sum);
                    }
                }
            }
            near
        }
    }

    #[inline(always)]
    unsafe fn below(near: Self::Near, limit: u8) -> u64 {
        // SAFETY: AVX2 is there by the caller's promise; registers only.
        unsafe {
            let limit = _mm256_set1_epi8(limit as i8);
            // At or above: max(x, limit) == x, unsigned.
            let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(near[0], limit), near[0])) as u32;
            let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(near[1], limit), near[1])) as u32;
            !(u64::from(low) | u64::from(high) << 32)
        }
    }

    #[inline(always)]
    unsafe fn store(near: Self::Near, bytes: &mut [u8; BLOCK_MINUTIAE]) {
        // SAFETY: AVX2 is there by the caller's promise; two stores of 32 bytes into 64.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), near[0]);
            _mm256_storeu_si256(bytes.as_mut_ptr().add(32).cast(), near[1]);
        }
    }
}
