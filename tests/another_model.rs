//! A build with another fingerprint model does not touch a gallery by accident, and takes it over when it is told to: what
//! it finds then is what it would have found had it been there from the start.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::finger::{Calibration, Cohort, Model};
use duynhat_engine::log::{Event, EventLog, FileJournal, JournalReader};
use duynhat_engine::template::{Biometrics, FingerPosition, Outcome, Purpose};
use duynhat_server::service::{
    EnrolRequest, Folder, FolderError, Models, ReadOnly, Remake, Service, ServiceOptions, Submission, gallery_dir,
    learn_cohort, log_dir,
};
use duynhat_test_support::folders::copy;

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");
const PEOPLE: u64 = 530;
/// Enrolled after a cohort was frozen.
const LATER: u64 = 20;
const TAKEOVER: Remake = Remake { gallery: true, registry: true, model: true, face_basis: false };
/// Of a model file, before the weights.
const HEADER: usize = 32;

/// The shipped model with another first weight and another level, as an earlier build might have had it.
fn earlier() -> &'static Model {
    let mut bytes = Model::shipped().to_bytes();
    bytes[HEADER] ^= 64;
    let clusters = 32 * 32 + 4;
    let level = bytes.len() - clusters - 4;
    let shifted = f32::from_le_bytes(bytes[level..level + 4].try_into().expect("four bytes")) + 1.0;
    bytes[level..level + 4].copy_from_slice(&shifted.to_le_bytes());
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    Box::leak(Box::new(Model::from_bytes(&bytes).expect("a model")))
}

fn models(model: &'static Model) -> Models {
    let cohort = Box::leak(Box::new(Cohort::expected(model)));
    Models { model, cohort, ..Models::shipped().expect("a kernel") }
}

fn enrol(data: &Path, model: &'static Model, people: std::ops::Range<u64>) {
    let index = FingerPosition::new(2).expect("right index");
    let synthetic = People::new(3, Settings::default());
    let request = |n: u64| EnrolRequest {
        subject: format!("P-{n}"),
        identity: None,
        biometrics: Biometrics::new(vec![synthetic.person(n).finger(index, 0)], Vec::new(), Vec::new())
            .expect("one finger"),
    };
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let service = Service::open(data, models(model), ServiceOptions::default()).expect("opens");
        service.enrol(people.map(request).collect()).await.expect("enrols");
        service.close().await;
    });
}

/// Everybody, the later ones normalised by a cohort of that model.
fn enrol_all(data: &Path, model: &'static Model) {
    enrol(data, model, 0..PEOPLE);
    let mut folder = Folder::open(data, model, &Cohort::expected(model)).expect("opens");
    let learned = learn_cohort(&folder.published().load(), model, 520).expect("learns");
    folder.freeze_cohort(&learned.cohort, learned.members).expect("frozen");
    folder.close().expect("closes");
    enrol(data, model, PEOPLE..PEOPLE + LATER);
}

