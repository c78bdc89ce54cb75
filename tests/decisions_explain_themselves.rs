//! Every outcome explains itself in both languages, from the log alone; a second person's word, ages, chips and identity
//! numbers have their effect.

use std::path::Path;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::decision::{Language, Policy};
use duynhat_engine::log::{Event, JournalReader};
use duynhat_engine::template::{
    Biometrics, FingerPosition, LegalReason, MissingFinger, MissingReason, Outcome, Purpose,
};
use duynhat_server::service::{
    CheckDocument, Identity, Models, Service, ServiceError, ServiceOptions, Submission, explain, log_dir,
};

const WAIT: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

fn person(index: u64, shot: u64) -> Biometrics {
    People::new(31, Settings::default()).person(index).encounter(shot, &EncounterSettings::default())
}

fn submission(application: &str, purpose: Purpose, biometrics: Biometrics) -> Submission {
    Submission {
        application: application.into(),
        purpose,
        station: "HN-014".into(),
        operator: "op-1".into(),
        identity: None,
        claimed_identity: None,
        biometrics,
        supersedes: None,
        age: Some(30),
        legal_reason: None,
        chip: Vec::new(),
    }
}

fn number(n: u64) -> Option<Identity> {
    Identity::new(&format!("001085{n:06}"))
}

async fn ask(service: &Service, submission: Submission) -> CheckDocument {
    let document = service.check(submission, WAIT).await.unwrap();
    assert_eq!(document, service.document(&document.application).await.unwrap());
    document
}

fn codes(document: &CheckDocument) -> Vec<&str> {
    document.reasons.iter().map(|r| r.code.as_str()).collect()
}

