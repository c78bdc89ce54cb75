//! A backup made while people are enrolled comes back as what was durable; erased data leaves the next generation; sealed,
//! it says nothing; damaged, it does not come back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytemuck::cast_slice;
use duynhat_engine::log::{JournalReader, Record};
use duynhat_engine::storage::StorageKey;
use duynhat_engine::template::{Biometrics, FingerPosition};
use duynhat_server::backup::{self, BackupError, MakeOptions};
use duynhat_server::service::{
    EnrolRequest, EraseRequest, EraseTarget, IdentifyRequest, Models, Service, ServiceOptions, log_dir,
};
use duynhat_test_support::http::encounter;

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

/// Two fingers and a face: enough to be found, and quickly made.
fn person(index: u64, shot: u64) -> Biometrics {
    let mut biometrics = encounter(index, shot);
    let wanted = [2, 7].map(|code| FingerPosition::new(code).unwrap());
    biometrics.fingers.retain(|f| wanted.contains(&f.position));
    biometrics
}

fn enrol(people: std::ops::Range<u64>) -> Vec<EnrolRequest> {
    use rayon::prelude::*;
    let one = |n: u64| EnrolRequest { subject: format!("P{n}"), identity: None, biometrics: person(n, 0) };
    people.into_par_iter().map(one).collect()
}

fn options(key: Option<Arc<StorageKey>>) -> MakeOptions {
    MakeOptions { key, keep: 7, with_identity_key: false, alone: false }
}

async fn who_is(service: &Service, biometrics: Biometrics) -> Vec<(String, f32)> {
    let request = IdentifyRequest { biometrics, threshold: None, candidates_max: 3, cross_position: false };
    let found = service.identify(request).await.unwrap();
    found.candidates.into_iter().map(|c| (c.subject, c.score)).collect()
}

fn records(data: &Path) -> Vec<Record> {
    JournalReader::open(&log_dir(data), 1).unwrap().map(Result::unwrap).collect()
}

