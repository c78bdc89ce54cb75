//! `duynhat gallery freeze-cohort`: the operator's own cohort.

use std::path::PathBuf;

use duynhat_engine::finger::{COHORT_PRINTS_MAX, COHORT_PRINTS_MIN};
use serde::Serialize;

use super::{BadInput, print_json};
use crate::service::{Folder, LearnCohortError, LearnedCohort, Models, learn_cohort};

/// Learns what strangers score from the gallery's own prints.
#[derive(clap::Args, Debug)]
pub struct FreezeArgs {
    /// The data folder; no server may have it.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Prints to learn from, of as many references, chosen evenly.
    #[arg(long, value_name = "N", default_value_t = 2_048,
        value_parser = clap::value_parser!(u64).range(COHORT_PRINTS_MIN as u64..=COHORT_PRINTS_MAX as u64))]
    prints: u64,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Frozen {
    cohort: String,
    position: u64,
    prints: usize,
}

/// Runs the command.
///
/// # Errors
/// Too few references with prints (exit code 2), another process has the folder, damage, I/O.
pub fn freeze(args: &FreezeArgs) -> anyhow::Result<()> {
    // A folder that is not there is the user's mistake, and not made.
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    super::open_folder(&args.data, &models)?;
    let mut folder = Folder::open(&args.data, models.model, models.cohort)?;
    let snapshot = folder.published().load_full();
    let learned = learn_cohort(&snapshot, models.model, args.prints as usize).map_err(|error| match error {
        LearnCohortError::TooFew { .. } => BadInput::error(error.to_string()),
        error => error.into(),
    })?;
    let LearnedCohort { cohort, members } = learned;
    let prints = members.len();
    let position = folder.freeze_cohort(&cohort, members)?;
    folder.close()?;
    let frozen = Frozen { cohort: cohort.id().to_owned(), position, prints };
    if args.json {
        return print_json(&frozen);
    }
    println!("cohort {} of {} prints, in force from log position {}", frozen.cohort, frozen.prints, frozen.position);
    Ok(())
}
