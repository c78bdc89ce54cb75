//! Many integer projections of one vector: what turns a neighbourhood into a code.
#![allow(unsafe_code)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

/// For each row of `weights` its sum of products with `values`, into `sums`. All integers, so every path gives the same
/// bits as long as no sum leaves an `i32` (the caller bounds the weights).
///
/// # Panics
/// When `weights` and `sums` differ in length.
pub fn project<const N: usize>(isa: Isa, weights: &[[i16; N]], values: &[i16; N], sums: &mut [i32]) {
    assert_eq!(weights.len(), sums.len(), "a sum for each row");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` proves AVX2; the lengths were compared above.
        Level::Avx2 => unsafe { avx2(weights, values, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` proves AVX-512 F and BW; the lengths were compared above.
        Level::Avx512 => unsafe { avx512(weights, values, sums) },
        _ => portable(weights, values, sums),
    }
}

/// [`project`] for several vectors: the sums of one after those of the other. Where the kernel reads the weights once for
/// four vectors, that is twice as fast and more.
///
/// # Panics
/// When `sums` has not one for each row and vector.
pub fn project_many<const N: usize>(isa: Isa, weights: &[[i16; N]], values: &[[i16; N]], sums: &mut [i32]) {
    assert_eq!(weights.len() * values.len(), sums.len(), "a sum for each row and vector");
    if weights.is_empty() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    let (values, sums) = if matches!(isa.level(), Level::Avx2) {
        for (values, sums) in values.chunks_exact(4).zip(sums.chunks_exact_mut(4 * weights.len())) {
            if let [a, b, c, d] = values {
                // SAFETY: `Level::Avx2` proves AVX2; `sums` has four for each row.
                unsafe { avx2_by_four(weights, [a, b, c, d], sums) };
            }
        }
        let done = values.len() / 4 * 4;
        (&values[done..], &mut sums[done * weights.len()..])
    } else {
        (values, sums)
    };
    for (values, sums) in values.iter().zip(sums.chunks_exact_mut(weights.len())) {
        project(isa, weights, values, sums);
    }
}

fn portable<const N: usize>(weights: &[[i16; N]], values: &[i16; N], sums: &mut [i32]) {
    for (row, sum) in weights.iter().zip(sums) {
        *sum = row.iter().zip(values).map(|(&w, &v)| i32::from(w) * i32::from(v)).sum();
    }
}

/// # Safety
/// The CPU has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2<const N: usize>(weights: &[[i16; N]], values: &[i16; N], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    for (row, sum) in weights.iter().zip(sums) {
        let mut lanes = _mm256_setzero_si256();
        let mut at = 0;
        while at + LANES <= N {
            // SAFETY: 16 elements from `at` on lie within both arrays of N.
            let (w, v) = unsafe {
                (_mm256_loadu_si256(row.as_ptr().add(at).cast()), _mm256_loadu_si256(values.as_ptr().add(at).cast()))
            };
            lanes = _mm256_add_epi32(lanes, _mm256_madd_epi16(w, v));
            at += LANES;
        }
        let mut parts = [0i32; 8];
        // SAFETY: `parts` holds 256 bits.
        unsafe { _mm256_storeu_si256(parts.as_mut_ptr().cast(), lanes) };
        let mut total: i32 = parts.iter().sum();
        while at < N {
            total += i32::from(row[at]) * i32::from(values[at]);
            at += 1;
        }
        *sum = total;
    }
}

