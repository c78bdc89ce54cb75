//! Fingerprints: descriptor, screen, comparison, calibration.

mod calibration;
pub mod cascade;
mod clusters;
mod cohort;
mod compare;
mod cylinder;
mod features;
mod geometry;
mod model;
pub mod screen;

pub(crate) use calibration::pair_name;
pub use calibration::{
    CALIBRATION_FORMAT, CURVE_DEFAULT, Calibration, CalibrationError, LLR_MAX, LLR_MIN, Llr, evidence, finger_kind,
};
pub use clusters::{CLUSTERS, Clusters};
pub(crate) use cohort::learn as learn_levels;
pub use cohort::{
    COHORT_PRINTS_MAX, COHORT_PRINTS_MIN, COHORT_WEIGHTS, Cohort, CohortError, CohortStatistics, normalise,
};
pub use compare::{CompareProbe, Comparison, Scratch, compare, compare_pairs};
pub(crate) use compare::{FEATURE_MATCHED, FEATURES, ScoreWeights, compare_measured};
pub(crate) use cylinder::{RAW_DIMENSIONS, Raw, neighbourhoods};
pub use features::{Code, FingerFeatures, FingerView};
pub use model::{CODE_BITS, FeatureError, MINUTIAE_MIN, Model, ModelError, SCREEN_BITS};
pub(crate) use model::{ModelParts, WEIGHT_MAX};

#[cfg(test)]
mod tests;
