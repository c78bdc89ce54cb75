//! `duynhat evaluate people`: whole people, searched for and decided on as the product does it.

mod drawings;
mod figures;
mod generator;
mod growth;
mod page;
mod planted;
mod population;
mod prediction;
mod real;
mod searches;
mod synthetic;

use std::path::PathBuf;

use anyhow::Context;
use duynhat_datasets::MODEL_SEED;
use serde::Serialize;

use super::BadInput;

/// Search and decide on whole people: identification error rates by gallery size, and planted frauds.
#[derive(clap::Args, Debug)]
pub struct EvaluatePeopleArgs {
    /// Folders of real prints `<finger>_<impression>.iso`: people are those of `<person>f<finger>`, and chimeric persons
    /// made of single fingers.
    #[arg(value_name = "DIR", conflicts_with = "synthetic", required_unless_present = "synthetic")]
    folders: Vec<PathBuf>,
    /// So many synthetic people in the gallery, ten fingers and a face each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(200..=1_000_000))]
    synthetic: Option<u64>,
    /// Seed of the synthetic people; 77 is the calibration's own, 503 that of the prints that the shipped model learned
    /// from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Where `figures.json` and `report.html` are written.
    #[arg(long, value_name = "OUT")]
    out: PathBuf,
    /// Non-mated searches by each set of fingers, and half as many mated ones; with all fingers and the face twice as
    /// many of either. Mated ones as far as there are so many people.
    #[arg(long, value_name = "N", default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(60..=1_000_000))]
    probes: u64,
    /// Frauds of each kind; 400 prove 99 % if all are caught.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    planted: u64,
    /// Innocent first issues that are decided; a fifth of that for each other purpose.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    innocents: u64,
    /// Only how false positives grow with the gallery: its people have the four fingers that are searched with and no face,
    /// so that a million fit; a quarter as many mated searches, no frauds, no innocents.
    #[arg(long, requires = "synthetic", conflicts_with_all = ["planted", "innocents"])]
    growth: bool,
    /// One JSON document of plain numbers.
    #[arg(long)]
    json: bool,
}

impl EvaluatePeopleArgs {
    /// Asked before hours of work, not after.
    fn make_out(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())
    }

    /// `figures.json` and `report.html`.
    fn write(&self, figures: &impl Serialize, html: &str) -> anyhow::Result<()> {
        for (name, text) in
            [("figures.json", simd_json::serde::to_string_pretty(figures)?.as_str()), ("report.html", html)]
        {
            let path = self.out.join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// Runs the command.
///
/// # Errors
/// Input that is missing or unfit ([`BadInput`]); a file that can't be written.
pub fn run(args: &EvaluatePeopleArgs) -> anyhow::Result<()> {
    match args.synthetic {
        Some(_) if args.seed == prediction::CALIBRATION_SEED => {
            let seed = prediction::CALIBRATION_SEED;
            Err(BadInput::error(format!("--seed {seed}: the calibration's people have that one; take another")))
        }
        Some(_) if args.seed == MODEL_SEED => Err(BadInput::error(format!(
            "--seed {MODEL_SEED}: the fingerprint model learned from people of that one; take another"
        ))),
        Some(people) if args.growth => growth::run(args, people),
        Some(people) => synthetic::run(args, people),
        None => real::run(args),
    }
}
