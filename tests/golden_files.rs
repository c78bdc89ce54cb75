//! Data folders of earlier builds are kept in `golden/`, one for each change of a format, and must stay readable: each is
//! opened, verified, and compared with what was put into it. All of it is synthetic.
//!
//! A change of format gets a new version and a new folder; an old folder is never written again. This writes the present
//! formats':
//!
//! ```text
//! DUYNHAT_GOLDEN=write cargo test -p duynhat-tests --test golden_files
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::gallery::{BLOCKS_FORMAT_VERSION, Gallery, MANIFEST_FORMAT_VERSION, ModelName};
use duynhat_engine::log::{Event, FORMAT_VERSION, JournalReader, Record, Redacted, verify_durable_note};
use duynhat_engine::storage::StorageKey;
use duynhat_engine::template::{Biometrics, FaceTemplate, FingerPosition, Purpose};
use duynhat_server::registry::Registry;
use duynhat_server::sealed_file::{self, SealedWriter};
use duynhat_server::service::{
    EnrolRequest, EraseRequest, EraseTarget, Folder, Models, Remake, Service, ServiceOptions, Submission, gallery_dir,
    log_dir, registry_path,
};
use duynhat_test_support::http::encounter;

/// One whole block and one more.
const PEOPLE: u64 = 257;
const ERASED: u64 = 3;
/// These have a finger too.
const WITH_FINGER: u64 = 8;
const SEALED_TEXT: &[u8] = b"synthetic, and nobody's\n";

/// What was written, in the order of the changes.
struct Golden {
    folder: &'static str,
    journal: u16,
    manifest: u32,
    /// Of directories and tails.
    blocks_version: u32,
    /// Rows in files.
    rows: u64,
    blocks: usize,
}

const ALL: [Golden; 4] = [
    // A partial block was not in files.
    Golden { folder: "format-1", journal: 1, manifest: 1, blocks_version: 1, rows: 256, blocks: 1 },
    // Blocks had no index of their prints.
    Golden { folder: "format-1-manifest-2", journal: 1, manifest: 2, blocks_version: 1, rows: PEOPLE + 1, blocks: 2 },
    // Screen tiles had no clusters.
    Golden { folder: "format-1-blocks-2", journal: 1, manifest: 2, blocks_version: 2, rows: PEOPLE + 1, blocks: 2 },
    Golden { folder: "format-1-blocks-3", journal: 1, manifest: 2, blocks_version: 3, rows: PEOPLE + 1, blocks: 2 },
];

fn folder(golden: &Golden) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(golden.folder)
}

fn person(n: u64) -> Biometrics {
    let mut state = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let face = FaceTemplate::new("golden-64", 50, (0..64).map(|_| next()).collect()).unwrap();
    let wanted = FingerPosition::new(2).unwrap();
    let mut fingers = if n < WITH_FINGER { encounter(n, 0).fingers } else { Vec::new() };
    fingers.retain(|f| f.position == wanted);
    Biometrics::new(fingers, vec![face], Vec::new()).unwrap()
}

