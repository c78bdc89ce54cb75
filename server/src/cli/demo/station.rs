//! Stations: clients that ask over HTTP and take the time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use duynhat_datasets::People;
use serde::Serialize;

use super::DemoArgs;
use super::scenario::Scenario;
use crate::service::{CheckDocument, CheckStatus};

/// One line of the demo's table.
#[derive(Serialize)]
pub(super) struct Row {
    pub scenario: &'static str,
    pub count: u64,
    pub expected: &'static str,
    pub got: BTreeMap<String, u64>,
    pub right: u64,
    pub share_min: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Row {
    /// Whether enough answers were right.
    pub fn ok(&self) -> bool {
        self.right as f64 >= self.share_min * self.count as f64
    }

    /// E.g. `39 clear, 1 review`.
    pub fn got_text(&self) -> String {
        let mut got: Vec<_> = self.got.iter().collect();
        got.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        got.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    }
}

/// Plays one scenario with all stations at once.
pub(super) async fn play(
    scenario: &Scenario,
    people: &Arc<People>,
    args: &DemoArgs,
    address: SocketAddr,
) -> anyhow::Result<Row> {
    let next = Arc::new(AtomicU64::new(0));
    let mut stations = tokio::task::JoinSet::new();
    for _ in 0..args.stations {
        let (next, people, make) = (next.clone(), people.clone(), scenario.request);
        let (checks, count) = (args.checks, args.people);
        stations.spawn(async move {
            let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
            let mut answers = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= checks {
                    return anyhow::Ok(answers);
                }
                let body = simd_json::serde::to_vec(&make(&people, count, n))?;
                let started = Instant::now();
                let answer = ask(&client, address, body).await?;
                answers.push((answer, started.elapsed().as_secs_f64() * 1e3));
            }
        });
    }
    let mut got: BTreeMap<String, u64> = BTreeMap::new();
    let mut times = Vec::new();
    while let Some(answers) = stations.join_next().await {
        for (answer, ms) in answers?? {
            *got.entry(answer).or_default() += 1;
            times.push(ms);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get((share * times.len() as f64) as usize).or(times.last()).copied().unwrap_or(0.0);
    let right = scenario.right.iter().filter_map(|r| got.get(*r)).sum();
    Ok(Row {
        scenario: scenario.name,
        count: args.checks,
        expected: scenario.expected,
        right,
        share_min: scenario.share,
        p50_ms: (at(0.5) * 10.0).round() / 10.0,
        p99_ms: (at(0.99) * 10.0).round() / 10.0,
        got,
    })
}

#[derive(serde::Deserialize)]
struct Problem {
    #[serde(default)]
    field: Option<String>,
}

/// The decision, or the status and the field that a problem names.
async fn ask(client: &reqwest::Client, address: SocketAddr, body: Vec<u8>) -> anyhow::Result<String> {
    let url = format!("http://{address}/v1/checks");
    let response = client.post(&url).header("content-type", "application/json").body(body).send().await?;
    let status = response.status();
    let mut bytes = response.bytes().await?.to_vec();
    if !status.is_success() {
        let problem: Problem = simd_json::serde::from_slice(&mut bytes).context("not a problem document")?;
        return Ok(format!("{} {}", status.as_u16(), problem.field.unwrap_or_default()).trim_end().to_owned());
    }
    let mut document: CheckDocument = simd_json::serde::from_slice(&mut bytes)?;
    while document.status == CheckStatus::Pending {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let response = client.get(format!("{url}/{}", document.application)).send().await?;
        let mut bytes = response.bytes().await?.to_vec();
        document = simd_json::serde::from_slice(&mut bytes)?;
    }
    Ok(document.decision.map_or("undecided", |d| d.as_str()).to_owned())
}
