//! `duynhat evaluate`: error rates on labelled data, by modality.

use super::evaluate_face::{self, EvaluateFaceArgs};
use super::evaluate_finger::{self, EvaluateFingerArgs};
use super::evaluate_people::{self, EvaluatePeopleArgs};

/// Measure error rates on labelled data.
#[derive(clap::Args, Debug)]
pub struct EvaluateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Fingerprint collections.
    Finger(EvaluateFingerArgs),
    /// A folder of face embeddings.
    Face(EvaluateFaceArgs),
    /// Whole people, real or synthetic, and planted frauds.
    People(EvaluatePeopleArgs),
}

/// Runs the command.
///
/// # Errors
/// As the command of the modality.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Finger(args) => evaluate_finger::run(args),
        What::Face(args) => evaluate_face::run(args),
        What::People(args) => evaluate_people::run(args),
    }
}
