//! Laying the probe over the reference, and pairing what then lies together.

use super::local::{Pair, distance};
use super::points::{PLACE_PX, POINTS_MAX, Points, faces, place};
use super::relaxation::Relaxed;
use crate::kernel::Isa;
use crate::kernel::close::{CLOSE_LANES, close};

/// A rotation and a translation from probe to reference, in pixels.
#[derive(Clone, Copy, Default)]
pub(super) struct Motion {
    pub(super) c: f32,
    pub(super) s: f32,
    pub(super) x: f32,
    pub(super) y: f32,
}

/// How far two minutiae may lie apart where the pairs that gave the motion lie, and how much more for every pixel away
/// from them: skin stretches.
const TOLERANCE_PX: f32 = 12.0;
const TOLERANCE_GROWTH: f32 = 0.06;
const TOLERANCE_PX_MAX: f32 = 24.0;
/// Directions that differ by more than acos of this (0.4 rad) are not paired.
const COSINE_MIN: f32 = 0.921;
/// The same in 256ths of a turn, for the sieve: 16.3, a quarter for the rounding of the directions' table and of the
/// motion, one for the truncation; and one to spare.
const SIEVE_TURN: u8 = 18;
/// A minutia this far outside the other print's octagon may still have been seen there.
const MARGIN_PX: f32 = 8.0;
/// Positions and directions both say what the rotation is; a direction counts like a lever of 20 px.
const DIRECTION_LEVER_PX_SQ: f32 = 400.0;
/// How far a pair's left-over shift reaches, and how much it takes to believe in one.
const BEND_REACH_PX: f32 = 80.0;
const BEND_PRIOR: f32 = 1.0;
/// The overlap's box is this much larger than the minutiae in it, and a finger fills this share of it.
const BOX_MARGIN_PX: f32 = 30.0;
const BOX_FILLED: f32 = 0.8;
const AREA_PX_SQ_MIN: f32 = 1000.0;

/// Minutiae that lie together under a motion, and what lies in the overlap.
#[derive(Clone, Default)]
pub(super) struct Overlay {
    pub(super) motion: Motion,
    pub(super) pairs: Vec<Paired>,
    /// Minutiae of each print where the other one also has skin: how many, and their weights' sum.
    pub(super) overlap_probe: (f32, f32),
    pub(super) overlap_reference: (f32, f32),
    /// Area of the box around the reference's minutiae in the overlap, in square pixels.
    pub(super) area: f32,
    /// Cost as the bits of a float that is not negative, in whose order it is; then the two minutiae.
    keys: Vec<u64>,
    tolerance: Vec<f32>,
    used_probe: Vec<bool>,
    used_reference: Vec<bool>,
    tx: Vec<f32>,
    ty: Vec<f32>,
    tc: Vec<f32>,
    ts: Vec<f32>,
}

/// Two minutiae that lie together.
#[derive(Clone, Copy, Default)]
pub(super) struct Paired {
    pub(super) probe: u8,
    pub(super) reference: u8,
    /// Squared distance over squared tolerance, 0 to 1.
    pub(super) offset: f32,
    /// Cosine of the difference of direction.
    pub(super) cosine: f32,
    /// Hamming distance of the codes.
    pub(super) distance: f32,
    /// Geometric mean of the weights.
    pub(super) weight: f32,
}

impl Paired {
    /// How much the pair says about the motion.
    #[inline(always)]
    fn trust(&self) -> f32 {
        let likeness = 1.0 - self.distance * (1.0 / 128.0);
        self.weight * (if likeness > 0.05 { likeness } else { 0.05 })
    }
}

