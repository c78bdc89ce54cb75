//! `duynhat replay` and `duynhat shadow`: past decisions made again.

use std::path::PathBuf;

use duynhat_engine::finger::{Calibration, Model};
use serde::Serialize;

use super::demo::TemporaryFolder;
use super::{BadInput, grouped, print_json, print_table};
use crate::service::{Again, Models, ReplayMode, ReplayOptions, Replayed, log_dir, replay};

/// Differing decisions that are listed.
const LISTED_MAX: usize = 1_000;

/// Make past decisions again from the log, and see that every document comes out the same, byte for byte.
///
/// Decisions made with another fingerprint model or calibration than this build's can't come out the same: they are
/// counted, and neither listed nor an error. The build that made them replays them, from a backup of that time.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    range: RangeArgs,
}

/// Make past decisions again by another policy, and list those that would change.
///
/// Decisions made with another fingerprint model or calibration than this build's may change because of that, too.
#[derive(clap::Args, Debug)]
pub struct ShadowArgs {
    /// The candidate policy.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    #[command(flatten)]
    range: RangeArgs,
}

#[derive(clap::Args, Debug)]
struct RangeArgs {
    /// The data folder. Its server may run.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Decisions from this log position on.
    #[arg(long, value_name = "POSITION", default_value_t = 1)]
    from: u64,
    /// And up to this one; to the end by default.
    #[arg(long, value_name = "POSITION")]
    until: Option<u64>,
    /// Threads; default: all cores. Another number than the server's is part of the test.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Work in this folder, which must not be there yet; by default in one that is thrown away.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    records: u64,
    decisions: u64,
    same: u64,
    same_outcome: u64,
    /// Recorded by another fingerprint model or calibration.
    other_models: u64,
    other_models_same_outcome: u64,
    kernel: String,
    threads: usize,
    /// At most a thousand.
    changed: Vec<Changed>,
}

#[derive(Serialize)]
struct Changed {
    application: String,
    /// Of the decision.
    position: u64,
    purpose: Option<&'static str>,
    recorded: Option<&'static str>,
    again: Option<&'static str>,
    reasons: Vec<String>,
}

impl Changed {
    fn of(again: &Again) -> Self {
        Self {
            application: again.recorded.application.clone(),
            position: again.position,
            purpose: again.recorded.purpose.map(|p| p.as_str()),
            recorded: again.recorded.decision.map(|d| d.as_str()),
            again: again.again.decision.map(|d| d.as_str()),
            reasons: again.again.reasons.iter().map(|r| r.code.clone()).collect(),
        }
    }
}

/// Runs `duynhat replay`.
///
/// # Errors
/// A decision that comes out differently, or a log that can't be read.
pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let report = play(&args.range, ReplayMode::Same, |again| !again.same && !again.other_models)?;
    if args.range.json {
        print_json(&report)?;
    } else {
        summary(&report);
        println!("{} documents are the same, byte for byte", grouped(report.same));
        list(&report);
    }
    match report.decisions - report.same - report.other_models {
        0 => Ok(()),
        differ => anyhow::bail!("{differ} decisions come out differently"),
    }
}

/// Runs `duynhat shadow`. Decisions that change are the answer, not a failure.
///
/// # Errors
/// A policy that is not valid (exit code 2), or a log that can't be read.
pub fn run_shadow(args: &ShadowArgs) -> anyhow::Result<()> {
    let policy = Box::new(super::policy::read(&args.policy)?);
    let report =
        play(&args.range, ReplayMode::Shadow(policy), |again| again.again.decision != again.recorded.decision)?;
    if args.range.json {
        return print_json(&report);
    }
    summary(&report);
    println!("{} would change", grouped(report.decisions - report.same_outcome));
    list(&report);
    Ok(())
}

fn play(args: &RangeArgs, mode: ReplayMode, listed: impl Fn(&Again) -> bool) -> anyhow::Result<Report> {
    if !log_dir(&args.data).exists() {
        return Err(BadInput::error(format!("{}: no journal there; is it a data folder?", args.data.display())));
    }
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let kernel = models.isa.to_string();
    let cores = || std::thread::available_parallelism().map_or(2, usize::from);
    let threads = args.threads.map_or_else(cores, usize::from);
    let options = ReplayOptions { mode, threads, from: args.from, until: args.until.unwrap_or(u64::MAX) };
    let mut changed = Vec::new();
    let visit = |again: &Again| {
        if listed(again) && changed.len() < LISTED_MAX {
            changed.push(Changed::of(again));
        }
    };
    let done = match &args.work {
        Some(work) => {
            std::fs::create_dir(work).map_err(|e| BadInput::error(format!("{}: {e}", work.display())))?;
            replay(&args.data, work, models, &options, visit)?
        }
        None => {
            let work = TemporaryFolder::new()?;
            replay(&args.data, work.path(), models, &options, visit)?
        }
    };
    let Replayed { decisions, same, same_outcome, other_models, other_models_same_outcome, records } = done;
    Ok(Report {
        records,
        decisions,
        same,
        same_outcome,
        other_models,
        other_models_same_outcome,
        kernel,
        threads,
        changed,
    })
}

fn summary(report: &Report) {
    println!(
        "{} log records, {} decisions made again; kernel {}, {} threads",
        grouped(report.records),
        grouped(report.decisions),
        report.kernel,
        report.threads
    );
    if report.other_models > 0 {
        println!(
            "{} were made with another fingerprint model or calibration than this build's ({}, {}): {} have the same outcome",
            grouped(report.other_models),
            Model::shipped().id(),
            Calibration::shipped().id(),
            grouped(report.other_models_same_outcome)
        );
    }
}

fn list(report: &Report) {
    if report.changed.is_empty() {
        return;
    }
    let mut table =
        vec![["application", "position", "purpose", "recorded", "again", "reasons"].map(String::from).to_vec()];
    table.extend(report.changed.iter().map(|c| {
        let word = |w: Option<&'static str>| w.unwrap_or("").to_owned();
        vec![
            c.application.clone(),
            c.position.to_string(),
            word(c.purpose),
            word(c.recorded),
            word(c.again),
            c.reasons.join(", "),
        ]
    }));
    print_table(&table);
}
