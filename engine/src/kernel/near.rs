//! Which of many 256-bit codes lie near one: what a comparison of two prints begins with.
#![allow(unsafe_code)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

/// Codes are padded to a multiple of this (with anything: padding is never reported).
pub const NEAR_LANES: usize = 8;

/// Appends `distance << 16 | tag | index` for each of the first `count` codes whose Hamming distance from `code` is below
/// `limit`, by index. `words[w][i]` is word w of code i. Integers only: every path appends the same.
///
/// # Panics
/// When the four words differ in length, are not padded to [`NEAR_LANES`], or hold fewer than `count` codes.
#[inline(always)]
pub fn near(isa: Isa, code: [u64; 4], words: [&[u64]; 4], count: usize, limit: u32, tag: u32, out: &mut Vec<u32>) {
    let padded = words[0].len();
    assert!(words.iter().all(|w| w.len() == padded), "four words of the same number of codes");
    assert!(padded.is_multiple_of(NEAR_LANES) && count <= padded && count <= 256, "padded");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` proves the features; all four slices have `padded` words, a multiple of 8, and
        // `count` does not exceed it.
        Level::Avx512 => unsafe { avx512(code, words, count, limit, tag, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` proves the features; the lengths as above.
        Level::Avx2 => unsafe { avx2(code, words, count, limit, tag, out) },
        _ => portable(code, words, count, limit, tag, out),
    }
}

// Four arrays share an index.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn portable(code: [u64; 4], words: [&[u64]; 4], count: usize, limit: u32, tag: u32, out: &mut Vec<u32>) {
    for i in 0..count {
        let distance: u32 = (0..4).map(|w| (words[w][i] ^ code[w]).count_ones()).sum();
        if distance < limit {
            out.push(distance << 16 | tag | i as u32);
        }
    }
}

/// # Safety
/// The CPU has the features of [`Level::Avx512`]; the slices are equally long, a multiple of 8, at least `count`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512vpopcntdq,popcnt")]
unsafe fn avx512(code: [u64; 4], words: [&[u64]; 4], count: usize, limit: u32, tag: u32, out: &mut Vec<u32>) {
    use std::arch::x86_64::*;
    out.reserve(words[0].len() + 8);
    let mut length = out.len();
    let codes = code.map(|word| _mm512_set1_epi64(word as i64));
    let limits = _mm512_set1_epi64(i64::from(limit));
    let tags = _mm256_set1_epi32(tag as i32);
    let mut index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mut at = 0;
    while at < count {
        // SAFETY: eight words from `at` lie within each slice: their length is a multiple of 8 above `at`.
        let bits = unsafe {
            let load = |w: usize| _mm512_loadu_si512(words[w].as_ptr().add(at).cast());
            let pop = |w: usize| _mm512_popcnt_epi64(_mm512_xor_si512(load(w), codes[w]));
            _mm512_add_epi64(_mm512_add_epi64(pop(0), pop(1)), _mm512_add_epi64(pop(2), pop(3)))
        };
        let valid = if count - at >= 8 { 0xff } else { (1u8 << (count - at)) - 1 };
        let found = _mm512_cmplt_epu64_mask(bits, limits) & valid;
        if found != 0 {
            let key = _mm256_slli_epi32::<16>(_mm512_cvtepi64_epi32(bits));
            let key = _mm256_or_si256(key, _mm256_or_si256(tags, index));
            // Compressing to memory is microcode on some CPUs; a register and a whole store are not.
            let key = _mm256_maskz_compress_epi32(found, key);
            // SAFETY: eight words more were reserved beyond the length than there are codes; at most one a code is kept.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(length).cast(), key) };
            length += found.count_ones() as usize;
        }
        index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
        at += 8;
    }
    // SAFETY: everything up to `length` was written, within the reserved capacity.
    unsafe { out.set_len(length) };
}

/// # Safety
/// The CPU has the features of [`Level::Avx2`]; the slices are equally long, a multiple of 8, at least `count`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
unsafe fn avx2(code: [u64; 4], words: [&[u64]; 4], count: usize, limit: u32, tag: u32, out: &mut Vec<u32>) {
    use std::arch::x86_64::*;
    out.reserve(words[0].len());
    let nibbles = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
    );
    let low = _mm256_set1_epi8(0x0f);
    let codes = code.map(|word| _mm256_set1_epi64x(word as i64));
    let limits = _mm256_set1_epi64x(i64::from(limit));
    let mut at = 0;
    while at < count {
        let mut bytes = _mm256_setzero_si256();
        for (word, code) in words.iter().zip(&codes) {
            // SAFETY: four words from `at` lie within the slice: its length is a multiple of 8 above `at`.
            let x = unsafe { _mm256_loadu_si256(word.as_ptr().add(at).cast()) };
            let x = _mm256_xor_si256(x, *code);
            let few = _mm256_shuffle_epi8(nibbles, _mm256_and_si256(x, low));
            let many = _mm256_shuffle_epi8(nibbles, _mm256_and_si256(_mm256_srli_epi16::<4>(x), low));
            // At most 32 a byte over the four words.
            bytes = _mm256_add_epi8(bytes, _mm256_add_epi8(few, many));
        }
        let bits = _mm256_sad_epu8(bytes, _mm256_setzero_si256());
        let mut found = _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limits, bits))) as u32;
        if count - at < 4 {
            found &= (1 << (count - at)) - 1;
        }
        if found != 0 {
            let mut lanes = [0u64; 4];
            // SAFETY: `lanes` holds 256 bits.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), bits) };
            while found != 0 {
                let lane = found.trailing_zeros() as usize;
                out.push((lanes[lane] as u32) << 16 | tag | (at + lane) as u32);
                found &= found - 1;
            }
        }
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_instruction_set_finds_what_the_definition_says(
            codes in prop::collection::vec(any::<[u64; 4]>(), 0..70),
            code in any::<[u64; 4]>(),
            limit in 0..=257u32,
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..256usize), 0..40),
        ) {
            // Some codes close to the one looked for.
            let mut codes = codes;
            if !codes.is_empty() {
                for (index, bit) in flips {
                    let near = index.get_mut(&mut codes);
                    *near = code;
                    near[bit / 64] ^= 1 << (bit % 64);
                }
            }
            let padded = codes.len().next_multiple_of(NEAR_LANES);
            let words: Vec<Vec<u64>> = (0..4)
                .map(|w| {
                    let mut column: Vec<u64> = codes.iter().map(|c| c[w]).collect();
                    column.resize(padded, code[w]);
                    column
                })
                .collect();
            let words = [&words[0][..], &words[1], &words[2], &words[3]];
            let mut expected = vec![7];
            portable(code, words, codes.len(), limit, 3 << 8, &mut expected);
            for isa in Isa::available() {
                let mut found = vec![7];
                near(isa, code, words, codes.len(), limit, 3 << 8, &mut found);
                prop_assert_eq!(&found, &expected, "{}", isa);
            }
        }
    }
}
