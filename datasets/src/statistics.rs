//! Statistics that hold the generator against real collections.
//!
//! Everything is measured the same way on both: distributions of one number a template or a minutia, compared by the
//! two-sample Kolmogorov-Smirnov distance, and the quality's variance by person, finger and impression.

use duynhat_engine::template::{FingerTemplate, Minutia};

/// The distributions of one set of templates, each sorted.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Minutiae in a template.
    pub count: Vec<f64>,
    /// Distance to the nearest other minutia of the template, px.
    pub neighbour_px: Vec<f64>,
    /// Difference of direction to the nearest other minutia, degrees 0 to 180, where it is within 15 px.
    pub close_turn_deg: Vec<f64>,
    /// Difference of direction to the nearest other minutia, degrees 0 to 180, where it is beyond 15 px.
    pub far_turn_deg: Vec<f64>,
    /// Area of the convex hull, px².
    pub hull_px_sq: Vec<f64>,
    /// Minutiae per 10,000 px² of the hull, templates of three minutiae or more.
    pub density: Vec<f64>,
    /// Width of the box about the minutiae, px.
    pub across_px: Vec<f64>,
    /// Height of the box about the minutiae, px.
    pub along_px: Vec<f64>,
    /// Quality of the minutiae that say it.
    pub quality: Vec<f64>,
    /// Mean quality of a template's minutiae.
    pub mean_quality: Vec<f64>,
    /// 1 for a bifurcation, 0 for an ending, others left out.
    pub bifurcation: Vec<f64>,
}

