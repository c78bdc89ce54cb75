//! Plain Rust compiled once per instruction set.
#![allow(unsafe_code)]

use super::{Isa, Level};

/// Runs `f` with the instructions of `isa` available to the compiler.
///
/// What is inlined into `f` (mark it `#[inline(always)]`) is compiled for that instruction set. Rust neither contracts
/// multiplications and additions nor reorders floating-point sums, so every path gives the same bits.
#[inline]
pub fn vectorize<R>(isa: Isa, f: impl FnOnce() -> R) -> R {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is only handed out by `Isa` after AVX2, FMA and POPCNT were detected.
        Level::Avx2 => unsafe { with_avx2(f) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` is only handed out after all features named at `with_avx512` were detected.
        Level::Avx512 => unsafe { with_avx512(f) },
        _ => f(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn with_avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")]
fn with_avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}
