//! What was filed is not extracted again: after an orderly stop a start reads no reference from the log, and after a kill only
//! those that came after the last flush. What the tail holds is what was enrolled, and damage to it is found and mended.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytemuck::cast_slice;
use duynhat_engine::finger::Model;
use duynhat_engine::gallery::{Gallery, GalleryError, Prepared};
use duynhat_engine::log::{Event, JournalReader};
use duynhat_server::service::{
    EnrolRequest, EraseRequest, EraseTarget, Folder, FolderError, MaintenanceOptions, Models, ReadOnly, Remake,
    Service, ServiceOptions, gallery_dir, log_dir,
};
use duynhat_test_support::folders::copy;
use duynhat_test_support::http::encounter;

/// One whole block and a partial one.
const PEOPLE: u64 = 256 + 21;

fn open(data: &Path) -> Result<Service, FolderError> {
    Service::open(data, Models::shipped().expect("a kernel"), ServiceOptions::default())
}

async fn enrol(service: &Service, people: std::ops::Range<u64>) {
    let one = |n: u64| {
        let mut biometrics = encounter(n, 0);
        biometrics.fingers.truncate(3);
        EnrolRequest { subject: format!("P-{n}"), identity: None, biometrics }
    };
    service.enrol(people.map(one).collect()).await.expect("enrolled");
}

/// The gallery as its files alone make it.
fn filed(data: &Path) -> (u64, u64) {
    let first = JournalReader::open(&log_dir(data), 1).expect("a log").next().expect("a record").expect("sound");
    let Event::Created(created) = first.event else { panic!("the creation comes first") };
    let gallery = Gallery::open(&gallery_dir(data), created.gallery, Model::shipped().into(), false);
    let gallery = gallery.expect("opens");
    let rows = gallery.published().load().rows();
    (rows, gallery.replay_from())
}

fn last_position(data: &Path) -> u64 {
    JournalReader::open(&log_dir(data), 1).unwrap().map(|r| r.unwrap().position).last().unwrap()
}

fn tails(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(gallery_dir(data)).unwrap().map(|e| e.unwrap().path());
    entries.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("tail-")).collect()
}

