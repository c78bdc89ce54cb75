//! Which of many points lie near one and point the same way: bytes, 64 points at a time. A sieve before the exact test.
#![allow(unsafe_code)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

/// Points are padded to a multiple of this (with anything: padding may be reported).
pub const CLOSE_LANES: usize = 64;
/// At most this many points.
pub const CLOSE_MAX: usize = 256;

/// Where a point lies and points: position in steps of any length, direction in 256ths of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Position.
    pub x: u8,
    /// Position.
    pub y: u8,
    /// Direction; wraps around.
    pub turn: u8,
}

/// The points whose `x` and `y` each differ by at most `reach` from those of `at`, and whose direction by at most `turn`:
/// bit j of word w is point 64 w + j. Words beyond the points are 0. Integers only: every path gives the same.
///
/// # Panics
/// When the three columns differ in length, are not padded to [`CLOSE_LANES`], or are longer than [`CLOSE_MAX`].
#[inline(always)]
pub fn close(isa: Isa, at: Place, reach: u8, turn: u8, columns: [&[u8]; 3]) -> [u64; CLOSE_MAX / CLOSE_LANES] {
    let padded = columns[0].len();
    assert!(columns.iter().all(|c| c.len() == padded), "three columns of the same number of points");
    assert!(padded.is_multiple_of(CLOSE_LANES) && padded <= CLOSE_MAX, "padded");
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` proves the features; all columns are equally long, a multiple of 64, at most 256.
        Level::Avx512 => unsafe { avx512(at, reach, turn, columns) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` proves the features; the lengths as above.
        Level::Avx2 => unsafe { avx2(at, reach, turn, columns) },
        _ => portable(at, reach, turn, columns),
    }
}

#[inline(always)]
fn portable(at: Place, reach: u8, turn: u8, columns: [&[u8]; 3]) -> [u64; CLOSE_MAX / CLOSE_LANES] {
    let [x, y, turns] = columns.map(|c| c.chunks_exact(CLOSE_LANES));
    let mut out = [0; CLOSE_MAX / CLOSE_LANES];
    for (word, ((x, y), turns)) in out.iter_mut().zip(x.zip(y).zip(turns)) {
        let mut hits = [0u8; CLOSE_LANES];
        for (hit, ((&x, &y), &t)) in hits.iter_mut().zip(x.iter().zip(y).zip(turns)) {
            let turned = at.turn.wrapping_sub(t).min(t.wrapping_sub(at.turn));
            *hit = u8::from((at.x.abs_diff(x) <= reach) & (at.y.abs_diff(y) <= reach) & (turned <= turn));
        }
        let (eights, _) = hits.as_chunks::<8>();
        for (byte, eight) in eights.iter().enumerate() {
            // Eight bytes of 0 or 1 to eight bits: each product's top byte collects one bit of every byte.
            let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            *word |= bits << (8 * byte);
        }
    }
    out
}

/// # Safety
/// The CPU has the features of [`Level::Avx512`]; the columns are equally long, a multiple of 64, at most 256.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn avx512(at: Place, reach: u8, turn: u8, columns: [&[u8]; 3]) -> [u64; CLOSE_MAX / CLOSE_LANES] {
    use std::arch::x86_64::*;
    let own = [at.x, at.y, at.turn].map(|v| _mm512_set1_epi8(v as i8));
    let (reach, turn) = (_mm512_set1_epi8(reach as i8), _mm512_set1_epi8(turn as i8));
    let mut out = [0; CLOSE_MAX / CLOSE_LANES];
    for (block, word) in out.iter_mut().take(columns[0].len() / CLOSE_LANES).enumerate() {
        // SAFETY: 64 bytes from `64 block` lie within each column.
        let [x, y, t] = columns.map(|c| unsafe { _mm512_loadu_si512(c.as_ptr().add(CLOSE_LANES * block).cast()) });
        let dx = _mm512_sub_epi8(_mm512_max_epu8(x, own[0]), _mm512_min_epu8(x, own[0]));
        let dy = _mm512_sub_epi8(_mm512_max_epu8(y, own[1]), _mm512_min_epu8(y, own[1]));
        let turned = _mm512_min_epu8(_mm512_sub_epi8(t, own[2]), _mm512_sub_epi8(own[2], t));
        let near = _mm512_cmple_epu8_mask(_mm512_max_epu8(dx, dy), reach);
        *word = _mm512_mask_cmple_epu8_mask(near, turned, turn);
    }
    out
}

