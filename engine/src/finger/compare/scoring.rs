//! What a comparison saw, as numbers, and the score: a logistic sum of them.

use super::alignment::Overlay;
use super::local::LocalScratch;
use super::points::Points;
use super::relaxation::Relaxed;

/// How many numbers a comparison is judged by.
pub(crate) const FEATURES: usize = 23;
/// They.
pub(crate) type Features = [f32; FEATURES];

/// The lowest score, given when nothing lies together.
pub(crate) const SCORE_MIN: f32 = -20.0;
/// The highest.
pub(crate) const SCORE_MAX: f32 = 60.0;

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
    let value = 1.0 - distance * (1.0 / 128.0);
    if value > 0.0 { value } else { 0.0 }
}

#[inline(always)]
fn ln(value: f32) -> f32 {
    libm::logf(value)
}

/// Measures the best overlay. Fixed order, fixed functions: the same bits everywhere.
#[inline(always)]
pub(super) fn measure(
    probe: &Points,
    reference: &Points,
    local: &LocalScratch,
    relaxed: &Relaxed,
    overlay: &Overlay,
    second: f32,
    best: f32,
) -> Features {
    let pairs = &overlay.pairs;
    let count = pairs.len() as f32;
    let inverse = 1.0 / count.max(1.0);
    let (mut weight, mut like, mut like_weighted, mut strong) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    let (mut offset, mut cosine, mut kinds) = (0.0f32, 0.0f32, 0.0f32);
    let (mut mx, mut my, mut mxx, mut myy) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for pair in pairs {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        let likeness = likeness(pair.distance);
        weight += pair.weight;
        like += likeness;
        like_weighted += pair.weight * likeness;
        strong += if pair.distance < 80.0 { 1.0 } else { 0.0 };
        offset += pair.offset;
        cosine += pair.cosine;
        let (a, b) = (probe.kind[i], reference.kind[j]);
        if a != 0 && b != 0 {
            kinds += if a == b { 1.0 } else { -1.0 };
        }
        let (x, y) = (reference.x[j], reference.y[j]);
        mx += x;
        my += y;
        mxx += x * x;
        myy += y * y;
    }
    let spread = (mxx + myy) * inverse - (mx * mx + my * my) * (inverse * inverse);
    let spread = if spread > 0.0 { spread.sqrt() } else { 0.0 };
    let (no_probe, w_probe) = overlay.overlap_probe;
    let (no_reference, w_reference) = overlay.overlap_reference;
    let share_weight = weight / (w_probe * w_reference).sqrt().max(1.0);
    let share = count / (no_probe * no_reference).sqrt().max(1.0);
    let top = local.pairs.len().min(10);
    let local_top: f32 = relaxed.initial[..top].iter().sum();
    let mut relaxed_sum = 0.0f32;
    let mut relaxed_peak = 0.0f32;
    for (value, initial) in relaxed.value[..local.pairs.len()].iter().zip(&relaxed.initial) {
        let gain = value / initial;
        relaxed_sum += gain;
        relaxed_peak = if gain > relaxed_peak { gain } else { relaxed_peak };
    }
    let (n_small, n_large) = if probe.count < reference.count {
        (probe.count as f32, reference.count as f32)
    } else {
        (reference.count as f32, probe.count as f32)
    };
    [
        ln(1.0 + weight),
        weight,
        share_weight,
        share,
        weight * share_weight,
        like * inverse,
        like_weighted,
        ln(0.1 + like_weighted),
        relaxed_sum / local.pairs.len().max(1) as f32,
        relaxed_peak,
        offset * inverse,
        cosine * inverse,
        overlay.motion.c,
        kinds * inverse,
        ln(n_small),
        ln(n_large),
        ln(1.0 + if no_probe < no_reference { no_probe } else { no_reference }),
        local_top,
        local.pairs.len() as f32,
        if best > 0.0 { second / best } else { 0.0 },
        spread * 0.01,
        strong,
        like_weighted * share_weight,
    ]
}

/// The weighted sum.
#[inline(always)]
pub(super) fn score(features: &Features, weights: &Features, bias: f32) -> f32 {
    let mut sum = bias;
    for (feature, weight) in features.iter().zip(weights) {
        sum += feature * weight;
    }
    sum.clamp(SCORE_MIN, SCORE_MAX)
}