/// The motion that best maps the pairs which agree with pair `seed`, weighted; and how much they weigh together.
#[inline(always)]
pub(super) fn motion_of(seed: usize, pairs: &[Pair], relaxed: &Relaxed) -> (Motion, f32) {
    let mut total = 0.0;
    let (mut ax, mut ay, mut bx, mut by) = (0.0, 0.0, 0.0, 0.0);
    let weight = |k: usize| {
        let agreement = if k == seed { 1.0 } else { relaxed.agreement[seed][k] };
        agreement * relaxed.value[k]
    };
    for k in 0..pairs.len() {
        let w = weight(k);
        total += w;
        ax += w * relaxed.ax[k];
        ay += w * relaxed.ay[k];
        bx += w * relaxed.bx[k];
        by += w * relaxed.by[k];
    }
    let scale = 1.0 / total;
    (ax, ay, bx, by) = (ax * scale, ay * scale, bx * scale, by * scale);
    let (mut c, mut s) = (0.0, 0.0);
    for k in 0..pairs.len() {
        let w = weight(k);
        let (px, py) = (relaxed.ax[k] - ax, relaxed.ay[k] - ay);
        let (qx, qy) = (relaxed.bx[k] - bx, relaxed.by[k] - by);
        c += w * (px * qx + py * qy + DIRECTION_LEVER_PX_SQ * relaxed.c[k]);
        s += w * (px * qy - py * qx + DIRECTION_LEVER_PX_SQ * relaxed.s[k]);
    }
    let norm = (c * c + s * s).sqrt();
    let (c, s) = if norm > 0.0 { (c / norm, s / norm) } else { (1.0, 0.0) };
    (Motion { c, s, x: bx - (c * ax - s * ay), y: by - (s * ax + c * ay) }, total)
}

/// Pairs minutiae greedily under `motion`, the best first; `around` is the centre of what gave the motion.
#[inline(always)]
pub(super) fn overlay(
    isa: Isa,
    probe: &Points,
    reference: &Points,
    motion: Motion,
    around: (f32, f32),
    out: &mut Overlay,
) {
    out.motion = motion;
    transform(probe, motion, out);
    out.tolerance.clear();
    out.tolerance.resize(out.tx.len(), 0.0);
    for (tolerance, (x, y)) in out.tolerance.iter_mut().zip(out.tx.iter().zip(&out.ty)) {
        let (dx, dy) = (x - around.0, y - around.1);
        let far = TOLERANCE_PX + TOLERANCE_GROWTH * (dx * dx + dy * dy).sqrt();
        *tolerance = if far < TOLERANCE_PX_MAX { far } else { TOLERANCE_PX_MAX };
    }
    pair_up(isa, probe, reference, out);
    measure_overlap(probe, reference, out);
}

/// Fits the motion anew to all that was paired, bends it to what is left over, and pairs again.
///
/// Skin stretches smoothly: each minutia is shifted by the mean of what is left over at the pairs near it, its own pair
/// left out, so that no false pair can confirm itself.
#[inline(always)]
pub(super) fn refine(isa: Isa, probe: &Points, reference: &Points, out: &mut Overlay) {
    if out.pairs.is_empty() {
        return;
    }
    out.motion = fit(probe, reference, &out.pairs);
    transform(probe, out.motion, out);
    bend(reference, out);
    out.tolerance.clear();
    out.tolerance.resize(probe.count, TOLERANCE_PX);
    pair_up(isa, probe, reference, out);
    measure_overlap(probe, reference, out);
}

/// Shifts each minutia by the mean of what is left over at the other pairs. All minutiae side by side, pair after pair.
#[inline(always)]
fn bend(reference: &Points, out: &mut Overlay) {
    let padded = out.tx.len().min(POINTS_MAX);
    let (tx, ty) = (&mut out.tx[..padded], &mut out.ty[..padded]);
    // In local arrays: nothing else can alias them.
    let (mut sx, mut sy, mut sum) = ([0f32; POINTS_MAX], [0f32; POINTS_MAX], [BEND_PRIOR; POINTS_MAX]);
    for pair in &out.pairs {
        let (k, j) = (usize::from(pair.probe), usize::from(pair.reference));
        let (px, py, trust) = (tx[k], ty[k], pair.trust());
        let (left_x, left_y) = (reference.x[j] - px, reference.y[j] - py);
        let own = (sx[k], sy[k], sum[k]);
        for i in 0..padded {
            let (dx, dy) = (px - tx[i], py - ty[i]);
            let near = 1.0 / (1.0 + (dx * dx + dy * dy) * (1.0 / (BEND_REACH_PX * BEND_REACH_PX)));
            let weight = trust * near * near;
            sx[i] += weight * left_x;
            sy[i] += weight * left_y;
            sum[i] += weight;
        }
        (sx[k], sy[k], sum[k]) = own;
    }
    for i in 0..padded {
        tx[i] += sx[i] / sum[i];
        ty[i] += sy[i] / sum[i];
    }
}

