//! What a comparison score says: likelihood ratio and false match rate, by extractor and quality.
//!
//! A [`Calibration`] holds a [`Source`] for each pair of extractors it was fitted for, with a curve for each class of
//! quality; and where positions were known, one for each kind of finger: little fingers of strangers are more alike than
//! thumbs are. A pair of extractors never fitted gets, at each score, the lowest likelihood ratio and the highest false
//! match rate of all curves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::likelihood::{Curve, Source, score_of};
use crate::template::{FingerPosition, Minutia};

/// The largest natural log-likelihood ratio that one comparison may claim: one in 485 million odds, what the conservative
/// tail says of prints that no stranger comes near.
pub const LLR_MAX: f32 = 20.0;
/// The smallest: a comparison that failed says little, since capture may have failed.
pub const LLR_MIN: f32 = -4.0;
/// This build's format of calibration files; format 1 is read too.
pub const CALIBRATION_FORMAT: u32 = 2;
/// The number of the curve for extractors never fitted.
pub const CURVE_DEFAULT: u8 = u8::MAX;

static SHIPPED: LazyLock<Calibration> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // A test decodes the same bytes.
    Calibration::from_json(include_bytes!("../../model/finger-calibration-v1.json")).expect("the shipped one decodes")
});

/// A likelihood ratio, and whether it was fitted for the extractors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Llr {
    /// Natural log-likelihood ratio, [`LLR_MIN`] to [`LLR_MAX`].
    pub llr: f32,
    /// Whether the curve was fitted for these extractors; otherwise it is the conservative default.
    pub calibrated: bool,
    /// Which pair of extractors: its number in the file, [`CURVE_DEFAULT`] when never fitted.
    pub curve: u8,
}

/// Score curves by pair of extractors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    pub(crate) format: u32,
    pub(crate) model: String,
    /// By the two extractor names in order, joined by `|`; for one kind of finger with `@` and its name behind.
    pub(crate) curves: BTreeMap<String, Source>,
    #[serde(skip)]
    id: String,
}

