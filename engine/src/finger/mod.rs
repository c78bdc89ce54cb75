//! Fingerprints: descriptor, screen, comparison, calibration.

mod features;

pub use features::{Code, FingerFeatures, FingerView};