/// Two rows against four vectors at a time: eight sums in registers, and each weight is loaded once for four.
///
/// # Safety
/// The CPU has AVX2; `sums` has four for each row.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2_by_four<const N: usize>(weights: &[[i16; N]], values: [&[i16; N]; 4], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 16;
    let rows = weights.len();
    let mut put = |row: usize, lanes: [__m256i; 4]| {
        let pairs = (_mm256_hadd_epi32(lanes[0], lanes[1]), _mm256_hadd_epi32(lanes[2], lanes[3]));
        let both = _mm256_hadd_epi32(pairs.0, pairs.1);
        let four = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
        let mut parts = [0i32; 4];
        // SAFETY: `parts` holds 128 bits.
        unsafe { _mm_storeu_si128(parts.as_mut_ptr().cast(), four) };
        for (k, (part, values)) in parts.into_iter().zip(values).enumerate() {
            let tail = N / LANES * LANES;
            let rest: i32 =
                weights[row][tail..].iter().zip(&values[tail..]).map(|(w, v)| i32::from(*w) * i32::from(*v)).sum();
            sums[k * rows + row] = part + rest;
        }
    };
    for row in (0..rows).step_by(2) {
        // The last of an odd number stands for both.
        let (one, two) = (&weights[row], &weights[(row + 1).min(rows - 1)]);
        let mut lanes = [[_mm256_setzero_si256(); 4]; 2];
        let mut at = 0;
        while at + LANES <= N {
            // SAFETY: 16 elements from `at` on lie within arrays of N.
            let load = |from: &[i16; N]| unsafe { _mm256_loadu_si256(from.as_ptr().add(at).cast()) };
            let (w1, w2) = (load(one), load(two));
            for (k, values) in values.iter().enumerate() {
                let v = load(values);
                lanes[0][k] = _mm256_add_epi32(lanes[0][k], _mm256_madd_epi16(w1, v));
                lanes[1][k] = _mm256_add_epi32(lanes[1][k], _mm256_madd_epi16(w2, v));
            }
            at += LANES;
        }
        put(row, lanes[0]);
        if row + 1 < rows {
            put(row + 1, lanes[1]);
        }
    }
}

/// # Safety
/// The CPU has AVX-512 F and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn avx512<const N: usize>(weights: &[[i16; N]], values: &[i16; N], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 32;
    let rest: u32 = (1u32 << (N % LANES)) - 1;
    for (row, sum) in weights.iter().zip(sums) {
        let mut lanes = _mm512_setzero_si512();
        let mut at = 0;
        while at + LANES <= N {
            // SAFETY: 32 elements from `at` on lie within both arrays of N.
            let (w, v) = unsafe {
                (_mm512_loadu_si512(row.as_ptr().add(at).cast()), _mm512_loadu_si512(values.as_ptr().add(at).cast()))
            };
            lanes = _mm512_add_epi32(lanes, _mm512_madd_epi16(w, v));
            at += LANES;
        }
        if rest != 0 {
            // SAFETY: the mask lets only the N % 32 elements through that are left.
            let (w, v) = unsafe {
                (
                    _mm512_maskz_loadu_epi16(rest, row.as_ptr().add(at).cast()),
                    _mm512_maskz_loadu_epi16(rest, values.as_ptr().add(at).cast()),
                )
            };
            lanes = _mm512_add_epi32(lanes, _mm512_madd_epi16(w, v));
        }
        *sum = _mm512_reduce_add_epi32(lanes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<const N: usize>(seed: u64) {
        let mut state = seed | 1;
        let mut next = |limit: i32| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) as i32).rem_euclid(2 * limit + 1) - limit
        };
        let weights: Vec<[i16; N]> = (0..5).map(|_| std::array::from_fn(|_| next(20_000) as i16)).collect();
        let values: [i16; N] = std::array::from_fn(|_| next(255) as i16);
        let expected: Vec<i32> =
            weights.iter().map(|r| r.iter().zip(&values).map(|(w, v)| i32::from(*w) * i32::from(*v)).sum()).collect();
        for isa in Isa::available() {
            let mut sums = [0; 5];
            project(isa, &weights, &values, &mut sums);
            assert_eq!(sums.as_slice(), expected, "{isa}, {N} dimensions");
        }
        for (rows, vectors) in [(0, 4), (1, 4), (5, 9), (4, 3), (5, 8), (2, 0)] {
            let many: Vec<[i16; N]> = (0..vectors).map(|_| std::array::from_fn(|_| next(255) as i16)).collect();
            let plain = many.iter().flat_map(|values| {
                let dot = |row: &[i16; N]| -> i32 {
                    row.iter().zip(values).map(|(w, v)| i32::from(*w) * i32::from(*v)).sum()
                };
                weights[..rows].iter().map(dot).collect::<Vec<_>>()
            });
            let plain: Vec<i32> = plain.collect();
            for isa in Isa::available() {
                let mut sums = vec![7; rows * vectors];
                project_many(isa, &weights[..rows], &many, &mut sums);
                assert_eq!(sums, plain, "{isa}, {N} dimensions, {rows} rows, {vectors} vectors");
            }
        }
    }

    proptest! {
        #[test]
        fn every_isa_gives_the_plain_sums_for_every_tail(seed: u64) {
            check::<0>(seed);
            check::<1>(seed);
            check::<15>(seed);
            check::<16>(seed);
            check::<31>(seed);
            check::<32>(seed);
            check::<33>(seed);
            check::<312>(seed);
        }
    }
}
