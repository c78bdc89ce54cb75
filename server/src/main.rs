//! The `duynhat` binary.

use clap::{Parser, Subcommand};
use duynhat_server::cli;

#[derive(Parser)]
#[command(name = "duynhat")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a fingerprint model.
    TrainFinger(cli::train::TrainFingerArgs),
    /// Laboratory.
    Lab {
        #[arg(long)]
        cross: bool,
        folders: Vec<std::path::PathBuf>,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::TrainFinger(args) => cli::train::run(&args),
        Command::Lab { cross, folders } => cli::lab::run(&folders, cross),
    }
}
