//! Plain Rust compiled once per instruction set.
#![allow(unsafe_code)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

/// Work that is compiled once per instruction set. A trait and no closure: a large closure is not inlined into a function
/// with other features, and then silently runs as compiled for the baseline.
pub trait Vectorized {
    /// What comes of it.
    type Output;

    /// Does it. Mark the implementation, and all that it should inline, `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Runs `work` with the instructions of `isa` available to the compiler.
///
/// Rust neither contracts multiplications and additions nor reorders floating-point sums, so every path gives the same
/// bits.
#[inline]
pub fn vectorize<V: Vectorized>(isa: Isa, work: V) -> V::Output {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx2` is only handed out by `Isa` after AVX2, FMA and POPCNT were detected.
        Level::Avx2 => unsafe { with_avx2(work) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Level::Avx512` is only handed out after all features named at `with_avx512` were detected.
        Level::Avx512 => unsafe { with_avx512(work) },
        _ => work.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn with_avx2<V: Vectorized>(work: V) -> V::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")]
fn with_avx512<V: Vectorized>(work: V) -> V::Output {
    work.run()
}
