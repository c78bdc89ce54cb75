//! Pattern classes, their singular points and the ridge orientation field they imply.
//!
//! Coordinates are pixels at 500 dpi about the centre of the finger's pad, y up, x to the right as on the page.
//! An orientation is kept as the unit vector of its *double* angle, which makes the zero-pole model of Sherlock and
//! Monro ("A model for interpreting fingerprint topology", Pattern Recognition 26 (1993) 1047-1055) a product of
//! complex numbers: no transcendental function at all. The zero-pole field is too flat above the core; Vizcaya and
//! Gerhardt (Pattern Recognition 29 (1996) 1221-1231) bend each singular point's share piecewise linearly. Here one
//! smooth rotation does the same ([`Field::roundness`]), and a random polynomial gives each finger its own flow.

use crate::random::{Stream, normal_cdf};

/// Pattern class of a print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatternClass {
    /// No singular point.
    Arch,
    /// One core straight above one delta.
    TentedArch,
    /// A loop that opens towards the thumb.
    RadialLoop,
    /// A loop that opens towards the little finger.
    UlnarLoop,
    /// Two loops around each other: two cores far apart, two deltas.
    DoubleLoop,
    /// Two cores close together, two deltas.
    Whorl,
}

impl PatternClass {
    /// In order of pattern intensity (number of triradii), the order in which a person's fingers go together.
    pub const ALL: [Self; 6] =
        [Self::Arch, Self::TentedArch, Self::RadialLoop, Self::UlnarLoop, Self::DoubleLoop, Self::Whorl];
}

/// Share of each class (in [`PatternClass::ALL`]'s order) by finger, thumb to little.
///
/// Overall shares are those of C. L. Wilson, G. T. Candela, C. I. Watson ("Neural network fingerprint classification",
/// 1994; also the natural classes of SFinGe: arch 3.7 %, tented arch 2.9 %, left loop 33.8 %, right loop 31.7 %, whorl
/// 27.9 %). How they spread over the fingers (whorls on thumb and ring finger, arches and radial loops on the index,
/// ulnar loops on the little finger) follows H. Cummins, C. Midlo, "Finger Prints, Palms and Soles" (1943); a fifth
/// of the whorl class are double loops.
const CLASS_SHARE_BY_FINGER: [[f64; 6]; 5] = [
    [0.026, 0.010, 0.004, 0.560, 0.120, 0.280],
    [0.075, 0.065, 0.200, 0.350, 0.050, 0.260],
    [0.050, 0.040, 0.025, 0.680, 0.045, 0.160],
    [0.018, 0.017, 0.010, 0.580, 0.045, 0.330],
    [0.012, 0.010, 0.003, 0.845, 0.040, 0.090],
];

/// Correlation between the pattern intensity of two fingers of a person. Assumed: fingers of one hand are known to go
/// together clearly (Cummins and Midlo, 1943), and the value is a moderate one.
const CLASS_CORRELATION: f64 = 0.45;

/// Draws a finger's class; `person` is the person's own standard normal for pattern intensity.
pub(crate) fn draw_class(finger_of_hand: usize, person: f64, stream: &mut Stream) -> PatternClass {
    let own = stream.normal();
    let rank = normal_cdf(libm::sqrt(CLASS_CORRELATION) * person + libm::sqrt(1.0 - CLASS_CORRELATION) * own);
    let mut sum = 0.0;
    for (class, share) in PatternClass::ALL.into_iter().zip(CLASS_SHARE_BY_FINGER[finger_of_hand.min(4)]) {
        sum += share;
        if rank < sum {
            return class;
        }
    }
    PatternClass::Whorl
}

/// A place or a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vector {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

impl Vector {
    pub(crate) const fn new(x: f64, y: f64) -> Self {
        Self { x, y }
    }

    /// Complex product: turns `self` by the angle of `other` (and stretches by its length).
    pub(crate) fn turned(self, other: Self) -> Self {
        Self::new(self.x * other.x - self.y * other.y, self.x * other.y + self.y * other.x)
    }

    pub(crate) fn plus(self, other: Self, times: f64) -> Self {
        Self::new(self.x + times * other.x, self.y + times * other.y)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }

    pub(crate) fn length_sq(self) -> f64 {
        self.x * self.x + self.y * self.y
    }

    /// Of length one; +x when too short to tell.
    pub(crate) fn unit(self) -> Self {
        let length_sq = self.length_sq();
        if length_sq < 1e-12 {
            return Self::new(1.0, 0.0);
        }
        let inverse = 1.0 / libm::sqrt(length_sq);
        Self::new(self.x * inverse, self.y * inverse)
    }

    /// The rotation by roughly `angle` radians: tangent of the angle taken as the angle, exact to a degree below 0.4.
    pub(crate) fn small_turn(angle: f64) -> Self {
        Self::new(1.0, angle).unit()
    }
}

