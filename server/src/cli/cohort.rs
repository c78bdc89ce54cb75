//! `duynhat gallery freeze-cohort`: the operator's own cohort.

use std::path::PathBuf;

use duynhat_engine::finger::{COHORT_PRINTS_MAX, COHORT_PRINTS_MIN, Cohort};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::template::Minutia;
use serde::Serialize;

use super::{BadInput, print_json};
use crate::service::{Folder, Models};

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
    let live: Vec<u64> = (0..snapshot.rows()).filter(|row| snapshot.is_live(*row)).collect();
    let wanted = (args.prints as usize).min(live.len());
    let (mut members, mut subjects, mut hands): (Vec<u64>, Vec<_>, Vec<Prepared>) = Default::default();
    for k in 0..wanted {
        let row = live[k * live.len() / wanted];
        let mut prepared = snapshot.prepared(row)?;
        if prepared.fingers.is_empty() {
            continue;
        }
        // One finger a reference, another one each time.
        let by = k % prepared.fingers.len().max(1);
        prepared.fingers.rotate_left(by);
        prepared.fingers.truncate(1);
        members.extend(snapshot.position_of(row)?);
        subjects.push(snapshot.subject(row)?);
        hands.push(prepared);
    }
    if hands.len() < COHORT_PRINTS_MIN {
        let found = hands.len();
        return Err(BadInput::error(format!(
            "{found} references with prints; a cohort is learned from at least {COHORT_PRINTS_MIN}"
        )));
    }
    let prints: Vec<&[Minutia]> = hands.iter().map(|hand| hand.fingers[0].features.view().minutiae()).collect();
    let cohort = Cohort::new(models.model, &prints, |a, b| subjects[a] == subjects[b])?;
    let position = folder.freeze_cohort(&cohort, members)?;
    folder.close()?;
    let frozen = Frozen { cohort: cohort.id().to_owned(), position, prints: prints.len() };
    if args.json {
        return print_json(&frozen);
    }
    println!("cohort {} of {} prints, in force from log position {}", frozen.cohort, frozen.prints, frozen.position);
    Ok(())
}