/// Both explanations; each says what the document says.
fn told(document: &CheckDocument) -> [String; 2] {
    [Language::En, Language::Vi].map(|language| {
        let text = explain(document, language);
        assert!(text.contains(&document.application), "{text}");
        for reason in &document.reasons {
            let reason = if language == Language::En { &reason.text } else { &reason.text_vi };
            assert!(text.to_lowercase().contains(&reason.to_lowercase()), "{reason} is not in\n{text}");
        }
        let comma = |value: f32| {
            let text = format!("{value:+.2}");
            if language == Language::Vi { text.replace('.', ",") } else { text }
        };
        for candidate in &document.candidates {
            assert!(text.contains(&candidate.subject) && text.contains(&comma(candidate.score)), "{text}");
            // What is read out adds up: hundredths to hundredths.
            let hundredths = |v: f32| (f64::from(v) * 100.0).round() as i64;
            let sum: i64 = candidate.sources.iter().map(|s| hundredths(s.llr)).sum();
            assert_eq!(sum, hundredths(candidate.score), "{candidate:#?}");
            for source in &candidate.sources {
                assert!(text.contains(&comma(source.llr)), "{text}");
            }
            let thresholds = candidate.thresholds.expect("a decision's candidate has thresholds");
            let shown = if candidate.claimed { thresholds.claim } else { thresholds.duplicate };
            assert!(text.contains(&comma(shown)), "{text}");
        }
        if let Some(basis) = &document.basis {
            for version in [&basis.policy, &basis.model, &basis.calibration, &basis.face_calibration] {
                assert!(text.contains(version.as_str()), "{version} is not in\n{text}");
            }
            assert!(text.contains(&comma(basis.review_threshold)), "{text}");
            assert_eq!(basis.policy, Policy::shipped().version());
        }
        println!("{text}\n----------------------------------------");
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_told_in_both_languages() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let first = |application: &str, who: u64, n: u64| Submission {
        identity: number(n),
        ..submission(application, Purpose::CardFirstIssue, person(who, 0))
    };
    let clear = ask(&service, first("A-1", 1, 1)).await;
    assert_eq!(clear.decision, Some(Outcome::Clear), "{clear:#?}");
    let [english, vietnamese] = told(&clear);
    assert!(english.contains("CLEAR") && vietnamese.contains("KHÔNG TRÙNG"), "{english}{vietnamese}");
    assert!(english.contains("first identity card") && vietnamese.contains("cấp thẻ căn cước lần đầu"));

    let second = Submission { identity: number(2), ..submission("A-2", Purpose::CardFirstIssue, person(1, 1)) };
    let duplicate = ask(&service, second).await;
    assert_eq!(duplicate.decision, Some(Outcome::Duplicate), "{duplicate:#?}");
    let [english, vietnamese] = told(&duplicate);
    assert!(english.contains("more than one source") && vietnamese.contains("TRÙNG"), "{english}");

    let exchange = |application: &str, who: u64, claims: u64| Submission {
        claimed_identity: number(claims),
        legal_reason: Some(LegalReason::OwnRequest),
        ..submission(application, Purpose::CardExchange, person(who, 2))
    };
    service.withdraw("A-2").await.unwrap();
    let confirmed = ask(&service, exchange("E-1", 1, 1)).await;
    assert_eq!(confirmed.decision, Some(Outcome::Confirmed), "{confirmed:#?}");
    assert!(told(&confirmed)[0].contains("reaches it"));
    let mismatch = ask(&service, exchange("E-2", 2, 1)).await;
    assert_eq!((mismatch.decision, codes(&mismatch)), (Some(Outcome::Mismatch), vec!["claimed_record_differs"]));
    assert!(told(&mismatch)[1].contains("không đạt"));

    let mut borrowed = submission("A-3", Purpose::CardFirstIssue, person(3, 0));
    borrowed.biometrics.faces = person(1, 1).faces;
    let review = ask(&service, borrowed).await;
    assert_eq!(review.decision, Some(Outcome::Review), "{review:#?}");
    assert_eq!(codes(&review), ["resembles_another_subject", "one_source_alone"]);
    assert!(told(&review)[0].contains("alone never makes a duplicate"));

    let mut incomplete = submission("A-4", Purpose::CardFirstIssue, person(4, 0));
    incomplete.biometrics.fingers.retain(|f| f.position.code() != 7);
    let recapture = ask(&service, incomplete).await;
    assert_eq!(recapture.decision, Some(Outcome::Recapture));
    let [english, vietnamese] = told(&recapture);
    assert!(english.contains("Left index") && vietnamese.contains("Ngón trỏ trái"), "{english}{vietnamese}");

    let child = Submission { age: Some(5), ..submission("A-5", Purpose::Child, person(5, 0)) };
    let refused = ask(&service, child).await;
    assert_eq!((refused.decision, codes(&refused)), (Some(Outcome::Refused), vec!["too_young"]));
    assert!(refused.subject.is_none());
    assert!(told(&refused)[1].contains("TỪ CHỐI"));

    let withdrawn = service.withdraw("A-3").await.unwrap();
    assert!(told(&withdrawn)[0].contains("withdrawn"));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_missing_fingers_wait_for_a_second_person() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let without = |who: u64| {
        let mut captured = person(who, 0);
        let missing =
            |code| MissingFinger { position: FingerPosition::new(code).unwrap(), reason: MissingReason::Bandaged };
        captured.missing = (6..=10).map(missing).collect();
        captured.fingers.retain(|f| f.position.code() < 6);
        captured
    };
    for (application, who, approved, outcome, code) in [
        ("A-1", 1, true, Outcome::Clear, "exceptions_approved"),
        ("A-2", 2, false, Outcome::Review, "exceptions_refused"),
    ] {
        let waits = ask(&service, submission(application, Purpose::CardFirstIssue, without(who))).await;
        assert_eq!((waits.decision, codes(&waits)), (Some(Outcome::Review), vec!["many_fingers_missing"]));
        assert!(told(&waits)[0].contains("second person"));
        let own = service.approve(application, "op-1", true).await.unwrap_err();
        assert!(matches!(own, ServiceError::State(_)), "nobody approves their own: {own}");
        let anew = service.approve(application, "op-2", approved).await.unwrap();
        assert_eq!((anew.decision, codes(&anew)), (Some(outcome), vec![code]), "{anew:#?}");
        told(&anew);
        let twice = service.approve(application, "op-3", true).await.unwrap_err();
        assert!(matches!(twice, ServiceError::State(_)), "the first word counts: {twice}");
    }
    ask(&service, submission("A-3", Purpose::CardFirstIssue, person(3, 0))).await;
    let none = service.approve("A-3", "op-2", true).await.unwrap_err();
    assert!(matches!(none, ServiceError::State(_)), "{none}");
    assert_eq!(service.approve("A-9", "op-2", true).await, Err(ServiceError::NotFound { what: "application" }));
    let rates = service.exceptions().unwrap();
    assert_eq!(rates.len(), 1);
    let rate = &rates[0];
    assert_eq!((rate.checks, rate.with_missing, rate.over_limit, rate.missing_fingers), (3, 2, 2, 10));
    service.close().await;
    drop(service);
    // The words are in the log: a restart knows them.
    let service = open(data.path());
    assert_eq!(codes(&service.document("A-1").await.unwrap()), ["exceptions_approved"]);
    assert_eq!(service.exceptions().unwrap(), rates);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_by_phone_is_held_against_the_chip() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let account = |application: &str, who: u64, chip_of: Option<u64>| {
        let live = Biometrics { fingers: Vec::new(), ..person(who, 0) };
        let chip = chip_of.map_or_else(Vec::new, |who| person(who, 1).faces);
        Submission { chip, ..submission(application, Purpose::AccountLevel1, live) }
    };
    let own = ask(&service, account("P-1", 1, Some(1))).await;
    assert_eq!((own.decision, codes(&own)), (Some(Outcome::Confirmed), vec![]));
    assert!(own.chip.as_ref().is_some_and(|c| c.verified && c.score > c.threshold));
    assert!(told(&own)[1].contains("trùng với ảnh trong chip"));
    let stolen = ask(&service, account("P-2", 2, Some(3))).await;
    assert_eq!((stolen.decision, codes(&stolen)), (Some(Outcome::Mismatch), vec!["chip_portrait_differs"]));
    told(&stolen);
    let without = ask(&service, account("P-3", 4, None)).await;
    assert_eq!((without.decision, codes(&without)), (Some(Outcome::Review), vec!["no_claimed_record"]));
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_with_one_number_and_one_person_with_two_are_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let first = |application: &str, who: u64, shot: u64, n: u64| Submission {
        identity: number(n),
        ..submission(application, Purpose::CardFirstIssue, person(who, shot))
    };
    assert_eq!(ask(&service, first("A-1", 1, 0, 1)).await.decision, Some(Outcome::Clear));
    let one_number = ask(&service, first("A-2", 2, 0, 1)).await;
    assert_eq!((one_number.decision, codes(&one_number)), (Some(Outcome::Review), vec!["identity_in_use"]));
    let two_numbers = ask(&service, first("A-3", 1, 1, 3)).await;
    let expected = vec!["found_under_another_identity", "person_has_another_number"];
    assert_eq!((two_numbers.decision, codes(&two_numbers)), (Some(Outcome::Duplicate), expected));
    let again = ask(&service, first("A-4", 1, 2, 1)).await;
    assert_eq!(again.decision, Some(Outcome::Duplicate));
    assert!(codes(&again).contains(&"already_enrolled"), "{again:#?}");

    let exchange = |application: &str, reason| Submission {
        identity: number(7),
        claimed_identity: number(5),
        legal_reason: Some(reason),
        ..submission(application, Purpose::CardExchange, person(5, 1))
    };
    assert_eq!(ask(&service, first("B-1", 5, 0, 5)).await.decision, Some(Outcome::Clear));
    let differ = ask(&service, exchange("E-1", LegalReason::DataChange)).await;
    assert_eq!((differ.decision, codes(&differ)), (Some(Outcome::Review), vec!["numbers_differ"]));
    service.withdraw("E-1").await.unwrap();
    let renumbered = ask(&service, exchange("E-2", LegalReason::NewNumber)).await;
    assert_eq!((renumbered.decision, codes(&renumbered)), (Some(Outcome::Confirmed), vec![]), "{renumbered:#?}");
    // From now on the new number is this person's.
    let taken = ask(&service, first("B-2", 6, 0, 7)).await;
    assert_eq!(codes(&taken), ["identity_in_use"]);
    for document in [&one_number, &two_numbers, &again, &differ, &taken] {
        told(document);
    }
    // What rested on a withdrawn claim is decided anew.
    service.withdraw("A-1").await.unwrap();
    let mut now = service.document("A-2").await.unwrap();
    for _ in 0..500 {
        if now.decision == Some(Outcome::Clear) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = service.document("A-2").await.unwrap();
    }
    // A-4 still declares the number, and is another person.
    assert_eq!((now.decision, codes(&now)), (Some(Outcome::Clear), vec![]), "{now:#?}");
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_stays_until_another_is_named_and_decisions_name_theirs() {
    let data = tempfile::tempdir().unwrap();
    let strict = Policy::shipped().text().replace("name = \"default-2\"", "name = \"strict\"");
    let strict = Policy::from_toml(&strict.replace("review_fpir = 2e-3", "review_fpir = 2e-4")).unwrap();
    let decided_by = async |policy: Option<Policy>, application: &str, who: u64| {
        let options = ServiceOptions { policy, ..ServiceOptions::default() };
        let service = Service::open(data.path(), Models::shipped().unwrap(), options).unwrap();
        let document = ask(&service, submission(application, Purpose::CardFirstIssue, person(who, 0))).await;
        service.close().await;
        let records = JournalReader::open(&log_dir(data.path()), 1).unwrap().map(Result::unwrap);
        let adopted = records.filter(|r| matches!(r.event, Event::PolicyAdopted(_))).count();
        let basis = document.basis.unwrap();
        (basis.policy, basis.review_threshold, adopted)
    };
    let (shipped, before, adopted) = decided_by(None, "A-1", 1).await;
    assert_eq!((shipped, adopted), (Policy::shipped().version(), 1));
    let (named, after, adopted) = decided_by(Some(strict.clone()), "A-2", 2).await;
    assert_eq!((named, adopted), (strict.version(), 2), "the new policy is an event in the log");
    assert!(after > before, "a stricter target asks for more: {after} after {before}");
    let (kept, _, adopted) = decided_by(None, "A-3", 3).await;
    assert_eq!((kept, adopted), (strict.version(), 2), "it stays, and is not adopted twice");
}
