//! What becomes a row: an encounter with its features extracted.

use crate::finger::{Cohort, CohortStatistics, FeatureError, FingerFeatures, Model};
use crate::template::{Biometrics, Extractor, FaceTemplate, FingerPosition};

/// One impression of one finger, ready for a column or for a search.
pub struct PreparedFinger {
    /// Which finger.
    pub position: FingerPosition,
    /// Overall quality, 0 unknown.
    pub quality: u8,
    /// Who extracted the minutiae.
    pub extractor: Extractor,
    /// Minutiae and codes.
    pub features: FingerFeatures,
    /// Scores against the cohort.
    pub cohort: CohortStatistics,
}

/// One encounter, ready to become a reference or a probe.
#[derive(Default)]
pub struct Prepared {
    /// Usable prints by position.
    pub fingers: Vec<PreparedFinger>,
    /// Faces as given.
    pub faces: Vec<FaceTemplate>,
    /// Prints that cannot be enrolled, with the reason.
    pub failures: Vec<(FingerPosition, FeatureError)>,
}

impl Prepared {
    /// Extracts the features. A print that cannot be enrolled is listed in `failures`, never dropped in silence.
    /// Cost: well under a millisecond a print.
    pub fn new(model: &Model, cohort: &Cohort, biometrics: &Biometrics) -> Self {
        let mut prepared = Self { faces: biometrics.faces.clone(), ..Self::default() };
        for finger in &biometrics.fingers {
            match model.features(finger) {
                Ok(features) => prepared.fingers.push(PreparedFinger {
                    position: finger.position,
                    quality: finger.quality,
                    extractor: finger.extractor.clone(),
                    cohort: cohort.statistics(features.view().minutiae()),
                    features,
                }),
                Err(error) => prepared.failures.push((finger.position, error)),
            }
        }
        prepared
    }

    /// Levels the prints by another cohort. A few operations a minutia.
    pub fn level_by(&mut self, cohort: &Cohort) {
        for finger in &mut self.fingers {
            finger.cohort = cohort.statistics(finger.features.view().minutiae());
        }
    }
}

/// A row to be.
pub struct Reference {
    /// Its position in the log.
    pub position: u64,
    /// The subject's name.
    pub subject: String,
    /// Its features.
    pub prepared: Prepared,
}