/// The rigid motion that best maps the pairs, the more trusted ones first.
#[inline(always)]
fn fit(probe: &Points, reference: &Points, pairs: &[Paired]) -> Motion {
    let mut total = 0.0f32;
    let (mut ax, mut ay, mut bx, mut by) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for pair in pairs {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        let w = pair.trust();
        total += w;
        ax += w * probe.x[i];
        ay += w * probe.y[i];
        bx += w * reference.x[j];
        by += w * reference.y[j];
    }
    let scale = 1.0 / total;
    (ax, ay, bx, by) = (ax * scale, ay * scale, bx * scale, by * scale);
    let (mut c, mut s) = (0.0f32, 0.0f32);
    for pair in pairs {
        let (i, j) = (usize::from(pair.probe), usize::from(pair.reference));
        let w = pair.trust();
        let (px, py) = (probe.x[i] - ax, probe.y[i] - ay);
        let (qx, qy) = (reference.x[j] - bx, reference.y[j] - by);
        let (dc, ds) = (
            probe.c[i] * reference.c[j] + probe.s[i] * reference.s[j],
            probe.c[i] * reference.s[j] - probe.s[i] * reference.c[j],
        );
        c += w * (px * qx + py * qy + DIRECTION_LEVER_PX_SQ * dc);
        s += w * (px * qy - py * qx + DIRECTION_LEVER_PX_SQ * ds);
    }
    let norm = (c * c + s * s).sqrt();
    let (c, s) = if norm > 0.0 { (c / norm, s / norm) } else { (1.0, 0.0) };
    Motion { c, s, x: bx - (c * ax - s * ay), y: by - (s * ax + c * ay) }
}

/// Pairs what lies within the tolerance, the best first, each minutia once.
#[inline(always)]
fn pair_up(isa: Isa, probe: &Points, reference: &Points, out: &mut Overlay) {
    out.keys.clear();
    let columns = [&reference.places[0][..], &reference.places[1], &reference.places[2]];
    let turn = libm::roundf(libm::atan2f(out.motion.s, out.motion.c) * (32_768.0 / std::f32::consts::PI)) as i32 as u16;
    for i in 0..probe.count {
        let (x, y, c, s) = (out.tx[i], out.ty[i], out.tc[i], out.ts[i]);
        let tolerance = out.tolerance[i];
        let scale = 1.0 / (tolerance * tolerance);
        // A sieve in bytes, wide enough for all that the exact test lets through: a distance under the tolerance is one
        // of at most so many whole steps and, for what both truncations cut off, one.
        let at = place(x, y, probe.angle[i].wrapping_add(turn), reference.origin);
        let reach = (tolerance * (1.0 / PLACE_PX)) as u8 + 1;
        let sieved = close(isa, at, reach, SIEVE_TURN, columns);
        for (word, mut hits) in sieved.into_iter().take(reference.count.div_ceil(CLOSE_LANES)).enumerate() {
            while hits != 0 {
                let j = CLOSE_LANES * word + hits.trailing_zeros() as usize;
                hits &= hits - 1;
                if j >= reference.count {
                    break;
                }
                let (ex, ey) = (reference.x[j] - x, reference.y[j] - y);
                let offset = (ex * ex + ey * ey) * scale;
                let cosine = c * reference.c[j] + s * reference.s[j];
                if cosine >= COSINE_MIN && offset < 1.0 {
                    let cost = offset + distance(probe, i, reference, j) as f32 * (1.0 / 128.0);
                    out.keys.push(u64::from(cost.to_bits()) << 16 | (i << 8 | j) as u64);
                }
            }
        }
    }
    out.keys.sort_unstable();
    out.used_probe.clear();
    out.used_probe.resize(probe.count, false);
    out.used_reference.clear();
    out.used_reference.resize(reference.count, false);
    out.pairs.clear();
    for &key in &out.keys {
        let (i, j) = ((key >> 8 & 255) as usize, (key & 255) as usize);
        if out.used_probe[i] || out.used_reference[j] {
            continue;
        }
        out.used_probe[i] = true;
        out.used_reference[j] = true;
        let codes = distance(probe, i, reference, j) as f32;
        out.pairs.push(Paired {
            probe: i as u8,
            reference: j as u8,
            offset: f32::from_bits((key >> 16) as u32) - codes * (1.0 / 128.0),
            cosine: out.tc[i] * reference.c[j] + out.ts[i] * reference.s[j],
            distance: codes,
            weight: probe.weight[i] * reference.weight[j],
        });
    }
}

