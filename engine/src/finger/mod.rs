//! Fingerprints: descriptor, screen, comparison, calibration.

mod features;
pub mod screen;

pub use features::{Code, FingerFeatures, FingerView};
