//! The print on the skin: minutiae of a whole pad, before any capture.
//!
//! A point process with a hard core and a soft edge (Strauss) over an elliptical pad, denser about cores and deltas,
//! directions along the flow. Which of the flow's two directions a minutia takes is not a coin's throw: where ridges
//! spread, new ones begin, and all those minutiae look the way the ridges spread. With ridge period `p` and direction
//! `t` the ridge density is `1/p`, so `div(t)/p` is the number of ridges that begin less those that end per area, and
//! an ending and a bifurcation both look towards where there is a ridge more.

use crate::field::{Field, PatternClass, Vector, draw_class};
use crate::random::{Part, Stream};
use crate::settings::MasterSettings;

/// One minutia of the skin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MasterMinutia {
    pub(crate) at: Vector,
    /// Unit vector of its direction.
    pub(crate) direction: Vector,
    pub(crate) bifurcation: bool,
    /// How plainly it shows, in logits.
    pub(crate) plainness: f64,
}

/// A finger.
#[derive(Clone, Debug)]
pub(crate) struct Master {
    pub(crate) class: PatternClass,
    pub(crate) field: Field,
    pub(crate) minutiae: Vec<MasterMinutia>,
    /// Size relative to an index finger.
    pub(crate) size: f64,
    /// The finger's own share of quality, in standard deviations.
    pub(crate) quality: f64,
    pub(crate) ridge_period_px: f64,
}

/// What all fingers of a person share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    /// Pattern intensity, standard normal.
    pub(crate) pattern: f64,
    /// Size of the hand relative to the mean.
    pub(crate) size: f64,
    pub(crate) ridge_period_px: f64,
}

/// Size of a pad relative to the index finger's, thumb to little finger. Assumed from flat-print widths.
const SIZE_BY_FINGER: [f64; 5] = [1.15, 1.0, 1.03, 0.98, 0.86];

impl Master {
    /// The finger with this position code (1 to 10; 0 is taken for a right index finger).
    pub(crate) fn draw(seed: u64, person: u64, code: u8, body: Body, settings: &MasterSettings) -> Self {
        let (of_hand, left_hand) = match code {
            1..=5 => (usize::from(code) - 1, false),
            6..=10 => (usize::from(code) - 6, true),
            _ => (1, false),
        };
        let stream = &mut Stream::new(seed, person, Part::Master, u32::from(code), 0);
        let quality = stream.normal();
        let class = draw_class(of_hand, body.pattern, stream);
        // On the page a right hand's little finger is to the right, so its ulnar loops open to the right.
        let mirrored = match class {
            PatternClass::UlnarLoop => left_hand,
            PatternClass::RadialLoop => !left_hand,
            _ => stream.chance(0.5),
        };
        let size = body.size * SIZE_BY_FINGER[of_hand];
        let field = Field::draw(class, mirrored, size, stream);
        let density = settings.density_per_px_sq * libm::exp(settings.density_log_sd * stream.normal());
        let (a, b) = (settings.pad_across_px * size, settings.pad_along_px * size);
        let wanted = stream.poisson((density * std::f64::consts::PI * a * b).min(400.0)).min(400);
        let mut master = Self {
            class,
            field,
            minutiae: Vec::with_capacity(wanted),
            size,
            quality,
            ridge_period_px: body.ridge_period_px,
        };
        let hard_sq = settings.hard_core_px * settings.hard_core_px;
        let soft_sq = settings.soft_core_px * settings.soft_core_px;
        let crowding_max = 1.0 + settings.crowding_gain;
        // A finger so crowded that few proposals are accepted keeps fewer minutiae.
        for _ in 0..12 * wanted {
            if master.minutiae.len() == wanted {
                break;
            }
            let unit = in_disc(stream);
            let at = Vector::new(unit.x * a, unit.y * b);
            let mut accept =
                master.field.crowding(at, settings.crowding_gain, settings.crowding_reach_px) / crowding_max;
            for other in &master.minutiae {
                let d = at.minus(other.at).length_sq();
                if d < soft_sq {
                    if d < hard_sq {
                        accept = 0.0;
                        break;
                    }
                    accept *= (d - hard_sq) / (soft_sq - hard_sq);
                }
            }
            if stream.chance(accept) {
                let minutia = master.minutia(at, density, settings, stream);
                master.minutiae.push(minutia);
            }
        }
        master
    }

    fn minutia(&self, at: Vector, density: f64, settings: &MasterSettings, stream: &mut Stream) -> MasterMinutia {
        let tangent = self.field.tangent(at);
        let excess = settings.parity_gain * self.field.divergence(at, tangent) / (self.ridge_period_px * density);
        let sign = if stream.chance((0.5 + 0.5 * excess).clamp(0.05, 0.95)) { 1.0 } else { -1.0 };
        let direction = Vector::new(sign * tangent.x, sign * tangent.y)
            .turned(Vector::small_turn(stream.gaussian(0.0, settings.direction_sd)));
        MasterMinutia {
            at,
            direction,
            bifurcation: stream.chance(settings.bifurcation_share),
            plainness: stream.gaussian(0.0, settings.plainness_sd),
        }
    }
}

/// Uniform in the unit disc, by rejection.
pub(crate) fn in_disc(stream: &mut Stream) -> Vector {
    loop {
        let v = Vector::new(stream.between(-1.0, 1.0), stream.between(-1.0, 1.0));
        if v.length_sq() <= 1.0 {
            return v;
        }
    }
}
