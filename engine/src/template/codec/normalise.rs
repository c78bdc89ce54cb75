//! From what a record says to what everything downstream shares: 500 dpi, quarter pixels, 65,536ths of a turn.

use super::{RecordView, Warning};
use crate::template::{Extractor, FingerPosition, FingerTemplate, Minutia};

/// Pixels per centimetre at exactly 500 dpi.
pub const PX_PER_CM_500_DPI: f64 = 500.0 / 2.54;
/// The lowest resolution that is accepted, px/cm.
pub const RESOLUTION_PX_CM_MIN: u16 = 99;
/// The highest resolution that is accepted, px/cm.
pub const RESOLUTION_PX_CM_MAX: u16 = 1000;
/// The longest side of an image, in pixels at 500 dpi (0.83 m).
pub const SIDE_PX_MAX: u32 = 16_383;

/// Sampling of an image, in pixels per centimetre.
///
/// Headers hold whole px/cm, and 500 dpi is 196.85: 197 would be 500.4 dpi when taken at its word. So a header value
/// less than 1 px/cm from a nominal sensor resolution (500, 512 and 1000 dpi; writers round, some truncate) means
/// that resolution, exactly: 196 and 197 are 500 dpi, 201 and 202 are 512, 393 and 394 are 1000. Every other value is
/// taken at its word (224 px/cm is 568.96 dpi): at most 0.5 px/cm off, a quarter of a per cent at 500 dpi.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resolution {
    /// Across.
    pub x_px_cm: f64,
    /// Down.
    pub y_px_cm: f64,
}

impl Resolution {
    /// Exactly 500 dpi both ways: what normalised templates have.
    pub const NORMAL: Self = Self { x_px_cm: PX_PER_CM_500_DPI, y_px_cm: PX_PER_CM_500_DPI };

    /// What whole px/cm in a header mean, see [`Resolution`].
    pub fn from_header(x_px_cm: u16, y_px_cm: u16) -> Self {
        Self { x_px_cm: nominal(x_px_cm.into()), y_px_cm: nominal(y_px_cm.into()) }
    }

    /// As [`Resolution::from_header`], for formats that allow fractions.
    pub fn from_px_cm(px_cm: f64) -> Self {
        Self { x_px_cm: nominal(px_cm), y_px_cm: nominal(px_cm) }
    }

    /// Dots per inch across and down.
    pub fn dpi(&self) -> (f64, f64) {
        (self.x_px_cm * 2.54, self.y_px_cm * 2.54)
    }
}

fn nominal(px_cm: f64) -> f64 {
    [500.0, 512.0, 1000.0].map(|dpi| dpi / 2.54).into_iter().find(|n| (n - px_cm).abs() < 1.0).unwrap_or(px_cm)
}

/// One minutia as a record says it: pixels of the image, origin top-left; the codec has checked that it is inside.
pub(super) struct RawMinutia {
    pub(super) x: f64,
    pub(super) y: f64,
    /// 65,536ths of a turn, counter-clockwise from +x as seen on the image.
    pub(super) angle: u16,
    pub(super) kind_code: u8,
    pub(super) quality: u8,
}

/// One view as a record says it, every field checked by its codec: at most 255 minutiae, all inside the image,
/// qualities at most 100, sides within [`SIDE_PX_MAX`] at 500 dpi, resolution in range.
pub(super) struct RawView {
    pub(super) position: FingerPosition,
    pub(super) impression_type: u8,
    pub(super) quality: u8,
    /// Pixels of the image; JSON allows fractions.
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) resolution: Resolution,
    pub(super) minutiae: Vec<RawMinutia>,
}

/// Quarter pixels at 500 dpi of one pixel of an image.
fn scale(px_cm: f64) -> f64 {
    4.0 * (PX_PER_CM_500_DPI / px_cm)
}

/// Whether a side of `px` pixels stays within [`SIDE_PX_MAX`] at 500 dpi.
pub(super) fn side_fits(px: impl Into<f64>, px_cm: f64) -> bool {
    px.into() * scale(px_cm) <= f64::from(SIDE_PX_MAX * 4)
}

