//! What one encounter with a subject holds.

use serde::{Deserialize, Serialize};

use super::{FaceTemplate, FingerPosition, FingerTemplate};

/// Most impressions of one finger in one encounter.
pub const IMPRESSIONS_MAX: usize = 3;
/// Most faces in one encounter.
pub const FACES_MAX: usize = 3;
/// Longest subject or application name, in bytes.
pub const NAME_LENGTH_MAX: usize = 64;

/// Why a finger is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingReason {
    /// The finger is not there.
    Amputated,
    /// It is there and can't be captured now.
    Bandaged,
    /// Captured again and again without usable quality.
    Unreadable,
    /// Any other reason, described to the operator's satisfaction.
    Other,
}

/// A finger said to be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFinger {
    /// Which one; never unknown.
    pub position: FingerPosition,
    /// Why.
    pub reason: MissingReason,
}

/// The biometrics of one encounter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Biometrics {
    /// Up to ten positions with 1 to [`IMPRESSIONS_MAX`] impressions each; position unknown counts as one more.
    pub fingers: Vec<FingerTemplate>,
    /// Up to [`FACES_MAX`].
    pub faces: Vec<FaceTemplate>,
    /// Fingers said to be missing.
    pub missing: Vec<MissingFinger>,
}

impl Biometrics {
    /// Sorts fingers by position and checks the counts.
    ///
    /// # Errors
    /// Too many impressions or faces, a finger both present and missing, or nothing at all.
    pub fn new(
        mut fingers: Vec<FingerTemplate>,
        faces: Vec<FaceTemplate>,
        mut missing: Vec<MissingFinger>,
    ) -> Result<Self, BiometricsError> {
        fingers.sort_by_key(|f| f.position);
        missing.sort_by_key(|m| m.position);
        let mut counts = [0usize; FingerPosition::COUNT];
        for finger in &fingers {
            counts[finger.position.index()] += 1;
            // An unknown position may hold any finger of ten.
            let limit = if finger.position == FingerPosition::UNKNOWN { 10 * IMPRESSIONS_MAX } else { IMPRESSIONS_MAX };
            if counts[finger.position.index()] > limit {
                return Err(BiometricsError::Impressions { position: finger.position });
            }
        }
        for pair in missing.windows(2) {
            if pair[0].position == pair[1].position {
                return Err(BiometricsError::MissingTwice { position: pair[0].position });
            }
        }
        for m in &missing {
            if m.position == FingerPosition::UNKNOWN {
                return Err(BiometricsError::MissingUnknown);
            }
            if counts[m.position.index()] > 0 {
                return Err(BiometricsError::MissingPresent { position: m.position });
            }
        }
        if faces.len() > FACES_MAX {
            return Err(BiometricsError::Faces { found: faces.len() });
        }
        if fingers.is_empty() && faces.is_empty() {
            return Err(BiometricsError::Empty);
        }
        Ok(Self { fingers, faces, missing })
    }
}

/// Why an encounter's biometrics are not acceptable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BiometricsError {
    /// More than [`IMPRESSIONS_MAX`] of one finger.
    #[error("more than {IMPRESSIONS_MAX} impressions of one finger ({position})")]
    Impressions {
        /// Which finger.
        position: FingerPosition,
    },
    /// More than [`FACES_MAX`].
    #[error("{found} faces; at most {FACES_MAX} are allowed")]
    Faces {
        /// How many.
        found: usize,
    },
    /// One finger is named missing twice.
    #[error("{position} is named missing twice")]
    MissingTwice {
        /// Which finger.
        position: FingerPosition,
    },
    /// A finger is both present and missing.
    #[error("{position} is named missing but has an impression")]
    MissingPresent {
        /// Which finger.
        position: FingerPosition,
    },
    /// A missing finger without a position.
    #[error("a missing finger needs a position from 1 to 10")]
    MissingUnknown,
    /// Neither a finger nor a face.
    #[error("neither a finger nor a face")]
    Empty,
}
