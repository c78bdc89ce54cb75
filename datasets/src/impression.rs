//! What a capture makes of a finger: contact, distortion, quality, misses, spurious minutiae, jitter.

use duynhat_engine::template::{Extractor, FingerPosition, FingerTemplate, Minutia};

use crate::field::Vector;
use crate::master::{Master, in_disc};
use crate::random::{Stream, logistic};
use crate::settings::ImpressionSettings;

/// The extractor's name in templates made here.
pub const EXTRACTOR: &str = "synthetic";

/// A found minutia before the limits are applied.
struct Found {
    at: Vector,
    direction: Vector,
    bifurcation: bool,
    quality: u8,
}

/// A patch of worse (or better) quality.
struct Patch {
    at: Vector,
    reach_sq: f64,
    depth: f64,
}

/// One capture's circumstances, in pad coordinates.
struct Capture<'a> {
    settings: &'a ImpressionSettings,
    centre: Vector,
    across: f64,
    along: f64,
    quality: f64,
    patches: [Patch; 3],
    stretch: Vector,
    slip: Vector,
    slip_turn: Vector,
    turn: Vector,
    place: Vector,
}

/// Captures `master`. `quality` is the mean local quality: 0 is usual, -3 bad, 2 good.
pub(crate) fn capture(
    master: &Master,
    position: FingerPosition,
    quality: f64,
    settings: &ImpressionSettings,
    stream: &mut Stream,
) -> FingerTemplate {
    let capture = Capture::draw(master, quality, settings, stream);
    let mut found = Vec::with_capacity(master.minutiae.len() * 2);
    capture.find_true(master, &mut found, stream);
    capture.find_spurious(master, &mut found, stream);
    let minutiae = capture.keep(found);
    let mean = minutiae.iter().map(|m| u32::from(m.quality)).sum::<u32>() / (minutiae.len() as u32).max(1);
    template(position, mean.clamp(1, 100) as u8, settings, minutiae)
}

impl<'a> Capture<'a> {
    fn draw(master: &Master, quality: f64, settings: &'a ImpressionSettings, stream: &mut Stream) -> Self {
        let poor = stream.chance(settings.poor_share);
        let (size, shift, quality) = if poor {
            (master.size * settings.poor_contact, 1.5, quality - settings.poor_loss)
        } else {
            (master.size, 1.0, quality)
        };
        let pressure = stream.normal();
        let axis = |own: f64| (1.0 + settings.contact_sd * (0.8 * pressure + 0.6 * own)).clamp(0.5, 1.5) * size;
        let across = settings.contact_across_px * axis(stream.normal());
        let along = settings.contact_along_px * axis(stream.normal());
        let centre = Vector::new(
            stream.gaussian(0.0, shift * settings.contact_shift_across_px),
            stream.gaussian(0.0, shift * settings.contact_shift_along_px),
        );
        // The worse the capture, the more it is made of bad patches.
        let badness = logistic(-quality);
        let patches = std::array::from_fn(|_| {
            let at = in_disc(stream);
            Patch {
                at: Vector::new(centre.x + at.x * across, centre.y + at.y * along),
                reach_sq: {
                    let r = stream.between(35.0, 95.0);
                    r * r
                },
                depth: settings.patch_depth * 2.0 * badness * stream.between(-0.25, 1.0),
            }
        });
        let mut small = |sd: f64| stream.gaussian(0.0, sd);
        let drag = libm::exp(small(settings.slip_log_sd));
        Self {
            settings,
            centre,
            across,
            along,
            quality,
            patches,
            stretch: Vector::new(1.0 + small(settings.stretch_sd), 1.0 + small(settings.stretch_sd)),
            slip: Vector::new(small(drag * settings.slip_sd_px), small(drag * settings.slip_sd_px)),
            slip_turn: Vector::small_turn(small(drag * settings.slip_rotation_sd)),
            turn: Vector::small_turn(small(settings.rotation_sd).clamp(-0.5, 0.5)),
            place: Vector::new(small(settings.placement_sd_px), small(settings.placement_sd_px)),
        }
    }

    /// Squared distance from the contact's centre, 1 at its rim.
    fn rim(&self, at: Vector) -> f64 {
        let d = at.minus(self.centre);
        let (x, y) = (d.x / self.across, d.y / self.along);
        x * x + y * y
    }