/// What is stored of each row's print: its codes' comparison features and its level.
fn rows(data: &Path) -> Vec<(Vec<u8>, u32)> {
    let gallery = ReadOnly::open(data, Model::shipped(), Cohort::shipped()).expect("opens");
    let row = |row| {
        let prepared = gallery.snapshot.prepared(row).expect("reads");
        prepared.fingers.first().map_or((Vec::new(), 0), |f| {
            let codes = f.features.view().codes().iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
            (codes, f.cohort.level.to_bits())
        })
    };
    (0..gallery.snapshot.rows()).map(row).collect()
}

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(BINARY).args(args).output().expect("runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

fn adoptions(data: &Path) -> Vec<(u64, String)> {
    let records = JournalReader::open(&log_dir(data), 1).expect("a log").map(|r| r.expect("sound"));
    let adopted = records.filter_map(|r| match r.event {
        Event::ModelAdopted(adopted) => Some((r.position, adopted.finger_model)),
        _ => None,
    });
    adopted.collect()
}

#[test]
fn a_gallery_of_another_model_is_taken_over_when_it_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    let (earlier, shipped) = (earlier(), Model::shipped());
    enrol_all(&data, earlier);

    // Neither read nor written, and told what to do; with columns and without.
    let bare = folder.path().join("bare");
    copy(&data, &bare);
    std::fs::remove_dir_all(gallery_dir(&bare)).expect("there were columns");
    for data in [&data, &bare] {
        for command in ["stat", "check", "rebuild", "freeze-cohort"] {
            let (code, text) = run(&["gallery", command, "--data", data.to_str().expect("a path")]);
            assert_eq!(code, Some(2), "{command}: {text}");
            assert!(text.contains(earlier.id()) && text.contains(shipped.id()), "{command}: {text}");
            assert!(text.contains("gallery rebuild --adopt-model"), "{command}: {text}");
        }
    }
    assert_eq!(adoptions(&data), []);

    let (code, text) = run(&["gallery", "rebuild", "--data", path, "--adopt-model", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(shipped.id()) && text.contains(&format!("\"references\":{}", PEOPLE + LATER)), "{text}");
    let adopted = adoptions(&data);
    assert_eq!(adopted.iter().map(|(_, model)| model.as_str()).collect::<Vec<_>>(), [shipped.id()]);

    // As if this build had enrolled everybody, the other model's cohort forgotten.
    let afresh = folder.path().join("afresh");
    enrol(&afresh, shipped, 0..PEOPLE + LATER);
    let expected = rows(&afresh);
    assert_eq!(expected.len() as u64, PEOPLE + LATER);
    assert!(rows(&data) == expected, "codes and levels are this model's");
    assert_eq!(ReadOnly::open(&data, shipped, Cohort::shipped()).expect("opens").cohort, *Cohort::shipped());

    // It stays so: asked again, after enrolments, and when the columns are lost. The earlier build is refused now.
    let (code, text) = run(&["gallery", "rebuild", "--data", path, "--adopt-model"]);
    assert_eq!(code, Some(0), "{text}");
    enrol(&data, shipped, PEOPLE + LATER..PEOPLE + LATER + 5);
    enrol(&afresh, shipped, PEOPLE + LATER..PEOPLE + LATER + 5);
    for lost in [false, true] {
        if lost {
            std::fs::remove_dir_all(gallery_dir(&data)).expect("there were columns");
        }
        assert!(rows(&data) == rows(&afresh), "columns lost: {lost}");
        let refused = Folder::open(&data, earlier, &Cohort::expected(earlier)).map(|_| ());
        assert!(matches!(refused, Err(FolderError::Model { .. })), "{refused:?}");
    }
    enrol(&data, shipped, PEOPLE + LATER + 5..PEOPLE + LATER + 6);
    enrol(&afresh, shipped, PEOPLE + LATER + 5..PEOPLE + LATER + 6);
    assert!(rows(&data) == rows(&afresh));
    assert_eq!(adoptions(&data), adopted, "said once");
}

#[test]
fn decisions_of_another_model_are_told_from_decisions_that_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let path = data.to_str().expect("a path");
    let check = |models: Models, n: u64| {
        let captured = People::new(3, Settings::default()).person(n).encounter(0, &EncounterSettings::default());
        let submission = Submission {
            application: format!("A-{n}"),
            purpose: Purpose::CardFirstIssue,
            station: "S".into(),
            operator: "O".into(),
            identity: None,
            claimed_identity: None,
            biometrics: captured,
            supersedes: None,
            age: None,
            legal_reason: None,
            chip: Vec::new(),
        };
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let service = Service::open(&data, models, ServiceOptions::default()).expect("opens");
            let decided = service.check(submission, Duration::from_secs(120)).await.expect("decides");
            assert_eq!(decided.decision, Some(Outcome::Clear));
            service.close().await;
        });
    };
    check(models(earlier()), 0);
    check(models(earlier()), 1);
    let (code, text) = run(&["gallery", "rebuild", "--data", path, "--adopt-model"]);
    assert_eq!(code, Some(0), "{text}");
    check(Models::shipped().expect("a kernel"), 2);

    let (code, text) = run(&["replay", "--data", path, "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let counts = "\"decisions\":3,\"same\":1,\"same_outcome\":3,\"other_models\":2,\"other_models_same_outcome\":2,";
    assert!(text.contains(counts) && text.contains("\"changed\":[]"), "{text}");
    let (code, text) = run(&["replay", "--data", path]);
    assert_eq!(code, Some(0), "{text}");
    let made_with = "2 were made with another fingerprint model or calibration than this build's";
    assert!(text.contains(made_with) && text.contains(Model::shipped().id()), "{text}");
    assert!(text.contains("1 documents are the same"), "{text}");

    // The last decision once more, as if by another calibration or model, which the log does not bear out.
    let records = JournalReader::open(&log_dir(&data), 1).expect("a log").map(|r| r.expect("sound"));
    let last = records.filter_map(|r| if let Event::Decided(decided) = r.event { Some(decided) } else { None }).last();
    let last = last.expect("three decisions");
    let altered = |from: &str, to: &str| {
        let document = String::from_utf8(last.document.0.clone()).expect("JSON");
        assert!(document.contains(from), "{document}");
        let mut decided = last.clone();
        decided.document.0 = document.replace(from, to).into_bytes();
        Event::Decided(decided)
    };
    let mut journal = FileJournal::open(&log_dir(&data)).expect("a log");
    let pretended = |model: &str, calibration: &str| {
        let Event::Decided(mut decided) = altered(Calibration::shipped().id(), calibration) else { unreachable!() };
        let document = String::from_utf8(decided.document.0).expect("JSON");
        decided.document.0 = document.replace(Model::shipped().id(), model).into_bytes();
        Event::Decided(decided)
    };
    let other = "0123456789abcdef";
    let unborne = [pretended(Model::shipped().id(), other), pretended(earlier().id(), Calibration::shipped().id())];
    for (n, event) in unborne.into_iter().enumerate() {
        journal.append(&[event]).expect("appended");
        let (code, text) = run(&["replay", "--data", path, "--json"]);
        assert_eq!(code, Some(1), "{text}");
        let counts = format!("\"decisions\":{},\"same\":1,\"same_outcome\":{},\"other_models\":2,", 4 + n, 4 + n);
        assert!(text.contains(&counts), "{text}");
        assert!(text.contains("\"changed\":[{\"application\":\"A-2\"") && !text.contains("A-0"), "{text}");
        assert!(text.contains(&format!("{} decisions come out differently", 1 + n)), "{text}");
    }
}

#[test]
fn a_takeover_that_was_cut_short_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, before) = (folder.path().join("data"), folder.path().join("before"));
    let (earlier, shipped) = (earlier(), Model::shipped());
    enrol_all(&data, earlier);
    copy(&data, &before);
    drop(Folder::open_and(&data, shipped, Cohort::shipped(), TAKEOVER).expect("taken over"));
    let afresh = folder.path().join("afresh");
    enrol(&afresh, shipped, 0..PEOPLE + LATER);
    // The log has the takeover; of the rest there is what there was before, nothing, or columns without a registry.
    for (columns, registry) in [(true, true), (false, false), (false, true), (true, false)] {
        let cut = folder.path().join(format!("{columns}-{registry}"));
        copy(&data, &cut);
        std::fs::remove_dir_all(gallery_dir(&cut)).expect("there were columns");
        for file in ["registry.sqlite", "registry.sum"] {
            std::fs::remove_file(cut.join(file)).ok();
            if registry {
                std::fs::copy(before.join(file), cut.join(file)).expect("a file");
            }
        }
        if columns {
            copy(&gallery_dir(&before), &gallery_dir(&cut));
            let refused = ReadOnly::open(&cut, shipped, Cohort::shipped()).map(|_| ());
            assert!(matches!(refused, Err(FolderError::Model { .. })), "nobody may write them yet: {refused:?}");
        }
        let finished = Folder::open(&cut, shipped, Cohort::shipped()).expect("finished without being asked again");
        assert_eq!(finished.cohort(), Cohort::shipped());
        finished.close().expect("closes");
        assert!(rows(&cut) == rows(&afresh), "columns {columns}, registry {registry}");
        assert_eq!(adoptions(&cut).len(), 1);
    }
}

