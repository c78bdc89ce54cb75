//! Finger minutiae, normalised.

use std::fmt;

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

/// The most minutiae one impression may hold (ISO/IEC 19794-2:2005, 8.4.6: one byte).
pub const MINUTIAE_MAX: usize = 255;
/// The largest side of an impression, in quarter pixels at 500 dpi: 0.8 m, far beyond any hand.
pub const SIDE_QUARTER_PX_MAX: u16 = u16::MAX;
/// The longest extractor name, in bytes.
pub const EXTRACTOR_LENGTH_MAX: usize = 32;

/// What a minutia is (ISO/IEC 19794-2:2005, 8.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MinutiaKind {
    /// Neither said nor known.
    Other,
    /// A ridge ending.
    Ending,
    /// A ridge bifurcation.
    Bifurcation,
}

/// One minutia, in the units everything downstream shares. Eight bytes, the layout of the gallery's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Minutia {
    /// Quarter pixels at 500 dpi, from the left edge.
    pub x: u16,
    /// Quarter pixels at 500 dpi, from the top edge (down is positive).
    pub y: u16,
    /// 65,536ths of a turn, counter-clockwise from +x *as seen on the page* (ISO/IEC 19794-2:2005, 8.4.3).
    pub angle: u16,
    /// 0 other, 1 ending, 2 bifurcation: see [`Minutia::kind`].
    pub kind_code: u8,
    /// 1 (worst) to 100 (best); 0 means the extractor did not say.
    pub quality: u8,
}

impl Minutia {
    /// The kind; an unassigned code reads as [`MinutiaKind::Other`].
    pub fn kind(&self) -> MinutiaKind {
        match self.kind_code {
            1 => MinutiaKind::Ending,
            2 => MinutiaKind::Bifurcation,
            _ => MinutiaKind::Other,
        }
    }

    /// Position in pixels at 500 dpi, from the left edge.
    pub fn x_px(&self) -> f32 {
        f32::from(self.x) * 0.25
    }

    /// Position in pixels at 500 dpi, from the top edge.
    pub fn y_px(&self) -> f32 {
        f32::from(self.y) * 0.25
    }

    /// Direction in radians, `0..2*pi`, counter-clockwise from +x as seen on the page.
    pub fn angle_rad(&self) -> f32 {
        f32::from(self.angle) * (std::f32::consts::TAU / 65536.0)
    }
}

/// Which finger (ISO/IEC 19794-2:2005, table 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct FingerPosition(u8);

impl FingerPosition {
    /// Position unknown: allowed for tests and searches.
    pub const UNKNOWN: Self = Self(0);
    /// How many codes there are, the unknown one included.
    pub const COUNT: usize = 11;

    /// `0` unknown, `1..=5` right thumb to right little finger, `6..=10` left thumb to left little finger.
    pub const fn new(code: u8) -> Option<Self> {
        if code <= 10 { Some(Self(code)) } else { None }
    }

    /// The code of the standard, `0..=10`.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The code as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The ten known positions in order.
    pub fn known() -> impl Iterator<Item = Self> {
        (1..=10).map(Self)
    }

    /// English name, e.g. `right thumb`.
    pub fn name(self) -> &'static str {
        [
            "unknown",
            "right thumb",
            "right index",
            "right middle",
            "right ring",
            "right little",
            "left thumb",
            "left index",
            "left middle",
            "left ring",
            "left little",
        ][self.index()]
    }

    /// Vietnamese name, e.g. `ngón cái phải`.
    pub fn name_vi(self) -> &'static str {
        [
            "ngón chưa rõ",
            "ngón cái phải",
            "ngón trỏ phải",
            "ngón giữa phải",
            "ngón áp út phải",
            "ngón út phải",
            "ngón cái trái",
            "ngón trỏ trái",
            "ngón giữa trái",
            "ngón áp út trái",
            "ngón út trái",
        ][self.index()]
    }
}

impl TryFrom<u8> for FingerPosition {
    type Error = FingerTemplateError;
    fn try_from(code: u8) -> Result<Self, Self::Error> {
        Self::new(code).ok_or(FingerTemplateError::Position { found: code })
    }
}

impl From<FingerPosition> for u8 {
    fn from(position: FingerPosition) -> u8 {
        position.0
    }
}

impl fmt::Display for FingerPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The program that found the minutiae, e.g. `mindtct`; scores are calibrated per extractor. Empty means unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Extractor(String);

impl Extractor {
    /// Not told.
    pub fn unknown() -> Self {
        Self::default()
    }

    /// A name of 1 to [`EXTRACTOR_LENGTH_MAX`] characters from `a-z 0-9 . _ -` (upper case is lowered); an empty name
    /// or `unknown` is [`Extractor::unknown`].
    ///
    /// # Errors
    /// [`FingerTemplateError::Extractor`] on any other character or length.
    pub fn new(name: &str) -> Result<Self, FingerTemplateError> {
        let name = name.to_ascii_lowercase();
        let ok = name.len() <= EXTRACTOR_LENGTH_MAX
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if !ok {
            return Err(FingerTemplateError::Extractor);
        }
        Ok(if name == "unknown" { Self::unknown() } else { Self(name) })
    }

