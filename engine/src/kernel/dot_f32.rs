//! Sums of products of `f32`, accumulated in `f64` in one fixed order.
//!
//! The product of two `f32` is exact in `f64` (24 + 24 bits fit in 53, and the exponents stay far inside), so a fused
//! multiply-add rounds exactly as a product and a sum do: every path gives the same bits whether or not it has FMA, as
//! long as the order of the sums is the same. That order is:
//!
//! - [`products`]: sixteen lanes, lane *l* sums elements *l*, *l* + 16, *l* + 32, ... in ascending order; then lanes are
//!   added pairwise: *l* + (*l* + 8), then + 4, + 2, + 1. A missing tail counts as zeros, which change nothing.
//! - [`rotate`]: one accumulator an output, inputs in ascending order.
// Lanes of several arrays share an index.
#![allow(clippy::needless_range_loop)]

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::Level;

#[cfg(target_arch = "x86_64")]
#[path = "dot_f32_x86.rs"]
mod x86;

/// Lanes of [`products`].
pub const LANES: usize = 16;
/// Outputs of one panel of [`rotate`].
pub const PANEL: usize = 16;
/// Rows that [`rotate`] takes at once.
pub const ROTATED: usize = 8;

/// `(a . b, b . b)`, as far as the shorter reaches. See the module for the order of the sums.
pub fn products(isa: Isa, a: &[f32], b: &[f32]) -> (f64, f64) {
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => x86::products_avx2(a, b),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => x86::products_avx512(a, b),
        _ => products_plain(a, b),
    }
}

/// Rotates [`ROTATED`] rows: `out[i][r] = sum over j of panels[i][j] * rows[j][r]`.
///
/// `rows` holds `inputs` x [`ROTATED`] values, input by input; `panels` the matrix in panels of [`PANEL`] outputs, each
/// `inputs` x [`PANEL`]; `out` one `[f64; ROTATED]` an output. Every value must be an `f32` widened, or the bits depend on
/// the path.
///
/// # Panics
/// Lengths that don't belong together.
pub fn rotate(isa: Isa, panels: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]]) {
    let inputs = rows.len() / ROTATED;
    assert!(
        rows.len() == inputs * ROTATED && out.len().is_multiple_of(PANEL) && panels.len() == inputs * out.len(),
        "a matrix and rows of the same dimensions"
    );
    if inputs == 0 {
        out.fill([0.0; ROTATED]);
        return;
    }
    for (panel, out) in panels.chunks_exact(inputs * PANEL).zip(out.chunks_exact_mut(PANEL)) {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => x86::panel_avx2(panel, rows, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => x86::panel_avx512(panel, rows, out),
            _ => panel_plain(panel, rows, out),
        }
    }
}

/// [`products`] for any CPU.
fn products_plain(a: &[f32], b: &[f32]) -> (f64, f64) {
    let mut dot = [0f64; LANES];
    let mut norm = [0f64; LANES];
    let (whole_a, tail_a) = a.as_chunks::<LANES>();
    let (whole_b, tail_b) = b.as_chunks::<LANES>();
    let mut add = |a: &[f32; LANES], b: &[f32; LANES]| {
        for l in 0..LANES {
            let (x, y) = (f64::from(a[l]), f64::from(b[l]));
            dot[l] += x * y;
            norm[l] += y * y;
        }
    };
    for (a, b) in whole_a.iter().zip(whole_b) {
        add(a, b);
    }
    if !tail_a.is_empty() {
        let (mut last_a, mut last_b) = ([0f32; LANES], [0f32; LANES]);
        last_a[..tail_a.len()].copy_from_slice(tail_a);
        last_b[..tail_b.len()].copy_from_slice(tail_b);
        add(&last_a, &last_b);
    }
    (fold(dot), fold(norm))
}

/// Lanes added pairwise, in the order that the module states.
#[inline(always)]
fn fold(lanes: [f64; LANES]) -> f64 {
    let eight: [f64; 8] = std::array::from_fn(|l| lanes[l] + lanes[l + 8]);
    let four: [f64; 4] = std::array::from_fn(|l| eight[l] + eight[l + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

fn panel_plain(panel: &[f64], rows: &[f64], out: &mut [[f64; ROTATED]]) {
    for (i, sums) in out.iter_mut().enumerate() {
        *sums = [0.0; ROTATED];
        for (weights, row) in panel.chunks_exact(PANEL).zip(rows.as_chunks::<ROTATED>().0) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += weights[i] * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn oracle(a: &[f32], b: &[f32]) -> f64 {
        let mut lanes = [0f64; LANES];
        for (i, (x, y)) in a.iter().zip(b).enumerate() {
            lanes[i % LANES] += f64::from(*x) * f64::from(*y);
        }
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                lanes[l] += lanes[l + half];
            }
        }
        lanes[0]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn every_isa_gives_the_oracles_bits(
            pairs in prop::collection::vec((-1e15f32..1e15, -1e-10f32..1e-10), 0..200),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            for isa in Isa::available() {
                let (dot, norm) = products(isa, &a, &b);
                prop_assert_eq!(dot.to_bits(), oracle(&a, &b).to_bits(), "{}", isa);
                prop_assert_eq!(norm.to_bits(), oracle(&b, &b).to_bits(), "{}", isa);
            }
        }

        #[test]
        fn a_tail_of_zeros_changes_nothing(values in prop::collection::vec(-2f32..2.0, 1..70), more in 0usize..40) {
            let mut longer = values.clone();
            longer.resize(values.len() + more, 0.0);
            for isa in Isa::available() {
                prop_assert_eq!(products(isa, &values, &values), products(isa, &longer, &longer));
            }
        }

        #[test]
        fn every_isa_rotates_to_the_same_bits(
            inputs in 1usize..40,
            panels in 1usize..3,
            seed in prop::collection::vec(-1f32..1.0, 40 * 48),
        ) {
            let outputs = panels * PANEL;
            let matrix: Vec<f64> = seed.iter().cycle().take(inputs * outputs).map(|&v| f64::from(v)).collect();
            let rows: Vec<f64> = seed.iter().rev().take(inputs * ROTATED).map(|&v| f64::from(v)).collect();
            for isa in Isa::available() {
                let mut out = vec![[f64::NAN; ROTATED]; outputs];
                rotate(isa, &matrix, &rows, &mut out);
                for (i, sums) in out.iter().enumerate() {
                    for (r, sum) in sums.iter().enumerate() {
                        let mut expected = 0f64;
                        for j in 0..inputs {
                            let weight = matrix[i / PANEL * inputs * PANEL + j * PANEL + i % PANEL];
                            expected += weight * rows[j * ROTATED + r];
                        }
                        prop_assert_eq!(sum.to_bits(), expected.to_bits(), "{} output {} row {}", isa, i, r);
                    }
                }
            }
        }
    }
}
