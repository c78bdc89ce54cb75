//! What was erased is in no byte of any file, is found by no search, and the log still says that there was something.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytemuck::cast_slice;
use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::log::{Event, JournalReader, Redacted, redact};
use duynhat_engine::template::{Biometrics, FaceTemplate, Outcome, Purpose};
use duynhat_server::service::{
    CheckDocument, ERASED_SUBJECT, EnrolRequest, EraseRequest, EraseTarget, Folder, IdentifyRequest, Identity, Models,
    PseudonymKey, Remake, Service, ServiceError, ServiceOptions, Submission,
};

const WAIT: Duration = Duration::from_secs(60);
const SUBJECT: &str = "person-to-be-erased";
const NUMBER: &str = "001288888888";

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

fn person(index: u64, shot: u64) -> Biometrics {
    People::new(23, Settings::default()).person(index).encounter(shot, &EncounterSettings::default())
}

fn order(subject: &str) -> EraseRequest {
    let target = EraseTarget::Subject(subject.into());
    EraseRequest { target, operator: "clerk-7".into(), reason: "request".into() }
}

/// Every byte string that must not survive, with a word for what it is.
fn needles(biometrics: &Biometrics, others: &[Biometrics]) -> BTreeMap<String, Vec<u8>> {
    let model = Models::shipped().unwrap().model;
    let mut needles = BTreeMap::new();
    let words = |b: &Biometrics| -> BTreeSet<[u8; 8]> {
        let features = b.fingers.iter().filter_map(|f| model.features(f).ok());
        let codes: Vec<u8> = features.flat_map(|f| cast_slice(f.view().codes()).to_vec()).collect();
        codes.chunks_exact(32).map(|code| code[..8].try_into().unwrap()).collect()
    };
    for (n, finger) in biometrics.fingers.iter().enumerate() {
        needles.insert(format!("minutiae of print {n}"), cast_slice(finger.minutiae()).to_vec());
        let features = model.features(finger).unwrap();
        needles.insert(format!("codes of print {n}"), cast_slice(features.view().codes()).to_vec());
    }
    for (n, face) in biometrics.faces.iter().enumerate() {
        let bytes: Vec<u8> = face.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        needles.insert(format!("embedding {n}"), bytes);
    }
    // The screen's tiles hold each code's first word apart; words that others have too prove nothing.
    let common: BTreeSet<[u8; 8]> = others.iter().flat_map(words).collect();
    for (n, word) in words(biometrics).difference(&common).enumerate() {
        needles.insert(format!("word {n} of the screen"), word.to_vec());
    }
    needles
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

/// Which needles stand in which files.
fn found(dir: &Path, needles: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, BTreeSet<String>> {
    let mut by_head: HashMap<[u8; 8], Vec<(&String, &Vec<u8>)>> = HashMap::new();
    for (name, needle) in needles {
        by_head.entry(needle[..8].try_into().unwrap()).or_default().push((name, needle));
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in files(dir) {
        let bytes = std::fs::read(&path).unwrap();
        for (at, head) in bytes.windows(8).enumerate() {
            for (name, needle) in by_head.get(head).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    let file = path.strip_prefix(dir).unwrap().display().to_string();
                    found.entry((*name).clone()).or_default().insert(file);
                }
            }
        }
    }
    found
}

async fn first_issue(service: &Service, application: &str, biometrics: Biometrics, number: &str) -> CheckDocument {
    let submission = Submission {
        application: application.into(),
        purpose: Purpose::CardFirstIssue,
        station: "S".into(),
        operator: "O".into(),
        identity: Identity::new(number),
        claimed_identity: None,
        biometrics,
        supersedes: None,
        age: None,
        legal_reason: None,
        chip: Vec::new(),
    };
    service.check(submission, WAIT).await.unwrap()
}

/// The subjects that a person's second encounter finds.
async fn who_is(service: &Service, biometrics: Biometrics) -> Vec<(String, f32)> {
    let request = IdentifyRequest { biometrics, threshold: Some(8.0), candidates_max: 10, cross_position: false };
    let found = service.identify(request).await.unwrap();
    found.candidates.into_iter().map(|c| (c.subject, c.score)).collect()
}

/// 262 people: 256 in a block in files, the rest in the journal's tail; two of them are the person in question: number 3
/// taken over, number 300 by a check. Returns the subject that the check made.
async fn populate(service: &Service) -> String {
    let enrol = |n: u64| EnrolRequest {
        subject: if n == 3 { SUBJECT.into() } else { format!("other-{n}") },
        identity: Identity::new(&if n == 3 { NUMBER.into() } else { format!("0012{n:08}") }),
        biometrics: person(n, 0),
    };
    service.enrol((0..260).map(enrol).collect()).await.unwrap();
    let checked = first_issue(service, "CODE-to-be-erased", person(300, 0), "001299999999").await;
    assert!(checked.subject.is_some(), "it leaves a reference: {checked:#?}");
    let attempt = first_issue(service, "CODE-of-another", person(300, 1), "001277777777").await;
    assert_eq!(attempt.decision, Some(Outcome::Duplicate), "{attempt:#?}");
    assert_eq!(attempt.candidates[0].subject, checked.subject.clone().unwrap());
    checked.subject.unwrap()
}

/// Needles of both the person that was taken over and the one that was checked, names and numbers included.
fn all_needles(data: &Path, checked: &str) -> BTreeMap<String, Vec<u8>> {
    let others: Vec<Biometrics> = (0..260).filter(|n| *n != 3).map(|n| person(n, 0)).collect();
    let mut all = BTreeMap::new();
    for (who, n) in [("taken over", 3), ("checked", 300)] {
        let own = needles(&person(n, 0), &others);
        all.extend(own.into_iter().map(|(what, bytes)| (format!("{who}: {what}"), bytes)));
    }
    let key = PseudonymKey::open(&data.join("keys").join("identity.key")).unwrap();
    all.insert("name".into(), SUBJECT.as_bytes().to_vec());
    all.insert("name that the check gave".into(), checked.as_bytes().to_vec());
    all.insert("application".into(), b"CODE-to-be-erased".to_vec());
    for number in [NUMBER, "001299999999"] {
        all.insert(format!("pseudonym of {number}"), key.pseudonym(&Identity::new(number).unwrap()).to_vec());
    }
    all
}

/// The answer to the same check where the two people were never enrolled.
async fn without_them(application: &str, biometrics: Biometrics) -> CheckDocument {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let enrol = |n: u64| EnrolRequest {
        subject: format!("other-{n}"),
        identity: Identity::new(&format!("0012{n:08}")),
        biometrics: person(n, 0),
    };
    service.enrol((0..260).filter(|n| *n != 3).map(enrol).collect()).await.unwrap();
    first_issue(&service, "CODE-of-another", person(300, 1), "001277777777").await;
    let answer = first_issue(&service, application, biometrics, NUMBER).await;
    service.close().await;
    answer
}

/// What an answer says, but for log positions and the names made of them.
fn told(document: &CheckDocument) -> impl PartialEq + std::fmt::Debug + use<> {
    let candidates = document.candidates.iter().map(|c| {
        let subject = if c.subject.starts_with("other-") { c.subject.clone() } else { "of a check".into() };
        (subject, c.score.to_bits(), c.band.clone(), c.claimed)
    });
    let candidates: Vec<_> = candidates.collect();
    let reasons: Vec<_> = document.reasons.iter().map(|r| (r.code.clone(), r.finger)).collect();
    let basis = document.basis.as_ref().map(|b| (b.gallery_size, b.review_threshold.to_bits()));
    (document.decision, document.findings.clone(), reasons, candidates, basis, document.subject.is_some())
}

fn assert_gone(data: &Path, needles: &BTreeMap<String, Vec<u8>>) {
    let left = found(data, needles);
    assert!(left.is_empty(), "still there: {left:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_in_no_byte_of_the_data_folder() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let checked = populate(&service).await;
    service.close().await;
    drop(service);
    let needles = all_needles(data.path(), &checked);
    let before = found(data.path(), &needles);
    let unseen: Vec<_> = needles.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(unseen.is_empty(), "each of them is found while it is there: {unseen:#?}");
    let places: BTreeSet<_> = before.values().flatten().cloned().collect();
    // The checked person stands in the partial block.
    for place in [
        "log/00000000000000000001.seg",
        "registry.sqlite",
        "gallery/stripe-00000/finger-02-prints.col",
        "gallery/tail-",
    ] {
        assert!(places.iter().any(|p| p.starts_with(place)), "nothing was looked for in {place}: {places:?}");
    }

    let service = open(data.path());
    let neighbour = who_is(&service, person(4, 1)).await;
    assert_eq!(neighbour[0].0, "other-4");
    let references = service.health().references;
    let first = service.erase(order(SUBJECT)).await.unwrap();
    assert_eq!((first.records, first.operator.as_str(), first.erased_ms), (1, "clerk-7", None));
    assert_eq!(service.erase(order(SUBJECT)).await.unwrap(), first, "the same order, the same answer");
    service.erase(order(&checked)).await.unwrap();
    // At once nobody finds it.
    assert_eq!(service.health().references, references - 2);
    assert_eq!(who_is(&service, person(3, 1)).await, []);
    assert_eq!(who_is(&service, person(4, 1)).await, neighbour);
    let gone = service.document("CODE-to-be-erased").await.unwrap_err();
    assert_eq!(gone, ServiceError::Erased { what: "application" });
    assert_eq!(service.erase(order("never-seen")).await.unwrap_err(), ServiceError::NotFound { what: "subject" });
    // A decision that rested on it says so, and no longer whose it was.
    let other = service.document("CODE-of-another").await.unwrap();
    assert_eq!(other.candidates[0].subject, ERASED_SUBJECT);
    assert!(other.reasons.iter().any(|r| r.code == "rested_on_erased"), "{other:#?}");
    assert_eq!(service.erasures_pending().unwrap().len(), 2);

    let carried = service.carry_out_erasures().await.unwrap();
    assert_eq!((carried.orders, carried.stripes), (2, 1));
    assert!(service.erasures_pending().unwrap().is_empty());
    assert!(service.erase(order(SUBJECT)).await.unwrap().erased_ms.is_some());
    assert_gone(data.path(), &needles);
    assert_eq!(who_is(&service, person(4, 1)).await, neighbour, "whoever is left scores as before");
    assert_eq!(service.carry_out_erasures().await.unwrap().orders, 0);
    // The person may come again.
    let again = first_issue(&service, "CODE-again", person(3, 2), NUMBER).await;
    let never = without_them("CODE-again", person(3, 2)).await;
    assert_eq!(told(&again), told(&never), "as if it had never been there");
    let references = service.health().references;
    service.close().await;
    drop(service);
    let name_only: BTreeMap<_, _> = needles.iter().filter(|(n, _)| !n.contains(NUMBER)).collect();
    let name_only = name_only.into_iter().map(|(n, b)| (n.clone(), b.clone())).collect();
    assert_gone(data.path(), &name_only);

    // Positions stay, and say what kind of record stood there.
    let records: Vec<_> = JournalReader::open(&data.path().join("log"), 1).unwrap().map(Result::unwrap).collect();
    assert!(records.iter().zip(1..).all(|(r, p)| r.position == p));
    let redacted: Vec<_> = records.iter().filter(|r| matches!(r.event, Event::Redacted(_))).collect();
    let row = |r: &&duynhat_engine::log::Record| matches!(r.event, Event::Redacted(Redacted { row: true, .. }));
    assert_eq!((redacted.len(), redacted.iter().copied().filter(row).count()), (3, 2), "{redacted:?}");

    // All that is computed from the log comes out the same.
    let models = Models::shipped().unwrap();
    let remake = Remake { gallery: true, registry: true, face_basis: false, model: false };
    let folder = Folder::open_and(data.path(), models.model, models.cohort, remake).unwrap();
    assert_eq!(folder.disagreed(), [] as [u64; 0]);
    assert_eq!(folder.published().load().live(), references);
    folder.close().unwrap();
    let service = open(data.path());
    assert_eq!(who_is(&service, person(4, 1)).await, neighbour);
    assert_eq!(service.document("CODE-of-another").await.unwrap(), other);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_an_erasure_is_made_good() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let checked = populate(&service).await;
    service.erase(order(SUBJECT)).await.unwrap();
    service.erase(order(&checked)).await.unwrap();
    service.close().await;
    drop(service);
    let needles = all_needles(data.path(), &checked);
    let neighbours = |service: Service| async move {
        let mut all = Vec::new();
        for n in [2, 4, 259] {
            all.push(who_is(&service, person(n, 1)).await);
        }
        all.push(who_is(&service, person(3, 1)).await);
        service.close().await;
        all
    };
    let expected = neighbours(open(data.path())).await;
    assert_eq!(expected[3], []);

    // The journal is redacted, the rest is not; a stripe and a segment are half written.
    let logs = data.path().join("log");
    let records: Vec<_> = JournalReader::open(&logs, 1).unwrap().map(Result::unwrap).collect();
    let last = records.last().unwrap().position;
    let concerned = records.iter().filter(|r| match &r.event {
        Event::Enrolled(e) => e.subject == SUBJECT,
        Event::Submitted(s) => s.application == "CODE-to-be-erased",
        _ => false,
    });
    let targets: BTreeMap<u64, u64> = concerned.map(|r| (r.position, last)).collect();
    assert_eq!(targets.len(), 2);
    {
        use duynhat_engine::log::{EventLog, FileJournal};
        let mut journal = FileJournal::open(&logs).unwrap();
        assert_eq!(journal.last_position(), last);
        journal.close_segment().unwrap();
    }
    assert!(redact::redact(&logs, &targets, |_, _| None).unwrap().records >= 2);
    std::fs::write(logs.join("00000000000000000001.new"), &needles["taken over: minutiae of print 0"]).unwrap();
    let columns = data.path().join("gallery");
    std::fs::create_dir(columns.join("stripe-00000.0001")).unwrap();
    let half = &needles["taken over: embedding 0"];
    std::fs::write(columns.join("stripe-00000.0001").join("face-000-originals.col"), half).unwrap();
    // A block that a crash left beyond what the directory records.
    let column = columns.join("stripe-00000").join("meta.col");
    let mut longer = std::fs::read(&column).unwrap();
    longer.extend(half);
    std::fs::write(&column, longer).unwrap();

    assert_eq!(neighbours(open(data.path())).await, expected, "rows keep their numbers");
    let service = open(data.path());
    assert_eq!(service.carry_out_erasures().await.unwrap().orders, 2);
    service.close().await;
    drop(service);
    assert_gone(data.path(), &needles);
    assert_eq!(neighbours(open(data.path())).await, expected);
}

/// A face of a made-up model of 64 dimensions.
fn face(n: u64) -> Biometrics {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let values = (0..64).map(|_| next()).collect();
    Biometrics::new(Vec::new(), vec![FaceTemplate::new("made-up-64", 50, values).unwrap()], Vec::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_face_basis_learned_from_the_erased_is_learned_anew_without_it() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path());
    let enrol = |n: u64| EnrolRequest { subject: format!("face-{n}"), identity: None, biometrics: face(n) };
    for first in (0..4_600).step_by(1_000) {
        service.enrol((first..4_600.min(first + 1_000)).map(enrol).collect()).await.unwrap();
    }
    let learned = |service: &Service| {
        let snapshot = service.snapshot();
        let model = snapshot.face_models().get(0).unwrap();
        (model.sampled(), model.current().0.id(), model.current().0.to_bytes())
    };
    let before = learned(&service);
    assert_eq!(before.0, 4_096, "learned from the first 4,096");
    // Number 4,300 was no part of the sample, number 100 was.
    service.erase(order("face-4300")).await.unwrap();
    assert_eq!(service.carry_out_erasures().await.unwrap().bases, 0);
    assert_eq!(learned(&service).1, before.1);
    service.erase(order("face-100")).await.unwrap();
    let carried = service.carry_out_erasures().await.unwrap();
    assert_eq!((carried.bases, carried.stripes), (1, 1));
    let after = learned(&service);
    assert_ne!(after.1, before.1, "another version");
    assert_eq!(after.0, 4_097, "one more was needed");
    let snapshot = service.snapshot();
    for block in snapshot.blocks() {
        let column = block.faces(snapshot.face_models(), 0).unwrap().unwrap();
        assert_eq!(column.basis, snapshot.face_models().get(0).unwrap().current().1 as usize);
    }
    let found_again = who_is_face(&service, 4_000).await;
    service.close().await;
    drop((service, snapshot));
    let bytes: Vec<u8> = face(100).faces[0].values().iter().flat_map(|v| v.to_le_bytes()).collect();
    // A run of the old basis's matrix.
    let needles = BTreeMap::from([("embedding".to_owned(), bytes), ("basis".into(), before.2[64..256].to_vec())]);
    assert_gone(data.path(), &needles);
    let service = open(data.path());
    assert_eq!(learned(&service).1, after.1);
    assert_eq!(who_is_face(&service, 4_000).await, found_again);
    service.close().await;
}

async fn who_is_face(service: &Service, n: u64) -> (String, f32) {
    let request = IdentifyRequest { biometrics: face(n), threshold: None, candidates_max: 1, cross_position: false };
    let found = service.identify(request).await.unwrap();
    (found.candidates[0].subject.clone(), found.candidates[0].score)
}

#[test]
fn a_reference_taken_out_of_its_columns_is_the_one_that_was_put_in() {
    let models = Models::shipped().unwrap();
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let service = open(data.path());
        let enrol = |n: u64| EnrolRequest { subject: format!("p-{n}"), identity: None, biometrics: person(n, 0) };
        service.enrol((0..3).map(enrol).collect()).await.unwrap();
        let snapshot = service.snapshot();
        for row in 0..3 {
            let put_in = Prepared::new(models.model, models.cohort, &person(row, 0));
            let taken_out = snapshot.prepared(row).unwrap();
            assert_eq!(put_in.fingers.len(), taken_out.fingers.len());
            for (a, b) in put_in.fingers.iter().zip(&taken_out.fingers) {
                assert_eq!((a.position, a.quality, &a.extractor), (b.position, b.quality, &b.extractor));
                assert_eq!(a.features.view().minutiae(), b.features.view().minutiae());
                let codes = |f: &duynhat_engine::gallery::PreparedFinger| -> Vec<u8> {
                    cast_slice(f.features.view().codes()).to_vec()
                };
                assert_eq!(codes(a), codes(b));
                assert_eq!(a.cohort.level, b.cohort.level);
            }
            let values = |p: &Prepared| -> Vec<Vec<f32>> { p.faces.iter().map(|f| f.values().to_vec()).collect() };
            assert_eq!(values(&put_in), values(&taken_out));
        }
        service.close().await;
    });
}
