//! `duynhat evaluate people`: its document has the promised keys, innocents pass and frauds are caught; real people's fused
//! fingers separate them (needs the data).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use duynhat_datasets::collection::data_folder;
use simd_json::OwnedValue;
use simd_json::prelude::*;

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

fn evaluate(arguments: &[&str], out: &Path) -> Result<OwnedValue, String> {
    let mut command = Command::new(BINARY);
    let output = command.args(["evaluate", "people", "--json"]).args(arguments).arg("--out").arg(out).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(simd_json::to_owned_value(&mut output.stdout.clone()).expect("one JSON document"))
}

fn keys(object: &OwnedValue) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn number(object: &OwnedValue, key: &str) -> f64 {
    object.get(key).and_then(|v| v.cast_f64()).unwrap_or_else(|| panic!("{key} is no number"))
}

#[test]
fn a_synthetic_run_prints_one_document_with_the_promised_keys() {
    let out = tempfile::tempdir().unwrap();
    let arguments = ["--synthetic", "240", "--seed", "3", "--probes", "60", "--planted", "4", "--innocents", "10"];
    let document = evaluate(&arguments, out.path()).unwrap();
    let with_interval = |names: &[&str]| -> BTreeSet<String> {
        names.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_interval")]).collect()
    };
    let mut expected = with_interval(&["fnir_at_fpir_1e-3", "fpir_measured", "false_positives", "innocent_not_clear"]);
    expected.extend(["n", "threshold", "fpir_predicted", "frauds"].map(str::to_owned));
    assert_eq!(keys(&document), expected.iter().map(String::as_str).collect());
    assert_eq!(number(&document, "n"), 240.0);
    assert_eq!(number(&document, "innocent_not_clear"), 0.0);
    let frauds = document.get("frauds").unwrap();
    let kinds = ["second_identity", "photo_swap", "finger_swap", "hands_swapped", "exceptions_abused", "wolf", "morph"];
    assert_eq!(keys(frauds), kinds.into_iter().collect());
    for kind in kinds {
        let fraud = frauds.get(kind).unwrap();
        assert_eq!(keys(fraud), ["planted", "caught", "caught_interval"].into_iter().collect());
        assert_eq!(number(fraud, "planted"), 4.0);
        assert!(kind == "morph" || number(fraud, "caught") == 4.0, "{kind}: {fraud:?}");
    }
    let predicted = number(&document, "fpir_predicted");
    assert!((0.0..=0.5).contains(&predicted), "{predicted}");
    let report = std::fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("hands_swapped"), "the plots and the frauds are in the report");
    let mut figures = std::fs::read(out.path().join("figures.json")).unwrap();
    let figures = simd_json::to_owned_value(&mut figures).unwrap();
    let answers = figures.get_array("answers").unwrap();
    let innocents: Vec<_> =
        answers.iter().filter(|a| a.get_str("kind").is_some_and(|kind| kind.starts_with("innocent_"))).collect();
    assert_eq!(innocents.len(), 5, "a first card, exchange, re-issue and accounts of both levels");
    for answer in innocents {
        assert_eq!(number(answer.get("right").unwrap(), "hits"), number(answer, "asked"), "{answer:?}");
    }
}

#[test]
fn a_growing_gallery_is_followed_with_the_fingers_that_are_searched() {
    let out = tempfile::tempdir().unwrap();
    let document = evaluate(&["--synthetic", "1200", "--seed", "3", "--probes", "80", "--growth"], out.path()).unwrap();
    assert_eq!((number(&document, "n"), number(&document, "non_mated_searches")), (1_200.0, 80.0));
    assert_eq!(number(&document, "mated_searches"), 20.0);
    let sizes = document.get_array("sizes").unwrap();
    let measured = |size: &&OwnedValue| size.get("fpir_measured").is_some();
    let of = |n: f64| sizes.iter().filter(move |size| number(size, "n") == n);
    assert_eq!((of(1_000.0).count(), of(1_200.0).count()), (3, 3), "one, two, four fingers");
    assert!(of(1_000_000.0).count() >= 1, "where some hundred searches show a tail");
    assert_eq!((of(1_000.0).filter(measured).count(), of(1_200.0).filter(measured).count()), (3, 3));
    assert_eq!(of(1_000_000.0).filter(measured).count(), 0, "predicted only");
    for size in sizes {
        assert_eq!(number(size, "fpir_predicted"), 0.01);
        let share = size.get("fpir_measured").map_or(0.0, |share| number(share, "share"));
        assert!(share < 0.1, "{size:?}");
    }
    // Mates are found by the four fingers that the gallery has.
    let configurations = document.get_array("configurations").unwrap();
    let four = configurations.iter().find(|c| c.get_str("name") == Some("4 fingers")).unwrap();
    for rate in four.get_array("rates").unwrap() {
        assert!(number(rate.get("fnir").unwrap(), "hits") <= 1.0, "{rate:?}");
    }
    let report = std::fs::read_to_string(out.path().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("1,200"));
    let error = evaluate(&["--synthetic", "1200", "--growth", "--planted", "3"], out.path()).unwrap_err();
    assert!(error.contains("--planted"), "{error}");
}

#[test]
fn the_seeds_of_calibration_and_model_are_refused() {
    let out = tempfile::tempdir().unwrap();
    for (seed, whose) in [("77", "calibration"), ("503", "model")] {
        let error = evaluate(&["--synthetic", "240", "--seed", seed], out.path()).unwrap_err();
        assert!(error.contains(&format!("--seed {seed}")) && error.contains(whose), "{error}");
    }
}

#[test]
fn four_fingers_of_real_people_separate_them() {
    let base = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let Some(data) = data_folder(&base) else {
        eprintln!("\n*** NOT TESTED ON REAL PEOPLE: no data in ../shared/data or $DUYNHAT_DATA ***\n");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let folder = data.join("finger").join("fcj2020-mindtct");
    let document = evaluate(&[folder.to_str().unwrap()], out.path()).unwrap();
    let parts = document.get_array("parts").unwrap();
    let at = |fingers: f64| parts.iter().find(|p| number(p, "fingers") == fingers).expect("that many fingers");
    let four = at(4.0);
    assert_eq!((number(four, "mated"), number(four, "non_mated")), (375.0, 10_800.0));
    let fnmr = |fingers: f64| number(at(fingers), "fnmr_at_fmr_1e-3");
    assert!(fnmr(4.0) <= 0.005, "{}", fnmr(4.0));
    assert!(fnmr(2.0) <= 0.04 && fnmr(2.0) >= fnmr(4.0), "{}", fnmr(2.0));
    assert!(fnmr(1.0) >= fnmr(2.0));
}
