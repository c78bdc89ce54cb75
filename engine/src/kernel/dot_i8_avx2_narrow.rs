//! [`super::tile_i8_narrow`] and [`super::eight_i8`] with AVX2.
//!
//! In a lane of 32 dimensions a narrow probe's positive codes add up to 128 at most, and so do its negative ones: no
//! sum of some of their products with bytes leaves -32,640..=32,640. So `vpmaddubsw` does not saturate, eight of them add
//! up in 16 bits, and `vpmaddwd` widens once for 32 dimensions: nine multiplications where [`super::avx2`] needs sixteen,
//! and no unpacking. Inline assembly, because compilers move some of the twelve
//! accumulators to the stack and back in the loop (134 against 119 G products a second on one core of a Zen 3).
#![allow(unsafe_code)]

use super::{EIGHT, GROUP_STEP, PROBES, ROWS, TILE_STEP, TileSums};
use std::arch::asm;
use std::arch::x86_64::*;

/// Probes that share a pass over 16 references: 6 sums in 32 bits, 6 in 16, 2 registers of references, 2 to work with.
const SHARED: usize = 3;

#[repr(align(32))]
struct Ones([i16; 16]);
static ONES: Ones = Ones([1; 16]);

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * GROUP_STEP, probes.len());
    // SAFETY: `Level::Avx2` is only had when the CPU has AVX2 (`Isa::available`); `tile_i8_narrow` has asserted the lengths.
    unsafe { tile_avx2(rows, probes, start, sums, out) }
}

/// # Safety
/// - The CPU has AVX2.
/// - `rows` holds n x 256 bytes and `probes` n x 24.
#[target_feature(enable = "avx2")]
unsafe fn tile_avx2(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    let start = super::biased(start, sums);
    let mut found = false;
    for first in (0..PROBES).step_by(SHARED) {
        for row in (0..ROWS).step_by(16) {
            // SAFETY: as above; `first + 3 <= 6` and `row + 16 <= 64` by the loops.
            found |= unsafe { part(rows, probes, &start, out, first, row) };
        }
    }
    // The compiler does not see that assembly leaves the registers' upper halves set, which would make every SSE
    // instruction that follows wait for them.
    _mm256_zeroupper();
    found
}

/// Four dimensions: the first of a sum in 16 bits, which it sets.
macro_rules! first {
    ($row:literal, $probe:literal) => {
        concat!(
            "vmovdqu ymm12, [{row} + ",
            $row,
            "]\n",
            "vmovdqu ymm13, [{row} + ",
            $row,
            " + 32]\n",
            "vpbroadcastd ymm14, dword ptr [{probe} + ",
            $probe,
            "]\n",
            "vpmaddubsw ymm6, ymm12, ymm14\n",
            "vpmaddubsw ymm7, ymm13, ymm14\n",
            "vpbroadcastd ymm15, dword ptr [{probe} + ",
            $probe,
            " + 4]\n",
            "vpmaddubsw ymm8, ymm12, ymm15\n",
            "vpmaddubsw ymm9, ymm13, ymm15\n",
            "vpbroadcastd ymm14, dword ptr [{probe} + ",
            $probe,
            " + 8]\n",
            "vpmaddubsw ymm10, ymm12, ymm14\n",
            "vpmaddubsw ymm11, ymm13, ymm14\n",
        )
    };
}

/// Four dimensions more, added to it.
macro_rules! next {
    ($row:literal, $probe:literal) => {
        concat!(
            "vmovdqu ymm12, [{row} + ",
            $row,
            "]\n",
            "vmovdqu ymm13, [{row} + ",
            $row,
            " + 32]\n",
            "vpbroadcastd ymm14, dword ptr [{probe} + ",
            $probe,
            "]\n",
            "vpmaddubsw ymm15, ymm12, ymm14\n",
            "vpaddw ymm6, ymm6, ymm15\n",
            "vpmaddubsw ymm14, ymm13, ymm14\n",
            "vpaddw ymm7, ymm7, ymm14\n",
            "vpbroadcastd ymm15, dword ptr [{probe} + ",
            $probe,
            " + 4]\n",
            "vpmaddubsw ymm14, ymm12, ymm15\n",
            "vpaddw ymm8, ymm8, ymm14\n",
            "vpmaddubsw ymm15, ymm13, ymm15\n",
            "vpaddw ymm9, ymm9, ymm15\n",
            "vpbroadcastd ymm14, dword ptr [{probe} + ",
            $probe,
            " + 8]\n",
            "vpmaddubsw ymm12, ymm12, ymm14\n",
            "vpaddw ymm10, ymm10, ymm12\n",
            "vpmaddubsw ymm13, ymm13, ymm14\n",
            "vpaddw ymm11, ymm11, ymm13\n",
        )
    };
}

/// The sums in 16 bits, pair by pair, to those in 32.
macro_rules! widen {
    () => {
        concat!(
            "vmovdqa ymm15, [{ones}]\n",
            "vpmaddwd ymm6, ymm6, ymm15\n",
            "vpmaddwd ymm7, ymm7, ymm15\n",
            "vpmaddwd ymm8, ymm8, ymm15\n",
            "vpmaddwd ymm9, ymm9, ymm15\n",
            "vpmaddwd ymm10, ymm10, ymm15\n",
            "vpmaddwd ymm11, ymm11, ymm15\n",
            "vpaddd ymm0, ymm0, ymm6\n",
            "vpaddd ymm1, ymm1, ymm7\n",
            "vpaddd ymm2, ymm2, ymm8\n",
            "vpaddd ymm3, ymm3, ymm9\n",
            "vpaddd ymm4, ymm4, ymm10\n",
            "vpaddd ymm5, ymm5, ymm11\n",
        )
    };
}

