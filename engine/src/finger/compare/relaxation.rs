//! Which pairs agree with each other about where the finger lies.

use super::local::{PAIRS_MAX, Pair};
use super::points::{LANES, Points};

const ROUNDS: usize = 5;
/// [`PAIRS_MAX`] rounded up to whole registers.
pub(super) const PADDED: usize = PAIRS_MAX.next_multiple_of(LANES);
/// Allowed disagreement of two pairs: pixels, and more for every pixel that they lie apart.
const TOLERANCE_PX: f32 = 9.0;
const TOLERANCE_GROWTH: f32 = 0.12;
/// Rotations of two pairs that differ by more than acos of this (30 degrees) disagree.
const COSINE_MIN: f32 = 0.866;
/// The share of a pair's own value that a round keeps.
const KEPT: f32 = 0.4;

/// Buffers and result of [`relax`].
#[derive(Clone)]
pub(super) struct Relaxed {
    /// How well two pairs agree, 0 to 1; rows of [`PADDED`].
    pub(super) agreement: Box<[[f32; PADDED]; PAIRS_MAX]>,
    /// What the code distance alone says of each pair, 0 to 1.
    pub(super) initial: [f32; PADDED],
    /// What it says with the other pairs' support.
    pub(super) value: [f32; PADDED],
    pub(super) ax: [f32; PADDED],
    pub(super) ay: [f32; PADDED],
    pub(super) bx: [f32; PADDED],
    pub(super) by: [f32; PADDED],
    /// The rotation from probe to reference by this pair alone.
    pub(super) c: [f32; PADDED],
    pub(super) s: [f32; PADDED],
    /// Which minutiae each pair is of; padding is of none.
    probe: [u32; PADDED],
    reference: [u32; PADDED],
}

impl Default for Relaxed {
    fn default() -> Self {
        let zero = [0.0; PADDED];
        Self {
            agreement: Box::new([zero; PAIRS_MAX]),
            initial: zero,
            value: zero,
            ax: zero,
            ay: zero,
            bx: zero,
            by: zero,
            c: zero,
            s: zero,
            probe: [u32::MAX; PADDED],
            reference: [u32::MAX; PADDED],
        }
    }
}

/// Fills `out` for `pairs` (at most [`PAIRS_MAX`]).
#[inline(always)]
pub(super) fn relax(probe: &Points, reference: &Points, pairs: &[Pair], limit: u32, out: &mut Relaxed) {
    let count = pairs.len();
    let scale = 1.0 / limit as f32;
    out.initial = [0.0; PADDED];
    for (k, pair) in pairs.iter().enumerate() {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        (out.probe[k], out.reference[k]) = (u32::from(pair.probe), u32::from(pair.reference));
        out.initial[k] = (limit as f32 - f32::from(pair.distance)) * scale;
        (out.ax[k], out.ay[k]) = (probe.x[i], probe.y[i]);
        (out.bx[k], out.by[k]) = (reference.x[j], reference.y[j]);
        out.c[k] = probe.c[i] * reference.c[j] + probe.s[i] * reference.s[j];
        out.s[k] = probe.c[i] * reference.s[j] - probe.s[i] * reference.c[j];
    }
    for k in 0..count {
        agree(k, count, out);
    }
    out.value = out.initial;
    let share = (1.0 - KEPT) / (count.max(2) - 1) as f32;
    let padded = count.next_multiple_of(LANES);
    for _ in 0..ROUNDS {
        let mut support = [0f32; PADDED];
        for k in 0..count {
            let value = out.value[k];
            for (sum, agreement) in support[..padded].iter_mut().zip(&out.agreement[k][..padded]) {
                *sum += agreement * value;
            }
        }
        for (value, support) in out.value[..padded].iter_mut().zip(&support[..padded]) {
            *value = KEPT * *value + share * *support;
        }
    }
}

/// One row of the agreement matrix.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "ten arrays are read at the same index")]
fn agree(k: usize, count: usize, out: &mut Relaxed) {
    let (probe, reference) = (out.probe[k], out.reference[k]);
    let (ax, ay, bx, by, c, s) = (out.ax[k], out.ay[k], out.bx[k], out.by[k], out.c[k], out.s[k]);
    // In a local array first: nothing else can alias it.
    let mut row = [0f32; PADDED];
    for l in 0..count.next_multiple_of(LANES).min(PADDED) {
        let (dax, day) = (out.ax[l] - ax, out.ay[l] - ay);
        let (dbx, dby) = (out.bx[l] - bx, out.by[l] - by);
        // The mean rotation of the two.
        let (mc, ms) = (0.5 * (c + out.c[l]), 0.5 * (s + out.s[l]));
        let (ex, ey) = (mc * dax - ms * day - dbx, ms * dax + mc * day - dby);
        let e2 = ex * ex + ey * ey;
        let d2 = dbx * dbx + dby * dby;
        let tolerance = TOLERANCE_PX + TOLERANCE_GROWTH * d2.sqrt();
        let near = 1.0 - e2 / (tolerance * tolerance);
        let turn = (c * out.c[l] + s * out.s[l] - COSINE_MIN) * (1.0 / (1.0 - COSINE_MIN));
        let near = if near > 0.0 { near } else { 0.0 };
        let turn = if turn > 0.0 { turn } else { 0.0 };
        // Two pairs with a common minutia are rivals.
        let rivals = out.probe[l] == probe || out.reference[l] == reference;
        row[l] = if rivals { 0.0 } else { near * turn };
    }
    row[count..].fill(0.0);
    out.agreement[k] = row;
}
