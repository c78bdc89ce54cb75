//! What a comparison saw, as numbers.

use super::alignment::Overlay;
use super::local::LocalScratch;
use super::points::{LANES, POINTS_MAX, Points};
use super::relaxation::Relaxed;
use crate::finger::model::TRAITS;

/// How many numbers a comparison is judged by.
pub(crate) const FEATURES: usize = 70;
/// They.
pub(crate) type Features = [f32; FEATURES];
/// The measure that separates best alone.
pub(crate) const FEATURE_MATCHED: usize = 22;

/// Edges shorter than this are local structure.
const EDGE_NEAR_PX: f32 = 80.0;
/// The area around one minutia that another is taken for it, times the share of directions that would do.
const CHANCE_AREA_PX: f32 = 78.2;

/// What decides between alignments, before the full measure: the matched weight, by likeness of the codes.
#[inline(always)]
pub(super) fn quick(overlay: &Overlay) -> f32 {
    let mut sum = 0.0;
    for pair in &overlay.pairs {
        sum += pair.weight * (1.0 - 0.5 * pair.offset) * likeness(pair.distance);
    }
    let (a, b) = (overlay.overlap_probe.1, overlay.overlap_reference.1);
    sum * sum / (a * b + 1.0).sqrt()
}

/// 1 for equal codes, 0 for codes no closer than chance.
#[inline(always)]
fn likeness(distance: f32) -> f32 {
    positive(1.0 - distance * (1.0 / 128.0))
}

#[inline(always)]
fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

