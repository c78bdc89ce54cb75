//! A cohort frozen from the gallery normalises what is enrolled after its position in the log and nothing before, a replay of
//! the log gives every print the same level, and when a member is erased another cohort takes its place.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::log::{CohortFrozen, Event, JournalReader};
use duynhat_engine::template::{Biometrics, FingerPosition, Purpose};
use duynhat_server::service::{
    CarriedOut, EnrolRequest, EraseRequest, EraseTarget, Models, ReadOnly, Service, ServiceOptions, Submission, log_dir,
};

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");
const BEFORE: u64 = 530;
const AFTER: u64 = 8;

/// One finger of a person.
fn encounter(n: u64, shot: u64) -> Biometrics {
    let index = FingerPosition::new(2).expect("right index");
    let finger = People::new(3, Settings::default()).person(n).finger(index, shot);
    Biometrics::new(vec![finger], Vec::new(), Vec::new()).expect("one finger")
}

fn request(n: u64) -> EnrolRequest {
    EnrolRequest { subject: format!("P-{n}"), identity: None, biometrics: encounter(n, 0) }
}

fn enrol(data: &Path, people: std::ops::Range<u64>) {
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

fn members(data: &Path) -> Vec<(u64, CohortFrozen)> {
    let records = JournalReader::open(&log_dir(data), 1).expect("a log").map(|r| r.expect("sound"));
    let frozen = records.filter_map(|r| match r.event {
        Event::CohortFrozen(frozen) => Some((r.position, frozen)),
        _ => None,
    });
    frozen.collect()
}

fn erase(service: &Service, subject: &str) -> impl Future<Output = CarriedOut> {
    let target = EraseTarget::Subject(subject.into());
    async move {
        service.erase(EraseRequest { target, operator: "o".into(), reason: "request".into() }).await.expect("ordered");
        service.carry_out_erasures().await.expect("carried out")
    }
}

#[test]
fn an_erased_member_makes_a_new_cohort() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    enrol(&data, 0..BEFORE);
    let (done, text) = run(&["gallery", "freeze-cohort", "--data", path, "--prints", "514", "--json"]);
    assert!(done, "{text}");
    let first = members(&data);
    let (_, frozen) = &first[0];
    let (before, _) = levels(&data);
    let gallery = ReadOnly::open(&data, Model::shipped(), Cohort::shipped()).expect("opens");
    let row_of = |position: &u64| gallery.snapshot.row_of(*position).expect("reads").expect("a row");
    let rows: Vec<u64> = frozen.members.iter().map(row_of).collect();
    let (row, other) = (rows[7], (0..BEFORE).find(|row| !rows.contains(row)).expect("somebody is no member"));
    let (member, stranger) = (format!("P-{row}"), format!("P-{other}"));
    drop(gallery);
    let after = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let service =
            Service::open(&data, Models::shipped().expect("a kernel"), ServiceOptions::default()).expect("opens");
        assert_eq!(erase(&service, &stranger).await.cohorts, 0, "who was no member changes nothing");
        assert_eq!(erase(&service, &member).await.cohorts, 1);
        // The very service that carried it out levels by the new one from here on: enrolments and checks alike.
        service.enrol(vec![request(BEFORE)]).await.expect("enrols");
        let submission = Submission {
            application: "A-1".into(),
            purpose: Purpose::CardFirstIssue,
            station: "S".into(),
            operator: "O".into(),
            identity: None,
            claimed_identity: None,
            biometrics: People::new(3, Settings::default()).person(3).encounter(1, &EncounterSettings::default()),
            supersedes: None,
            age: None,
            legal_reason: None,
            chip: Vec::new(),
        };
        let document = service.check(submission, Duration::from_secs(60)).await.expect("decided");
        service.close().await;
        document
    });
    assert!(!after.candidates.is_empty(), "{after:#?}");
    let all = members(&data);
    assert_eq!(all.len(), 2);
    let (position, renewed) = &all[1];
    assert!(!renewed.members.contains(&frozen.members[7]), "the erased one is no member any more");
    assert!(renewed.members.len() >= 512 && renewed.weights != frozen.weights);
    let (levels_after, cohort) = levels(&data);
    assert_eq!(cohort.weights(), Some(renewed.weights));
    for (n, (was, is)) in before.iter().zip(&levels_after).enumerate() {
        let gone = [row, other].contains(&(n as u64));
        assert_eq!(*is, if gone { 0 } else { *was }, "row {n}");
    }
    let gallery = ReadOnly::open(&data, Model::shipped(), Cohort::shipped()).expect("opens");
    for row in BEFORE..gallery.snapshot.rows() {
        assert!(gallery.snapshot.position_of(row).expect("reads").expect("a position") > *position);
        for finger in gallery.snapshot.prepared(row).expect("reads").fingers {
            let minutiae = finger.features.view().minutiae();
            assert_eq!(finger.cohort, cohort.statistics(minutiae), "row {row}");
        }
    }
    drop(gallery);
    let (done, text) = run(&["gallery", "rebuild", "--data", path]);
    assert!(done, "{text}");
    assert_eq!(levels(&data), (levels_after, cohort), "made anew from the log");
    let (done, text) = run(&["replay", "--data", path]);
    assert!(done, "the decision comes out the same: {text}");

    // Too few are left: the shipped weights hold from there on.
    let after = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let service =
            Service::open(&data, Models::shipped().expect("a kernel"), ServiceOptions::default()).expect("opens");
        for n in (0..BEFORE).filter(|n| n % 9 == 0) {
            let target = EraseTarget::Subject(format!("P-{n}"));
            let order = EraseRequest { target, operator: "o".into(), reason: "request".into() };
            let ordered = service.erase(order).await;
            assert!(ordered.is_ok() || format!("P-{n}") == member || format!("P-{n}") == stranger, "{ordered:?}");
        }
        let carried = service.carry_out_erasures().await.expect("carried out");
        service.close().await;
        carried
    });
    assert_eq!(after.cohorts, 1);
    let last = members(&data).pop().expect("a third").1;
    assert_eq!((last.members.len(), Some(last.weights)), (0, Cohort::shipped().weights()));
}
