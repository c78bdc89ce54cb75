//! [`super::tile_i8`] with AVX-512 VNNI.
//!
//! Inline assembly: compilers move some of the 24 accumulators of the intrinsics version to the stack and back in the
//! inner loop, which halves its speed.
#![allow(unsafe_code)]

use super::{PROBES, TILE_STEP, TileSums};
use std::arch::asm;
use std::arch::x86_64::_mm256_zeroupper;

/// The caller has checked the lengths and that the CPU has the features.
pub(super) fn tile(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    debug_assert_eq!(rows.len() / TILE_STEP * super::GROUP_STEP, probes.len());
    // SAFETY: `Level::Avx512` is only had when the CPU has AVX-512 F, BW, DQ, VL and VNNI (`Isa::available`); `tile_i8`
    // has asserted that `probes` holds a group step for each tile step of `rows`.
    unsafe { tile_vnni(rows, probes, start, sums, out) }
}

/// # Safety
/// - The CPU has AVX-512 F, DQ and VNNI.
/// - `rows` holds n x 256 bytes and `probes` n x 24.
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vnni")]
unsafe fn tile_vnni(
    rows: &[u8],
    probes: &[i8],
    start: &[i32; PROBES],
    sums: &[i32; PROBES],
    out: &mut TileSums,
) -> bool {
    let start = super::biased(start, sums);
    let steps = rows.len() / TILE_STEP;
    let found: u32;
    // SAFETY: each round reads 256 bytes at `row` and 24 at `probe` and moves both on, `steps` times, so all reads stay in
    // the two slices; no round when `steps` is 0. `start` is 24 bytes. Stores go to `out`, 384 i32 = 24 x 64 bytes. Every
    // register written is declared; no stack is used.
    unsafe {
        asm!(
            "vpbroadcastd zmm0, dword ptr [{start}]",
            "vpbroadcastd zmm4, dword ptr [{start} + 4]",
            "vpbroadcastd zmm8, dword ptr [{start} + 8]",
            "vpbroadcastd zmm12, dword ptr [{start} + 12]",
            "vpbroadcastd zmm16, dword ptr [{start} + 16]",
            "vpbroadcastd zmm20, dword ptr [{start} + 20]",
            "vmovdqa64 zmm1, zmm0", "vmovdqa64 zmm2, zmm0", "vmovdqa64 zmm3, zmm0",
            "vmovdqa64 zmm5, zmm4", "vmovdqa64 zmm6, zmm4", "vmovdqa64 zmm7, zmm4",
            "vmovdqa64 zmm9, zmm8", "vmovdqa64 zmm10, zmm8", "vmovdqa64 zmm11, zmm8",
            "vmovdqa64 zmm13, zmm12", "vmovdqa64 zmm14, zmm12", "vmovdqa64 zmm15, zmm12",
            "vmovdqa64 zmm17, zmm16", "vmovdqa64 zmm18, zmm16", "vmovdqa64 zmm19, zmm16",
            "vmovdqa64 zmm21, zmm20", "vmovdqa64 zmm22, zmm20", "vmovdqa64 zmm23, zmm20",
            "test {steps}, {steps}",
            "jz 3f",
            ".p2align 5",
            "2:",
            "vmovdqu64 zmm24, [{row}]",
            "vmovdqu64 zmm25, [{row} + 64]",
            "vmovdqu64 zmm26, [{row} + 128]",
            "vmovdqu64 zmm27, [{row} + 192]",
            "vpbroadcastd zmm28, dword ptr [{probe}]",
            "vpbroadcastd zmm29, dword ptr [{probe} + 4]",
            "vpdpbusd zmm0, zmm24, zmm28",
            "vpdpbusd zmm1, zmm25, zmm28",
            "vpdpbusd zmm2, zmm26, zmm28",
            "vpdpbusd zmm3, zmm27, zmm28",
            "vpbroadcastd zmm30, dword ptr [{probe} + 8]",
            "vpdpbusd zmm4, zmm24, zmm29",
            "vpdpbusd zmm5, zmm25, zmm29",
            "vpdpbusd zmm6, zmm26, zmm29",
            "vpdpbusd zmm7, zmm27, zmm29",
            "vpbroadcastd zmm31, dword ptr [{probe} + 12]",
            "vpdpbusd zmm8, zmm24, zmm30",
            "vpdpbusd zmm9, zmm25, zmm30",
            "vpdpbusd zmm10, zmm26, zmm30",
            "vpdpbusd zmm11, zmm27, zmm30",
            "vpbroadcastd zmm28, dword ptr [{probe} + 16]",
            "vpdpbusd zmm12, zmm24, zmm31",
            "vpdpbusd zmm13, zmm25, zmm31",
            "vpdpbusd zmm14, zmm26, zmm31",
            "vpdpbusd zmm15, zmm27, zmm31",
            "vpbroadcastd zmm29, dword ptr [{probe} + 20]",
            "vpdpbusd zmm16, zmm24, zmm28",
            "vpdpbusd zmm17, zmm25, zmm28",
            "vpdpbusd zmm18, zmm26, zmm28",
            "vpdpbusd zmm19, zmm27, zmm28",
            "add {row}, 256",
            "add {probe}, 24",
            "vpdpbusd zmm20, zmm24, zmm29",
            "vpdpbusd zmm21, zmm25, zmm29",
            "vpdpbusd zmm22, zmm26, zmm29",
            "vpdpbusd zmm23, zmm27, zmm29",
            "dec {steps}",
            "jnz 2b",
            "3:",
            // The AND of all has its sign bit clear where any accumulator has.
            "vmovdqa64 zmm28, zmm0",
            "vmovdqa64 zmm29, zmm1",
            "vpternlogd zmm28, zmm2, zmm3, 0x80",
            "vpternlogd zmm29, zmm4, zmm5, 0x80",
            "vpternlogd zmm28, zmm6, zmm7, 0x80",
            "vpternlogd zmm29, zmm8, zmm9, 0x80",
            "vpternlogd zmm28, zmm10, zmm11, 0x80",
            "vpternlogd zmm29, zmm12, zmm13, 0x80",
            "vpternlogd zmm28, zmm14, zmm15, 0x80",
            "vpternlogd zmm29, zmm16, zmm17, 0x80",
            "vpternlogd zmm28, zmm18, zmm19, 0x80",
            "vpternlogd zmm29, zmm20, zmm21, 0x80",
            "vpternlogd zmm28, zmm22, zmm23, 0x80",
            "vpandd zmm28, zmm28, zmm29",
            "vpmovd2m k1, zmm28",
            "kmovw {found:e}, k1",
            "xor {found:e}, 0xffff",
            "jz 4f",
            "vmovdqu64 [{out}], zmm0", "vmovdqu64 [{out} + 64], zmm1",
            "vmovdqu64 [{out} + 128], zmm2", "vmovdqu64 [{out} + 192], zmm3",
            "vmovdqu64 [{out} + 256], zmm4", "vmovdqu64 [{out} + 320], zmm5",
            "vmovdqu64 [{out} + 384], zmm6", "vmovdqu64 [{out} + 448], zmm7",
            "vmovdqu64 [{out} + 512], zmm8", "vmovdqu64 [{out} + 576], zmm9",
            "vmovdqu64 [{out} + 640], zmm10", "vmovdqu64 [{out} + 704], zmm11",
            "vmovdqu64 [{out} + 768], zmm12", "vmovdqu64 [{out} + 832], zmm13",
            "vmovdqu64 [{out} + 896], zmm14", "vmovdqu64 [{out} + 960], zmm15",
            "vmovdqu64 [{out} + 1024], zmm16", "vmovdqu64 [{out} + 1088], zmm17",
            "vmovdqu64 [{out} + 1152], zmm18", "vmovdqu64 [{out} + 1216], zmm19",
            "vmovdqu64 [{out} + 1280], zmm20", "vmovdqu64 [{out} + 1344], zmm21",
            "vmovdqu64 [{out} + 1408], zmm22", "vmovdqu64 [{out} + 1472], zmm23",
            "4:",
            start = in(reg) start.as_ptr(),
            row = inout(reg) rows.as_ptr() => _,
            probe = inout(reg) probes.as_ptr() => _,
            steps = inout(reg) steps => _,
            out = in(reg) out.as_mut_ptr(),
            found = out(reg) found,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
            out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
            out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
            out("zmm30") _, out("zmm31") _, out("k1") _,
            options(nostack),
        );
    }
    // The compiler does not see that assembly leaves the registers' upper parts set, which would make every SSE
    // instruction that follows wait for them.
    _mm256_zeroupper();
    found != 0
}