/// Format 1: one curve for all qualities.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Format1 {
    format: u32,
    model: String,
    curves: BTreeMap<String, Curve>,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Calibration {
    /// Of fitted curves.
    ///
    /// # Errors
    /// As [`Calibration::from_json`].
    pub fn new(model: &str, curves: BTreeMap<String, Source>) -> Result<Self, CalibrationError> {
        Self { format: CALIBRATION_FORMAT, model: model.to_owned(), curves, id: String::new() }.checked()
    }

    /// The one this build ships, for [`super::Model::shipped`].
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// Reads a calibration file.
    ///
    /// # Errors
    /// Not JSON of this shape, another format, curves that are not monotone.
    pub fn from_json(bytes: &[u8]) -> Result<Self, CalibrationError> {
        let json = |e: simd_json::Error| CalibrationError::Json(e.to_string());
        let head: Head = simd_json::serde::from_slice(&mut bytes.to_vec()).map_err(json)?;
        match head.format {
            CALIBRATION_FORMAT => simd_json::serde::from_slice::<Self>(&mut bytes.to_vec()).map_err(json)?.checked(),
            1 => {
                let old: Format1 = simd_json::serde::from_slice(&mut bytes.to_vec()).map_err(json)?;
                let _ = old.format;
                Self::new(&old.model, old.curves.into_iter().map(|(n, c)| (n, Source::single(c))).collect())
            }
            found => Err(CalibrationError::Format { found }),
        }
    }

    fn checked(mut self) -> Result<Self, CalibrationError> {
        if self.curves.is_empty() {
            return Err(CalibrationError::Empty);
        }
        if self.curves.len() >= usize::from(CURVE_DEFAULT) {
            return Err(CalibrationError::TooMany { found: self.curves.len() });
        }
        if let Some((name, _)) = self.curves.iter().find(|(_, source)| !source.valid()) {
            return Err(CalibrationError::Curve { name: name.clone() });
        }
        self.id = Sha256::digest(self.to_json()?).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(self)
    }

    /// The calibration file.
    ///
    /// # Errors
    /// None in practice: all values are finite.
    pub fn to_json(&self) -> Result<String, CalibrationError> {
        simd_json::serde::to_string_pretty(self).map_err(|e| CalibrationError::Json(e.to_string()))
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the file.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The model whose scores it reads.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What it was fitted for, e.g. `mindtct|secugen` or `synthetic|synthetic@thumb`.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        self.curves.iter().map(|(name, source)| (name.as_str(), source))
    }

    /// What is known of a pair of extractors.
    pub fn source(&self, probe: &str, reference: &str) -> Option<&Source> {
        self.curves.get(&pair_name(probe, reference))
    }

    /// As [`Calibration::llr_at`], of a finger of unknown position.
    pub fn llr(&self, score: f32, probe: &str, reference: &str, evidence: f32) -> Llr {
        self.llr_at(score, probe, reference, evidence, FingerPosition::UNKNOWN)
    }

    /// Natural log-likelihood ratio of a normalised score of two prints of a finger, the lesser of which has so much
    /// [`evidence`]. Never falls as the score rises. A NaN score counts as the lowest.
    pub fn llr_at(&self, score: f32, probe: &str, reference: &str, evidence: f32, position: FingerPosition) -> Llr {
        let score = if score.is_nan() { f32::MIN } else { score };
        match self.find(probe, reference, position) {
            Some((curve, source)) => {
                Llr { llr: source.curve(evidence).llr(score).clamp(LLR_MIN, LLR_MAX), calibrated: true, curve }
            }
            None => Llr { llr: self.lowest(score), calibrated: false, curve: CURVE_DEFAULT },
        }
    }

    /// The source for this kind of finger, or the pair's.
    fn find(&self, probe: &str, reference: &str, position: FingerPosition) -> Option<(u8, &Source)> {
        let pair = pair_name(probe, reference);
        let number = |name: &str| {
            let found = self.curves.iter().zip(0u8..).find(|((n, _), _)| n.as_str() == name);
            found.map(|((_, source), number)| (number, source))
        };
        finger_kind(position).and_then(|kind| number(&format!("{pair}@{kind}"))).or_else(|| number(&pair))
    }

    fn lowest(&self, score: f32) -> f32 {
        let all = self.curves.values().flat_map(|source| &source.classes);
        all.map(|class| class.curve.llr(score)).fold(LLR_MAX, f32::min).max(LLR_MIN)
    }

    /// The false match rate at a threshold of `score`; the highest of all curves for extractors never fitted.
    pub fn fmr(&self, score: f32, probe: &str, reference: &str) -> f32 {
        let score = if score.is_nan() { f32::MIN } else { score };
        let fmr = match self.source(probe, reference) {
            Some(source) => source.fmr(score),
            None => self.highest(score),
        };
        fmr as f32
    }

    fn highest(&self, score: f32) -> f64 {
        let all = self.curves.values().flat_map(|source| &source.classes);
        all.map(|class| libm::exp(f64::from(class.curve.ln_fmr(score)))).fold(0.0, f64::max)
    }

    /// How often a non-mated comparison under the curve of this number has a log-likelihood ratio of `llr` or more; 1 up
    /// to [`LLR_MIN`], 0 beyond [`LLR_MAX`].
    pub fn survival(&self, curve: u8, llr: f32) -> f64 {
        if llr <= LLR_MIN {
            return 1.0;
        }
        if llr > LLR_MAX {
            return 0.0;
        }
        match self.curves.values().nth(usize::from(curve)) {
            Some(source) => source.survival(llr),
            None => score_of(|score| self.lowest(score), llr).map_or(0.0, |score| self.highest(score)),
        }
    }

    /// Correlations of mated and non-mated fingers under the curve of this number; the highest for extractors never
    /// fitted.
    pub fn correlations(&self, curve: u8) -> (f32, f32) {
        match self.curves.values().nth(usize::from(curve)) {
            Some(source) => (source.mated_correlation, source.non_mated_correlation),
            None => self.curves.values().fold((0.0, 0.0), |(mated, non_mated): (f32, f32), s| {
                (mated.max(s.mated_correlation), non_mated.max(s.non_mated_correlation))
            }),
        }
    }

    /// The number of the curve for a finger of two extractors, [`CURVE_DEFAULT`] when never fitted.
    pub fn curve_number(&self, probe: &str, reference: &str, position: FingerPosition) -> u8 {
        self.find(probe, reference, position).map_or(CURVE_DEFAULT, |(number, _)| number)
    }
}

/// Thumb, index, middle, ring or little finger; `None` for an unknown position.
pub fn finger_kind(position: FingerPosition) -> Option<&'static str> {
    let kinds = ["thumb", "index", "middle", "ring", "little"];
    position.code().checked_sub(1).map(|code| kinds[usize::from(code % 5)])
}

/// How much a print has to say: its minutiae, each weighted by its quality; 50 minutiae of quality 50 weigh 50.
pub fn evidence(minutiae: &[Minutia]) -> f32 {
    // Hundredths of qualities are whole numbers: the same sum in any order.
    let weight = |m: &Minutia| u32::from(if m.quality == 0 { 50 } else { m.quality }) + 10;
    minutiae.iter().map(weight).sum::<u32>() as f32 * (1.0 / 60.0)
}

