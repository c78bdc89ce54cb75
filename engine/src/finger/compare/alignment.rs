//! Laying the probe over the reference, and pairing what then lies together.

use super::local::{Pair, distance};
use super::points::{Points, faces};
use super::relaxation::Relaxed;

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
/// A minutia this far outside the other print's octagon may still have been seen there.
const MARGIN_PX: f32 = 8.0;

/// Minutiae that lie together under a motion, and what lies in the overlap.
#[derive(Clone, Default)]
pub(super) struct Overlay {
    pub(super) motion: Motion,
    pub(super) pairs: Vec<Paired>,
    /// Minutiae of each print where the other one also has skin: how many, and their weights' sum.
    pub(super) overlap_probe: (f32, f32),
    pub(super) overlap_reference: (f32, f32),
    keys: Vec<(f32, u16)>,
    used_probe: Vec<bool>,
    used_reference: Vec<bool>,
    tx: Vec<f32>,
    ty: Vec<f32>,
    tc: Vec<f32>,
    ts: Vec<f32>,
    cost: Vec<f32>,
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
    // Positions and directions both say what the rotation is; a direction counts like a lever of 20 px.
    let (mut c, mut s) = (0.0, 0.0);
    for k in 0..pairs.len() {
        let w = weight(k);
        let (px, py) = (relaxed.ax[k] - ax, relaxed.ay[k] - ay);
        let (qx, qy) = (relaxed.bx[k] - bx, relaxed.by[k] - by);
        c += w * (px * qx + py * qy + 400.0 * relaxed.c[k]);
        s += w * (px * qy - py * qx + 400.0 * relaxed.s[k]);
    }
    let norm = (c * c + s * s).sqrt();
    let (c, s) = if norm > 0.0 { (c / norm, s / norm) } else { (1.0, 0.0) };
    (Motion { c, s, x: bx - (c * ax - s * ay), y: by - (s * ax + c * ay) }, total)
}

/// Pairs minutiae greedily under `motion`, the best first; `around` is the centre of what gave the motion.
#[inline(always)]
pub(super) fn overlay(probe: &Points, reference: &Points, motion: Motion, around: (f32, f32), out: &mut Overlay) {
    out.motion = motion;
    transform(probe, motion, out);
    out.keys.clear();
    let padded = reference.x.len();
    out.cost.clear();
    out.cost.resize(padded, 0.0);
    for i in 0..probe.count {
        let (x, y, c, s) = (out.tx[i], out.ty[i], out.tc[i], out.ts[i]);
        let (dx, dy) = (x - around.0, y - around.1);
        let far = TOLERANCE_PX + TOLERANCE_GROWTH * (dx * dx + dy * dy).sqrt();
        let tolerance = if far < TOLERANCE_PX_MAX { far } else { TOLERANCE_PX_MAX };
        let scale = 1.0 / (tolerance * tolerance);
        let (rx, ry) = (&reference.x[..padded], &reference.y[..padded]);
        let (rc, rs) = (&reference.c[..padded], &reference.s[..padded]);
        for j in 0..padded {
            let (ex, ey) = (rx[j] - x, ry[j] - y);
            let offset = (ex * ex + ey * ey) * scale;
            let cosine = c * rc[j] + s * rs[j];
            out.cost[j] = if cosine >= COSINE_MIN { offset } else { 2.0 };
        }
        for (j, &offset) in out.cost[..reference.count].iter().enumerate() {
            if offset < 1.0 {
                let codes = distance(probe, i, reference, j) as f32;
                out.keys.push((offset + codes * (1.0 / 128.0), (i << 8 | j) as u16));
            }
        }
    }
    out.keys.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    out.used_probe.clear();
    out.used_probe.resize(probe.count, false);
    out.used_reference.clear();
    out.used_reference.resize(reference.count, false);
    out.pairs.clear();
    for &(cost, key) in &out.keys {
        let (i, j) = (usize::from(key >> 8), usize::from(key & 255));
        if out.used_probe[i] || out.used_reference[j] {
            continue;
        }
        out.used_probe[i] = true;
        out.used_reference[j] = true;
        let codes = distance(probe, i, reference, j) as f32;
        out.pairs.push(Paired {
            probe: i as u8,
            reference: j as u8,
            offset: cost - codes * (1.0 / 128.0),
            cosine: out.tc[i] * reference.c[j] + out.ts[i] * reference.s[j],
            distance: codes,
            weight: probe.weight[i] * reference.weight[j],
        });
    }
    measure_overlap(probe, reference, out);
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
    let inside = |octagon: &[f32; 8], x: f32, y: f32| {
        faces(x, y).iter().zip(octagon).all(|(value, bound)| *value <= *bound + MARGIN_PX)
    };
    out.overlap_probe = (0.0, 0.0);
    for i in 0..probe.count {
        if inside(&reference.octagon, out.tx[i], out.ty[i]) {
            out.overlap_probe.0 += 1.0;
            out.overlap_probe.1 += probe.weight[i];
        }
    }
    let m = out.motion;
    out.overlap_reference = (0.0, 0.0);
    for j in 0..reference.count {
        let (dx, dy) = (reference.x[j] - m.x, reference.y[j] - m.y);
        if inside(&probe.octagon, m.c * dx + m.s * dy, m.c * dy - m.s * dx) {
            out.overlap_reference.0 += 1.0;
            out.overlap_reference.1 += reference.weight[j];
        }
    }
}
