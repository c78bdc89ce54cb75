//! `duynhat train`: the fingerprint model.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::evaluation::training::{SEED, train};

use super::collection::load_collections;

/// Learn from labelled collections.
#[derive(clap::Args, Debug)]
pub struct TrainArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Train a fingerprint model: the same folders and seed give the same bytes.
    Finger(FingerArgs),
}

#[derive(clap::Args, Debug)]
struct FingerArgs {
    /// Folders of `<finger>_<impression>.iso`, named `<database>-<extractor>`.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// Where the model is written.
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    /// Seed of everything random.
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// Folders that can't be read, too little to learn from, a file that can't be written.
pub fn run(args: &TrainArgs) -> anyhow::Result<()> {
    match &args.what {
        What::Finger(args) => run_finger(args),
    }
}

fn run_finger(args: &FingerArgs) -> anyhow::Result<()> {
    let prints = load_collections(&args.folders)?.decoded();
    let trained = train(&prints, args.seed)?;
    write(&args.out, &trained.model.to_bytes())?;
    println!(
        "model {} from {} prints, {} mated minutiae; closer than 99.9 % of unrelated ones: {:.1} % by the screen's \
         bits, {:.1} % by all",
        trained.model.id(),
        prints.len(),
        trained.mates,
        100.0 * trained.found[0],
        100.0 * trained.found[1],
    );
    Ok(())
}

fn write(path: &PathBuf, bytes: &[u8]) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