/// The two names in order.
pub(crate) fn pair_name(a: &str, b: &str) -> String {
    let named = |name: &str| if name.is_empty() { "unknown".to_owned() } else { name.to_owned() };
    let (a, b) = (named(a), named(b));
    if a <= b { format!("{a}|{b}") } else { format!("{b}|{a}") }
}

/// Why a calibration file is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Not JSON, or of another shape.
    #[error("calibration: {0}")]
    Json(String),
    /// Another format version.
    #[error("calibration format {found}; this build reads 1 and {CALIBRATION_FORMAT}")]
    Format {
        /// What the file says.
        found: u32,
    },
    /// No curves.
    #[error("calibration without a single curve")]
    Empty,
    /// More curves than there are numbers.
    #[error("calibration with {found} curves; at most 254 are read")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A curve that is not monotone or not finite.
    #[error("calibration curve {name} is not monotone, or its classes of quality are not in order")]
    Curve {
        /// Which.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIDENCE: [f32; 4] = [0.0, 15.0, 40.0, 90.0];

    #[test]
    fn higher_scores_never_say_less() {
        let calibration = Calibration::shipped();
        for pair in [("mindtct", "mindtct"), ("secugen", "mindtct"), ("secugen", "secugen"), ("acme", "mindtct")] {
            for evidence in EVIDENCE {
                let mut last = (f32::MIN, f32::MAX);
                for step in -400..1300 {
                    let score = step as f32 * 0.05;
                    let llr = calibration.llr(score, pair.0, pair.1, evidence).llr;
                    let now = (llr, calibration.fmr(score, pair.0, pair.1));
                    assert!(now.0 >= last.0 && now.1 <= last.1, "{pair:?} at {score}: {now:?} after {last:?}");
                    last = now;
                }
                assert!(last.0 > 5.0, "{pair:?} {last:?}");
            }
        }
    }

    #[test]
    fn an_unknown_extractor_gets_the_conservative_default_and_is_told() {
        let calibration = Calibration::shipped();
        for step in -20..60 {
            let score = step as f32;
            for evidence in EVIDENCE {
                let unknown = calibration.llr(score, "unknown", "acme", evidence);
                assert!(!unknown.calibrated && unknown.curve == CURVE_DEFAULT);
                let known = calibration.llr(score, "mindtct", "secugen", evidence);
                assert!(known.calibrated && unknown.llr <= known.llr);
            }
        }
    }

    #[test]
    fn how_often_strangers_claim_so_much_never_rises_and_stays_under_bayes_bound() {
        let calibration = Calibration::shipped();
        for curve in (0..calibration.curves.len() as u8).chain([CURVE_DEFAULT]) {
            let mut last = 1.0f64;
            for step in -90..450 {
                let llr = step as f32 * 0.05;
                let now = calibration.survival(curve, llr);
                assert!(now <= last && (0.0..=1.0).contains(&now), "{curve} at {llr}: {now} after {last}");
                // A calibrated ratio of t is exceeded with a chance of at most exp(-t); fitted ones come near.
                assert!(now <= 2.5 * libm::exp(-f64::from(llr)).max(0.4), "{curve} at {llr}: {now}");
                last = now;
            }
        }
    }

    #[test]
    fn a_known_finger_has_its_own_curve_where_there_is_one() {
        let calibration = Calibration::shipped();
        let position = |code| FingerPosition::new(code).expect("a finger");
        let own = calibration.curve_number("synthetic", "synthetic", position(2));
        assert_eq!(own, calibration.curve_number("synthetic", "synthetic", position(7)), "left and right are one kind");
        assert_ne!(own, calibration.curve_number("synthetic", "synthetic", position(5)));
        // Real prints were labelled without positions.
        let real = |p| calibration.curve_number("mindtct", "mindtct", p);
        assert_eq!(real(position(2)), real(FingerPosition::UNKNOWN));
    }

    #[test]
    fn order_of_extractors_does_not_matter() {
        let calibration = Calibration::shipped();
        assert_eq!(calibration.llr(3.0, "secugen", "mindtct", 40.0), calibration.llr(3.0, "mindtct", "secugen", 40.0));
    }

    #[test]
    fn broken_files_are_refused() {
        let good = Calibration::shipped().to_json().expect("writes");
        assert_eq!(Calibration::from_json(good.as_bytes()).as_ref(), Ok(Calibration::shipped()));
        for end in 0..good.len().min(400) {
            assert!(Calibration::from_json(&good.as_bytes()[..end]).is_err());
        }
        let other = good.replace("\"format\": 2", "\"format\": 9");
        assert_eq!(Calibration::from_json(other.as_bytes()), Err(CalibrationError::Format { found: 9 }));
        let falling = good.replacen("\"tail_scale\": ", "\"tail_scale\": -", 1);
        assert!(matches!(Calibration::from_json(falling.as_bytes()), Err(CalibrationError::Curve { .. })));
    }
}
