//! Cases: who may judge, what follows, and that a restart in the middle changes nothing.

use std::path::Path;
use std::time::Duration;

use duynhat_datasets::frauds::finger_swap;
use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::log::{CaseVerdict, Role};
use duynhat_engine::template::{Biometrics, FingerPosition, LegalReason, Outcome, Purpose};
use duynhat_server::service::{
    CaseDocument, CheckDocument, FraudRequest, FraudSource, Identity, Models, Service, ServiceError, ServiceOptions,
    Submission, VerdictRequest, WaitsFor,
};

const WAIT: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

async fn reopened(service: Service, data: &Path) -> Service {
    service.close().await;
    drop(service);
    open(data)
}

fn people() -> People {
    People::new(12, Settings::default())
}

fn person(index: u64, shot: u64) -> Biometrics {
    people().person(index).encounter(shot, &EncounterSettings::default())
}

/// Somebody else's fingers under the face of a person enrolled: one source alone, so people must look.
fn look_alike(fingers_of: u64, face_of: u64) -> Biometrics {
    Biometrics { faces: person(face_of, 1).faces, ..person(fingers_of, 0) }
}

async fn check(service: &Service, application: &str, number: Option<&str>, captured: Biometrics) -> CheckDocument {
    let submission = Submission {
        application: application.into(),
        purpose: Purpose::CardFirstIssue,
        station: "S".into(),
        operator: "O".into(),
        identity: number.and_then(Identity::new),
        claimed_identity: None,
        biometrics: captured,
        supersedes: None,
        age: None,
        legal_reason: None,
        chip: Vec::new(),
    };
    service.check(submission, WAIT).await.unwrap()
}

fn finds(who: &str, verdict: CaseVerdict, subject: Option<&str>) -> VerdictRequest {
    VerdictRequest {
        adjudicator: who.into(),
        role: Role::Adjudicator,
        verdict,
        subject: subject.map(str::to_owned),
        note: "looked at both".into(),
    }
}

fn ends(who: &str, verdict: CaseVerdict, subject: Option<&str>) -> VerdictRequest {
    VerdictRequest { role: Role::Supervisor, ..finds(who, verdict, subject) }
}

fn state(answer: Result<CaseDocument, ServiceError>) -> String {
    match answer {
        Err(ServiceError::State(text)) => text,
        other => panic!("{other:?}"),
    }
}

const FIRST: &str = "001200000001";
const SECOND: &str = "001200000002";