    /// Local quality at a place with this [`Capture::rim`].
    fn quality_at(&self, at: Vector, rim: f64) -> f64 {
        let mut quality = self.quality + 0.45 - self.settings.rim_depth * rim * rim;
        for patch in &self.patches {
            let r = at.minus(patch.at).length_sq() / patch.reach_sq;
            quality -= patch.depth / ((1.0 + r) * (1.0 + r));
        }
        quality
    }

    /// From the pad to the sensor, y still up, about the image's centre. The middle sticks; the rim follows the
    /// finger's further movement, smoothly in between (Cappelli, Maio, Maltoni, 2001).
    fn on_sensor(&self, at: Vector) -> Vector {
        let d = at.minus(self.centre);
        let stretched = Vector::new(d.x * self.stretch.x, d.y * self.stretch.y);
        let moved = stretched.turned(self.slip_turn).plus(self.slip, 1.0);
        let rim = libm::sqrt(self.rim(at));
        let share = ((rim - self.settings.stick_share) / (1.25 - self.settings.stick_share)).clamp(0.0, 1.0);
        let share = share * share * (3.0 - 2.0 * share);
        stretched.plus(moved.minus(stretched), share).turned(self.turn).plus(self.place, 1.0)
    }

    fn find_true(&self, master: &Master, found: &mut Vec<Found>, stream: &mut Stream) {
        let s = self.settings;
        for minutia in &master.minutiae {
            let rim = self.rim(minutia.at);
            if rim > 1.0 {
                continue;
            }
            let local = self.quality_at(minutia.at, rim);
            let logit = s.detection_logit + s.detection_slope * local + minutia.plainness;
            if !stream.chance(logistic(logit)) {
                continue;
            }
            let worse = 1.0 + 0.25 * (-local).clamp(-1.0, 2.0);
            self.push(
                minutia.at,
                minutia.direction,
                minutia.bifurcation != stream.chance(s.kind_error),
                worse,
                local + 0.35 * minutia.plainness,
                found,
                stream,
            );
        }
    }

    fn find_spurious(&self, master: &Master, found: &mut Vec<Found>, stream: &mut Stream) {
        let s = self.settings;
        // Proposals at the highest density there can be, thinned to the local one.
        let floor = self.quality - s.rim_depth - s.patch_depth;
        let density_max = (s.spurious_per_px_sq * libm::pow(s.spurious_growth, -floor)).min(4e-3);
        let proposals = stream.poisson(density_max * std::f64::consts::PI * self.across * self.along);
        for _ in 0..proposals {
            let unit = in_disc(stream);
            let keep = stream.uniform();
            let at = Vector::new(self.centre.x + unit.x * self.across, self.centre.y + unit.y * self.along);
            let local = self.quality_at(at, unit.length_sq());
            if keep * density_max > s.spurious_per_px_sq * libm::pow(s.spurious_growth, -local) {
                continue;
            }
            let tangent = master.field.tangent(at);
            let sign = if stream.chance(0.5) { 1.0 } else { -1.0 };
            let direction = Vector::new(sign * tangent.x, sign * tangent.y);
            let bifurcation = stream.chance(0.4);
            let seen = local - 0.9;
            self.push(at, direction, bifurcation, 1.0, seen, found, stream);
            // Two throws where one would do: changing that would change everybody of every seed.
            if stream.chance(s.spurious_pair_share / 0.75) && stream.chance(0.75) {
                // A broken ridge leaves two endings along the ridge, a bridge two bifurcations across it.
                let broken = stream.chance(0.45);
                let gap = stream.between(0.7, 1.7) * master.ridge_period_px;
                let normal = Vector::new(-direction.y, direction.x);
                let other = if broken { at.plus(direction, -gap) } else { at.plus(normal, gap) };
                let facing = Vector::new(-direction.x, -direction.y);
                let same = !broken && stream.chance(0.8);
                self.push(other, if same { direction } else { facing }, bifurcation, 1.0, seen, found, stream);
            }
        }
    }

