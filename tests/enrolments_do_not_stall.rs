//! A reference is found by the very next search, while enrolments go on and whole blocks go into files.
//!
//! In the test suite: 600 enrolments. `just stall` sets `DUYNHAT_ENROLMENTS=10000 DUYNHAT_SECONDS=60` and prints how long
//! searches and checks took before, during, in the minute after, and after a restart, when everything is in files.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use duynhat_engine::template::{Biometrics, Outcome, Purpose};
use duynhat_server::service::{EnrolRequest, IdentifyRequest, Service, Submission};
use duynhat_test_support::http::{encounter, open};

const BATCH: u64 = 100;
/// Who is checked; far from the enrolled ones.
const CHECKED_FROM: u64 = 1 << 32;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect(name))
}

/// Latencies by phase, in the order of [`PHASES`].
const PHASES: [&str; 4] = ["before", "during", "after", "restarted"];

#[derive(Default)]
struct Watch {
    phase: AtomicUsize,
    ending: AtomicBool,
    searches: Mutex<[Vec<Duration>; 4]>,
    checks: Mutex<[Vec<Duration>; 4]>,
    /// Captures that the gates sent back: some of many are not good enough.
    sent_back: AtomicUsize,
}

impl Watch {
    fn note(&self, of: &Mutex<[Vec<Duration>; 4]>, begin: Instant) {
        of.lock().unwrap()[self.phase.load(Ordering::Acquire)].push(begin.elapsed());
    }

    fn print(&self) {
        for (what, of) in [("search", &self.searches), ("check", &self.checks)] {
            for (phase, times) in PHASES.iter().zip(of.lock().unwrap().iter_mut()) {
                times.sort();
                let at = |share: f64| {
                    let index = (times.len() as f64 * share) as usize;
                    times.get(index.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
                };
                println!(
                    "{what:>6} {phase:>9}: {:>6} times, median {:>8.2?}, 99 % {:>8.2?}, longest {:>8.2?}",
                    times.len(),
                    at(0.5),
                    at(0.99),
                    at(1.0)
                );
            }
        }
    }
}

fn first_issue(application: &str, biometrics: Biometrics) -> Submission {
    Submission {
        application: application.into(),
        purpose: Purpose::CardFirstIssue,
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

fn probe(biometrics: Biometrics) -> IdentifyRequest {
    IdentifyRequest { biometrics, threshold: None, candidates_max: 3, cross_position: false }
}

/// One client that searches and one that checks, one request after the other, until they are told to end.
fn clients(service: &Arc<Service>, watch: &Arc<Watch>, next: &Arc<AtomicUsize>) -> tokio::task::JoinSet<()> {
    let mut clients = tokio::task::JoinSet::new();
    let (s, w) = (service.clone(), watch.clone());
    clients.spawn(async move {
        let known = encounter(5, 2);
        while !w.ending.load(Ordering::Acquire) {
            let begin = Instant::now();
            let found = s.identify(probe(known.clone())).await.expect("an answer");
            w.note(&w.searches, begin);
            assert_eq!(found.candidates[0].subject, "P5");
        }
    });
    let (s, w, next) = (service.clone(), watch.clone(), next.clone());
    clients.spawn(async move {
        while !w.ending.load(Ordering::Acquire) {
            let n = next.fetch_add(1, Ordering::AcqRel) as u64;
            let check = first_issue(&format!("A-{n}"), encounter(CHECKED_FROM + n, 0));
            let begin = Instant::now();
            let answer = s.check(check, Duration::from_secs(60)).await.expect("an answer");
            w.note(&w.checks, begin);
            if answer.decision == Some(Outcome::Recapture) {
                w.sent_back.fetch_add(1, Ordering::AcqRel);
            } else {
                assert_eq!(answer.decision, Some(Outcome::Clear), "{answer:#?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    clients
}

async fn enrol(service: &Service, from: u64, to: u64) {
    let people: Vec<EnrolRequest> = (from..to)
        .map(|n| EnrolRequest { subject: format!("P{n}"), identity: None, biometrics: encounter(n, 0) })
        .collect();
    service.enrol(people).await.expect("enrolled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_is_found_by_the_next_search_while_enrolments_go_on() {
    let enrolments = number("DUYNHAT_ENROLMENTS", 600);
    let phase = Duration::from_secs(number("DUYNHAT_SECONDS", 1));
    let data = tempfile::tempdir().unwrap();
    let (watch, next) = (Arc::<Watch>::default(), Arc::<AtomicUsize>::default());
    let service = open(data.path());
    enrol(&service, 0, BATCH).await;
    let mut running = clients(&service, &watch, &next);
    tokio::time::sleep(phase).await;
    watch.phase.store(1, Ordering::Release);
    for from in (BATCH..BATCH + enrolments).step_by(BATCH as usize) {
        enrol(&service, from, from + BATCH).await;
        for person in [from, from + BATCH - 1] {
            let found = service.identify(probe(encounter(person, 1))).await.expect("an answer");
            assert_eq!(found.candidates[0].subject, format!("P{person}"), "found at once");
        }
        while let Some(ended) = running.try_join_next() {
            ended.expect("clients end only at the end");
        }
    }
    watch.phase.store(2, Ordering::Release);
    tokio::time::sleep(phase).await;
    watch.ending.store(true, Ordering::Release);
    running.join_all().await;
    service.close().await;
    drop(service);

    let service = open(data.path());
    watch.ending.store(false, Ordering::Release);
    watch.phase.store(3, Ordering::Release);
    let running = clients(&service, &watch, &next);
    tokio::time::sleep(phase).await;
    watch.ending.store(true, Ordering::Release);
    running.join_all().await;
    let sent_back = watch.sent_back.load(Ordering::Acquire) as u64;
    let checked = next.load(Ordering::Acquire) as u64 - sent_back;
    assert!(sent_back * 20 <= checked, "{sent_back} captures sent back beside {checked} checks");
    assert_eq!(service.health().references, BATCH + enrolments + checked);
    service.close().await;
    watch.print();
}
