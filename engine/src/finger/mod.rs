//! Fingerprints: descriptor, screen, comparison, calibration.

mod calibration;
pub mod cascade;
mod cohort;
mod compare;
mod cylinder;
mod features;
mod geometry;
mod model;
pub mod screen;

pub use calibration::{Calibration, Llr};
pub use cohort::{Cohort, CohortStatistics, normalise};
pub use compare::{CompareProbe, Comparison, Scratch, compare, compare_pairs};
pub(crate) use compare::{FEATURES, compare_measured};
pub(crate) use cylinder::{RAW_DIMENSIONS, Raw, neighbourhoods};
pub use features::{Code, FingerFeatures, FingerView};
pub use model::{CODE_BITS, FeatureError, MINUTIAE_MIN, Model, ModelError, SCREEN_BITS};
pub(crate) use model::{ModelParts, WEIGHT_MAX};
