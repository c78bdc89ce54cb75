//! Searches of one capture that share what they screened and compared answer as each would alone.

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::gallery::Prepared;
use duynhat_engine::search::{Memory, Probe, SearchOptions, identify, identify_again};
use duynhat_engine::template::{Biometrics, FingerPosition};
use duynhat_server::service::{EnrolRequest, Models, Service, ServiceOptions};

const PEOPLE: u64 = 400;
/// Which fingers a search has, and whether the face.
const PARTS: [(&[u8], bool); 5] =
    [(&[2], false), (&[2, 7], true), (&[2, 3, 7, 8], false), (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true), (&[], true)];

#[tokio::test(flavor = "multi_thread")]
async fn shared_work_changes_no_answer() {
    let data = tempfile::tempdir().unwrap();
    let people = People::new(47, Settings::default());
    let service = Service::open(data.path(), Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
    let capture = |index: u64, shot: u64| people.person(index).encounter(shot, &EncounterSettings::default());
    let request =
        |index: u64| EnrolRequest { subject: format!("P{index}"), identity: None, biometrics: capture(index, 0) };
    service.enrol((0..PEOPLE).map(request).collect()).await.unwrap();
    let (snapshot, models) = (service.snapshot(), Models::shipped().unwrap());

    // Short lists after long ones and the other way round; parts of the gallery; a reference left out.
    let default = SearchOptions::default();
    let options = [
        SearchOptions { shortlist_min: 60, ..default.clone() },
        SearchOptions { shortlist_min: 20, swapped_max: 7, ..default.clone() },
        SearchOptions { shortlist_min: 90, swapped_max: 60, ..default.clone() },
        SearchOptions { rows_before: 250, shortlist_min: 20, ..default.clone() },
        SearchOptions { exclude: vec![3, 5], shortlist_min: 20, ..default.clone() },
        SearchOptions { only: Some((100..200).collect()), shortlist_min: 20, ..default.clone() },
        SearchOptions { shortlist_min: 20, swapped_max: 0, crossed_max: 9, ..default },
    ];
    let mut compared = 0;
    // Somebody there, somebody with the hands exchanged, and somebody who is not there.
    for (index, shot, swapped) in [(3, 1, false), (120, 1, true), (PEOPLE + 5, 0, false)] {
        let mut whole = capture(index, shot);
        if swapped {
            for finger in &mut whole.fingers {
                let code = finger.position.code();
                finger.position = FingerPosition::new(if code > 5 { code - 5 } else { code + 5 }).unwrap();
            }
        }
        let prepared = Prepared::new(models.model, models.cohort, &whole);
        let (probe, memory) = (Probe::new(models.model, &models.params, &prepared), Memory::default());
        for options in &options {
            for (fingers, face) in PARTS {
                let held = |position: FingerPosition| fingers.contains(&position.code());
                let part = Biometrics {
                    fingers: whole.fingers.iter().filter(|f| held(f.position)).cloned().collect(),
                    faces: if face { whole.faces.clone() } else { Vec::new() },
                    missing: Vec::new(),
                };
                let prepared = Prepared::new(models.model, models.cohort, &part);
                let alone = Probe::new(models.model, &models.params, &prepared);
                let expected = identify(models.matcher(), &snapshot, &alone, options).unwrap();
                let part = probe.part(held, face);
                let found = identify_again(models.matcher(), &snapshot, &part, options, &memory).unwrap();
                assert_eq!(found, expected, "person {index}, fingers {fingers:?}, face {face}, {options:?}");
                // Four fingers and more may rule everybody out.
                let few = (1..4).contains(&fingers.len());
                assert!(!few || !found.candidates.is_empty(), "person {index}, fingers {fingers:?}, {options:?}");
                compared += usize::from(fingers.len() >= 4 && !found.candidates.is_empty());
            }
        }
    }
    assert!(compared >= 40, "only {compared} of 42 searches with four and more fingers had something to compare");
    service.close().await;
}
