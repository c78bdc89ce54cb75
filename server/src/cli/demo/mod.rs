//! `duynhat demo`: a gallery of synthetic people, a real server on loopback, and stations that ask it over HTTP.

pub(crate) mod scenario;
mod station;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::template::Biometrics;

use self::scenario::scenarios;
use self::station::{Row, play};
use super::{BadInput, grouped, print_json, print_table, progress};
use crate::http::{self, HttpLimits};
use crate::service::{EnrolRequest, Identity, Models, Service, ServiceOptions};

/// References enrolled under one sync.
const BATCH: u64 = 512;

/// Builds a gallery of synthetic people, starts the server and plays stations against it. Needs nothing else.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// People in the gallery.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(100..=2_000_000))]
    pub people: u64,
    /// Seed of the people.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Applications of each scenario.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub checks: u64,
    /// Stations that ask at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub stations: u64,
    /// Keep the data here; by default it is thrown away.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Keep the server up afterwards, and say what to try.
    #[arg(long)]
    pub stay: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Plays the demo.
///
/// # Errors
/// An expectation failed, or something could not be set up.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let temporary = match &args.data {
        Some(_) => None,
        None => Some(TemporaryFolder::new()?),
    };
    let data = args.data.clone().or_else(|| temporary.as_ref().map(|t| t.path.clone())).context("no data folder")?;
    if data.join("log").exists() {
        return Err(BadInput::error(format!("{}: already has data; the demo wants a new folder", data.display())));
    }
    let kernel = models.isa.to_string();
    let people = Arc::new(People::new(args.seed, Settings::default()));
    let service = Arc::new(Service::open(&data, models, ServiceOptions::default())?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let rows = runtime.block_on(async {
        let started = Instant::now();
        enrol(&service, &people, args.people, |all| all).await?;
        let seconds = started.elapsed().as_secs_f64();
        if !args.json {
            println!(
                "enrolled {} synthetic people (10 fingers, 1 face) in {seconds:.1} s; kernel {kernel}",
                grouped(args.people)
            );
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(http::serve(listener, service.clone(), HttpLimits::default(), async move {
            drop(stopped.await);
        }));
        if !args.json {
            println!("serving on http://{address}; {} stations ask", args.stations);
        }
        let mut rows = Vec::new();
        for scenario in scenarios() {
            rows.push(play(&scenario, &people, args, address).await?);
        }
        report(args, &rows)?;
        if args.stay {
            println!("\nthe server stays up; end it with ctrl-c. Try:");
            println!("  curl -s http://{address}/readyz");
            println!("  curl -s http://{address}/v1/checks/{}", scenario::application("first", 0));
            println!("  curl -s http://{address}/metrics");
            println!("  and open http://{address}/docs in a browser");
            drop(tokio::signal::ctrl_c().await);
        }
        let _ = stop.send(());
        server.await??;
        anyhow::Ok(rows)
    })?;
    let failed: Vec<&str> = rows.iter().filter(|r| !r.ok()).map(|r| r.scenario).collect();
    drop(temporary);
    if failed.is_empty() {
        if !args.json {
            println!("every expectation holds");
        }
        return Ok(());
    }
    anyhow::bail!("expectations failed: {}", failed.join(", "))
}

/// Enrols people `0..count` in order, of each what `captured` leaves.
pub(crate) async fn enrol(
    service: &Service,
    people: &Arc<People>,
    count: u64,
    captured: fn(Biometrics) -> Biometrics,
) -> anyhow::Result<()> {
    let bar = progress(count, "enrolling people");
    let make = |first: u64| {
        let people = people.clone();
        tokio::task::spawn_blocking(move || {
            use rayon::prelude::*;
            let last = count.min(first + BATCH);
            let one = |index: u64| EnrolRequest {
                subject: scenario::subject(index),
                identity: Identity::new(&scenario::identity(index)),
                biometrics: captured(people.person(index).encounter(0, &EncounterSettings::default())),
            };
            (first..last).into_par_iter().map(one).collect::<Vec<_>>()
        })
    };
    let mut first = 0;
    while first < count {
        let batch = make(first).await?;
        first += batch.len() as u64;
        bar.inc(batch.len() as u64);
        service.enrol(batch).await?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn report(args: &DemoArgs, rows: &[Row]) -> anyhow::Result<()> {
    if args.json {
        return print_json(&rows);
    }
    let head = ["scenario", "count", "expected", "got", "p50 ms", "p99 ms", ""];
    let mut table: Vec<Vec<String>> = vec![head.iter().map(|s| (*s).to_owned()).collect()];
    for row in rows {
        table.push(vec![
            row.scenario.to_owned(),
            row.count.to_string(),
            row.expected.to_owned(),
            row.got_text(),
            format!("{:.1}", row.p50_ms),
            format!("{:.1}", row.p99_ms),
            if row.ok() { "ok" } else { "FAILED" }.to_owned(),
        ]);
    }
    println!();
    print_table(&table);
    Ok(())
}

/// Removed when dropped.
pub(crate) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }

    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut id = [0u8; 8];
        getrandom::fill(&mut id).map_err(|e| anyhow::anyhow!("{e}"))?;
        let path = std::env::temp_dir().join(format!("duynhat-demo-{:016x}", u64::from_le_bytes(id)));
        std::fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Left-overs of a demo in the temporary folder harm nobody.
        drop(std::fs::remove_dir_all(&self.path));
    }
}