    /// The name, `unknown` when not told.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "unknown" } else { &self.0 }
    }

    /// Whether the extractor was not told.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<String> for Extractor {
    type Error = FingerTemplateError;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<Extractor> for String {
    fn from(extractor: Extractor) -> String {
        extractor.0
    }
}

/// One impression of one finger, normalised to 500 dpi.
///
/// Minutiae are sorted (by `x`, `y`, `angle`, ...) and distinct, so equal prints are equal values.
#[derive(Clone, PartialEq, Eq)]
pub struct FingerTemplate {
    /// Which finger.
    pub position: FingerPosition,
    /// Overall quality 1 (worst) to 100 (best); 0 means unknown.
    pub quality: u8,
    /// Width of the image in quarter pixels at 500 dpi.
    pub width: u16,
    /// Height of the image in quarter pixels at 500 dpi.
    pub height: u16,
    /// Who extracted the minutiae.
    pub extractor: Extractor,
    minutiae: Vec<Minutia>,
}

impl FingerTemplate {
    /// Checks and sorts; exact duplicate minutiae are merged (compare lengths to learn how many).
    ///
    /// # Errors
    /// More than [`MINUTIAE_MAX`] minutiae, one outside the image, a quality above 100.
    pub fn new(
        position: FingerPosition,
        quality: u8,
        width: u16,
        height: u16,
        extractor: Extractor,
        mut minutiae: Vec<Minutia>,
    ) -> Result<Self, FingerTemplateError> {
        if minutiae.len() > MINUTIAE_MAX {
            return Err(FingerTemplateError::TooMany { found: minutiae.len() });
        }
        if quality > 100 {
            return Err(FingerTemplateError::Quality { found: quality });
        }
        if let Some(index) = minutiae.iter().position(|m| m.x >= width || m.y >= height) {
            return Err(FingerTemplateError::Outside { index });
        }
        if let Some(index) = minutiae.iter().position(|m| m.quality > 100 || m.kind_code > 2) {
            return Err(FingerTemplateError::Minutia { index });
        }
        minutiae.sort_unstable();
        minutiae.dedup_by_key(|m| (m.x, m.y, m.angle));
        Ok(Self { position, quality, width, height, extractor, minutiae })
    }

    /// The same print at another size: every place multiplied by `factor`, directions and qualities as they are.
    ///
    /// # Errors
    /// What no longer fits into the largest image: [`FingerTemplateError::Outside`].
    pub fn rescaled(&self, factor: f32) -> Result<Self, FingerTemplateError> {
        let scaled = |value: u16| libm::roundf(f32::from(value) * factor).clamp(0.0, f32::from(u16::MAX)) as u16;
        let minutiae = self.minutiae.iter().map(|m| Minutia { x: scaled(m.x), y: scaled(m.y), ..*m }).collect();
        // One more, so that what was inside stays inside after rounding.
        let (width, height) = (scaled(self.width).saturating_add(1), scaled(self.height).saturating_add(1));
        Self::new(self.position, self.quality, width, height, self.extractor.clone(), minutiae)
    }

    /// Sorted, distinct minutiae.
    pub fn minutiae(&self) -> &[Minutia] {
        &self.minutiae
    }
}

/// Never prints minutiae: a template is sensitive personal data.
impl fmt::Debug for FingerTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FingerTemplate")
            .field("position", &self.position.code())
            .field("quality", &self.quality)
            .field("extractor", &self.extractor.as_str())
            .field("minutiae", &self.minutiae.len())
            .finish_non_exhaustive()
    }
}

/// Why a finger template is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerTemplateError {
    /// Beyond [`MINUTIAE_MAX`].
    #[error("{found} minutiae in one impression; at most {MINUTIAE_MAX} are allowed")]
    TooMany {
        /// How many there were.
        found: usize,
    },
    /// A minutia lies outside its image.
    #[error("minutia {index} lies outside the image")]
    Outside {
        /// Its index as given, from 0.
        index: usize,
    },
    /// A minutia's quality exceeds 100 or its kind is unassigned.
    #[error("minutia {index} has a quality above 100 or an unassigned kind")]
    Minutia {
        /// Its index as given, from 0.
        index: usize,
    },
    /// Overall quality exceeds 100.
    #[error("quality {found}; expected 0 (unknown) to 100")]
    Quality {
        /// What was given.
        found: u8,
    },
    /// Not a finger position.
    #[error("finger position {found}; expected 0 (unknown) to 10")]
    Position {
        /// What was given.
        found: u8,
    },
    /// Not an extractor name.
    #[error("extractor name must be 1 to {EXTRACTOR_LENGTH_MAX} characters from a-z 0-9 . _ -")]
    Extractor,
}