/// 16 references from `row` against three probes from `first`.
///
/// # Safety
/// - The CPU has AVX2.
/// - `rows` holds n x 256 bytes and `probes` n x 24; `first + 3 <= 6`, `row + 16 <= 64`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn part(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    out: &mut TileSums,
    first: usize,
    row: usize,
) -> bool {
    let steps = rows.len() / TILE_STEP;
    let found: u32;
    // SAFETY: a round of the first loop reads 64 bytes at `row` + 0, 256, ... 1,792 and 12 at `probe` + 0, 24, ... 168 and moves
    // on by 2,048 and 192, `steps / 8` times; one of the second 64 and 12, and moves on by 256 and 24, `steps % 8` times. With
    // `row * 4 + 64 <= 256` and `first * 4 + 12 <= 24` all reads stay in the two slices. `start` is read for three from
    // `first`. Stores are 64 bytes at lanes `first`, `first + 1`, `first + 2` of `out` (256 bytes each), from element
    // `row <= 48`. `ONES` is 32 bytes, aligned to 32. Every register written is declared; no stack is used.
    unsafe {
        asm!(
            "vpbroadcastd ymm0, dword ptr [{start}]",
            "vpbroadcastd ymm2, dword ptr [{start} + 4]",
            "vpbroadcastd ymm4, dword ptr [{start} + 8]",
            "vmovdqa ymm1, ymm0",
            "vmovdqa ymm3, ymm2",
            "vmovdqa ymm5, ymm4",
            "test {eights}, {eights}",
            "jz 3f",
            ".p2align 5",
            "2:",
            first!("0", "0"),
            next!("256", "24"),
            next!("512", "48"),
            next!("768", "72"),
            next!("1024", "96"),
            next!("1280", "120"),
            next!("1536", "144"),
            next!("1792", "168"),
            "add {row}, 2048",
            "add {probe}, 192",
            widen!(),
            "dec {eights}",
            "jnz 2b",
            "3:",
            "test {ones_left}, {ones_left}",
            "jz 5f",
            "4:",
            first!("0", "0"),
            "add {row}, 256",
            "add {probe}, 24",
            widen!(),
            "dec {ones_left}",
            "jnz 4b",
            "5:",
            // The AND of all has its sign bit clear where any sum has.
            "vpand ymm6, ymm0, ymm1",
            "vpand ymm7, ymm2, ymm3",
            "vpand ymm8, ymm4, ymm5",
            "vpand ymm6, ymm6, ymm7",
            "vpand ymm6, ymm6, ymm8",
            "vmovmskps {found:e}, ymm6",
            "vmovdqu [{out}], ymm0",
            "vmovdqu [{out} + 32], ymm1",
            "vmovdqu [{out} + 256], ymm2",
            "vmovdqu [{out} + 288], ymm3",
            "vmovdqu [{out} + 512], ymm4",
            "vmovdqu [{out} + 544], ymm5",
            start = in(reg) start.as_ptr().add(first),
            row = inout(reg) rows.as_ptr().add(row * 4) => _,
            probe = inout(reg) probes.as_ptr().add(first * 4) => _,
            eights = inout(reg) steps / 8 => _,
            ones_left = inout(reg) steps % 8 => _,
            ones = in(reg) ONES.0.as_ptr(),
            out = in(reg) out.as_mut_ptr().cast::<i32>().add(first * ROWS + row),
            found = out(reg) found,
            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _, out("ymm4") _, out("ymm5") _,
            out("ymm6") _, out("ymm7") _, out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
            out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
            options(nostack),
        );
    }
    found != 0xff
}

/// The caller has checked the lengths, `first + 8 <= 64`, `p < 6`, and that the CPU has the features.
pub(super) fn eight(rows: &[u8], probes: &[i8], first: usize, p: usize) -> [i32; EIGHT] {
    // SAFETY: both levels that come here are only had when the CPU has AVX2 (`Isa::available`); `eight_i8` has asserted the
    // rest.
    unsafe { eight_avx2(rows, probes, first, p) }
}

/// # Safety
/// - The CPU has AVX2.
/// - `rows` holds n x 256 bytes and `probes` n x 24; `first + 8 <= 64`, `p < 6`.
#[target_feature(enable = "avx2")]
unsafe fn eight_avx2(rows: &[u8], probes: &[i8], first: usize, p: usize) -> [i32; EIGHT] {
    let bias = _mm256_set1_epi8(-128);
    let (mut even, mut odd) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    for step in 0..rows.len() / TILE_STEP {
        // SAFETY: 32 bytes at `step * 256 + first * 4`, with `first + 8 <= 64`; four at `step * 24 + p * 4`, with `p < 6`.
        let (codes, four) = unsafe {
            (
                _mm256_loadu_si256(rows.as_ptr().add(step * TILE_STEP + first * 4).cast()),
                probes.as_ptr().add(step * GROUP_STEP + p * 4).cast::<i32>().read_unaligned(),
            )
        };
        // Without their bias codes are signed; even and odd ones are widened apart, and `vpmaddwd` is exact.
        let codes = _mm256_xor_si256(codes, bias);
        let probe = _mm256_set1_epi32(four);
        let low = |v| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(v));
        even = _mm256_add_epi32(even, _mm256_madd_epi16(low(codes), low(probe)));
        odd = _mm256_add_epi32(odd, _mm256_madd_epi16(_mm256_srai_epi16::<8>(codes), _mm256_srai_epi16::<8>(probe)));
    }
    let mut sums = [0; EIGHT];
    // SAFETY: `sums` holds 256 bits.
    unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), _mm256_add_epi32(even, odd)) };
    sums
}
