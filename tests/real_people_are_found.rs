//! Real prints: people come back at rank 1, mated prints score above non-mated ones. Needs the data.

use std::path::PathBuf;
use std::process::Command;

use duynhat_datasets::collection::data_folder;

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

/// The data folder; says loudly when there is none.
fn data() -> Option<PathBuf> {
    let base = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let found = data_folder(&base);
    if found.is_none() {
        eprintln!("\n*** NOT TESTED ON REAL PRINTS: no data in ../shared/data or $DUYNHAT_DATA ***\n");
    }
    found
}

fn run(args: &[&str]) -> String {
    let output = Command::new(BINARY).args(args).output().expect("runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[derive(serde::Deserialize)]
struct Line {
    probe: String,
    candidates: Vec<Candidate>,
}

#[derive(serde::Deserialize)]
struct Candidate {
    subject: String,
    score: f32,
}

#[test]
fn fcj_people_come_back_at_rank_1() {
    let Some(data) = data() else { return };
    let folder = data.join("finger").join("fcj2020-mindtct");
    let gallery = tempfile::tempdir().unwrap();
    let (gallery, folder) = (gallery.path().to_str().unwrap(), folder.to_str().unwrap());
    let pattern = "{subject}f{finger}_{impression}.iso";
    run(&["import", "--data", gallery, "--fingers", folder, "--pattern", pattern, "--impressions", "1-3"]);
    let lines = run(&[
        "identify",
        "--data",
        gallery,
        "--fingers",
        folder,
        "--pattern",
        pattern,
        "--impressions",
        "4-6",
        "--json",
    ]);
    let (mut probes, mut first) = (0, 0);
    for line in lines.lines() {
        let line: Line = simd_json::serde::from_slice(&mut line.as_bytes().to_vec()).unwrap();
        let scores: Vec<f32> = line.candidates.iter().map(|c| c.score).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "best first");
        assert!(line.candidates.len() <= 20);
        let own = line.probe.split('_').next().unwrap();
        probes += 1;
        first += usize::from(line.candidates.first().is_some_and(|c| c.subject == own));
    }
    assert_eq!(probes, 75, "a line for each person and impression");
    assert!(first * 100 >= probes * 97, "{first} of {probes} at rank 1; expected 97 %");
}

#[test]
fn mated_prints_score_clearly_above_non_mated_ones() {
    #[derive(serde::Deserialize)]
    struct Compared {
        score: f32,
        matched_minutiae: usize,
    }
    let Some(data) = data() else { return };
    let folder = data.join("finger").join("fvc2002-db1-secugen");
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let compare = |a: &str, b: &str| {
        let text = run(&["compare", &file(a), &file(b), "--json"]);
        simd_json::serde::from_slice::<Compared>(&mut text.into_bytes()).unwrap()
    };
    let (mated, other) = (compare("101_1.iso", "101_2.iso"), compare("101_1.iso", "102_1.iso"));
    assert!(mated.score > other.score + 5.0, "{} against {}", mated.score, other.score);
    assert!(mated.matched_minutiae > other.matched_minutiae);
}