/// Every row of the files against what was captured.
fn compare(data: &Path, people: u64, erased: Option<u64>) {
    let models = Models::shipped().unwrap();
    let gallery = ReadOnly::open(data, models.model, models.cohort).expect("opens");
    assert_eq!(gallery.snapshot.rows(), people);
    gallery.snapshot.blocks().try_for_each(|b| b.verify(gallery.snapshot.face_models())).unwrap();
    for row in 0..people {
        let stored = gallery.snapshot.prepared(row).unwrap();
        if Some(row) == erased {
            assert!(stored.fingers.is_empty() && stored.faces.is_empty() && !gallery.snapshot.is_live(row));
            continue;
        }
        assert_eq!(*gallery.snapshot.subject(row).unwrap(), *format!("P-{row}"));
        let mut captured = encounter(row, 0);
        captured.fingers.truncate(3);
        let made = Prepared::new(models.model, models.cohort, &captured);
        assert_eq!(stored.fingers.len(), made.fingers.len());
        for (a, b) in stored.fingers.iter().zip(&made.fingers) {
            assert_eq!(
                (a.position, a.quality, &a.extractor, a.cohort),
                (b.position, b.quality, &b.extractor, b.cohort)
            );
            assert_eq!(a.features.view().minutiae(), b.features.view().minutiae());
            let codes = |p: &duynhat_engine::gallery::PreparedFinger| -> Vec<u8> {
                cast_slice(p.features.view().codes()).to_vec()
            };
            assert_eq!(codes(a), codes(b));
        }
        let values = |p: &Prepared| -> Vec<Vec<f32>> { p.faces.iter().map(|f| f.values().to_vec()).collect() };
        assert_eq!(values(&stored), values(&made));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_orderly_stop_the_files_hold_everything() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let service = open(&data).unwrap();
    enrol(&service, 0..PEOPLE).await;
    service.close().await;
    drop(service);
    assert_eq!(filed(&data), (PEOPLE, last_position(&data) + 1), "nothing is left to be replayed");
    assert_eq!(tails(&data).len(), 1, "the one before is gone");
    compare(&data, PEOPLE, None);

    // It goes on from there, over the end of the block, and the tail goes when there is no partial block.
    let service = open(&data).unwrap();
    enrol(&service, PEOPLE..300).await;
    enrol(&service, 300..301).await;
    service.close().await;
    drop(service);
    assert_eq!((filed(&data).0, tails(&data).len()), (301, 1));
    compare(&data, 301, None);
    let service = open(&data).unwrap();
    enrol(&service, 301..512).await;
    service.close().await;
    drop(service);
    assert_eq!((filed(&data), tails(&data).len()), ((512, last_position(&data) + 1), 0));
    compare(&data, 512, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_only_what_came_later_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let (data, killed) = (home.path().join("data"), home.path().join("killed"));
    let service = open(&data).unwrap();
    enrol(&service, 0..PEOPLE).await;
    service.close().await;
    drop(service);
    let stopped = last_position(&data);
    let service = open(&data).unwrap();
    enrol(&service, PEOPLE..PEOPLE + 5).await;
    // As after `kill -9`: nothing was flushed since.
    copy(&data, &killed);
    service.close().await;
    assert_eq!(filed(&killed), (PEOPLE, stopped + 1));
    assert_eq!(last_position(&killed), stopped + 5);
    let service = open(&killed).unwrap();
    assert_eq!(service.health().references, PEOPLE + 5);
    // The start has filed them: killed again at once, it would have nothing to do.
    assert_eq!(filed(&killed), (PEOPLE + 5, stopped + 6));
    service.close().await;
    drop(service);
    compare(&killed, PEOPLE + 5, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_leaves_the_tail() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path()).unwrap();
    enrol(&service, 0..PEOPLE).await;
    service.close().await;
    drop(service);
    let row = 256 + 7;
    let service = open(data.path()).unwrap();
    let target = EraseTarget::Subject(format!("P-{row}"));
    service.erase(EraseRequest { target, operator: "o".into(), reason: "request".into() }).await.unwrap();
    assert_eq!(service.carry_out_erasures().await.unwrap().orders, 1);
    assert_eq!(tails(data.path()).len(), 1);
    let needle: Vec<u8> = cast_slice(encounter(row, 0).fingers[0].minutiae()).to_vec();
    let bytes = std::fs::read(&tails(data.path())[0]).unwrap();
    assert!(!bytes.windows(needle.len()).any(|w| w == needle));
    service.close().await;
    drop(service);
    compare(data.path(), PEOPLE, Some(row));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_tail_is_found_and_made_again_from_the_log() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let service = open(&data).unwrap();
    enrol(&service, 0..PEOPLE).await;
    service.close().await;
    drop(service);
    let tail = tails(&data).remove(0);
    let sound = std::fs::read(&tail).unwrap();
    let models = Models::shipped().unwrap();
    for at in [0, 8, 12, 16, 24, 200, sound.len() / 2, sound.len() - 65] {
        let mut damaged = sound.clone();
        damaged[at] ^= 4;
        std::fs::write(&tail, &damaged).unwrap();
        match open(&data).map(|_| ()) {
            Err(FolderError::Gallery(GalleryError::Corrupt { path, .. })) => assert_eq!(path, tail, "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
    std::fs::write(&tail, &sound[..sound.len() / 2]).unwrap();
    assert!(matches!(open(&data), Err(FolderError::Gallery(GalleryError::Corrupt { .. }))));
    std::fs::remove_file(&tail).unwrap();
    assert!(matches!(open(&data), Err(FolderError::Gallery(GalleryError::Missing { path })) if path == tail));

    let remake = Remake { gallery: true, ..Remake::default() };
    Folder::open_and(&data, models.model, models.cohort, remake).unwrap().close().unwrap();
    compare(&data, PEOPLE, None);
    assert_eq!(filed(&data), (PEOPLE, last_position(&data) + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_the_tail_is_found_while_the_server_runs() {
    let data = tempfile::tempdir().unwrap();
    let service = open(data.path()).unwrap();
    enrol(&service, 0..PEOPLE).await;
    service.close().await;
    drop(service);
    let service = open(data.path()).unwrap();
    // Laid out again in memory: no search reads the file any more.
    enrol(&service, PEOPLE..PEOPLE + 40).await;
    service.look_after(MaintenanceOptions { verify_bytes_per_s: 1 << 40, ..MaintenanceOptions::default() }).unwrap();
    let (waited, mut damaged) = (Instant::now(), Vec::new());
    while service.damage().is_empty() {
        assert!(waited.elapsed() < Duration::from_secs(120), "nothing was found");
        // On a slow machine a flush may put another one in its place first.
        if let Some(tail) = tails(data.path()).pop().filter(|tail| !damaged.contains(tail)) {
            let bytes = std::fs::read(&tail).unwrap();
            let at = bytes.len() - 65;
            let file = std::fs::OpenOptions::new().write(true).open(&tail).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, &[bytes[at] ^ 1], at as u64).unwrap();
            damaged.push(tail);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = service.damage();
    assert!(damaged.iter().any(|tail| found[0].contains(&*tail.to_string_lossy())), "{found:?}");
    service.close().await;
}