fn cli(arguments: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(BINARY).args(arguments).env_remove("DUYNHAT_KEY_FILE").output().expect("runs");
    let text = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn holds(dir: &Path, needle: &[u8]) -> bool {
    files(dir).iter().any(|path| std::fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_backup_made_while_people_are_enrolled_comes_back_as_what_was_durable() {
    let home = tempfile::tempdir().unwrap();
    let (data, store) = (home.path().join("data"), home.path().join("backup"));
    let service = Arc::new(open(&data));
    service.enrol(enrol(0..600)).await.unwrap();
    let busy = {
        let service = service.clone();
        tokio::spawn(async move {
            for first in (600..1_400).step_by(50) {
                service.enrol(enrol(first..first + 50)).await.unwrap();
            }
        })
    };
    let mut made = Vec::new();
    while made.len() < 4 || !busy.is_finished() {
        let (data, store) = (data.clone(), store.clone());
        let one = tokio::task::spawn_blocking(move || backup::make(&data, &store, &options(None)));
        made.push(one.await.unwrap().unwrap());
    }
    busy.await.unwrap();
    assert!(made.windows(2).all(|w| w[0].position <= w[1].position && w[0].generation < w[1].generation));
    let probes: Vec<u64> = vec![3, 555];
    let mut expected = Vec::new();
    for probe in &probes {
        expected.push(who_is(&service, person(*probe, 1)).await);
    }
    let whole = records(&data);
    service.close().await;
    drop(service);

    // The last generation and an early one that is still kept.
    let kept = backup::verify(&store, None, None).unwrap();
    assert_eq!(kept.generation, made.last().unwrap().generation);
    let early = made[made.len().saturating_sub(3)].clone();
    for (generation, position) in [(kept.generation, kept.position), (early.generation, early.position)] {
        let back = home.path().join(format!("back-{generation}"));
        let restored = backup::restore(&store, &back, None, Some(generation)).unwrap();
        assert_eq!(restored.position, position);
        assert_eq!(records(&back), whole[..position as usize], "the log up to there, the same");
        std::fs::create_dir_all(back.join("keys")).unwrap();
        std::fs::copy(data.join("keys/identity.key"), back.join("keys/identity.key")).unwrap();
        let text = back.display().to_string();
        let (code, said) = cli(&["gallery", "check", "--data", &text]);
        assert_eq!(code, Some(0), "{said}");
        let enrolled = whole[..position as usize].iter().filter(|r| r.event.kind() == 2).count();
        let (_, said) = cli(&["gallery", "stat", "--json", "--data", &text]);
        assert!(said.contains(&format!("\"references\":{enrolled},")), "{enrolled}: {said}");
        let service = open(&back);
        for (probe, expected) in probes.iter().zip(&expected) {
            let found = who_is(&service, person(*probe, 1)).await;
            assert_eq!(found[0], expected[0], "the mated one, with the same score");
        }
        service.close().await;
    }

    // With nothing new nothing is written, and the same folder is not written over.
    let service = open(&data);
    service.close().await;
    let mut alone = options(None);
    alone.alone = true;
    backup::make(&data, &store, &alone).unwrap();
    let again = backup::make(&data, &store, &alone).unwrap();
    assert_eq!(again.bytes_written, 0, "{again:?}");
    assert!(again.bytes > 1 << 20);
    let refused = backup::restore(&store, &data, None, None).unwrap_err();
    assert!(matches!(refused, BackupError::Refused { .. }), "{refused}");
    let text = [store.display().to_string(), data.display().to_string()];
    let (code, said) = cli(&["gallery", "restore", &text[0], "--data", &text[1]]);
    assert_eq!(code, Some(2), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_data_leaves_the_backup_with_the_next_generation() {
    let home = tempfile::tempdir().unwrap();
    let (data, store) = (home.path().join("data"), home.path().join("backup"));
    let service = open(&data);
    service.enrol(enrol(0..300)).await.unwrap();
    service.close().await;
    drop(service);
    let needle: Vec<u8> = cast_slice(person(5, 0).fingers[0].minutiae()).to_vec();
    let mut alone = options(None);
    alone.alone = true;
    backup::make(&data, &store, &alone).unwrap();
    backup::make(&data, &store, &alone).unwrap();
    assert!(holds(&store, &needle));
    let service = open(&data);
    let target = EraseTarget::Subject("P5".into());
    service.erase(EraseRequest { target, operator: "o".into(), reason: "request".into() }).await.unwrap();
    // Ordered is not carried out: what was there stays.
    assert_eq!(backup::make(&data, &store, &options(None)).unwrap().generations_removed, [] as [u32; 0]);
    service.carry_out_erasures().await.unwrap();
    let made = backup::make(&data, &store, &options(None)).unwrap();
    service.close().await;
    assert_eq!(made.generations_removed, [1, 2, 3]);
    assert!(!holds(&store, &needle), "no generation and no object has it");
    backup::restore(&store, &home.path().join("back"), None, None).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_backup_says_nothing_and_a_damaged_one_does_not_come_back() {
    let home = tempfile::tempdir().unwrap();
    let (data, store) = (home.path().join("data"), home.path().join("backup"));
    let service = open(&data);
    service.enrol(enrol(0..300)).await.unwrap();
    service.close().await;
    drop(service);
    let key = Arc::new(StorageKey::generate().unwrap());
    let sealed = MakeOptions { key: Some(key.clone()), keep: 7, with_identity_key: true, alone: true };
    let without = MakeOptions { key: None, ..sealed.clone() };
    assert!(matches!(backup::make(&data, &store, &without), Err(BackupError::Refused { .. })));
    backup::make(&data, &store, &sealed).unwrap();
    for needle in [cast_slice(person(5, 0).fingers[0].minutiae()), b"P123", b"gallery/", b"DUYNHAT"] {
        assert!(holds(&data, needle) || needle == b"gallery/");
        assert!(!holds(&store, needle), "{}", String::from_utf8_lossy(needle));
    }
    let back = home.path().join("back");
    let refused = backup::restore(&store, &back, None, None).unwrap_err();
    assert!(matches!(refused, BackupError::Refused { .. }), "{refused}");
    let other = Arc::new(StorageKey::generate().unwrap());
    assert!(backup::restore(&store, &back, Some(other), None).is_err());
    let restored = backup::restore(&store, &back, Some(key.clone()), None).unwrap();
    assert!(restored.identity_key);
    assert_eq!(records(&back), records(&data));

    // A bit of any of its files.
    let plain = home.path().join("plain");
    let keep = MakeOptions { key: None, with_identity_key: false, ..sealed };
    backup::make(&data, &plain, &keep).unwrap();
    let mut kinds = BTreeSet::new();
    for path in files(&plain) {
        let kind = path.strip_prefix(&plain).unwrap().components().next().unwrap().as_os_str().to_owned();
        if kind == "LOCK" || !kinds.insert((kind, path.metadata().unwrap().len() > 4_096)) {
            continue;
        }
        let good = std::fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let found = backup::verify(&plain, None, None);
            // The marker holds two words and an identifier; what of it is not read is not missed.
            assert!(found.is_err() || path.ends_with("BACKUP"), "{} at {at}", path.display());
        }
        std::fs::write(&path, good).unwrap();
    }
    backup::verify(&plain, None, None).unwrap();
}