impl Summary {
    /// Measures templates. Cost: minutiae squared, per template.
    pub fn of<'a>(templates: impl IntoIterator<Item = &'a FingerTemplate>) -> Self {
        let mut summary = Self::default();
        for template in templates {
            summary.add(template.minutiae());
        }
        for (_, values) in summary.named_mut() {
            values.sort_by(f64::total_cmp);
        }
        summary
    }

    fn add(&mut self, minutiae: &[Minutia]) {
        self.count.push(minutiae.len() as f64);
        for (i, m) in minutiae.iter().enumerate() {
            let nearest = (0..minutiae.len()).filter(|&j| j != i).map(|j| (distance_sq(m, &minutiae[j]), j)).min();
            if let Some((d, j)) = nearest {
                let px = libm::sqrt(d as f64) * 0.25;
                self.neighbour_px.push(px);
                let turn = turn_deg(m.angle, minutiae[j].angle);
                if px < 15.0 { &mut self.close_turn_deg } else { &mut self.far_turn_deg }.push(turn);
            }
            if m.quality > 0 {
                self.quality.push(f64::from(m.quality));
            }
            if m.kind_code == 1 || m.kind_code == 2 {
                self.bifurcation.push(f64::from(m.kind_code - 1));
            }
        }
        if minutiae.is_empty() {
            return;
        }
        let sum: f64 = minutiae.iter().map(|m| f64::from(m.quality)).sum();
        self.mean_quality.push(sum / minutiae.len() as f64);
        let extent = |value: fn(&Minutia) -> u16| {
            let (low, high) = minutiae.iter().map(value).fold((u16::MAX, 0), |(l, h), v| (l.min(v), h.max(v)));
            f64::from(high - low) * 0.25
        };
        self.across_px.push(extent(|m| m.x));
        self.along_px.push(extent(|m| m.y));
        let hull = hull_area_px_sq(minutiae);
        self.hull_px_sq.push(hull);
        if hull > 1000.0 {
            self.density.push(minutiae.len() as f64 / hull * 1e4);
        }
    }

    fn named_mut(&mut self) -> [(&'static str, &mut Vec<f64>); 11] {
        [
            ("count", &mut self.count),
            ("neighbour_px", &mut self.neighbour_px),
            ("close_turn_deg", &mut self.close_turn_deg),
            ("far_turn_deg", &mut self.far_turn_deg),
            ("hull_px_sq", &mut self.hull_px_sq),
            ("density", &mut self.density),
            ("across_px", &mut self.across_px),
            ("along_px", &mut self.along_px),
            ("quality", &mut self.quality),
            ("mean_quality", &mut self.mean_quality),
            ("bifurcation", &mut self.bifurcation),
        ]
    }

    /// The distributions by name, each sorted.
    pub fn named(&self) -> [(&'static str, &[f64]); 11] {
        [
            ("count", &self.count),
            ("neighbour_px", &self.neighbour_px),
            ("close_turn_deg", &self.close_turn_deg),
            ("far_turn_deg", &self.far_turn_deg),
            ("hull_px_sq", &self.hull_px_sq),
            ("density", &self.density),
            ("across_px", &self.across_px),
            ("along_px", &self.along_px),
            ("quality", &self.quality),
            ("mean_quality", &self.mean_quality),
            ("bifurcation", &self.bifurcation),
        ]
    }

    /// The Kolmogorov-Smirnov test of every distribution against another set's.
    pub fn against(&self, other: &Self) -> Vec<(&'static str, KolmogorovSmirnov)> {
        self.named()
            .into_iter()
            .zip(other.named())
            .map(|((name, a), (_, b))| (name, kolmogorov_smirnov(a, b)))
            .collect()
    }
}

fn distance_sq(a: &Minutia, b: &Minutia) -> i64 {
    let (dx, dy) = (i64::from(a.x) - i64::from(b.x), i64::from(a.y) - i64::from(b.y));
    dx * dx + dy * dy
}

/// Smallest turn between two directions, 0 to 180 degrees.
fn turn_deg(a: u16, b: u16) -> f64 {
    f64::from((a.wrapping_sub(b) as i16).unsigned_abs()) * (180.0 / 32768.0)
}

/// Area of the convex hull, px²; 0 for fewer than three minutiae. They come sorted by place.
fn hull_area_px_sq(minutiae: &[Minutia]) -> f64 {
    let points: Vec<(i64, i64)> = minutiae.iter().map(|m| (i64::from(m.x), i64::from(m.y))).collect();
    let chain = |points: &mut dyn Iterator<Item = (i64, i64)>| {
        let mut hull: Vec<(i64, i64)> = Vec::new();
        for p in points {
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
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    let twice: i64 = (0..hull.len())
        .map(|i| {
            let (a, b) = (hull[i], hull[(i + 1) % hull.len()]);
            a.0 * b.1 - b.0 * a.1
        })
        .sum();
    twice.abs() as f64 / 32.0
}

/// Value at this share of a sorted sample; NaN when it is empty.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)]
}

/// Mean; NaN when empty.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The two-sample Kolmogorov-Smirnov test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KolmogorovSmirnov {
    /// Largest difference between the two distribution functions, 0 to 1.
    pub distance: f64,
    /// Probability of a distance as large if both samples were independent draws from one distribution. Minutiae of one
    /// print are not independent, so for per-minutia numbers this is too small: go by the distance.
    pub p_value: f64,
}

/// Compares two sorted samples; distance 1 when one is empty. The probability is the asymptotic one.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> KolmogorovSmirnov {
    if a.is_empty() || b.is_empty() {
        return KolmogorovSmirnov { distance: 1.0, p_value: 0.0 };
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j, mut distance) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while i < a.len() && a[i] <= value {
            i += 1;
        }
        while j < b.len() && b[j] <= value {
            j += 1;
        }
        distance = distance.max((i as f64 / n - j as f64 / m).abs());
    }
    let size = libm::sqrt(n * m / (n + m));
    let lambda = (size + 0.12 + 0.11 / size) * distance;
    let p: f64 = (1..=100)
        .map(|k| {
            let k = f64::from(k);
            let sign = if k as i32 % 2 == 1 { 2.0 } else { -2.0 };
            sign * libm::exp(-2.0 * k * k * lambda * lambda)
        })
        .sum();
    let p_value = if lambda < 0.2 { 1.0 } else { p.clamp(0.0, 1.0) };
    KolmogorovSmirnov { distance, p_value }
}

