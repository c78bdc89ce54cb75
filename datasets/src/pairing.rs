//! A plain alignment oracle, independent of the engine's comparison: which minutiae of two impressions are the same?
//!
//! Every pair of minutiae with a plausible turn proposes a rigid motion; the motion that brings most minutiae together
//! wins, is refined by least squares, and the pairs under it are counted. It is slow (hundreds of comparisons a
//! second) and simple, which is what an oracle should be.

use duynhat_engine::template::FingerTemplate;

use crate::field::Vector;

/// What lies together under the best rigid motion.
#[derive(Clone, Debug, Default)]
pub struct Pairing {
    /// Pairs of indices into the two templates' minutiae.
    pub pairs: Vec<(usize, usize)>,
    /// Distance of each pair, px.
    pub distance_px: Vec<f64>,
    /// Difference of direction of each pair, degrees 0 to 180.
    pub turn_deg: Vec<f64>,
    /// Minutiae of the first that lie within 30 px of one of the second's: the overlap.
    pub overlap_first: Vec<usize>,
    /// Minutiae of the second in the overlap.
    pub overlap_second: Vec<usize>,
}

impl Pairing {
    /// Share of the overlap's minutiae that have a partner, 0 when nothing overlaps.
    pub fn rate(&self) -> f64 {
        let overlap = self.overlap_first.len() + self.overlap_second.len();
        if overlap == 0 { 0.0 } else { 2.0 * self.pairs.len() as f64 / overlap as f64 }
    }

    /// A crude similarity: pairs squared over the product of both overlaps' sizes, weighted by the pairs.
    pub fn similarity(&self) -> f64 {
        let n = self.pairs.len() as f64;
        if self.pairs.is_empty() {
            return 0.0;
        }
        n * n * n / (self.overlap_first.len().max(1) as f64 * self.overlap_second.len().max(1) as f64)
    }
}

struct Point {
    at: Vector,
    direction: Vector,
}

fn points(template: &FingerTemplate) -> Vec<Point> {
    template
        .minutiae()
        .iter()
        .map(|m| {
            let angle = f64::from(m.angle) * (std::f64::consts::TAU / 65536.0);
            Point {
                at: Vector::new(f64::from(m.x) * 0.25, -f64::from(m.y) * 0.25),
                direction: Vector::new(libm::cos(angle), libm::sin(angle)),
            }
        })
        .collect()
}

/// Largest distance of a pair under the final motion, px.
const REACH_PX: f64 = 14.0;
/// Cosine of the largest difference of direction of a pair: 30 degrees.
const TURN_COS: f64 = 0.866;
/// Cosine of the largest rotation that is tried: 60 degrees.
const ROTATION_COS: f64 = 0.5;

/// Pairs the minutiae of two impressions. Best used on at most some hundred thousand pairs.
pub fn pair(first: &FingerTemplate, second: &FingerTemplate) -> Pairing {
    let (a, b) = (points(first), points(second));
    let mut best = (0usize, Vector::new(1.0, 0.0), Vector::default());
    for p in &a {
        for q in &b {
            // The turn that brings p's direction to q's.
            let turn = q.direction.turned(Vector::new(p.direction.x, -p.direction.y));
            if turn.x < ROTATION_COS {
                continue;
            }
            let shift = q.at.minus(p.at.turned(turn));
            let count = a
                .iter()
                .filter(|r| {
                    let moved = r.at.turned(turn).plus(shift, 1.0);
                    let direction = r.direction.turned(turn);
                    b.iter().any(|s| {
                        moved.minus(s.at).length_sq() < REACH_PX * REACH_PX
                            && direction.x * s.direction.x + direction.y * s.direction.y > TURN_COS
                    })
                })
                .count();
            if count > best.0 {
                best = (count, turn, shift);
            }
        }
    }
    let (_, mut turn, mut shift) = best;
    let mut pairs = one_to_one(&a, &b, turn, shift);
    for _ in 0..3 {
        (turn, shift) = rigid_fit(&a, &b, &pairs).unwrap_or((turn, shift));
        pairs = one_to_one(&a, &b, turn, shift);
    }
    describe(&a, &b, turn, shift, pairs)
}

/// Greedy by distance.
fn one_to_one(a: &[Point], b: &[Point], turn: Vector, shift: Vector) -> Vec<(usize, usize)> {
    let mut near = Vec::new();
    for (i, p) in a.iter().enumerate() {
        let moved = p.at.turned(turn).plus(shift, 1.0);
        let direction = p.direction.turned(turn);
        for (j, q) in b.iter().enumerate() {
            let d = moved.minus(q.at).length_sq();
            if d < REACH_PX * REACH_PX && direction.x * q.direction.x + direction.y * q.direction.y > TURN_COS {
                near.push((d, i, j));
            }
        }
    }
    near.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)).then(x.2.cmp(&y.2)));
    let (mut used_a, mut used_b) = (vec![false; a.len()], vec![false; b.len()]);
    let mut pairs = Vec::new();
    for (_, i, j) in near {
        if !used_a[i] && !used_b[j] {
            (used_a[i], used_b[j]) = (true, true);
            pairs.push((i, j));
        }
    }
    pairs
}

/// The rigid motion with the least squared distance over the pairs; `None` for fewer than three.
fn rigid_fit(a: &[Point], b: &[Point], pairs: &[(usize, usize)]) -> Option<(Vector, Vector)> {
    if pairs.len() < 3 {
        return None;
    }
    let share = 1.0 / pairs.len() as f64;
    let (mut ca, mut cb) = (Vector::default(), Vector::default());
    for &(i, j) in pairs {
        ca = ca.plus(a[i].at, share);
        cb = cb.plus(b[j].at, share);
    }
    let mut sum = Vector::default();
    for &(i, j) in pairs {
        let p = a[i].at.minus(ca);
        sum = sum.plus(b[j].at.minus(cb).turned(Vector::new(p.x, -p.y)), 1.0);
    }
    let turn = sum.unit();
    Some((turn, cb.minus(ca.turned(turn))))
}

fn describe(a: &[Point], b: &[Point], turn: Vector, shift: Vector, pairs: Vec<(usize, usize)>) -> Pairing {
    const NEAR_PX: f64 = 30.0;
    let moved: Vec<Vector> = a.iter().map(|p| p.at.turned(turn).plus(shift, 1.0)).collect();
    let close = |p: Vector, q: Vector| p.minus(q).length_sq() < NEAR_PX * NEAR_PX;
    let overlap_first = (0..a.len()).filter(|&i| b.iter().any(|q| close(moved[i], q.at))).collect();
    let overlap_second = (0..b.len()).filter(|&j| moved.iter().any(|&p| close(p, b[j].at))).collect();
    let distance_px = pairs.iter().map(|&(i, j)| libm::sqrt(moved[i].minus(b[j].at).length_sq())).collect();
    let turn_deg = pairs
        .iter()
        .map(|&(i, j)| {
            let d = a[i].direction.turned(turn);
            let e = b[j].direction;
            libm::atan2((d.x * e.y - d.y * e.x).abs(), d.x * e.x + d.y * e.y).to_degrees()
        })
        .collect();
    Pairing { pairs, distance_px, turn_deg, overlap_first, overlap_second }
}