#[inline(always)]
fn low(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

#[inline(always)]
fn high(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn ln(value: f32) -> f32 {
    libm::logf(value)
}

/// Measures the best overlay; `best` is what [`quick`] says of it, `second` of the next best, 0 without one. Fixed
/// order, fixed functions: the same bits everywhere.
#[expect(clippy::too_many_arguments, reason = "everything that the comparison has seen")]
#[inline(always)]
pub(super) fn measure(
    probe: &Points,
    reference: &Points,
    local: &LocalScratch,
    relaxed: &Relaxed,
    gains: &Gains,
    overlay: &Overlay,
    second: f32,
    best: f32,
) -> Features {
    let pairs = &overlay.pairs;
    let count = pairs.len() as f32;
    let inverse = 1.0 / count.max(1.0);
    let (no_probe, w_probe) = overlay.overlap_probe;
    let (no_reference, w_reference) = overlay.overlap_reference;

    let sums = sums(probe, reference, overlay);
    let Sums { weight, like, like_weighted, .. } = sums;
    let spread = (sums.xx + sums.yy) * inverse - (sums.x * sums.x + sums.y * sums.y) * (inverse * inverse);
    let spread = positive(spread).sqrt();
    let share_weight = weight / (w_probe * w_reference).sqrt().max(1.0);
    let share = count / (no_probe * no_reference).sqrt().max(1.0);
    let unmatched = (positive(w_probe - sums.matched_probe), positive(w_reference - sums.matched_reference));

    let top = local.pairs.len().min(10);
    let local_top: f32 = relaxed.initial[..top].iter().sum();
    let edges = edges(probe, reference, overlay);
    let chance = no_probe * no_reference * CHANCE_AREA_PX / overlay.area;

    let (n_small, n_large) =
        (low(probe.count as f32, reference.count as f32), high(probe.count as f32, reference.count as f32));
    let mut out = [0f32; FEATURES];
    let measured = [
        ln(1.0 + weight),
        weight,
        share_weight,
        share,
        weight * share_weight,
        like * inverse,
        like_weighted,
        ln(0.1 + like_weighted),
        gains.sum / local.pairs.len().max(1) as f32,
        gains.peak,
        sums.offset * inverse,
        sums.cosine * inverse,
        overlay.motion.c,
        sums.kinds * inverse,
        ln(n_small),
        ln(n_large),
        ln(1.0 + low(no_probe, no_reference)),
        local_top,
        local.pairs.len() as f32,
        if best > 0.0 { second / best } else { 0.0 },
        spread * 0.01,
        sums.strong,
        like_weighted * share_weight,
        sums.within[0],
        sums.within[1],
        sums.within[2],
        sums.within[3],
        sums.within[4],
        sums.both_good,
        sums.linear,
        ln(1.0 + sums.linear),
        unmatched.0,
        unmatched.1,
        ln(1.0 + unmatched.0),
        ln(1.0 + unmatched.1),
        high(unmatched.0, unmatched.1),
        low(unmatched.0, unmatched.1),
        sums.matched_probe / w_probe.max(1.0),
        sums.matched_reference / w_reference.max(1.0),
        sums.tight,
        sums.tight_like,
        sums.tight * inverse,
        edges.all,
        edges.all_kept,
        edges.all_kept / edges.all.max(1.0),
        edges.near_kept,
        edges.near_kept / edges.near.max(1.0),
        edges.near,
        ln(overlay.area * 1e-4),
        chance,
        count - chance,
        (count - chance) / (chance + 1.0).sqrt(),
        gains.values,
        gains.highest,
        gains.eighth,
        low(probe.traits[2], reference.traits[2]),
        high(probe.traits[2], reference.traits[2]),
        low(probe.traits[4], reference.traits[4]),
        high(probe.traits[4], reference.traits[4]),
        ln(0.1 + best),
    ];
    out[..measured.len()].copy_from_slice(&measured);
    for k in 1..TRAITS {
        out[measured.len() + 2 * (k - 1)] = low(probe.traits[k], reference.traits[k]);
        out[measured.len() + 2 * (k - 1) + 1] = high(probe.traits[k], reference.traits[k]);
    }
    out
}

#[derive(Default)]
struct Sums {
    weight: f32,
    like: f32,
    like_weighted: f32,
    strong: f32,
    /// How far the codes are below 50, 65, 80, 100 and 120 bits.
    within: [f32; 5],
    offset: f32,
    cosine: f32,
    kinds: f32,
    x: f32,
    y: f32,
    xx: f32,
    yy: f32,
    both_good: f32,
    linear: f32,
    matched_probe: f32,
    matched_reference: f32,
    tight: f32,
    tight_like: f32,
}

/// Over the paired minutiae.
#[inline(always)]
fn sums(probe: &Points, reference: &Points, overlay: &Overlay) -> Sums {
    let mut out = Sums::default();
    for pair in &overlay.pairs {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        let likeness = likeness(pair.distance);
        out.weight += pair.weight;
        out.like += likeness;
        out.like_weighted += pair.weight * likeness;
        out.strong += if pair.distance < 80.0 { 1.0 } else { 0.0 };
        for (sum, limit) in out.within.iter_mut().zip([50.0, 65.0, 80.0, 100.0, 120.0]) {
            *sum += positive(1.0 - pair.distance * (1.0 / limit));
        }
        out.offset += pair.offset;
        out.cosine += pair.cosine;
        let (a, b) = (probe.kind[i], reference.kind[j]);
        if a != 0 && b != 0 {
            out.kinds += if a == b { 1.0 } else { -1.0 };
        }
        let (x, y) = (reference.x[j], reference.y[j]);
        out.x += x;
        out.y += y;
        out.xx += x * x;
        out.yy += y * y;
        let (wp, wr) = (probe.weight[i], reference.weight[j]);
        out.linear += pair.weight * pair.weight;
        out.both_good += if wp * wp >= 0.9 && wr * wr >= 0.9 { 1.0 } else { 0.0 };
        out.matched_probe += wp;
        out.matched_reference += wr;
        let tight = (1.0 - pair.offset) * ((pair.cosine - 0.92) * 12.5);
        out.tight += tight;
        out.tight_like += tight * likeness;
    }
    out
}

/// What the relaxation found.
pub(super) struct Gains {
    /// Of a pair's support by others, relative to what its codes say alone.
    sum: f32,
    peak: f32,
    /// The eight highest values after relaxation: their sum, the first, the last.
    pub(super) values: f32,
    highest: f32,
    eighth: f32,
}

/// Sums up the relaxation.
#[inline(always)]
pub(super) fn gains(local: &LocalScratch, relaxed: &Relaxed) -> Gains {
    const TOP: usize = 8;
    let pairs = local.pairs.len();
    let (mut sum, mut peak) = (0.0f32, 0.0f32);
    let mut top = [0f32; TOP];
    for (&value, initial) in relaxed.value[..pairs].iter().zip(&relaxed.initial) {
        // A pair whose codes say next to nothing has little to gain from: the constant keeps the ratio bounded.
        let gain = value / (initial + 0.1);
        sum += gain;
        peak = high(peak, gain);
        let mut value = value;
        for kept in &mut top {
            if value > *kept {
                std::mem::swap(kept, &mut value);
            }
        }
    }
    Gains { sum, peak, values: top.iter().sum(), highest: top[0], eighth: top[pairs.clamp(1, TOP) - 1] }
}

#[derive(Default)]
struct Edges {
    all: f32,
    all_kept: f32,
    near: f32,
    near_kept: f32,
}

/// The distances between paired minutiae: are they as long in both prints? Needs no alignment. The distances from one
/// pair to all side by side, their sums in the order of the pairs.
#[inline(always)]
fn edges(probe: &Points, reference: &Points, overlay: &Overlay) -> Edges {
    let count = overlay.pairs.len().min(POINTS_MAX);
    let padded = count.next_multiple_of(LANES);
    // In local arrays: nothing else can alias them.
    let [mut px, mut py, mut rx, mut ry] = [[0f32; POINTS_MAX]; 4];
    for (k, pair) in overlay.pairs.iter().enumerate().take(POINTS_MAX) {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        (px[k], py[k]) = (probe.x[i], probe.y[i]);
        (rx[k], ry[k]) = (reference.x[j], reference.y[j]);
    }
    let (mut kept, mut near) = ([0f32; POINTS_MAX], [0f32; POINTS_MAX]);
    let mut out = Edges::default();
    for k in 0..count {
        let (ax, ay, bx, by) = (px[k], py[k], rx[k], ry[k]);
        for l in 0..padded {
            let (dx, dy) = (ax - px[l], ay - py[l]);
            let (ex, ey) = (bx - rx[l], by - ry[l]);
            let own = (dx * dx + dy * dy).sqrt();
            let other = (ex * ex + ey * ey).sqrt();
            kept[l] = positive(1.0 - (own - other).abs() / (5.0 + 0.06 * other));
            near[l] = if other < EDGE_NEAR_PX { 1.0 } else { 0.0 };
        }
        for (kept, near) in kept[k + 1..count].iter().zip(&near[k + 1..count]) {
            out.all += 1.0;
            out.all_kept += kept;
            out.near += near;
            out.near_kept += near * kept;
        }
    }
    out
}
