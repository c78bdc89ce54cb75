//! Seeded synthetic people and loaders for real collections.
//!
//! ```
//! use duynhat_datasets::{EncounterSettings, People, Settings};
//!
//! let people = People::new(1, Settings::default());
//! let encounter = people.person(41).encounter(0, &EncounterSettings::default());
//! assert_eq!(encounter.fingers.len(), 10);
//! assert_eq!(encounter.faces[0].values().len(), 512);
//! ```

pub mod collection;
mod face;
mod field;
pub mod frauds;
mod impression;
mod master;
pub mod pairing;
mod people;
mod random;
mod settings;
pub mod statistics;

pub use face::{FACE_DIMENSION, cosine};
pub use field::PatternClass;
pub use impression::EXTRACTOR;
pub use people::{EncounterSettings, People, Person};
pub use settings::{FaceSettings, ImpressionSettings, MasterSettings, QualitySettings, Settings};

/// Seed of the people whose prints the shipped fingerprint model learned from (`just model`): nothing may be measured on
/// them.
pub const MODEL_SEED: u64 = 503;