/// Radians of double-angle turn per unit of `x/200 px`, high above the core: how round the ridges run over the top.
/// At 2.5 the flow 100 px beside and 100 px above the core has turned by about 40 degrees, as on concentric arcs.
const ROUNDNESS: f64 = 2.5;
/// Spread of the random polynomial's coefficients, radians of double angle at 200 px. Assumed: prints of one class
/// differ by some 5 to 10 degrees there once their singular points are laid over each other.
const FLOW_SD: f64 = 0.16;
/// The length to which the polynomials are scaled, in px.
const SCALE_PX: f64 = 200.0;

/// The ridge orientation of one finger.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    cores: [Vector; 2],
    deltas: [Vector; 2],
    singular_pairs: usize,
    /// Rise of an arch's ridges at its steepest; 0 for the other classes.
    arch: f64,
    /// Turn of the whole double-angle field.
    turn: Vector,
    roundness: f64,
    flow: [f64; 6],
}

impl Field {
    /// Draws the field of one finger. `mirrored`: loops that open to the left.
    pub(crate) fn draw(class: PatternClass, mirrored: bool, size: f64, stream: &mut Stream) -> Self {
        let side = if mirrored { -1.0 } else { 1.0 };
        let mut at = |x: f64, y: f64, sd_x: f64, sd_y: f64| {
            Vector::new(size * stream.gaussian(side * x, sd_x), size * stream.gaussian(y, sd_y))
        };
        let none = Vector::default();
        // A loop that opens to the right has its delta on the left. Core to delta: about 13 ridges of 9 px for ulnar
        // loops (Cummins and Midlo, 1943), whence the distances.
        let (cores, deltas, singular_pairs) = match class {
            PatternClass::Arch => ([none; 2], [none; 2], 0),
            PatternClass::TentedArch => ([at(0.0, 5.0, 6.0, 10.0), none], [at(0.0, -60.0, 6.0, 14.0), none], 1),
            PatternClass::RadialLoop | PatternClass::UlnarLoop => {
                ([at(0.0, 22.0, 9.0, 13.0), none], [at(-78.0, -80.0, 18.0, 22.0), none], 1)
            }
            PatternClass::DoubleLoop => (
                [at(-14.0, 42.0, 8.0, 12.0), at(16.0, -8.0, 8.0, 12.0)],
                [at(-85.0, -70.0, 17.0, 22.0), at(85.0, -75.0, 17.0, 22.0)],
                2,
            ),
            PatternClass::Whorl => (
                [at(0.0, 36.0, 8.0, 11.0), at(0.0, 8.0, 8.0, 11.0)],
                [at(-88.0, -70.0, 17.0, 22.0), at(88.0, -70.0, 17.0, 22.0)],
                2,
            ),
        };
        let arch = if class == PatternClass::Arch { stream.gaussian(0.55, 0.12).max(0.15) } else { 0.0 };
        let mut flow = [0.0; 6];
        for coefficient in &mut flow {
            *coefficient = stream.gaussian(0.0, FLOW_SD);
        }
        let mut field = Self {
            cores,
            deltas,
            singular_pairs,
            arch,
            turn: Vector::new(1.0, 0.0),
            roundness: if class == PatternClass::Arch { 0.3 * ROUNDNESS } else { ROUNDNESS },
            flow,
        };
        // A lone delta to one side tilts the flow over the top; half of that is taken back.
        if singular_pairs == 1 {
            let over = field.double_angle(Vector::new(cores[0].x, cores[0].y + 90.0 * size));
            field.turn = Vector::new(1.0 + over.x, -over.y).unit();
        }
        field
    }

    /// Unit vector of twice the ridge angle at `at`.
    pub(crate) fn double_angle(&self, at: Vector) -> Vector {
        let (x, y) = (at.x / SCALE_PX, at.y / SCALE_PX);
        let mut z = self.turn;
        for k in 0..self.singular_pairs {
            z = z.turned(at.minus(self.cores[k]));
            let delta = at.minus(self.deltas[k]);
            z = z.turned(Vector::new(delta.x, -delta.y));
        }
        if self.arch > 0.0 {
            // Ridges bulge over the middle: slope of a bell across, strongest a little below the middle.
            let u = x / 0.45;
            let v = (y + 0.15) / 0.7;
            let slope = -self.arch * 3.1 * u / ((1.0 + u * u) * (1.0 + u * u) * (1.0 + v * v));
            z = z.turned(Vector::new(1.0 - slope * slope, 2.0 * slope));
        }
        let rise = ((y + 0.3) * 1.25).clamp(0.0, 1.0);
        let round = -self.roundness * x * rise * rise * (3.0 - 2.0 * rise);
        let f = &self.flow;
        let own = f[0] * x + f[1] * y + f[2] * x * y + f[3] * x * x + f[4] * y * y + f[5] * x * y * y;
        z.turned(Vector::new(1.0, round)).turned(Vector::new(1.0, own)).unit()
    }

    /// A unit vector along the ridge at `at`; which of the two is arbitrary.
    pub(crate) fn tangent(&self, at: Vector) -> Vector {
        half_angle(self.double_angle(at))
    }