fn write(into: &Path) {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let service = Service::open(&data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
        let enrol = |n: u64| EnrolRequest { subject: format!("G-{n}"), identity: None, biometrics: person(n) };
        service.enrol((0..PEOPLE).map(enrol).collect()).await.unwrap();
        let submission = Submission {
            application: "A-1".into(),
            purpose: Purpose::CardFirstIssue,
            station: "S".into(),
            operator: "O".into(),
            identity: None,
            claimed_identity: None,
            // Without the face: its model's basis would be most of the files.
            biometrics: Biometrics { faces: Vec::new(), ..encounter(900, 0) },
            supersedes: None,
            age: None,
            legal_reason: None,
            chip: Vec::new(),
        };
        service.check(submission, Duration::from_secs(60)).await.unwrap();
        let target = EraseTarget::Subject(format!("G-{ERASED}"));
        service.erase(EraseRequest { target, operator: "o".into(), reason: "request".into() }).await.unwrap();
        service.carry_out_erasures().await.unwrap();
        service.close().await;
    });
    assert!(!into.exists(), "{} is there already: an old version's files are never written again", into.display());
    copy(&data, &into.join("data"));
    let key = StorageKey::generate().unwrap();
    std::fs::write(into.join("key"), key.to_text().as_bytes()).unwrap();
    let mut sealed = SealedWriter::new(Vec::new(), Some(std::sync::Arc::new(key))).unwrap();
    std::io::Write::write_all(&mut sealed, SEALED_TEXT).unwrap();
    std::fs::write(into.join("sealed"), sealed.finish().unwrap()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else if name != "LOCK" && !name.to_string_lossy().starts_with("registry.sqlite-") {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

fn biometrics(record: &Record) -> Option<Biometrics> {
    match &record.event {
        Event::Enrolled(e) => Some(e.biometrics.restore().unwrap()),
        Event::Submitted(s) => Some(s.biometrics.restore().unwrap()),
        _ => None,
    }
}

/// Everything that is in a folder, against what was put into it. The fingerprint model may have been another one.
fn read(golden: &Golden) {
    let (expected, golden) = (golden, folder(golden));
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    copy(&golden.join("data"), &data);
    verify_durable_note(&log_dir(&data)).unwrap();
    let records: Vec<Record> = JournalReader::open(&log_dir(&data), 1).unwrap().map(Result::unwrap).collect();
    let Event::Created(created) = &records[0].event else { panic!("the creation comes first") };
    let enrolled: Vec<&Record> = records.iter().filter(|r| matches!(r.event, Event::Enrolled(_))).collect();
    assert_eq!(enrolled.len() as u64, PEOPLE - 1);
    for record in &enrolled {
        let Event::Enrolled(e) = &record.event else { continue };
        let n: u64 = e.subject.trim_start_matches("G-").parse().unwrap();
        assert_eq!(biometrics(record).unwrap(), person(n), "{}", e.subject);
    }
    let redacted = |r: &&Record| matches!(r.event, Event::Redacted(Redacted { kind: 2, row: true, .. }));
    assert_eq!(records.iter().filter(redacted).count(), 1);
    assert!(matches!(records.last().unwrap().event, Event::RegistryDigest(_)));

    let model = ModelName { id: &created.finger_model, clusters: Model::shipped().clusters() };
    let gallery = Gallery::open(&gallery_dir(&data), created.gallery, model, false).unwrap();
    let snapshot = gallery.published().load_full();
    let version = |path: &str| u32::from(std::fs::read(gallery_dir(&data).join(path)).unwrap()[8]);
    assert_eq!((snapshot.block_count(), snapshot.rows()), (expected.blocks, expected.rows), "what is in files");
    // Of a stripe that was written anew by the erasure there is another generation.
    let directory = ["stripe-00000/DIRECTORY", "stripe-00000.0001/DIRECTORY"]
        .into_iter()
        .rfind(|path| gallery_dir(&data).join(path).exists())
        .expect("a stripe");
    assert_eq!((version("MANIFEST"), version(directory)), (expected.manifest, expected.blocks_version));
    snapshot.blocks().try_for_each(|b| b.verify(snapshot.face_models())).unwrap();
    for record in enrolled.iter().take(expected.rows as usize - 1) {
        let Event::Enrolled(e) = &record.event else { continue };
        let row = snapshot.row_of(record.position).unwrap().expect("a row");
        assert!(snapshot.is_live(row));
        assert_eq!(*snapshot.subject(row).unwrap(), *e.subject);
        let (stored, given) = (snapshot.prepared(row).unwrap(), e.biometrics.restore().unwrap());
        assert_eq!(stored.faces[0].values(), given.faces[0].values());
        for (stored, given) in stored.fingers.iter().zip(&given.fingers) {
            assert_eq!(stored.features.view().minutiae(), given.minutiae());
        }
    }
    let erased = snapshot.row_of(ERASED + enrolled[0].position).unwrap().expect("the row stays");
    assert!(!snapshot.is_live(erased) && snapshot.prepared(erased).unwrap().faces.is_empty());

    let registry = Registry::open_read_only(&registry_path(&data)).unwrap();
    registry.verify().unwrap();
    assert_eq!(registry.counts().unwrap(), (1, 0, PEOPLE));
    assert!(registry.application("A-1").unwrap().unwrap().document.is_some());
    assert_eq!(registry.erasure_counts().unwrap(), (1, 0));

    let key = StorageKey::read(&golden.join("key")).unwrap();
    let mut opened = Vec::new();
    sealed_file::open(&std::fs::read(golden.join("sealed")).unwrap()[..], &key, &mut opened).unwrap();
    assert_eq!(opened, SEALED_TEXT);

    // Whatever model it had, this build takes it over, with every reference.
    drop((registry, gallery));
    let remake = Remake { gallery: true, registry: true, model: true, ..Remake::default() };
    let folder = Folder::open_and(&data, Model::shipped(), Cohort::shipped(), remake).unwrap();
    assert_eq!(folder.published().load().live(), PEOPLE, "one erased, one checked");
    assert_eq!(folder.disagreed(), [0; 0], "the registry is what the log says that it was");
    folder.close().unwrap();
}

#[test]
fn a_data_folder_of_every_format_version_is_read_as_it_was_written() {
    if std::env::var_os("DUYNHAT_GOLDEN").is_some_and(|v| v == "write") {
        write(&folder(&ALL[ALL.len() - 1]));
    }
    let newest = &ALL[ALL.len() - 1];
    let present = (newest.journal, newest.manifest, newest.blocks_version);
    let versions = (FORMAT_VERSION, MANIFEST_FORMAT_VERSION, BLOCKS_FORMAT_VERSION);
    assert_eq!(present, versions, "no files of it: see the head of this test");
    ALL.iter().for_each(read);
}
