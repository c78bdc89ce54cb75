//! Error rates, calibration and training: what is measured on labelled collections. Nothing below imports this.

mod calibrate;
mod collection;
mod comparisons;
mod cross_validation;
pub mod intervals;
mod random;
pub mod rates;
pub mod tail;
pub mod training;

pub use calibrate::{CALIBRATION_SCORES_MIN, CalibrationScore, CalibrationScores, calibrate, fit_source};
pub use collection::{LabelledPrint, same_image, stem};
pub use comparisons::{compare_all, enrol, normalised_scores};
pub use cross_validation::{CrossValidated, cross_validate, database_pairs};