    /// Divergence of the ridge direction `tangent` at `at`, per px: how fast ridges spread when one walks along it.
    pub(crate) fn divergence(&self, at: Vector, tangent: Vector) -> f64 {
        const STEP_PX: f64 = 6.0;
        let normal = Vector::new(-tangent.y, tangent.x);
        let left = self.double_angle(at.plus(normal, STEP_PX));
        let right = self.double_angle(at.plus(normal, -STEP_PX));
        // The sine of twice the turn between the two; near a singular point it saturates, and so shall it.
        (right.x * left.y - right.y * left.x) / (4.0 * STEP_PX)
    }

    /// How many times as dense as elsewhere minutiae are at `at`, 1 to about 2: they gather about cores and deltas
    /// (Y. Zhu, S. C. Dass, A. K. Jain, "Statistical models for assessing the individuality of fingerprints", IEEE
    /// TIFS 2 (2007) 391-401, fit clusters of place and direction for that reason).
    pub(crate) fn crowding(&self, at: Vector, gain: f64, reach_px: f64) -> f64 {
        let mut sum = 1.0;
        for k in 0..self.singular_pairs {
            for point in [self.cores[k], self.deltas[k]] {
                let r = at.minus(point).length_sq() / (reach_px * reach_px);
                sum += gain / ((1.0 + r) * (1.0 + r));
            }
        }
        sum
    }
}

/// The unit vector of half the angle of the unit vector `double`, in the right half plane.
fn half_angle(double: Vector) -> Vector {
    let x = libm::sqrt(((1.0 + double.x) * 0.5).max(0.0));
    if x < 1e-6 { Vector::new(0.0, 1.0) } else { Vector::new(x, double.y / (2.0 * x)).unit() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Part;

    /// Turns of the double angle along a circle about `centre`.
    fn winding(field: &Field, centre: Vector, radius: f64) -> i32 {
        let steps = 720;
        let mut sum = 0.0;
        let mut last = None::<Vector>;
        for k in 0..=steps {
            let a = std::f64::consts::TAU * f64::from(k) / f64::from(steps);
            let here = field.double_angle(centre.plus(Vector::new(libm::cos(a), libm::sin(a)), radius));
            if let Some(last) = last {
                sum += libm::atan2(last.x * here.y - last.y * here.x, last.x * here.x + last.y * here.y);
            }
            last = Some(here);
        }
        libm::round(sum / std::f64::consts::TAU) as i32
    }

    #[test]
    fn cores_turn_once_and_deltas_turn_back() {
        for class in PatternClass::ALL {
            let field = Field::draw(class, false, 1.0, &mut Stream::new(5, 0, Part::Master, class as u32, 0));
            for k in 0..field.singular_pairs {
                assert_eq!(winding(&field, field.cores[k], 1.0), 1, "{class:?}");
                assert_eq!(winding(&field, field.deltas[k], 1.0), -1, "{class:?}");
            }
            assert_eq!(winding(&field, Vector::default(), 2000.0), 0, "{class:?}");
        }
    }

    #[test]
    fn ridges_run_across_above_the_core_and_down_between_core_and_delta() {
        let mut across = 0.0;
        let mut down = 0.0;
        for finger in 0..50 {
            let mut stream = Stream::new(5, finger, Part::Master, 0, 0);
            let field = Field::draw(PatternClass::Whorl, false, 1.0, &mut stream);
            across += field.double_angle(Vector::new(0.0, 150.0)).x;
            down += field.double_angle(field.cores[0].plus(field.cores[1], 1.0).turned(Vector::new(0.5, 0.0))).x;
        }
        assert!(across / 50.0 > 0.8, "{across}");
        assert!(down / 50.0 < -0.6, "{down}");
    }

    #[test]
    fn divergence_is_that_of_rays() {
        // Straight rays from a point have divergence 1/r: build them from a core of double strength.
        let field = Field {
            cores: [Vector::default(); 2],
            deltas: [Vector::new(1e9, 1.0); 2],
            singular_pairs: 2,
            arch: 0.0,
            turn: Vector::new(1.0, 0.0),
            roundness: 0.0,
            flow: [0.0; 6],
        };
        let at = Vector::new(60.0, 80.0);
        let outward = at.unit();
        assert!((field.divergence(at, outward) - 0.01).abs() < 2e-4);
    }

    #[test]
    fn classes_come_at_their_natural_shares() {
        let n = 20_000;
        let mut counts = [0usize; 6];
        for person in 0..n {
            let mut stream = Stream::new(5, person, Part::Master, 0, 0);
            let own = stream.normal();
            for finger in 0..5 {
                counts[draw_class(finger, own, &mut stream) as usize] += 1;
            }
        }
        let share = |k: usize| counts[k] as f64 / (5 * n) as f64;
        assert!((share(0) - 0.037).abs() < 0.01 && (share(1) - 0.029).abs() < 0.01);
        assert!((share(2) + share(3) - 0.655).abs() < 0.02, "loops {}", share(2) + share(3));
        assert!((share(4) + share(5) - 0.279).abs() < 0.02, "whorls {}", share(4) + share(5));
    }
}
