//! People whose fingers were recorded under other names are found by the cross-position mode, and nobody else is: in the
//! search of all pairs and in a single one.

use duynhat_datasets::{EncounterSettings, People, Settings};
use duynhat_engine::decision::{Band, Judge, Policy};
use duynhat_engine::search::{BatchOptions, BatchProgress, Hands, Pair, all_against_all};
use duynhat_engine::template::{Biometrics, FingerPosition};
use duynhat_server::service::{EnrolRequest, IdentifyRequest, Models, Service, ServiceOptions};

const PEOPLE: u64 = 600;
/// Every so many-th person comes a second time.
const EVERY: u64 = 20;

/// The code of a finger in the first capture to that in the second.
type Naming = fn(u8) -> u8;

/// How the second capture names its fingers.
const NAMES: [(&str, Naming); 6] = [
    ("as they are", |code| code),
    ("hands exchanged", |code| if code > 5 { code - 5 } else { code + 5 }),
    ("shifted by one within each hand", |code| if code % 5 == 0 { code - 4 } else { code + 1 }),
    ("counted from the little finger", |code| if code > 5 { 16 - code } else { 6 - code }),
    ("one hand of the other's, shifted", |code| (code + 2) % 10 + 1),
    ("unknown", |_| 0),
];

fn capture(people: &People, index: u64, shot: u64) -> Biometrics {
    people.person(index).encounter(shot, &EncounterSettings { faces: 0, ..EncounterSettings::default() })
}

/// The person again, with fingers named as `names` says; only the first `fingers` of them.
fn renamed(people: &People, index: u64, names: fn(u8) -> u8, fingers: usize) -> Biometrics {
    let mut again = capture(people, index, 1);
    for finger in &mut again.fingers {
        finger.position = FingerPosition::new(names(finger.position.code())).unwrap();
    }
    again.fingers.sort_by_key(|finger| finger.position);
    again.fingers.truncate(fingers);
    again
}

/// The name of a finger in the first capture, from that in the second.
fn original(names: fn(u8) -> u8, code: u8) -> u8 {
    (1..=10).find(|own| names(*own) == code).unwrap()
}