/// Normalises a checked view; duplicates are merged (the best quality stays) and reported.
pub(super) fn normalise(raw: RawView, extractor: &Extractor, view: usize, warnings: &mut Vec<Warning>) -> RecordView {
    let (sx, sy) = (scale(raw.resolution.x_px_cm), scale(raw.resolution.y_px_cm));
    let (width, height) = (side(raw.width, sx), side(raw.height, sy));
    if sx != sy {
        warnings.push(Warning::NonSquarePixels { view });
    }
    let minutiae_declared = raw.minutiae.len();
    let mut minutiae: Vec<Minutia> = raw
        .minutiae
        .iter()
        .map(|m| Minutia {
            // The saturating conversion and the bound keep rounding inside the image.
            x: ((m.x * sx).round() as u16).min(width - 1),
            y: ((m.y * sy).round() as u16).min(height - 1),
            angle: if sx == sy { m.angle } else { stretched(m.angle, sx, sy) },
            kind_code: m.kind_code,
            quality: m.quality,
        })
        .collect();
    minutiae.sort_unstable_by_key(|m| (m.x, m.y, m.angle, std::cmp::Reverse(m.quality), m.kind_code));
    minutiae.dedup_by_key(|m| (m.x, m.y, m.angle));
    let count = minutiae_declared - minutiae.len();
    if count > 0 {
        warnings.push(Warning::Duplicates { view, count });
    }
    let template = FingerTemplate::new(raw.position, raw.quality, width, height, extractor.clone(), minutiae)
        .expect("the codec checked count, qualities, kinds and bounds");
    RecordView {
        impression_type: raw.impression_type,
        minutiae_declared,
        width_px: raw.width.ceil() as u32,
        height_px: raw.height.ceil() as u32,
        resolution: raw.resolution,
        template,
    }
}

fn side(px: f64, scale: f64) -> u16 {
    ((px * scale).ceil() as u16).max(1)
}

/// The direction on the page of a direction seen on an image whose pixels are not square.
fn stretched(angle: u16, sx: f64, sy: f64) -> u16 {
    let turn = std::f64::consts::TAU / 65536.0;
    let (sin, cos) = libm::sincos(f64::from(angle) * turn);
    // Modulo one turn: -1 and 65,536 wrap.
    (libm::round(libm::atan2(sin * sy, cos * sx) / turn) as i32) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nominal_resolutions_are_exact_and_others_are_taken_at_their_word() {
        let dpi = |px_cm| Resolution::from_header(px_cm, px_cm).dpi().0;
        for (px_cm, expected) in [(196, 500.0), (197, 500.0), (201, 512.0), (202, 512.0), (393, 1000.0), (394, 1000.0)]
        {
            assert!((dpi(px_cm) - expected).abs() < 1e-9, "{px_cm}");
        }
        for px_cm in [99, 118, 195, 198, 200, 203, 224, 392, 395, 1000] {
            assert!((dpi(px_cm) - f64::from(px_cm) * 2.54).abs() < 1e-9, "{px_cm}");
        }
        // Exactly 500 dpi means exactly four quarter pixels a pixel: no resampling.
        assert_eq!(scale(Resolution::from_header(197, 197).x_px_cm), 4.0);
    }

    #[test]
    fn directions_follow_stretched_pixels() {
        assert_eq!(stretched(0, 4.0, 2.0), 0);
        assert_eq!(stretched(16384, 4.0, 2.0), 16384);
        assert_eq!(stretched(32768, 4.0, 2.0), 32768);
        assert_eq!(stretched(49152, 4.0, 2.0), 49152);
        // 45 degrees on pixels twice as wide as high lie at atan(1/2).
        let expected = (0.5f64.atan() / std::f64::consts::TAU * 65536.0).round() as u16;
        assert_eq!(stretched(8192, 4.0, 2.0), expected);
        assert_eq!(stretched(65535, 3.0, 3.0), 65535);
    }
}
