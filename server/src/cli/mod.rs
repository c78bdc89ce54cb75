//! The command line: one file a command, each with its clap arguments and a `run`.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or bad input ([`BadInput`]).

pub mod at_rest;
pub mod backup;
pub mod calibrate;
pub mod capacity;
mod capacity_cascade;
pub mod capacity_faces;
pub mod cases;
pub mod check;
mod cohort;
pub mod collection;
pub mod compare;
pub mod demo;
pub mod evaluate;
pub mod evaluate_face;
pub mod evaluate_finger;
pub mod evaluate_people;
pub mod exceptions;
pub mod explain;
pub mod export;
pub mod gallery;
pub mod identify;
pub mod import;
pub mod inputs;
pub mod key;
pub mod picture;
pub mod policy;
pub mod replay;
pub mod report;
pub mod reverify;
pub mod serve;
pub mod subject;
pub mod synth;
pub mod template;
pub mod train;
pub mod upkeep;
pub mod verify;

use std::io::IsTerminal as _;
use std::time::Duration;

use duynhat_engine::log::LogError;

use crate::service::FolderError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The user's input is at fault, not the program or the machine: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

impl BadInput {
    /// As an [`anyhow::Error`].
    pub fn error(text: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(text.into()))
    }
}

/// Whether an error is the user's mistake, another build's data folder among them.
pub(crate) fn is_bad_input(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<BadInput>() || matches!(error.downcast_ref(), Some(FolderError::Model { .. }))
}

/// Opens a data folder to look at it. No gallery there is the user's mistake.
pub(crate) fn open_folder(
    data: &std::path::Path,
    models: &crate::service::Models,
) -> anyhow::Result<crate::service::ReadOnly> {
    crate::service::ReadOnly::open(data, models.model, models.cohort).map_err(|error| match error {
        FolderError::Log(LogError::Missing { path }) => {
            BadInput::error(format!("{}: no journal there; is {} a data folder?", path.display(), data.display()))
        }
        other => other.into(),
    })
}

/// A progress bar on a terminal, shown once the work has taken a second; elsewhere a line each minute.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos}/{human_len} {per_sec} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_secs(1));
    if !std::io::stderr().is_terminal() {
        let weak = bar.downgrade();
        // Ends with the bar or the process.
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(60));
                match weak.upgrade() {
                    Some(bar) if !bar.is_finished() => {
                        eprintln!("{what}: {} of {}", grouped(bar.position()), grouped(total));
                    }
                    _ => return,
                }
            }
        });
    }
    bar
}

/// One JSON document on a line of its own.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> anyhow::Result<()> {
    println!("{}", simd_json::serde::to_string(value)?);
    Ok(())
}

/// Rows in aligned columns, the first row being the head.
pub(crate) fn print_table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|s| s.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
