//! `duynhat evaluate`: error rates on labelled data, by modality.

use super::evaluate_face::{self, EvaluateFaceArgs};
use super::evaluate_finger::{self, EvaluateFingerArgs};

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
}

/// Runs the command.
///
/// # Errors
/// As the command of the modality.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Finger(args) => evaluate_finger::run(args),
        What::Face(args) => evaluate_face::run(args),
    }
}
