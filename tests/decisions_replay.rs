//! A log replayed on another thread count and another kernel gives the same decisions, byte for byte; another policy in its
//! shadow says which would change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::decision::Policy;
use duynhat_engine::kernel::Isa;
use duynhat_engine::log::{CaseVerdict, Role};
use duynhat_engine::template::{
    Biometrics, FingerPosition, LegalReason, MissingFinger, MissingReason, Outcome, Purpose,
};
use duynhat_server::service::{
    Again, Identity, Models, ReplayMode, ReplayOptions, Replayed, Service, ServiceOptions, Submission, VerdictRequest,
    replay,
};

const WAIT: Duration = Duration::from_secs(120);

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

fn person(index: u64, shot: u64, missing: u8) -> Biometrics {
    let missing = (1..=missing)
        .filter_map(FingerPosition::new)
        .map(|position| MissingFinger { position, reason: MissingReason::Bandaged })
        .collect();
    let settings = EncounterSettings { missing, ..EncounterSettings::default() };
    People::new(13, Settings::default()).person(index).encounter(shot, &settings)
}

fn number(index: u64) -> Option<Identity> {
    Identity::new(&format!("0010930000{index:02}"))
}

fn submission(application: String, purpose: Purpose, own: Option<u64>, captured: Biometrics) -> Submission {
    let exchange = purpose == Purpose::CardExchange;
    Submission {
        application,
        purpose,
        station: "S".into(),
        operator: "O".into(),
        identity: own.filter(|_| !exchange).and_then(number),
        claimed_identity: own.filter(|_| exchange).and_then(number),
        biometrics: captured,
        supersedes: None,
        age: None,
        legal_reason: exchange.then_some(LegalReason::Age),
        chip: Vec::new(),
    }
}

/// A day: newcomers, second identities at the same moment, exchanges, exceptions, a withdrawal, a case, a restart.
async fn a_day(data: &Path) {
    let service = Arc::new(open(data));
    let mut checks = tokio::task::JoinSet::new();
    for n in 0..12u64 {
        for shot in 0..2 {
            let service = service.clone();
            let missing = if n % 4 == 3 { 6 } else { 0 };
            let captured = person(n, shot, missing);
            let s = submission(format!("A-{n}-{shot}"), Purpose::CardFirstIssue, Some(n), captured);
            checks.spawn(async move { service.check(s, WAIT).await.unwrap() });
        }
    }
    checks.join_all().await;
    for n in 0..3 {
        let s = submission(format!("E-{n}"), Purpose::CardExchange, Some(n), person(n, 2, 0));
        service.check(s, WAIT).await.unwrap();
    }
    let mut incomplete = person(20, 0, 0);
    incomplete.fingers.truncate(7);
    let s = submission("R-1".into(), Purpose::CardFirstIssue, None, incomplete);
    assert_eq!(service.check(s, WAIT).await.unwrap().decision, Some(Outcome::Recapture));
    service.withdraw("A-5-0").await.unwrap();
    service.withdraw("A-5-1").await.unwrap();
    let look_alike = Biometrics { faces: person(1, 3, 0).faces, ..person(21, 0, 0) };
    let s = submission("L-1".into(), Purpose::CardFirstIssue, None, look_alike);
    assert_eq!(service.check(s, WAIT).await.unwrap().decision, Some(Outcome::Review));
    for who in ["adj-1", "adj-2"] {
        let verdict = VerdictRequest {
            adjudicator: who.into(),
            role: Role::Adjudicator,
            verdict: CaseVerdict::DifferentPeople,
            subject: None,
            note: String::new(),
        };
        service.adjudicate("L-1", verdict).await.unwrap();
    }
    service.close().await;
    drop(service);
    let service = open(data);
    for n in 6..9 {
        let s = submission(format!("B-{n}"), Purpose::CardFirstIssue, None, person(n, 4, 0));
        service.check(s, WAIT).await.unwrap();
    }
    service.close().await;
}

fn again(data: &Path, isa: Option<Isa>, options: ReplayOptions, visit: impl FnMut(&Again)) -> Replayed {
    let work = tempfile::tempdir().unwrap();
    let mut models = Models::shipped().unwrap();
    models.isa = isa.unwrap_or(models.isa);
    replay(data, work.path(), models, &options, visit).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kernel_and_thread_count_makes_the_same_documents() {
    let data = tempfile::tempdir().unwrap();
    a_day(data.path()).await;
    let mut kernels: Vec<Option<Isa>> = vec![None, Some(Isa::PORTABLE)];
    kernels.extend(Isa::available().into_iter().map(Some));
    for (k, isa) in kernels.into_iter().enumerate() {
        let options = ReplayOptions { mode: ReplayMode::Same, threads: 1 + k % 3, from: 1, until: u64::MAX };
        let mut different = Vec::new();
        let done = again(data.path(), isa, options, |a| {
            if !a.same {
                different.push(format!("{:#?}\n{:#?}", a.recorded, a.again));
            }
        });
        assert!(done.decisions >= 30, "{done:?}");
        assert!(different.is_empty(), "kernel {k}: {}", different.join("\n"));
        assert_eq!((done.same, done.same_outcome), (done.decisions, done.decisions));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stricter_policy_in_the_shadow_changes_what_it_must_and_nothing_is_written() {
    let data = tempfile::tempdir().unwrap();
    a_day(data.path()).await;
    let text = Policy::shipped().text().replace("missing_fingers_max = 4", "missing_fingers_max = 6");
    let lenient = Policy::from_toml(&text.replace("default-", "lenient-")).unwrap();
    let before = open_position(data.path());
    let options = ReplayOptions { mode: ReplayMode::Shadow(Box::new(lenient)), threads: 2, from: 1, until: u64::MAX };
    let mut changed = Vec::new();
    let done = again(data.path(), None, options, |a| {
        if a.again.decision != a.recorded.decision {
            changed.push((a.recorded.application.clone(), a.recorded.decision, a.again.decision));
        }
    });
    assert_eq!(done.decisions - done.same_outcome, changed.len() as u64);
    assert!(!changed.is_empty());
    for (application, recorded, again) in &changed {
        assert_eq!((*recorded, *again), (Some(Outcome::Review), Some(Outcome::Clear)), "{application}");
        assert!(["A-3-", "A-7-", "A-11-"].iter().any(|name| application.starts_with(name)), "{application}");
    }
    assert_eq!(open_position(data.path()), before, "the data folder is as it was");
}

fn open_position(data: &Path) -> u64 {
    let models = Models::shipped().unwrap();
    duynhat_server::service::ReadOnly::open(data, models.model, models.cohort).unwrap().position
}