/// Shares of a number's variance in a balanced design: people, fingers of a person, impressions of a finger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarianceShares {
    /// Between people.
    pub person: f64,
    /// Between fingers of one person.
    pub finger: f64,
    /// Between impressions of one finger.
    pub impression: f64,
}

/// Nested analysis of variance of `values[person][finger][impression]`, negative estimates set to 0; `None` unless the
/// design is balanced with two of each at least.
pub fn variance_shares(values: &[Vec<Vec<f64>>]) -> Option<VarianceShares> {
    let people = values.len();
    let fingers = values.first()?.len();
    let impressions = values.first()?.first()?.len();
    let balanced = values.iter().all(|p| p.len() == fingers && p.iter().all(|f| f.len() == impressions));
    if !balanced || people < 2 || fingers < 2 || impressions < 2 {
        return None;
    }
    let finger_means: Vec<Vec<f64>> = values.iter().map(|p| p.iter().map(|f| mean(f)).collect()).collect();
    let person_means: Vec<f64> = finger_means.iter().map(|p| mean(p)).collect();
    let grand = mean(&person_means);
    let square = |d: f64| d * d;
    let (p, f, i) = (people as f64, fingers as f64, impressions as f64);
    let between_people = person_means.iter().map(|&m| square(m - grand)).sum::<f64>() * f * i / (p - 1.0);
    let mut between_fingers = 0.0;
    let mut within = 0.0;
    for (person, means) in values.iter().zip(&finger_means) {
        let own = mean(means);
        for (finger, &m) in person.iter().zip(means) {
            between_fingers += square(m - own);
            within += finger.iter().map(|&v| square(v - m)).sum::<f64>();
        }
    }
    let between_fingers = between_fingers * i / (p * (f - 1.0));
    let within = within / (p * f * (i - 1.0));
    let finger = ((between_fingers - within) / i).max(0.0);
    let person = ((between_people - between_fingers) / (f * i)).max(0.0);
    let total = (person + finger + within).max(f64::MIN_POSITIVE);
    Some(VarianceShares { person: person / total, finger: finger / total, impression: within / total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_a_sample_to_itself_is_zero_and_to_a_shifted_one_the_shift() {
        let a: Vec<f64> = (0..1000).map(|k| f64::from(k) / 1000.0).collect();
        let b: Vec<f64> = a.iter().map(|v| v + 0.25).collect();
        assert_eq!(kolmogorov_smirnov(&a, &a).distance, 0.0);
        assert_eq!(kolmogorov_smirnov(&a, &a).p_value, 1.0);
        assert!((kolmogorov_smirnov(&a, &b).distance - 0.25).abs() < 0.002);
        assert!(kolmogorov_smirnov(&a, &b).p_value < 1e-6);
    }

    #[test]
    fn hull_of_a_square_has_its_area() {
        let at = |x: u16, y: u16| Minutia { x: 4 * x, y: 4 * y, angle: 0, kind_code: 1, quality: 0 };
        let mut square = vec![at(10, 10), at(10, 110), at(110, 10), at(110, 110), at(60, 60), at(10, 60)];
        square.sort();
        assert_eq!(hull_area_px_sq(&square), 10_000.0);
        assert_eq!(hull_area_px_sq(&square[..1]), 0.0);
        assert_eq!(hull_area_px_sq(&[]), 0.0);
    }

    #[test]
    fn variance_goes_where_it_comes_from() {
        let by_person: Vec<Vec<Vec<f64>>> =
            (0..40).map(|p| vec![vec![f64::from(p % 7), f64::from(p % 7) + 0.01]; 3]).collect();
        assert!(variance_shares(&by_person).unwrap().person > 0.99);
        let by_finger: Vec<Vec<Vec<f64>>> =
            (0..40).map(|_| (0..3).map(|f| vec![f64::from(f), f64::from(f) + 0.01]).collect()).collect();
        assert!(variance_shares(&by_finger).unwrap().finger > 0.99);
        assert_eq!(variance_shares(&[]), None);
    }
}
