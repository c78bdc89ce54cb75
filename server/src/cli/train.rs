//! `duynhat train finger`.

use std::path::PathBuf;

use duynhat_engine::evaluation::training::{SEED, train};

use super::collection::load_collections;

/// Trains a fingerprint model; the same folders in the same order and the same seed give the same bytes.
#[derive(clap::Args, Debug)]
pub struct TrainFingerArgs {
    /// Folders of `<finger>_<impression>.iso`, named `<database>-<extractor>`.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Where the model is written.
    #[arg(long)]
    out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// Runs the command.
pub fn run(args: &TrainFingerArgs) -> anyhow::Result<()> {
    let prints = load_collections(&args.folders)?;
    let trained = train(&prints, args.seed)?;
    std::fs::write(&args.out, trained.model.to_bytes())?;
    println!(
        "model {} from {} prints, {} mated minutiae; found at 0.1 %: {:.1} % by the screen's bits, {:.1} % by all",
        trained.model.id(),
        prints.len(),
        trained.mates,
        100.0 * trained.found[0],
        100.0 * trained.found[1],
    );
    Ok(())
}
