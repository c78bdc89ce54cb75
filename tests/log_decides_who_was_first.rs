//! The log decides who was first, and each decision leaves behind what it must.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::template::{Biometrics, FingerPosition, Outcome, Purpose};
use duynhat_server::service::{
    CheckDocument, CheckStatus, IdentifyRequest, Identity, Models, ReadOnly, Service, ServiceError, ServiceOptions,
    Submission,
};

const WAIT: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

fn person(index: u64, shot: u64) -> Biometrics {
    People::new(11, Settings::default()).person(index).encounter(shot, &EncounterSettings::default())
}

fn submission(application: &str, purpose: Purpose, biometrics: Biometrics) -> Submission {
    Submission {
        application: application.into(),
        purpose,
        station: "S".into(),
        operator: "O".into(),
        identity: None,
        claimed_identity: None,
        biometrics,
        supersedes: None,
        age: None,
        legal_reason: None,
        chip: Vec::new(),
    }
}

async fn first_issue(service: &Service, application: &str, biometrics: Biometrics) -> CheckDocument {
    service.check(submission(application, Purpose::CardFirstIssue, biometrics), WAIT).await.unwrap()
}

/// Waits, within reason, for another decision than duplicate.
async fn decided_anew(service: &Service, before: &CheckDocument) -> CheckDocument {
    let mut now = service.document(&before.application).await.unwrap();
    for _ in 0..500 {
        if now.decision != Some(Outcome::Duplicate) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = service.document(&before.application).await.unwrap();
    }
    now
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_checks_of_one_person_exactly_one_is_clear() {
    let data = tempfile::tempdir().unwrap();
    let service = Arc::new(open(data.path()));
    for person_index in 0..6 {
        let mut checks = tokio::task::JoinSet::new();
        for station in 0..8 {
            let service = service.clone();
            checks.spawn(async move {
                let application = format!("P{person_index}-{station}");
                first_issue(&service, &application, person(person_index, station)).await
            });
        }
        let mut answers = checks.join_all().await;
        answers.sort_by_key(|a| a.position);
        let clear: Vec<_> = answers.iter().filter(|a| a.decision == Some(Outcome::Clear)).collect();
        assert_eq!(clear.len(), 1, "person {person_index}: {answers:#?}");
        assert_eq!(clear[0].position, answers[0].position, "the first in the log is the clear one");
        for later in &answers[1..] {
            let seen: BTreeSet<u64> = later.candidates.iter().map(|c| c.position).collect();
            assert!(seen.contains(&answers[0].position), "{later:#?}");
            assert!(seen.iter().all(|p| *p < later.position), "only earlier references: {later:#?}");
        }
    }
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recapture_leaves_no_reference_so_the_same_person_may_come_again() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let mut incomplete = person(1, 0);
    incomplete.fingers.retain(|f| f.position != FingerPosition::new(3).unwrap());
    let answer = first_issue(&service, "A-1", incomplete).await;
    assert_eq!(answer.decision, Some(Outcome::Recapture));
    assert_eq!((answer.reasons[0].code.as_str(), answer.reasons[0].finger), ("finger_not_captured", Some(3)));
    assert!(answer.position > 0 && answer.subject.is_none());
    assert_eq!(service.health().references, 0);
    let answer = first_issue(&service, "A-2", person(1, 1)).await;
    assert_eq!(answer.decision, Some(Outcome::Clear), "{answer:#?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_stays_after_a_restart_and_duplicates_stay_searchable() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let mut answers = Vec::new();
    for n in 0..5 {
        answers.push(first_issue(&service, &format!("A-{n}"), person(n, 0)).await);
    }
    answers.push(first_issue(&service, "B-0", person(0, 1)).await);
    assert_eq!(answers[5].decision, Some(Outcome::Duplicate));
    service.close().await;
    drop(service);

    let service = open(data.path());
    assert_eq!(service.health().references, 6, "a duplicate stays searchable");
    for answer in &answers {
        assert_eq!(&service.document(&answer.application).await.unwrap(), answer);
    }
    let third = first_issue(&service, "B-1", person(0, 2)).await;
    assert_eq!(third.decision, Some(Outcome::Duplicate));
    assert_eq!(third.candidates.len(), 2, "the person and the fraud attempt: {third:#?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_check_leaves_no_reference_and_those_that_rested_on_it_are_decided_anew() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let first = first_issue(&service, "A-1", person(1, 0)).await;
    let second = first_issue(&service, "A-2", person(1, 1)).await;
    assert_eq!((first.decision, second.decision), (Some(Outcome::Clear), Some(Outcome::Duplicate)));
    let withdrawn = service.withdraw("A-1").await.unwrap();
    assert_eq!((withdrawn.status, withdrawn.subject), (CheckStatus::Withdrawn, None));
    let again = decided_anew(&service, &second).await;
    assert_eq!(again.decision, Some(Outcome::Clear), "{again:#?}");
    assert_eq!(again.position, second.position, "still the same submission");
    assert_eq!(service.health().references, 1);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claimed_record_must_be_the_applicants_and_nobody_elses() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    for n in 0..3 {
        let mut s = submission(&format!("A-{n}"), Purpose::CardFirstIssue, person(n, 0));
        s.identity = Identity::new(&format!("00120000000{n}"));
        assert_eq!(service.check(s, WAIT).await.unwrap().decision, Some(Outcome::Clear));
    }
    let exchange = |application: &str, who: u64, claims: u64| {
        let mut s = submission(application, Purpose::CardExchange, person(who, 1));
        s.claimed_identity = Identity::new(&format!("00120000000{claims}"));
        s
    };
    let holder = service.check(exchange("E-0", 0, 0), WAIT).await.unwrap();
    assert_eq!(holder.decision, Some(Outcome::Confirmed), "{holder:#?}");
    let owner = service.document("A-0").await.unwrap();
    assert_eq!(holder.subject, owner.subject, "one more encounter of the same subject");
    let known = service.check(exchange("E-1", 1, 2), WAIT).await.unwrap();
    assert_eq!(known.decision, Some(Outcome::Duplicate));
    assert_eq!(known.findings, [Outcome::Duplicate, Outcome::Mismatch], "both are listed");
    let stranger = service.check(exchange("E-2", 9, 2), WAIT).await.unwrap();
    assert_eq!(stranger.decision, Some(Outcome::Mismatch), "{stranger:#?}");
    let unknown = service.check(exchange("E-3", 8, 7), WAIT).await.unwrap();
    assert_eq!(unknown.decision, Some(Outcome::Review), "{unknown:#?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseding_application_replaces_the_earlier_one() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    first_issue(&service, "A-1", person(1, 0)).await;
    assert_eq!(first_issue(&service, "B-1", person(1, 2)).await.decision, Some(Outcome::Duplicate));
    let mut s = submission("A-2", Purpose::CardFirstIssue, person(1, 1));
    s.supersedes = Some("A-1".into());
    let answer = service.check(s, WAIT).await.unwrap();
    assert_eq!(answer.decision, Some(Outcome::Duplicate), "B-1 is still there: {answer:#?}");
    assert_eq!(answer.candidates.len(), 1, "the superseded one is not searched: {answer:#?}");
    assert_eq!(service.document("A-1").await.unwrap().status, CheckStatus::Withdrawn);
    // What rested on the replaced one is decided anew: the replacement came later in the log.
    let second = service.document("B-1").await.unwrap();
    assert_eq!(decided_anew(&service, &second).await.decision, Some(Outcome::Clear));
    let mut s = submission("A-3", Purpose::CardFirstIssue, person(2, 1));
    s.supersedes = Some("never-seen".into());
    assert_eq!(service.check(s, WAIT).await.unwrap_err(), ServiceError::NotFound { what: "superseded application" });
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_the_server_sees_what_is_durable() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let answer = first_issue(&service, "A-1", person(1, 0)).await;
    let models = Models::shipped().unwrap();
    let reader = ReadOnly::open(data.path(), models.model, models.cohort).unwrap();
    assert_eq!(reader.snapshot.live(), 1);
    assert_eq!(reader.position, service.health().position);
    let request =
        IdentifyRequest { biometrics: person(1, 1), threshold: None, candidates_max: 5, cross_position: false };
    let found = service.identify(request).await.unwrap();
    assert_eq!(Some(&found.candidates[0].subject), answer.subject.as_ref());
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_log_under_newer_projections_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let service = open(data.path());
    first_issue(&service, "A-1", person(1, 0)).await;
    service.close().await;
    drop(service);
    let older: Vec<_> = std::fs::read_dir(&log).unwrap().map(|e| e.unwrap().path()).collect();
    let older: Vec<_> = older.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    let service = open(data.path());
    first_issue(&service, "A-2", person(2, 0)).await;
    service.close().await;
    drop(service);
    for (path, bytes) in older {
        std::fs::write(path, bytes).unwrap();
    }
    let refused = Service::open(data.path(), Models::shipped().unwrap(), ServiceOptions::default()).err().unwrap();
    assert!(refused.to_string().contains("but the log ends at"), "{refused}");
}