async fn enrolled(data: &std::path::Path, people: &People) -> (Service, Vec<(String, String)>) {
    let service = Service::open(data, Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
    let (mut references, mut planted) = (Vec::new(), Vec::new());
    for index in 0..PEOPLE {
        references.push((format!("P{index}"), capture(people, index, 0)));
        if index % EVERY == EVERY - 1 {
            let (_, names) = NAMES[(index / EVERY) as usize % NAMES.len()];
            references.push((format!("D{index}"), renamed(people, index, names, 10)));
            planted.push((format!("D{index}"), format!("P{index}")));
        }
    }
    let requests =
        references.into_iter().map(|(subject, biometrics)| EnrolRequest { subject, identity: None, biometrics });
    service.enrol(requests.collect()).await.unwrap();
    (service, planted)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_search_of_all_pairs_finds_them_and_nobody_twice() {
    let data = tempfile::tempdir().unwrap();
    let people = People::new(31, Settings::default());
    let (service, planted) = enrolled(data.path(), &people).await;
    let (snapshot, models) = (service.snapshot(), Models::shipped().unwrap());
    let mut targets = Policy::shipped().clone();
    targets.review_fpir /= 3.0;
    targets.duplicate_fpir /= 3.0;
    let judge = Judge { policy: &targets, tails: &models.tails, references: snapshot.live() };
    let find = |cross_position: bool, threads: usize| -> Vec<Pair> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = BatchOptions { cross_position, ..BatchOptions::default() };
        let keep = |candidate: &_| judge.place(candidate).2 >= Band::Review;
        let progress = BatchProgress::default();
        pool.install(|| all_against_all(models.matcher(), &snapshot, &options, &progress, keep).unwrap())
    };
    let name = |row| snapshot.subject(row).unwrap().to_string();
    let found = find(true, 2);
    let pairs: Vec<_> = found.iter().map(|p| (name(p.probe), name(p.candidate.row))).collect();
    assert_eq!(pairs, planted, "each once, and nobody else");
    assert_eq!(find(true, 1), found, "one thread finds the same, to the bit");

    for pair in &found {
        let index: u64 = name(pair.candidate.row)[1..].parse().unwrap();
        let (what, names) = NAMES[(index / EVERY) as usize % NAMES.len()];
        // Unknown positions are compared with all as declared, and are found without the mode too.
        let expected = match what {
            "as they are" => Hands::AsDeclared,
            "hands exchanged" => Hands::Swapped,
            "unknown" => continue,
            _ => Hands::Crossed,
        };
        assert_eq!(pair.candidate.hands, expected, "{what}");
        if expected == Hands::Crossed {
            let fingers = &pair.candidate.fingers;
            let right =
                |f: &&duynhat_engine::search::FingerScore| original(names, f.position.code()) == f.reference.code();
            assert!(fingers.iter().filter(right).count() >= 7, "{what}: {fingers:?}");
            assert!(fingers.iter().all(|f| f.compared == 10), "{what}: a stranger had ten chances a finger");
        }
    }

    // As declared, the search finds those whose names agree or are unknown, and misses the others. Counted from the little
    // finger the middle ones keep their names: these two are enough for some.
    let of = |index: u64| NAMES[(index / EVERY) as usize % NAMES.len()].0;
    let mut seen: Vec<String> = Vec::new();
    for pair in find(false, 2) {
        let (probe, found) = (name(pair.probe), name(pair.candidate.row));
        assert!(planted.contains(&(probe, found.clone())), "{found} is nobody's second record");
        if of(found[1..].parse().unwrap()) != "counted from the little finger" {
            seen.push(found);
        }
    }
    let expected: Vec<String> = (0..PEOPLE)
        .filter(|index| index % EVERY == EVERY - 1)
        .filter(|index| matches!(of(*index), "as they are" | "unknown"))
        .map(|index| format!("P{index}"))
        .collect();
    assert_eq!(seen, expected);
    service.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_search_finds_them_when_asked_to() {
    let data = tempfile::tempdir().unwrap();
    let people = People::new(31, Settings::default());
    let service = Service::open(data.path(), Models::shipped().unwrap(), ServiceOptions::default()).unwrap();
    let all = (0..PEOPLE).map(|index| EnrolRequest {
        subject: format!("P{index}"),
        identity: None,
        biometrics: capture(&people, index, 0),
    });
    service.enrol(all.collect()).await.unwrap();
    // A stranger at this ratio is one in many millions, whatever was compared with what.
    const THRESHOLD: f32 = 15.0;
    for index in 0..18 {
        let (what, names) = NAMES[index as usize % NAMES.len()];
        let fingers = if index < 12 { 10 } else { 4 };
        for cross_position in [true, false] {
            let biometrics = renamed(&people, index, names, fingers);
            let request =
                IdentifyRequest { biometrics, threshold: Some(THRESHOLD), candidates_max: 10, cross_position };
            let found: Vec<_> = service.identify(request).await.unwrap().candidates;
            let subjects: Vec<&str> = found.iter().map(|c| c.subject.as_str()).collect();
            let needed = !matches!(what, "as they are" | "hands exchanged" | "unknown");
            if cross_position || !needed {
                assert_eq!(subjects, [format!("P{index}")], "{what}, {fingers} fingers, {cross_position}");
            } else if what == "counted from the little finger" && !subjects.is_empty() {
                // The middle fingers keep their names: for some that is enough, for others not.
                assert_eq!(subjects, [format!("P{index}")], "{what}: somebody else");
            } else {
                assert_eq!(subjects, [""; 0], "{what}: found although nobody looked for it");
            }
            let crossed = found.iter().flat_map(|c| &c.sources).any(|source| source.reference_finger.is_some());
            assert!(!crossed || cross_position, "only said where it was looked for");
        }
    }
    // Strangers, by the same ratio: nobody.
    for index in 0..40 {
        let biometrics = renamed(&people, 100_000 + index, NAMES[5].1, 10);
        let request =
            IdentifyRequest { biometrics, threshold: Some(THRESHOLD), candidates_max: 10, cross_position: true };
        let found = service.identify(request).await.unwrap().candidates;
        assert!(found.is_empty(), "stranger {index}: {:?}", found.first().map(|c| (&c.subject, c.score)));
    }
    service.close().await;
}