#[inline(always)]
fn transform(probe: &Points, m: Motion, out: &mut Overlay) {
    let n = probe.x.len();
    for buffer in [&mut out.tx, &mut out.ty, &mut out.tc, &mut out.ts] {
        buffer.clear();
        buffer.resize(n, 0.0);
    }
    for i in 0..n {
        out.tx[i] = m.c * probe.x[i] - m.s * probe.y[i] + m.x;
        out.ty[i] = m.s * probe.x[i] + m.c * probe.y[i] + m.y;
        out.tc[i] = m.c * probe.c[i] - m.s * probe.s[i];
        out.ts[i] = m.s * probe.c[i] + m.c * probe.s[i];
    }
}

#[inline(always)]
fn measure_overlap(probe: &Points, reference: &Points, out: &mut Overlay) {
    // 1 where the other print has skin. In a local array: nothing else can alias it.
    let mut inside = [0f32; POINTS_MAX];
    mark_inside(&reference.octagon, &out.tx, &out.ty, &mut inside);
    out.overlap_probe = counted(&inside[..probe.count], &probe.weight);

    let (m, padded) = (out.motion, reference.x.len().min(POINTS_MAX));
    let (rx, ry) = (&reference.x[..padded], &reference.y[..padded]);
    let (mut bx, mut by) = ([0f32; POINTS_MAX], [0f32; POINTS_MAX]);
    for j in 0..padded {
        let (dx, dy) = (rx[j] - m.x, ry[j] - m.y);
        bx[j] = m.c * dx + m.s * dy;
        by[j] = m.c * dy - m.s * dx;
    }
    mark_inside(&probe.octagon, &bx[..padded], &by[..padded], &mut inside);
    let inside = &inside[..reference.count];
    out.overlap_reference = counted(inside, &reference.weight);

    let (mut left, mut right, mut bottom, mut top) = (f32::MAX, f32::MIN, f32::MAX, f32::MIN);
    for ((&inside, &x), &y) in inside.iter().zip(rx).zip(ry) {
        let inside = inside > 0.0;
        left = if inside && x < left { x } else { left };
        right = if inside && x > right { x } else { right };
        bottom = if inside && y < bottom { y } else { bottom };
        top = if inside && y > top { y } else { top };
    }
    let (width, height) = (right - left + BOX_MARGIN_PX, top - bottom + BOX_MARGIN_PX);
    let area = if right >= left { width * height * BOX_FILLED } else { 0.0 };
    out.area = if area > AREA_PX_SQ_MIN { area } else { AREA_PX_SQ_MIN };
}

/// 1 for each point within the octagon and a margin, 0 for the others.
#[inline(always)]
fn mark_inside(octagon: &[f32; 8], x: &[f32], y: &[f32], inside: &mut [f32; POINTS_MAX]) {
    let bounds = octagon.map(|bound| bound + MARGIN_PX);
    let count = x.len().min(y.len()).min(POINTS_MAX);
    for ((out, &x), &y) in inside[..count].iter_mut().zip(&x[..count]).zip(&y[..count]) {
        let mut within = true;
        for (value, bound) in faces(x, y).iter().zip(&bounds) {
            within &= value <= bound;
        }
        *out = if within { 1.0 } else { 0.0 };
    }
}