/// Person 1 enrolled as A-1, and B-1, a look-alike in review.
async fn with_a_case(service: &Service) -> (CheckDocument, CheckDocument) {
    let first = check(service, "A-1", Some(FIRST), person(1, 0)).await;
    assert_eq!((first.standing, first.waits_for), (Some(Outcome::Clear), None));
    let second = check(service, "B-1", Some(SECOND), look_alike(2, 1)).await;
    assert_eq!(second.decision, Some(Outcome::Review), "{second:#?}");
    assert_eq!((second.standing, second.waits_for), (None, Some(WaitsFor::FirstAdjudicator)));
    (first, second)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_agree_end_a_case_and_a_restart_between_them_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let (_, second) = with_a_case(&service).await;
    let case = service.case("B-1").unwrap();
    assert_eq!(case.check.as_ref().unwrap().candidates, second.candidates, "the evidence is there");
    assert_eq!(case.round, 1);
    assert!(case.due_ms > case.submitted_ms && !case.overdue);
    assert_eq!(service.cases(true, 10).unwrap().cases.len(), 1);
    assert!(matches!(service.case("A-1"), Err(ServiceError::NotFound { what: "case" })), "clear opens none");

    let different = CaseVerdict::DifferentPeople;
    assert!(state(service.adjudicate("B-1", finds("O", different, None)).await).contains("captured"));
    assert!(state(service.adjudicate("B-1", ends("sup", different, None)).await).contains("adjudicator"));
    let case = service.adjudicate("B-1", finds("adj-1", different, None)).await.unwrap();
    assert_eq!(case.waits_for, Some(WaitsFor::SecondAdjudicator));
    let service = reopened(service, data.path()).await;
    assert_eq!(service.case("B-1").unwrap(), case, "a fold over the log");
    assert!(state(service.adjudicate("B-1", finds("adj-1", different, None)).await).contains("already"));
    let case = service.adjudicate("B-1", finds("adj-2", different, None)).await.unwrap();
    assert_eq!((case.waits_for, case.outcome), (None, Some(Outcome::Clear)));
    assert_eq!(case.verdicts.len(), 2);
    assert!(state(service.adjudicate("B-1", finds("adj-3", different, None)).await).contains("closed"));
    let answer = service.document("B-1").await.unwrap();
    assert_eq!((answer.decision, answer.standing), (Some(Outcome::Review), Some(Outcome::Clear)));
    assert_eq!(answer.waits_for, None);
    let service = reopened(service, data.path()).await;
    assert_eq!(service.case("B-1").unwrap(), case);
    assert_eq!(service.cases(true, 10).unwrap().open, 0);
    assert_eq!(service.cases(false, 10).unwrap().cases.len(), 1);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn different_people_do_not_come_back_until_new_biometrics_do() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    // B-1 rests on two references: person 1's, and person 3's who has the same face picture.
    with_a_case(&service).await;
    let other = check(&service, "C-1", None, look_alike(3, 1)).await;
    assert_eq!(other.decision, Some(Outcome::Review));
    assert_eq!(other.candidates.len(), 2, "{other:#?}");
    for who in ["adj-1", "adj-2"] {
        service.adjudicate("C-1", finds(who, CaseVerdict::DifferentPeople, None)).await.unwrap();
    }
    // Decided anew, because one of those that it rested on is gone: the other pair does not come up again.
    service.withdraw("A-1").await.unwrap();
    let mut now = service.document("C-1").await.unwrap();
    for _ in 0..500 {
        if now.candidates.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = service.document("C-1").await.unwrap();
    }
    assert_eq!(now.decision, Some(Outcome::Clear), "{now:#?}");
    assert_eq!(service.case("C-1").unwrap().waits_for, None);
    // New biometrics of the same person: nobody has judged those.
    let again = check(&service, "C-2", None, look_alike(4, 1)).await;
    assert_eq!(again.decision, Some(Outcome::Review));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_ends_a_disagreement_and_subjects_merge_and_part_again() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let (first, second) = with_a_case(&service).await;
    let subject = first.subject.as_deref();
    let own = second.subject.clone().unwrap();
    let same = CaseVerdict::SamePerson;
    assert!(state(service.adjudicate("B-1", finds("adj-1", same, None)).await).contains("subject"));
    assert!(state(service.adjudicate("B-1", finds("adj-1", same, Some("S9"))).await).contains("no candidate"));
    service.adjudicate("B-1", finds("adj-1", same, subject)).await.unwrap();
    let case = service.adjudicate("B-1", finds("adj-2", CaseVerdict::BadCapture, None)).await.unwrap();
    assert_eq!(case.waits_for, Some(WaitsFor::Supervisor));
    assert!(state(service.adjudicate("B-1", finds("adj-3", same, subject)).await).contains("supervisor"));
    assert!(state(service.merge("B-1", "sup".into()).await).contains("same_person"));
    let service = reopened(service, data.path()).await;
    let case = service.adjudicate("B-1", ends("sup", same, subject)).await.unwrap();
    assert_eq!((case.outcome, case.subject.as_deref()), (Some(Outcome::Duplicate), subject));

    let merged = service.merge("B-1", "sup".into()).await.unwrap().merger.unwrap();
    assert_eq!((merged.from.as_str(), Some(merged.into.as_str())), (own.as_str(), subject));
    assert_eq!(merged.positions, [second.position]);
    assert!(state(service.merge("B-1", "sup".into()).await).contains("already"));
    let names = |service: &Service| {
        let snapshot = service.snapshot();
        (0..snapshot.rows()).map(|row| snapshot.subject(row).unwrap().to_string()).collect::<Vec<_>>()
    };
    assert!(names(&service).iter().all(|name| Some(name.as_str()) == subject));
    let service = reopened(service, data.path()).await;
    assert!(names(&service).iter().all(|name| Some(name.as_str()) == subject), "a fold over the log");
    let case = service.unmerge("B-1", "sup".into()).await.unwrap();
    assert_eq!(case.merger, None);
    assert_eq!(names(&service), [subject.unwrap(), own.as_str()]);
    assert!(state(service.unmerge("B-1", "sup".into()).await).contains("not merged"));
    service.merge("B-1", "sup".into()).await.unwrap();
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_capture_leaves_nothing_and_waits_for_a_new_one() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    with_a_case(&service).await;
    for who in ["adj-1", "adj-2"] {
        service.adjudicate("B-1", finds(who, CaseVerdict::BadCapture, None)).await.unwrap();
    }
    assert_eq!(service.health().references, 1);
    let service = reopened(service, data.path()).await;
    let answer = service.document("B-1").await.unwrap();
    assert_eq!((answer.standing, answer.waits_for), (Some(Outcome::Recapture), Some(WaitsFor::NewCapture)));
    assert_eq!(service.health().references, 1);
    let again = check(&service, "B-2", Some(SECOND), person(2, 1)).await;
    assert_eq!(again.decision, Some(Outcome::Clear), "{again:#?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_check_needs_no_judge() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    with_a_case(&service).await;
    service.adjudicate("B-1", finds("adj-1", CaseVerdict::DifferentPeople, None)).await.unwrap();
    let withdrawn = service.withdraw("B-1").await.unwrap();
    assert_eq!((withdrawn.standing, withdrawn.waits_for), (None, None));
    assert_eq!(service.cases(true, 10).unwrap().open, 0);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_fraud_is_searched_and_never_enrolled() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let request =
        |source| FraudRequest { name: "2026-0042".into(), reason: "court file".into(), operator: "sup".into(), source };
    let listed = service.list_fraud(request(FraudSource::Captured(person(5, 0)))).await.unwrap();
    assert_eq!(listed.subject, "fraud:2026-0042");
    let taken = service.list_fraud(request(FraudSource::Captured(person(6, 0)))).await;
    assert!(matches!(taken, Err(ServiceError::State(_))));
    let absent = service.list_fraud(request(FraudSource::Application("none".into()))).await;
    assert!(matches!(absent, Err(ServiceError::NotFound { what: "application" })));
    let service = reopened(service, data.path()).await;
    assert_eq!(service.frauds().unwrap().frauds, std::slice::from_ref(&listed));
    let answer = check(&service, "F-1", None, person(5, 1)).await;
    assert_eq!(answer.decision, Some(Outcome::Duplicate));
    assert_eq!(answer.candidates[0].subject, listed.subject);
    assert!(answer.reasons.iter().any(|r| r.code == "on_fraud_list"), "{:?}", answer.reasons);
    let same = CaseVerdict::SamePerson;
    for who in ["adj-1", "adj-2"] {
        service.adjudicate("F-1", finds(who, same, Some(&listed.subject))).await.unwrap();
    }
    assert!(state(service.merge("F-1", "sup".into()).await).contains("nobody's record"));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_lent_to_a_stranger_does_not_open_the_record() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    check(&service, "A-1", Some(FIRST), person(1, 0)).await;
    let right: Vec<_> = FingerPosition::known().filter(|p| p.code() <= 5).collect();
    let people = people();
    let lent = finger_swap(&people.person(7), &people.person(1), &right, 1, &EncounterSettings::default());
    let exchange = Submission {
        application: "E-1".into(),
        purpose: Purpose::CardExchange,
        station: "S".into(),
        operator: "O".into(),
        identity: None,
        claimed_identity: Identity::new(FIRST),
        biometrics: lent,
        supersedes: None,
        age: None,
        legal_reason: Some(LegalReason::Age),
        chip: Vec::new(),
    };
    let answer = service.check(exchange, WAIT).await.unwrap();
    assert_eq!(answer.decision, Some(Outcome::Review), "{answer:#?}");
    assert!(answer.reasons.iter().any(|r| r.code == "claimed_sources_disagree"));
    service.close().await;
}
