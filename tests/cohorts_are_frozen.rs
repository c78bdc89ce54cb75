//! A cohort frozen from the gallery normalises what is enrolled after its position in the log and nothing before, and a
//! replay of the log gives every print the same level.

use std::path::Path;
use std::process::Command;

use duynhat_datasets::{People, Settings};
use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::template::{Biometrics, FingerPosition};
use duynhat_server::service::{EnrolRequest, Models, ReadOnly, Service, ServiceOptions};

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");
const BEFORE: u64 = 530;
const AFTER: u64 = 8;

fn enrol(data: &Path, people: std::ops::Range<u64>) {
    let of = People::new(3, Settings::default());
    let index = FingerPosition::new(2).expect("right index");
    let request = |n: u64| {
        let finger = of.person(n).finger(index, 0);
        let biometrics = Biometrics::new(vec![finger], Vec::new(), Vec::new()).expect("one finger");
        EnrolRequest { subject: format!("P-{n}"), identity: None, biometrics }
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let service =
            Service::open(data, Models::shipped().expect("a kernel"), ServiceOptions::default()).expect("opens");
        service.enrol(people.map(request).collect()).await.expect("enrols");
        service.close().await;
    });
}

/// The level and the minutiae's number of each row's print.
fn levels(data: &Path) -> (Vec<u32>, Cohort) {
    let gallery = ReadOnly::open(data, Model::shipped(), Cohort::shipped()).expect("opens");
    let level = |row| {
        let prepared = gallery.snapshot.prepared(row).expect("reads");
        prepared.fingers.first().map_or(0, |f| f.cohort.level.to_bits())
    };
    ((0..gallery.snapshot.rows()).map(level).collect(), gallery.cohort)
}

fn run(args: &[&str]) -> (bool, String) {
    let output = Command::new(BINARY).args(args).output().expect("runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn a_frozen_cohort_holds_from_its_position_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    enrol(&data, 0..20);
    let (done, text) = run(&["gallery", "freeze-cohort", "--data", path]);
    assert!(!done && text.contains("at least 512"), "{text}");
    enrol(&data, 20..BEFORE);
    let (before, cohort) = levels(&data);
    assert_eq!(&cohort, Cohort::shipped());

    let (done, text) = run(&["gallery", "freeze-cohort", "--data", path, "--prints", "600", "--json"]);
    assert!(done, "{text}");
    enrol(&data, BEFORE..BEFORE + AFTER);
    let (after, cohort) = levels(&data);
    assert!(text.contains(cohort.id()) && &cohort != Cohort::shipped(), "{text}");
    assert_eq!(after[..before.len()], before[..], "what was enrolled before keeps its level");
    let gallery = ReadOnly::open(&data, Model::shipped(), Cohort::shipped()).expect("opens");
    for (row, level) in after.iter().enumerate().skip(before.len()) {
        let prepared = gallery.snapshot.prepared(row as u64).expect("reads");
        let Some(finger) = prepared.fingers.first() else { continue };
        let minutiae = finger.features.view().minutiae();
        assert_eq!(*level, cohort.statistics(minutiae).level.to_bits(), "row {row}");
        assert_ne!(*level, Cohort::shipped().statistics(minutiae).level.to_bits(), "row {row}");
    }

    let (done, text) = run(&["gallery", "rebuild", "--data", path]);
    assert!(done, "{text}");
    assert_eq!(levels(&data), (after, cohort), "made anew from the log");
}