    /// Carries a minutia of the pad to the sensor, with jitter `worse` times the usual.
    #[allow(clippy::too_many_arguments)]
    fn push(
        &self,
        at: Vector,
        direction: Vector,
        bifurcation: bool,
        worse: f64,
        seen: f64,
        found: &mut Vec<Found>,
        stream: &mut Stream,
    ) {
        let s = self.settings;
        let normal = Vector::new(-direction.y, direction.x);
        let jittered = at
            .plus(direction, stream.gaussian(0.0, s.jitter_along_px * worse))
            .plus(normal, stream.gaussian(0.0, s.jitter_across_px * worse));
        let on_sensor = self.on_sensor(jittered);
        // The distortion turns directions too: carry a short piece of the ridge.
        let direction = self
            .on_sensor(jittered.plus(direction, 4.0))
            .minus(on_sensor)
            .turned(Vector::small_turn(stream.gaussian(0.0, s.jitter_direction * worse)));
        let quality = minutia_quality(seen, stream);
        found.push(Found { at: on_sensor, direction, bifurcation, quality });
    }

    /// What is inside the image, apart from each other, best first up to the limit, in whole pixels.
    fn keep(&self, mut found: Vec<Found>) -> Vec<Minutia> {
        const MARGIN_PX: f64 = 6.0;
        let s = self.settings;
        let (width, height) = (f64::from(s.image_width_px), f64::from(s.image_height_px));
        // A stable order, whatever the float's last bits: quality, then order of making.
        found.sort_by_key(|f| std::cmp::Reverse(f.quality));
        let apart_sq = s.resolution_px * s.resolution_px;
        let limit = s.minutiae_max.min(duynhat_engine::template::MINUTIAE_MAX);
        let mut kept: Vec<Vector> = Vec::with_capacity(found.len());
        let mut minutiae = Vec::with_capacity(found.len());
        for f in &found {
            if minutiae.len() == limit {
                break;
            }
            let x = libm::round(f.at.x + 0.5 * width);
            let y = libm::round(0.5 * height - f.at.y);
            if !(MARGIN_PX..=width - MARGIN_PX).contains(&x) || !(MARGIN_PX..=height - MARGIN_PX).contains(&y) {
                continue;
            }
            let at = Vector::new(x, y);
            if kept.iter().any(|k| k.minus(at).length_sq() < apart_sq) {
                continue;
            }
            kept.push(at);
            let turns = libm::atan2(f.direction.y, f.direction.x) * (0.5 / std::f64::consts::PI);
            let steps = f64::from(s.directions.clamp(4, 256));
            // The interchange format holds 256ths of a turn, so round to those as well.
            let byte = libm::round(libm::round(turns * steps) / steps * 256.0) as i64;
            minutiae.push(Minutia {
                x: (x as u16) * 4,
                y: (y as u16) * 4,
                angle: (byte.rem_euclid(256) as u16) << 8,
                kind_code: if f.bifurcation { 2 } else { 1 },
                quality: f.quality,
            });
        }
        minutiae
    }
}

/// A minutia's quality as mindtct says it: the level of the block's quality map sets a range, the contrast of the
/// neighbourhood the place in it (Watson et al., 2007, minutia quality assessment). Levels 2, 3 and 4 hold about 28, 27
/// and 42 % of the minutiae of the real collections; the limits here are fitted to those shares.
fn minutia_quality(seen: f64, stream: &mut Stream) -> u8 {
    let level = seen + stream.gaussian(0.0, 0.9);
    let contrast = stream.gaussian(0.6, 0.22).clamp(0.02, 0.98);
    let (low, range) = match level {
        l if l > 0.0 => (50.0, 49.0),
        l if l > -1.0 => (25.0, 24.0),
        l if l > -2.6 => (10.0, 14.0),
        _ => (5.0, 4.0),
    };
    libm::round(low + range * contrast).clamp(1.0, 100.0) as u8
}

/// Everything here is inside the limits, so a refusal would be a fault of this module: the template is then empty.
fn template(
    position: FingerPosition,
    quality: u8,
    settings: &ImpressionSettings,
    minutiae: Vec<Minutia>,
) -> FingerTemplate {
    let (width, height) = (settings.image_width_px.min(16_383) * 4, settings.image_height_px.min(16_383) * 4);
    let extractor = Extractor::new(EXTRACTOR).unwrap_or_default();
    FingerTemplate::new(position, quality, width, height, extractor.clone(), minutiae)
        .or_else(|_| FingerTemplate::new(position, quality, width, height, extractor, Vec::new()))
        .expect("a template without minutiae is valid")
}