/// How many are marked, and their weights' sum.
#[inline(always)]
fn counted(inside: &[f32], weights: &[f32]) -> (f32, f32) {
    let mut sums = (0.0, 0.0);
    for (inside, weight) in inside.iter().zip(weights) {
        sums.0 += inside;
        sums.1 += inside * weight;
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::finger::FingerFeatures;
    use crate::finger::geometry::Directions;
    use crate::template::Minutia;

    /// Coordinates from one end to the other, or within a print's reach; directions at will, or where a table's step ends.
    fn minutiae(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Minutia>> {
        let place = prop_oneof![1 => 0..16_384u16, 8 => 3_000..4_200u16];
        let angle = prop_oneof![any::<u16>(), (0..1_024u16, 31..=33u16).prop_map(|(step, off)| step * 64 + off)];
        let minutia = (place.clone(), place, angle);
        let minutia = minutia.prop_map(|(x, y, angle)| Minutia { x, y, angle, kind_code: 1, quality: 60 });
        prop::collection::vec(minutia, count)
    }

    fn points(minutiae: &[Minutia], code: u64) -> Points {
        let codes = (0..minutiae.len() as u64).map(|k| [k, code, k * k, 0]).collect();
        let mut points = Points::default();
        points.fill(FingerFeatures::new(minutiae.to_vec(), codes).view(), Directions::get());
        points.fill_places();
        points
    }

    fn tolerance() -> impl Strategy<Value = f32> {
        let edge = (4..=6u8, 0..3u32).prop_map(|(steps, below)| {
            let whole = f32::from(steps) * PLACE_PX;
            f32::from_bits(whole.to_bits() - below)
        });
        prop_oneof![TOLERANCE_PX..TOLERANCE_PX_MAX, edge]
    }

    proptest! {
        #[test]
        fn the_sieve_lets_through_whatever_the_exact_test_would_pair(
            reference in minutiae(1..=255),
            others in minutiae(0..=60),
            // A minutia of the reference, moved by up to the tolerance and turned by about as much as is allowed.
            near in prop::collection::vec(
                (any::<prop::sample::Index>(), -1.0..1.0f32, -1.0..1.0f32, -4_400..4_400i32),
                0..=190,
            ),
            turn in prop_oneof![any::<u16>(), (0..256u16).prop_map(|t| t * 256)],
            shift in (-400.0..400.0f32, -400.0..400.0f32),
            tolerance in tolerance(),
        ) {
            let mut probe = others;
            for (index, dx, dy, turned) in near {
                let m = index.get(&reference);
                let moved = |at: u16, by: f32| (f32::from(at) + 4.0 * tolerance * by).clamp(0.0, 65_535.0) as u16;
                probe.push(Minutia {
                    x: moved(m.x, dx),
                    y: moved(m.y, dy),
                    angle: m.angle.wrapping_add(turned as u16),
                    ..*m
                });
            }
            probe.truncate(255);
            let (probe, reference) = (points(&probe, 1), points(&reference, 3));
            let radians = f32::from(turn) * (std::f32::consts::TAU / 65_536.0);
            // Not moved at all, so that what was put near is; and moved.
            let moved = Motion { c: radians.cos(), s: radians.sin(), x: shift.0, y: shift.1 };
            for motion in [Motion { c: 1.0, s: 0.0, x: 0.0, y: 0.0 }, moved] {
                let mut out = Overlay { motion, ..Overlay::default() };
                transform(&probe, motion, &mut out);
                out.tolerance = vec![tolerance; probe.count];
                let mut expected = Vec::new();
                for i in 0..probe.count {
                    let scale = 1.0 / (tolerance * tolerance);
                    for j in 0..reference.count {
                        let (ex, ey) = (reference.x[j] - out.tx[i], reference.y[j] - out.ty[i]);
                        let offset = (ex * ex + ey * ey) * scale;
                        let cosine = out.tc[i] * reference.c[j] + out.ts[i] * reference.s[j];
                        if cosine >= COSINE_MIN && offset < 1.0 {
                            let cost = offset + distance(&probe, i, &reference, j) as f32 * (1.0 / 128.0);
                            expected.push(u64::from(cost.to_bits()) << 16 | (i << 8 | j) as u64);
                        }
                    }
                }
                expected.sort_unstable();
                for isa in Isa::available() {
                    pair_up(isa, &probe, &reference, &mut out);
                    prop_assert_eq!(&out.keys, &expected, "{}", isa);
                }
            }
        }
    }
}
