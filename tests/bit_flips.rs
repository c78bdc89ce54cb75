//! Single bits of a real data folder are flipped at random. Each flip is either found (an error with file and offset, at
//! open, at the first touch or by the check), or harmless: everything that can be read is as it was. Never a wrong answer,
//! never a crash.
//!
//! In the test suite: 200 flips. `just bitflips` sets `DUYNHAT_FLIPS=10000`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use duynhat_engine::gallery::GalleryError;
use duynhat_engine::log::{JournalReader, LogError, verify_durable_note};
use duynhat_engine::template::{Biometrics, LegalReason, Purpose};
use duynhat_server::service::{
    CheckDocument, EnrolRequest, FolderError, IdentifyDocument, IdentifyRequest, Identity, Models, ReadOnly, Service,
    ServiceError, ServiceOptions, Submission, log_dir,
};
use duynhat_test_support::folders::copy;
use duynhat_test_support::http::encounter;
use duynhat_test_support::parallel::each;
use duynhat_test_support::script::Dice;

/// A whole block, which stands in files; what comes after it stands in the tail.
const ENROLLED: u64 = 256;
const CHECKS: u64 = 6;
const WAIT: Duration = Duration::from_secs(60);

fn open(data: &Path) -> Result<Service, FolderError> {
    let options = ServiceOptions { threads: 1, ..ServiceOptions::default() };
    Service::open(data, Models::shipped().expect("a kernel"), options)
}

/// Made once: the same few people are asked for after every flip.
fn shot(person: u64, number: u64) -> Biometrics {
    static MADE: Mutex<BTreeMap<(u64, u64), Biometrics>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.entry((person, number)).or_insert_with(|| encounter(person, number)).clone()
}

fn number(who: u64) -> Identity {
    Identity::new(&format!("0790000000{who:02}")).expect("an identity number")
}

/// Person `who` of the checks: even ones are new, odd ones are enrolled already. All of them declare a number.
fn submission(who: u64) -> Submission {
    let person = if who.is_multiple_of(2) { ENROLLED + who } else { who * 37 };
    Submission {
        application: format!("A-{who}"),
        purpose: Purpose::CardFirstIssue,
        station: "S".into(),
        operator: "O".into(),
        identity: Some(number(who)),
        claimed_identity: None,
        biometrics: shot(person, 1),
        supersedes: None,
        age: None,
        legal_reason: None,
        chip: Vec::new(),
    }
}

fn exchange() -> Submission {
    let (identity, claimed_identity) = (Some(number(0)), Some(number(0)));
    let biometrics = shot(ENROLLED, 2);
    Submission {
        application: "E-0".into(),
        purpose: Purpose::CardExchange,
        identity,
        claimed_identity,
        biometrics,
        legal_reason: Some(LegalReason::CardError),
        ..submission(9)
    }
}

async fn make(data: &Path) {
    let service = open(data).expect("a new folder");
    let fewer = |person: u64| {
        // Four fingers and a face: enough columns, and a folder that is quickly copied.
        let mut biometrics: Biometrics = encounter(person, 0);
        biometrics.fingers.truncate(4);
        EnrolRequest { subject: format!("P{person}"), identity: None, biometrics }
    };
    service.enrol((0..ENROLLED).map(fewer).collect()).await.expect("enrolled");
    for who in 0..CHECKS {
        service.check(submission(who), WAIT).await.expect("decided");
    }
    service.withdraw("A-2").await.expect("withdrawn");
    service.close().await;
}

/// Everything that a client can ask for, and what the folder holds, in words.
#[derive(Clone, Debug, PartialEq)]
struct Answers {
    documents: Vec<CheckDocument>,
    exchange: CheckDocument,
    searches: Vec<IdentifyDocument>,
    health: (u64, u64),
}

async fn ask(service: &Service) -> Result<Answers, ServiceError> {
    let mut documents = Vec::new();
    for who in 0..CHECKS {
        documents.push(service.document(&format!("A-{who}")).await?);
    }
    let mut searches = Vec::new();
    for person in [3, 200, ENROLLED + 4] {
        let request =
            IdentifyRequest { biometrics: shot(person, 3), threshold: None, candidates_max: 10, cross_position: false };
        searches.push(IdentifyDocument { took_ms: 0.0, ..service.identify(request).await? });
    }
    let health = service.health();
    // The claimed record is found by the declared number, under the key file.
    let exchange = CheckDocument { took_ms: 0.0, ..service.check(exchange(), WAIT).await? };
    Ok(Answers { documents, exchange, searches, health: (health.position, health.references) })
}

/// A finding, with the file that it names.
fn place(error: &(dyn std::error::Error + 'static)) -> Option<PathBuf> {
    let mut error = Some(error);
    while let Some(e) = error {
        if let Some(LogError::Corrupt { path, .. }) = e.downcast_ref() {
            return Some(path.clone());
        }
        if let Some(GalleryError::Corrupt { path, .. } | GalleryError::Foreign { path }) = e.downcast_ref() {
            return Some(path.clone());
        }
        match e.downcast_ref::<FolderError>() {
            Some(FolderError::Log(e)) => error = Some(e),
            Some(FolderError::Gallery(e)) => error = Some(e),
            Some(FolderError::Io { path, .. }) => return Some(path.clone()),
            _ => error = e.source(),
        }
    }
    None
}

/// What a check of the whole folder finds, and a digest of everything it reads.
fn check(data: &Path) -> Result<Vec<String>, Option<PathBuf>> {
    let log = |e: LogError| place(&e);
    let mut state = Vec::new();
    verify_durable_note(&log_dir(data)).map_err(log)?;
    for record in JournalReader::open(&log_dir(data), 1).map_err(log)? {
        state.push(format!("{:?}", record.map_err(log)?));
    }
    let models = Models::shipped().expect("a kernel");
    let gallery = ReadOnly::open(data, models.model, models.cohort).map_err(|e| place(&e))?;
    let snapshot = &gallery.snapshot;
    snapshot.blocks().try_for_each(|b| b.verify(snapshot.face_models())).map_err(|e| place(&e))?;
    for row in 0..snapshot.rows() {
        let damage = |e: GalleryError| place(&e);
        let (position, subject) = (snapshot.position_of(row).map_err(damage)?, snapshot.subject(row).map_err(damage)?);
        state.push(format!("{position:?} {subject} {}", snapshot.is_live(row)));
    }
    Ok(state)
}

/// How a flip came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    AtOpen,
    AtTouch,
    ByCheck,
    Harmless,
}

