//! Slices in, scores out. One dispatch for all kernels; every path gives the same bits.
//!
//! No threads, no allocation, no knowledge of the gallery. An instruction set is a value ([`Isa`]) that can only be
//! had when the CPU supports it, so a kernel that takes one needs no further check.

pub mod close;
pub mod dot_f32;
pub mod dot_i4;
pub mod dot_i8;
pub mod hamming;
pub mod near;
mod prefetch;
pub mod project;
pub mod signs;
mod vectorize;

pub use prefetch::{prefetch, prefetch_far};

use std::fmt;
use std::sync::OnceLock;

pub use vectorize::{Vectorized, vectorize};

/// The variable that forces a kernel: `portable`, `avx2`, `avx512` or `neon`.
pub const KERNEL_VARIABLE: &str = "DUYNHAT_KERNEL";

/// An instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// What a dispatcher matches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// Plain Rust.
    Portable,
    /// x86-64 with AVX2, FMA, POPCNT, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL, VNNI, BITALG and VPOPCNTDQ, and all of [`Level::Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// aarch64 with NEON and the dot product.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Isa {
    /// Plain Rust: always there.
    pub const PORTABLE: Self = Self(Kind::Portable);

    /// All that this CPU has, slowest first. Tests run each.
    pub fn available() -> Vec<Self> {
        let mut all = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            let narrow = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            if narrow {
                all.push(Self(Kind::Avx2));
                let wide = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512bitalg")
                    && is_x86_feature_detected!("avx512vpopcntdq");
                if wide {
                    all.push(Self(Kind::Avx512));
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                all.push(Self(Kind::Neon));
            }
        }
        all
    }

    /// The one that `name` says, if this CPU has it.
    ///
    /// # Errors
    /// An unknown name, or one that this CPU does not support.
    pub fn by_name(name: &str) -> Result<Self, IsaError> {
        let all = Self::available();
        all.iter().copied().find(|isa| isa.to_string() == name).ok_or_else(|| IsaError {
            found: name.chars().take(32).collect(),
            available: all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        })
    }

    /// The fastest, or what [`KERNEL_VARIABLE`] says; read once per process.
    ///
    /// # Errors
    /// The variable names a kernel that this CPU does not have.
    pub fn from_environment() -> Result<Self, IsaError> {
        static CHOICE: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        CHOICE
            .get_or_init(|| match std::env::var(KERNEL_VARIABLE) {
                Ok(name) if !name.is_empty() => Self::by_name(&name),
                _ => Ok(*Self::available().last().unwrap_or(&Self::PORTABLE)),
            })
            .clone()
    }

    /// [`Isa::from_environment`], or portable where the variable is wrong (the binary refuses to start then).
    pub fn active() -> Self {
        Self::from_environment().unwrap_or(Self::PORTABLE)
    }

    /// What to match on. A function with the level's target features may be called.
    pub fn level(self) -> Level {
        match self.0 {
            Kind::Portable => Level::Portable,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Level::Avx2,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Level::Avx512,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Level::Neon,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
        })
    }
}

/// A kernel was asked for that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{KERNEL_VARIABLE}={found}: not available here; expected one of: {available}")]
pub struct IsaError {
    found: String,
    available: String,
}
