//! Cohort normalisation: a score is read against what either print scores with strangers.
//!
//! Some prints resemble everything (many minutiae, common patterns), some nothing. Each print is compared once with a
//! frozen cohort of strangers (or, before an operator has one, with what the model learned of strangers); a score is then told in standard deviations above their mean, averaged over both
//! prints. A cohort is immutable and named by its digest; whoever stores statistics stores that too.
//!
//! File: magic "DNCOHORT", format u32 (1), prints u32, then each print as u16 count and 8 bytes a minutia
//! (x, y, angle u16, kind, quality u8), then CRC-32C; little-endian.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::compare::{CompareProbe, Scratch, compare};
use super::features::{FingerFeatures, FingerView};
use super::model::{FeatureError, Model};
use crate::template::{MINUTIAE_MAX, Minutia};

/// Fewest prints of a cohort.
pub const COHORT_PRINTS_MIN: usize = 512;
/// Most: more cost time and say nothing new.
pub const COHORT_PRINTS_MAX: usize = 8192;

const MAGIC: &[u8; 8] = b"DNCOHORT";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
/// Scores below this are equally bad: how bad says nothing about the print.
pub(crate) const SCORE_FLOOR: f32 = -9.0;
/// No print is so constant that its spread may be taken to be smaller.
pub(crate) const SPREAD_MIN: f32 = 0.5;

static SHIPPED: LazyLock<Cohort> = LazyLock::new(|| Cohort::expected(Model::shipped()));

/// Where a print's scores against the cohort lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CohortStatistics {
    /// Mean.
    pub mean: f32,
    /// Standard deviation, above 0.
    pub spread: f32,
}

impl CohortStatistics {
    /// Leaves scores as they are.
    pub const NONE: Self = Self { mean: 0.0, spread: 1.0 };
}

/// A frozen set of strangers, encoded by one model; or what a model learned to expect of strangers.
#[derive(Default)]
pub struct Cohort {
    id: String,
    prints: Vec<FingerFeatures>,
    expected: bool,
}

impl Cohort {
    /// No normalisation.
    pub fn none() -> Self {
        Self::default()
    }