#[test]
fn back_again_everything_is_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let (earlier, shipped) = (earlier(), Model::shipped());
    enrol_all(&data, earlier);
    let before = ReadOnly::open(&data, earlier, &Cohort::expected(earlier)).expect("opens");
    let levels = |gallery: &ReadOnly| -> Vec<u32> {
        let level = |row| {
            gallery.snapshot.prepared(row).expect("reads").fingers.first().map_or(0, |f| f.cohort.level.to_bits())
        };
        (0..gallery.snapshot.rows()).map(level).collect()
    };
    let expected = levels(&before);
    drop(Folder::open_and(&data, shipped, Cohort::shipped(), TAKEOVER).expect("taken over"));
    let back = Folder::open_and(&data, earlier, &Cohort::expected(earlier), TAKEOVER).expect("taken back");
    assert_eq!(back.cohort(), &before.cohort, "its own cohort holds again");
    back.close().expect("closes");
    // Opened again, from the columns and from the log alone.
    for lost in [false, true] {
        if lost {
            std::fs::remove_dir_all(gallery_dir(&data)).expect("there were columns");
            std::fs::remove_file(data.join("registry.sqlite")).expect("there was a registry");
        }
        let again = ReadOnly::open(&data, earlier, &Cohort::expected(earlier)).expect("opens");
        assert_eq!(again.cohort, before.cohort, "lost: {lost}");
        assert!(levels(&again) == expected, "lost: {lost}");
    }
    let models: Vec<String> = adoptions(&data).into_iter().map(|(_, model)| model).collect();
    assert_eq!(models, [shipped.id(), earlier.id()]);
}
