//! `duynhat evaluate`: error rates on labelled data, by modality.

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
}

/// Runs the command.
///
/// # Errors
/// As the command of the modality.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Finger(args) => evaluate_finger::run(args),
    }
}
