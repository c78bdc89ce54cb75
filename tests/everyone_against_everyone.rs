//! The search of all pairs finds who is there twice, and nobody else.

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::decision::{Band, Judge, Policy};
use duynhat_engine::search::{BatchOptions, BatchProgress, all_against_all};
use duynhat_engine::template::FaceTemplate;
use duynhat_server::service::{EnrolRequest, Models, Service, ServiceOptions};

const PEOPLE: u64 = 700;

/// Every 70th person has come twice: as themselves, with another's face, with another's fingers.
#[tokio::test(flavor = "multi_thread")]
async fn planted_duplicates_are_found_and_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::open(data.path(), Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
    let people = People::new(23, Settings::default());
    let capture = |index: u64, shot: u64| people.person(index).encounter(shot, &EncounterSettings::default());
    let mut references = Vec::new();
    let mut planted = Vec::new();
    for index in 0..PEOPLE {
        references.push((format!("P{index}"), capture(index, 0)));
        if index % 70 == 69 {
            let mut again = capture(index, 1);
            let stranger = capture(10_000 + index, 0);
            match (index / 70) % 3 {
                0 => {}
                1 => again.faces = stranger.faces,
                _ => again.fingers = stranger.fingers,
            }
            planted.push((references.len() as u64, index));
            references.push((format!("D{index}"), again));
        }
    }
    let requests =
        references.into_iter().map(|(subject, biometrics)| EnrolRequest { subject, identity: None, biometrics });
    service.enrol(requests.collect()).await.unwrap();

    let snapshot = service.snapshot();
    let models = Models::shipped().unwrap();
    let judge = Judge { policy: Policy::shipped(), tails: &models.tails, references: snapshot.live() };
    let find = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let progress = BatchProgress::default();
        let keep = |candidate: &_| judge.place(candidate).2 >= Band::Review;
        pool.install(|| {
            all_against_all(models.matcher(), &snapshot, &BatchOptions::default(), &progress, keep).unwrap()
        })
    };
    let found = find(2);
    let pairs: Vec<(String, String)> = found
        .iter()
        .map(|p| {
            let name = |row| snapshot.subject(row).unwrap().to_string();
            (name(p.probe), name(p.candidate.row))
        })
        .collect();
    let expected: Vec<(String, String)> =
        planted.iter().map(|(_, index)| (format!("D{index}"), format!("P{index}"))).collect();
    assert_eq!(pairs, expected);
    assert_eq!(find(1), found, "one thread finds the same, to the bit");
    service.close().await;
}

/// One face is made near forty others, which are not near each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_hub_is_flagged_and_nobody_else() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::open(data.path(), Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
    let people = People::new(29, Settings::default());
    let face = |index: u64| {
        let mut biometrics = people.person(index).encounter(0, &EncounterSettings::default());
        biometrics.fingers.clear();
        biometrics
    };
    let unit = |values: &[f32]| {
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter().map(|v| v / norm).collect::<Vec<f32>>()
    };
    let hub = unit(face(0).faces[0].values());
    let requests = (0..600u64).map(|index| {
        let mut biometrics = face(index);
        if (1..=40).contains(&index) {
            let own = unit(biometrics.faces[0].values());
            let near = hub.iter().zip(&own).map(|(h, o)| 0.5 * h + 0.87 * o).collect();
            let model = biometrics.faces[0].model().to_owned();
            biometrics.faces[0] = FaceTemplate::new(&model, 90, near).unwrap();
        }
        EnrolRequest { subject: format!("P{index}"), identity: None, biometrics }
    });
    service.enrol(requests.collect()).await.unwrap();
    let (snapshot, models, progress) = (service.snapshot(), Models::shipped().unwrap(), BatchProgress::default());
    all_against_all(models.matcher(), &snapshot, &BatchOptions::default(), &progress, |_| false).unwrap();
    let hubs = progress.hubs(snapshot.rows());
    assert_eq!(hubs.len(), 1, "{hubs:?}");
    assert_eq!(snapshot.subject(hubs[0].0).unwrap().to_string(), "P0");
    assert!(hubs[0].1 >= 40, "{hubs:?}");
    service.close().await;
}
