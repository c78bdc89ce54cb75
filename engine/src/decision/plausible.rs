//! Can these minutiae be of one finger? A template that tries to resemble everybody's (a wolf) is laid out as no finger
//! is: more minutiae than skin has room for, several at one place, or directions that follow no flow of ridges.
//!
//! The limits lie beyond everything seen in 1,400 impressions by two extractors (FVC2002, FVC2004, FCJ2020); a test holds
//! them against the collections where these are at hand. What looks like a finger passes: that it resembles nobody is
//! for the comparison to say.

use crate::template::{FingerTemplate, Minutia};

/// Why minutiae cannot be of one finger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Implausible {
    /// More minutiae to the area than skin has.
    Crowded,
    /// Many minutiae at the place of another.
    Piled,
    /// Neighbours' directions have nothing in common.
    Incoherent,
}

impl Implausible {
    /// A clause for the operator.
    pub fn text(self) -> &'static str {
        match self {
            Self::Crowded => "more minutiae than a finger has room for",
            Self::Piled => "many minutiae lie at the same place",
            Self::Incoherent => "the directions of neighbouring minutiae follow no ridges",
        }
    }
}

/// Fewest minutiae whose density says anything.
const CROWDED_COUNT_MIN: usize = 100;
/// Minutiae per 10,000 px² of their hull with a rim of half a ridge field; the collections reach 15.5.
const CROWDED_PER_10000_PX_SQ: f64 = 17.0;
/// Fewest minutiae whose share of doubles says anything.
const PILED_COUNT_MIN: usize = 20;
/// Closer than this, two minutiae share a place, px. Extractors join what is closer than half a ridge period.
const PILED_PX: i64 = 4;
/// Per cent of minutiae that share a place; the collections reach 11.
const PILED_PERCENT: usize = 30;
/// Neighbours, px.
const NEAR_PX: i64 = 40;
/// Fewest pairs of neighbours whose directions say anything.
const PAIRS_MIN: usize = 100;
/// Mean cosine of twice the angle between neighbours; the collections go down to 0.18, random directions give 0.
const COHERENCE_MIN: f64 = 0.10;
/// Coordinates are quarter pixels.
const UNITS_PER_PX: i64 = 4;

/// Whether the print cannot be of one finger. Cost: minutiae squared.
pub fn implausible(print: &FingerTemplate) -> Option<Implausible> {
    let minutiae = print.minutiae();
    if minutiae.len() >= CROWDED_COUNT_MIN && per_10000_px_sq(minutiae) > CROWDED_PER_10000_PX_SQ {
        return Some(Implausible::Crowded);
    }
    let reach = |px: i64| (px * UNITS_PER_PX) * (px * UNITS_PER_PX);
    let (mut sum, mut pairs, mut piled) = (0.0, 0, vec![false; minutiae.len()]);
    for (i, a) in minutiae.iter().enumerate() {
        for (j, b) in minutiae[..i].iter().enumerate() {
            let (dx, dy) = (i64::from(a.x) - i64::from(b.x), i64::from(a.y) - i64::from(b.y));
            let distance = dx * dx + dy * dy;
            if distance < reach(NEAR_PX) {
                // Ridges have no sense: a turn by half a circle is none.
                let turn = a.angle.wrapping_sub(b.angle).wrapping_mul(2);
                sum += libm::cos(f64::from(turn) * (std::f64::consts::TAU / 65_536.0));
                pairs += 1;
            }
            if distance < reach(PILED_PX) {
                (piled[i], piled[j]) = (true, true);
            }
        }
    }
    let doubles = piled.iter().filter(|p| **p).count();
    if minutiae.len() >= PILED_COUNT_MIN && doubles * 100 > minutiae.len() * PILED_PERCENT {
        return Some(Implausible::Piled);
    }
    (pairs >= PAIRS_MIN && sum < COHERENCE_MIN * pairs as f64).then_some(Implausible::Incoherent)
}

/// The hull is widened by 10 px all round, so that a few minutiae in a row are not infinitely dense.
fn per_10000_px_sq(minutiae: &[Minutia]) -> f64 {
    let area = hull_area_px_sq(minutiae);
    let rim = 40.0 * libm::sqrt(area);
    minutiae.len() as f64 * 1e4 / (area + rim + 1.0)
}

/// Area of the convex hull (monotone chain; templates keep their minutiae sorted by place).
fn hull_area_px_sq(minutiae: &[Minutia]) -> f64 {
    let mut points: Vec<(i64, i64)> = minutiae.iter().map(|m| (i64::from(m.x), i64::from(m.y))).collect();
    points.sort_unstable();
    points.dedup();
    let chain = |points: &mut dyn Iterator<Item = &(i64, i64)>| {
        let mut hull: Vec<(i64, i64)> = Vec::new();
        for &p in points {
            while let [.., a, b] = hull[..] {
                if (b.0 - a.0) * (p.1 - a.1) - (b.1 - a.1) * (p.0 - a.0) > 0 {
                    break;
                }
                hull.pop();
            }
            hull.push(p);
        }
        hull.pop();
        hull
    };
    let mut hull = chain(&mut points.iter());
    hull.extend(chain(&mut points.iter().rev()));
    let next = hull.iter().cycle().skip(1);
    let twice: i64 = hull.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
    twice.abs() as f64 / (2.0 * (UNITS_PER_PX * UNITS_PER_PX) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Extractor, FingerPosition};

    fn print(minutiae: impl IntoIterator<Item = (u16, u16, u16)>) -> FingerTemplate {
        let minutiae = minutiae
            .into_iter()
            .map(|(x, y, angle)| Minutia { x: 4 * x, y: 4 * y, angle, kind_code: 1, quality: 50 })
            .collect();
        FingerTemplate::new(FingerPosition::UNKNOWN, 0, 1280, 1760, Extractor::default(), minutiae).expect("valid")
    }

    /// A flow that turns slowly, on a grid of this step.
    fn flow(step: u16, columns: u16, rows: u16) -> FingerTemplate {
        let at = |k: u16| (20 + k % columns * step, 20 + k / columns * step, (k % columns) << 8);
        print((0..columns * rows).map(at))
    }

    #[test]
    fn a_flow_with_room_between_its_minutiae_is_plausible() {
        assert_eq!(implausible(&flow(30, 8, 10)), None);
        assert_eq!(implausible(&print([])), None);
        assert_eq!(implausible(&print((0..12).map(|k| (50, 50, k << 12)))), None, "too few to say");
    }

    #[test]
    fn more_than_skin_has_room_for_is_not() {
        assert_eq!(implausible(&flow(16, 15, 17)), Some(Implausible::Crowded));
    }

    #[test]
    fn a_bristle_of_directions_at_each_place_is_not() {
        let at = |k: u16| (30 + k / 8 * 60 % 240, 40 + k / 32 * 60, k << 13);
        assert_eq!(implausible(&print((0..96).map(at))), Some(Implausible::Piled));
    }

    #[test]
    fn directions_without_a_flow_are_not() {
        let at = |k: u16| {
            (20 + k % 9 * 30, 20 + k / 9 * 30, k.wrapping_mul(k).wrapping_mul(31_337).wrapping_add(k.wrapping_mul(977)))
        };
        assert_eq!(implausible(&print((0..90).map(at))), Some(Implausible::Incoherent));
    }
}