/// # Safety
/// The CPU has the features of [`Level::Avx2`]; the columns are equally long, a multiple of 64, at most 256.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(at: Place, reach: u8, turn: u8, columns: [&[u8]; 3]) -> [u64; CLOSE_MAX / CLOSE_LANES] {
    use std::arch::x86_64::*;
    let own = [at.x, at.y, at.turn].map(|v| _mm256_set1_epi8(v as i8));
    let (reach, turn) = (_mm256_set1_epi8(reach as i8), _mm256_set1_epi8(turn as i8));
    let mut out = [0; CLOSE_MAX / CLOSE_LANES];
    for half in 0..columns[0].len() / 32 {
        // SAFETY: 32 bytes from `32 half` lie within each column.
        let [x, y, t] = columns.map(|c| unsafe { _mm256_loadu_si256(c.as_ptr().add(32 * half).cast()) });
        let dx = _mm256_sub_epi8(_mm256_max_epu8(x, own[0]), _mm256_min_epu8(x, own[0]));
        let dy = _mm256_sub_epi8(_mm256_max_epu8(y, own[1]), _mm256_min_epu8(y, own[1]));
        let turned = _mm256_min_epu8(_mm256_sub_epi8(t, own[2]), _mm256_sub_epi8(own[2], t));
        let far = _mm256_max_epu8(dx, dy);
        // There is no unsigned comparison: what stays the same when the limit is taken as the least is within it.
        let near = _mm256_cmpeq_epi8(_mm256_max_epu8(far, reach), reach);
        let alike = _mm256_cmpeq_epi8(_mm256_max_epu8(turned, turn), turn);
        let hits = _mm256_movemask_epi8(_mm256_and_si256(near, alike)) as u32;
        out[half / 2] |= u64::from(hits) << (32 * (half % 2));
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_instruction_set_finds_what_the_definition_says(
            points in prop::collection::vec(any::<(u8, u8, u8)>(), 0..=256),
            // Near a corner too, where positions end and directions wrap.
            at in prop_oneof![any::<(u8, u8, u8)>(), (0..4u8, 252..=255u8, 254..=255u8)],
            reach in prop_oneof![any::<u8>(), 0..40u8],
            turn in prop_oneof![any::<u8>(), 0..40u8],
        ) {
            let at = Place { x: at.0, y: at.1, turn: at.2 };
            let padded = points.len().next_multiple_of(CLOSE_LANES);
            let column = |of: fn(&(u8, u8, u8)) -> u8| {
                let mut column: Vec<u8> = points.iter().map(of).collect();
                column.resize(padded, 77);
                column
            };
            let columns = [column(|p| p.0), column(|p| p.1), column(|p| p.2)];
            let columns = [&columns[0][..], &columns[1], &columns[2]];
            let mut expected = [0u64; 4];
            for j in 0..padded {
                let apart = |a: u8, b: u8| i32::from(a).abs_diff(i32::from(b));
                let turned = apart(columns[2][j], at.turn);
                let turned = turned.min(256 - turned);
                let near = apart(columns[0][j], at.x) <= reach.into() && apart(columns[1][j], at.y) <= reach.into();
                if near && turned <= turn.into() {
                    expected[j / 64] |= 1 << (j % 64);
                }
            }
            for isa in Isa::available() {
                prop_assert_eq!(close(isa, at, reach, turn, columns), expected, "{}", isa);
            }
        }
    }
}
