//! Damage in what is computed from the log is found, and mended from the log; the log itself is never mended.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use duynhat_engine::template::{Biometrics, FingerPosition, Purpose};
use duynhat_server::service::{
    EnrolRequest, IdentifyRequest, MaintenanceOptions, Models, Service, ServiceError, ServiceOptions, Submission,
};
use duynhat_test_support::http::encounter;

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

fn open(data: &Path) -> Service {
    Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap()
}

fn person(index: u64, shot: u64) -> Biometrics {
    let mut biometrics = encounter(index, shot);
    let wanted = [2, 7].map(|code| FingerPosition::new(code).unwrap());
    biometrics.fingers.retain(|f| wanted.contains(&f.position));
    biometrics
}

fn cli(arguments: &[&str]) -> (Option<i32>, String) {
    let out = Command::new(BINARY).args(arguments).env_remove("DUYNHAT_KEY_FILE").output().expect("runs");
    (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

/// 300 people taken over and one check, so that every kind of file is there.
async fn populate(data: &Path) {
    let service = open(data);
    let enrol = |n: u64| EnrolRequest { subject: format!("P{n}"), identity: None, biometrics: person(n, 0) };
    service.enrol((0..300).map(enrol).collect()).await.unwrap();
    let submission = Submission {
        application: "A-1".into(),
        purpose: Purpose::CardFirstIssue,
        station: "S".into(),
        operator: "O".into(),
        identity: None,
        claimed_identity: None,
        biometrics: encounter(400, 0),
        supersedes: None,
        age: None,
        legal_reason: None,
        chip: Vec::new(),
    };
    service.check(submission, Duration::from_secs(60)).await.unwrap();
    service.close().await;
}

async fn who_is(service: &Service, who: u64) -> Vec<(String, f32)> {
    let request =
        IdentifyRequest { biometrics: person(who, 1), threshold: None, candidates_max: 3, cross_position: false };
    service.identify(request).await.unwrap().candidates.into_iter().map(|c| (c.subject, c.score)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn some_bytes(path: &Path) -> usize {
    std::fs::metadata(path).unwrap().len() as usize / 2
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_projections_are_found_named_and_made_again() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    populate(&data).await;
    let d = data.display().to_string();
    let service = open(&data);
    let expected = (who_is(&service, 7).await, service.document("A-1").await.unwrap());
    service.close().await;
    let damaged: [PathBuf; 5] = [
        data.join("gallery/stripe-00000/finger-02-prints.col"),
        data.join("gallery/stripe-00000/DIRECTORY"),
        data.join("gallery/MANIFEST"),
        data.join("gallery/OVERLAY"),
        data.join("registry.sqlite"),
    ];
    for path in &damaged {
        let at = if path.ends_with("registry.sqlite") { registry_place(path) } else { some_bytes(path) };
        flip(path, at);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (code, said) = cli(&["gallery", "check", "--data", &d]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains("DAMAGE: ") && said.contains(&name), "{name}: {said}");
        let (code, said) = cli(&["gallery", "check", "--repair", "--data", &d]);
        assert_eq!(code, Some(0), "{name}: {said}");
        assert!(said.contains("repaired: ") && said.contains("made again from the log"), "{name}: {said}");
        let (code, said) = cli(&["gallery", "check", "--data", &d]);
        assert_eq!(code, Some(0), "{name}: {said}");
        let service = open(&data);
        assert_eq!(who_is(&service, 7).await, expected.0, "{name}");
        assert_eq!(service.document("A-1").await.unwrap(), expected.1, "{name}");
        service.close().await;
    }
    // The log is the truth: nothing else can give it back.
    flip(&data.join("log/00000000000000000001.seg"), 5_000);
    let (code, said) = cli(&["gallery", "check", "--repair", "--data", &d]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing can give it back but a backup"), "{said}");
    let (code, said) = cli(&["gallery", "rebuild", "--data", &d]);
    assert_eq!(code, Some(1), "{said}");
    assert!(data.join("gallery/MANIFEST").exists(), "nothing was thrown away");
}

/// Where a subject's name stands.
fn registry_place(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(4).position(|w| w == b"P123").expect("a subject") + 2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_another_content_is_made_again_at_the_next_start() {
    let data = tempfile::tempdir().unwrap();
    populate(data.path()).await;
    let path = data.path().join("registry.sqlite");
    let honest = std::fs::read(&path).unwrap();
    let place = registry_place(&path);
    // With its checksum file, and after an end without one.
    for sum in [true, false] {
        std::fs::write(&path, &honest).unwrap();
        flip(&path, place);
        if !sum {
            std::fs::remove_file(data.path().join("registry.sum")).unwrap();
        }
        let service = open(data.path());
        assert_eq!(who_is(&service, 7).await[0].0, "P7");
        service.close().await;
        drop(service);
        let mended = std::fs::read(&path).unwrap();
        assert!(mended.windows(4).any(|w| w == b"P123"), "sum {sum}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_finds_damage_says_so_and_answers_nothing() {
    let data = tempfile::tempdir().unwrap();
    populate(data.path()).await;
    let service = open(data.path());
    who_is(&service, 7).await;
    assert!(service.health().ready);
    // Another program writes into a mapped column that was verified before.
    let path = data.path().join("gallery/stripe-00000/finger-02-prints.col");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff], some_bytes(&path) as u64).unwrap();
    service.look_after(MaintenanceOptions { verify_bytes_per_s: 1 << 40, ..MaintenanceOptions::default() }).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while service.health().ready && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let health = service.health();
    assert!(!health.ready && health.damaged_places > 0, "{health:?}");
    assert!(service.damage()[0].contains("finger-02-prints.col"), "{:?}", service.damage());
    let request =
        IdentifyRequest { biometrics: person(7, 1), threshold: None, candidates_max: 3, cross_position: false };
    assert_eq!(service.identify(request).await.unwrap_err(), ServiceError::Unavailable);
    service.close().await;
}
