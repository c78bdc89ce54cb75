//! What does the journal cost over the bare device? Records of about 5 KB (ten fingers), one appender and 64
//! that share syncs, against the same batches of the same bytes written and synced without any journal, in the same run:
//! `append` to a growing file as the journal does, `overwrite` in a file that has its blocks already, which is the least
//! that the device can be asked for.
//!
//! The folder is `DUYNHAT_BENCH_DIR` or the system's temporary one; a folder in memory measures nothing. Every journal is
//! read back before its time counts.
#![allow(missing_docs)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::codec;
use duynhat_engine::log::{Enrolled, Event, EventLog, FileJournal, JournalReader, StoredBiometrics, gather};
use tokio::sync::oneshot;

const GROUP_MAX: usize = 512;
/// A record's header.
const HEADER: usize = 32;

fn record() -> Event {
    let mut biometrics = People::new(3, Settings::default()).person(1).encounter(0, &EncounterSettings::default());
    biometrics.faces.clear();
    let biometrics = StoredBiometrics::from(&biometrics);
    Event::Enrolled(Enrolled { subject: "S0000000001".into(), identity: Some([7; 32]), biometrics })
}

fn folder() -> PathBuf {
    let parent = std::env::var_os("DUYNHAT_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("duynhat-bench-journal-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// So many appends by so many appenders, each waiting for its own; the batches that came about. As in the server the appenders
/// are tasks of a runtime, and the writer is a thread.
fn appends(dir: &Path, event: &Event, appenders: usize, count: usize) -> (Duration, Vec<usize>) {
    let _ = std::fs::remove_dir_all(dir);
    let mut journal = FileJournal::create(dir, [1; 16]).expect("a journal");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (sender, receiver) = channel::<(Event, oneshot::Sender<()>)>();
    let begin = Instant::now();
    for appender in 0..appenders {
        let (sender, event) = (sender.clone(), event.clone());
        runtime.spawn(async move {
            for _ in (appender..count).step_by(appenders) {
                let (reply, durable) = oneshot::channel();
                sender.send((event.clone(), reply)).expect("a writer");
                durable.await.expect("durable");
            }
        });
    }
    drop(sender);
    let mut batches = Vec::new();
    while let Ok(first) = receiver.recv() {
        let (events, replies): (Vec<_>, Vec<_>) = gather(first, &receiver, GROUP_MAX).into_iter().unzip();
        journal.append(&events).expect("durable");
        replies.into_iter().for_each(|reply| reply.send(()).expect("an appender"));
        batches.push(events.len());
    }
    let took = begin.elapsed();
    drop(journal);
    let read = JournalReader::open(dir, 1).expect("a journal").filter(|r| r.as_ref().is_ok_and(|r| r.event == *event));
    assert_eq!(read.count(), count, "every record is there");
    (took, batches)
}

/// The same batches of bytes, written and synced.
fn raw(path: &Path, record_bytes: usize, batches: &[usize], overwrite: bool) -> Duration {
    let largest = batches.iter().max().copied().unwrap_or(1);
    let bytes = vec![0x5A; record_bytes * largest];
    let file = File::create(path).expect("a file");
    if overwrite {
        for n in 0..batches.iter().sum::<usize>() {
            file.write_all_at(&bytes[..record_bytes], (n * record_bytes) as u64).expect("room");
        }
        file.sync_all().expect("synced");
    }
    let begin = Instant::now();
    let mut at = 0;
    for batch in batches {
        file.write_all_at(&bytes[..batch * record_bytes], at).expect("written");
        file.sync_data().expect("synced");
        at += (batch * record_bytes) as u64;
    }
    begin.elapsed()
}

fn median(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

/// The ratios, each from runs that alternate.
fn ratios(dir: &Path, event: &Event, record_bytes: usize, rounds: usize, count: usize) {
    let (mut one, mut many, mut gain) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()], Vec::new());
    let mut mean_batch = 0.0;
    for _ in 0..rounds {
        let (single, batches) = appends(&dir.join("log"), event, 1, count);
        for (overwrite, ratios) in [false, true].into_iter().zip(&mut one) {
            let bare = raw(&dir.join("raw"), record_bytes, &batches, overwrite);
            ratios.push(bare.as_secs_f64() / single.as_secs_f64());
        }
        let (shared, batches) = appends(&dir.join("log"), event, 64, 16 * count);
        for (overwrite, ratios) in [false, true].into_iter().zip(&mut many) {
            let bare = raw(&dir.join("raw"), record_bytes, &batches, overwrite);
            ratios.push(bare.as_secs_f64() / shared.as_secs_f64());
        }
        mean_batch = 16.0 * count as f64 / batches.len() as f64;
        gain.push(16.0 * single.as_secs_f64() / shared.as_secs_f64());
    }
    println!(
        "records of {record_bytes} bytes, {rounds} rounds of {count} and {} appends; median (least to most)",
        16 * count
    );
    let names = ["rate over the raw device, append", "rate over the raw device, overwrite"];
    for (appenders, ratios) in [(1, one), (64, many)] {
        for (name, values) in names.iter().zip(ratios) {
            let (middle, least, most) = median(values);
            println!("{appenders:>3} appenders: {name}: {middle:.2} ({least:.2} to {most:.2})");
        }
    }
    let (middle, least, most) = median(gain);
    println!(
        " 64 appenders over one: {middle:.1} times the records a second ({least:.1} to {most:.1}), {mean_batch:.0} a sync"
    );
}

fn journal(c: &mut Criterion) {
    let event = record();
    let record_bytes = HEADER + codec::encode(&event).expect("an event").len();
    assert!((3_000..8_000).contains(&record_bytes), "{record_bytes} bytes");
    let dir = folder();
    let timed = std::env::args().any(|a| a == "--bench");
    ratios(&dir, &event, record_bytes, if timed { 7 } else { 1 }, if timed { 200 } else { 4 });

    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    for appenders in [1, 64] {
        group.bench_function(BenchmarkId::new("append", appenders), |b| {
            b.iter_custom(|count| appends(&dir.join("log"), &event, appenders, count as usize).0);
        });
        let (_, batches) = appends(&dir.join("log"), &event, appenders, if timed { 1_000 } else { 64 });
        let mean = batches.iter().sum::<usize>().div_ceil(batches.len());
        group.bench_function(BenchmarkId::new("raw", appenders), |b| {
            b.iter_custom(|count| {
                let batches = vec![mean; (count as usize).div_ceil(mean)];
                raw(&dir.join("raw"), record_bytes, &batches, false)
            });
        });
    }
    group.finish();
    std::fs::remove_dir_all(&dir).expect("the bench's own folder");
}

criterion_group!(benches, journal);
criterion_main!(benches);
