//! Duy Nhất's engine: one person, one identity.
//!
//! Modules, low to high; a module uses only those above it in this list:
//!
//! | module | what it knows |
//! |---|---|
//! | [`codec`] | how structured records become bytes (bincode) |
//! | [`storage`] | what journal and gallery ask of a file system; one in memory for tests, and faults on purpose |
//! | [`template`] | domain types and codecs of the standards; no I/O |
//! | [`kernel`] | slices in, scores out, one dispatch by CPU |
//! | [`likelihood`] | curves from scores to likelihood ratios and false match rates, whatever was compared |
//! | [`finger`], [`face`] | descriptor, screen, comparison, bounds, score calibration of a modality |
//! | [`gallery`] | memory-mapped stripes, snapshots, tombstones |
//! | [`log`] | events, the file journal |
//! | [`search`] | planning, rayon, candidate lists |
//! | [`decision`] | fusion, thresholds, bands, the rules of each purpose |
//! | [`evaluation`] | error rates, calibration, training |

pub mod codec;
pub mod decision;
pub mod evaluation;
pub mod face;
pub mod finger;
pub mod gallery;
pub mod kernel;
pub mod likelihood;
pub mod log;
pub mod search;
pub mod storage;
pub mod template;