fn files(dir: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let len = path.metadata().expect("a file").len();
            found.push((path, len));
        }
    }
}

fn examine(data: &Path, flipped: &Path, truth: &Answers, state: &[String]) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    // The check first: serving writes.
    let checked = check(data);
    let served = match open(data) {
        Err(error) => {
            let named = place(&error).ok_or_else(|| format!("no file is named: {error}"))?;
            if named != *flipped {
                return Err(format!("{} is blamed: {error}", named.display()));
            }
            return Ok(Outcome::AtOpen);
        }
        Ok(service) => runtime.block_on(async {
            let answers = ask(&service).await;
            service.close().await;
            answers
        }),
    };
    match served {
        Ok(answers) if answers != *truth => return Err(format!("a wrong answer: {answers:#?}")),
        Err(ServiceError::Internal) => {}
        Err(other) => return Err(format!("a wrong answer: {other}")),
        Ok(_) => {}
    }
    match checked {
        Ok(_) if served.is_err() => Ok(Outcome::AtTouch),
        Ok(found) if found == *state => Ok(Outcome::Harmless),
        Ok(_) => Err("the check saw nothing, and the content has changed".into()),
        Err(Some(named)) if named == *flipped && served.is_err() => Ok(Outcome::AtTouch),
        Err(Some(named)) if named == *flipped => Ok(Outcome::ByCheck),
        Err(named) => Err(format!("{named:?} is blamed")),
    }
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let flips: u64 = std::env::var("DUYNHAT_FLIPS").map_or(200, |n| n.parse().expect("DUYNHAT_FLIPS"));
    let seed: u64 = std::env::var("DUYNHAT_SEED").map_or(1, |n| n.parse().expect("DUYNHAT_SEED"));
    let root = tempfile::tempdir().unwrap();
    let (made, sound) = (root.path().join("made"), root.path().join("sound"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(make(&made));
    copy(&made, &sound);
    let state = check(&sound).expect("a sound folder");
    let truth = runtime.block_on(async {
        let service = open(&sound).expect("a sound folder");
        let truth = ask(&service).await.expect("answers");
        service.close().await;
        truth
    });
    drop(runtime);
    assert_eq!(truth.exchange.decision, Some(duynhat_engine::template::Outcome::Confirmed), "{:#?}", truth.exchange);
    let mut all = Vec::new();
    files(&made, &mut all);
    all.retain(|(path, len)| *len > 0 && !path.ends_with("LOCK"));
    let total: u64 = all.iter().map(|(_, len)| len).sum();
    let has =
        |name: &str| all.iter().any(|(p, _)| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(name)));
    assert!(["tail-", "MANIFEST", "DIRECTORY", "meta.col", "registry.sum", "DURABLE"].into_iter().all(has), "{all:?}");

    let results: Vec<(String, Result<Outcome, String>)> = each(0..flips, |flip| {
        let mut dice = Dice(seed << 32 | flip);
        // Half of them by file, so that the small ones have their turn, half by byte.
        let (path, at) = if flip.is_multiple_of(2) {
            let (path, len) = &all[dice.below(all.len() as u64) as usize];
            (path, dice.below(*len))
        } else {
            let mut at = dice.below(total);
            let (path, _) = all
                .iter()
                .find(|(_, len)| {
                    at < *len || {
                        at -= len;
                        false
                    }
                })
                .expect("a byte");
            (path, at)
        };
        let bit = dice.below(8);
        let name = path.strip_prefix(&made).expect("below");
        let data = root.path().join(format!("flip-{flip}"));
        copy(&made, &data);
        let flipped = data.join(name);
        let mut bytes = std::fs::read(&flipped).expect("a file");
        bytes[at as usize] ^= 1 << bit;
        std::fs::write(&flipped, bytes).expect("a file");
        let outcome = std::panic::catch_unwind(|| examine(&data, &flipped, &truth, &state));
        let outcome = outcome.unwrap_or_else(|_| Err("a crash".into()));
        std::fs::remove_dir_all(&data).expect("gone");
        let kind = name.to_string_lossy().into_owned();
        (kind, outcome.map_err(|what| format!("{} byte {at} bit {bit}: {what}", name.display())))
    });

    let mut table: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, result) in results {
        let outcome = match result {
            Ok(outcome) => format!("{outcome:?}"),
            Err(what) => {
                wrong.push(what);
                "WRONG".into()
            }
        };
        *table.entry(file).or_default().entry(outcome).or_default() += 1;
    }
    for (file, outcomes) in &table {
        println!("{file}: {outcomes:?}");
    }
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {flips}:\n{}", wrong.len(), wrong.join("\n"));
}