    /// What this build ships: [`Cohort::expected`] of [`Model::shipped`].
    pub fn shipped() -> &'static Self {
        &SHIPPED
    }

    /// No strangers at hand: what the model learned that strangers score against such a print. Costs nothing, needs no
    /// template, and was worth more than a cohort of synthetic people (see the decision record).
    pub fn expected(model: &Model) -> Self {
        Self { id: format!("expected-{}", model.id()), prints: Vec::new(), expected: true }
    }

    /// A cohort of these prints, e.g. from an operator's gallery.
    ///
    /// # Errors
    /// Fewer than [`COHORT_PRINTS_MIN`], more than [`COHORT_PRINTS_MAX`], or one that the model refuses.
    pub fn new(model: &Model, prints: &[&[Minutia]]) -> Result<Self, CohortError> {
        if !(COHORT_PRINTS_MIN..=COHORT_PRINTS_MAX).contains(&prints.len()) {
            return Err(CohortError::Count { found: prints.len() });
        }
        let features = prints
            .iter()
            .enumerate()
            .map(|(index, minutiae)| model.features_of(minutiae).map_err(|source| CohortError::Print { index, source }))
            .collect::<Result<_, _>>()?;
        let id = Sha256::digest(encode(prints)).iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(Self { id, prints: features, expected: false })
    }

    /// Reads a cohort file.
    ///
    /// # Errors
    /// Another magic or version, a wrong length or checksum, or what [`Cohort::new`] refuses.
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self, CohortError> {
        let word = |at: usize| -> Result<u32, CohortError> {
            let b = bytes.get(at..at + 4).ok_or(CohortError::File)?;
            Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        };
        if bytes.get(..8) != Some(MAGIC.as_slice()) || word(8)? != FORMAT_VERSION {
            return Err(CohortError::File);
        }
        let end = bytes.len().checked_sub(4).filter(|end| *end >= HEADER_BYTES).ok_or(CohortError::File)?;
        if crc32c::crc32c(&bytes[..end]) != word(end)? {
            return Err(CohortError::Checksum);
        }
        let mut rest = &bytes[HEADER_BYTES..end];
        let mut prints: Vec<Vec<Minutia>> = Vec::new();
        while let Some((count, tail)) = rest.split_first_chunk::<2>() {
            let count = usize::from(u16::from_le_bytes(*count));
            if count > MINUTIAE_MAX || tail.len() < count * 8 || prints.len() == COHORT_PRINTS_MAX {
                return Err(CohortError::File);
            }
            let (minutiae, tail) = tail.split_at(count * 8);
            prints.push(minutiae.chunks_exact(8).map(minutia).collect());
            rest = tail;
        }
        if !rest.is_empty() || prints.len() != word(12)? as usize {
            return Err(CohortError::File);
        }
        let views: Vec<&[Minutia]> = prints.iter().map(Vec::as_slice).collect();
        Self::new(model, &views)
    }

    /// The cohort file of these prints.
    pub fn file(prints: &[&[Minutia]]) -> Vec<u8> {
        let mut out = encode(prints);
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The first 16 hexadecimal digits of the SHA-256 of the prints; empty for [`Cohort::none`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Prints.
    pub fn len(&self) -> usize {
        self.prints.len()
    }

    /// Whether it normalises nothing.
    pub fn is_empty(&self) -> bool {
        self.prints.is_empty() && !self.expected
    }

    /// The print's scores against the cohort; [`CohortStatistics::NONE`] for [`Cohort::none`].
    ///
    /// Costs a comparison for each print of the cohort. `view` must be of the cohort's model.
    pub fn statistics(&self, model: &Model, view: FingerView<'_>) -> CohortStatistics {
        if self.expected {
            return model.expected(view.minutiae());
        }
        if self.prints.is_empty() {
            return CohortStatistics::NONE;
        }
        let probe = CompareProbe::new(model, view);
        let mut scratch = Scratch::new();
        let (mut sum, mut squares) = (0f64, 0f64);
        for print in &self.prints {
            let score = f64::from(compare(&probe, print.view(), &mut scratch).score.max(SCORE_FLOOR));
            sum += score;
            squares += score * score;
        }
        let n = self.prints.len() as f64;
        let mean = sum / n;
        let variance = (squares / n - mean * mean).max(0.0);
        CohortStatistics { mean: mean as f32, spread: (variance.sqrt() as f32).max(SPREAD_MIN) }
    }
}

fn encode(prints: &[&[Minutia]]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&(prints.len() as u32).to_le_bytes());
    for print in prints {
        out.extend_from_slice(&(print.len() as u16).to_le_bytes());
        for m in *print {
            for value in [m.x, m.y, m.angle] {
                out.extend_from_slice(&value.to_le_bytes());
            }
            out.extend_from_slice(&[m.kind_code, m.quality]);
        }
    }
    out
}

fn minutia(bytes: &[u8]) -> Minutia {
    let value = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    Minutia { x: value(0), y: value(2), angle: value(4), kind_code: bytes[6], quality: bytes[7] }
}

/// A score in standard deviations above what strangers score, averaged over both prints: a similarity, about 0 for
/// non-mated prints. [`CohortStatistics::NONE`] on both sides leaves the score as it is.
pub fn normalise(score: f32, probe: CohortStatistics, reference: CohortStatistics) -> f32 {
    0.5 * ((score - probe.mean) / probe.spread + (score - reference.mean) / reference.spread)
}

impl std::fmt::Debug for Cohort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cohort").field("id", &self.id).field("prints", &self.prints.len()).finish_non_exhaustive()
    }
}

/// Why a cohort is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CohortError {
    /// Too few or too many prints.
    #[error("{found} prints; a cohort has {COHORT_PRINTS_MIN} to {COHORT_PRINTS_MAX}")]
    Count {
        /// How many.
        found: usize,
    },
    /// A print that the model refuses.
    #[error("print {index} of the cohort: {source}")]
    Print {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: FeatureError,
    },
    /// Not a cohort file of this version, or cut short.
    #[error("not a whole cohort file of format {FORMAT_VERSION}")]
    File,
    /// The bytes were changed.
    #[error("the cohort file's checksum is wrong")]
    Checksum,
}
