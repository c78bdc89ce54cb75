//! No test or bench can be forgotten: in a virtual workspace Cargo finds neither the root `tests/` nor the root
//! `benches/` by itself, so a file that no manifest names would silently never run.
//!
//! The other half of the proof is run by `.ci/run`: `deliberate_failure` in both folders must turn it red.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `path` values of the manifest's tables of one kind, e.g. `[[test]]`.
fn declared(folder: &str, table: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("the manifest");
    let mut inside = false;
    let mut paths = BTreeSet::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == table;
        } else if let Some(path) = line.strip_prefix("path").filter(|_| inside) {
            let path = path.trim_start_matches([' ', '=']).trim_matches('"').to_owned();
            assert!(paths.insert(path.clone()), "{folder}/Cargo.toml names {path} twice");
        }
    }
    paths
}

/// The Rust files that stand directly in `folder`.
fn present(folder: &str) -> BTreeSet<String> {
    fs::read_dir(root().join(folder))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"))
        .filter(|name| name.ends_with(".rs") && name != "lib.rs")
        .collect()
}

#[test]
fn every_file_in_tests_is_a_test_target() {
    assert_eq!(present("tests"), declared("tests", "[[test]]"));
}

#[test]
fn every_file_in_benches_is_a_bench_target() {
    assert_eq!(present("benches"), declared("benches", "[[bench]]"));
}

#[test]
fn both_packages_are_members_of_the_workspace() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("a members line");
    for package in ["\"tests\"", "\"benches\""] {
        assert!(members.contains(package), "{package} is not in: {members}");
    }
}

#[test]
fn ci_runs_the_deliberate_failures() {
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    for needed in [
        "cargo test --workspace --locked",
        "--features duynhat-tests/deliberate-failure --test deliberate_failure",
        "--features duynhat-benches/deliberate-failure --bench deliberate_failure",
        "step failures failures_are_seen",
    ] {
        assert!(ci.contains(needed), ".ci/run does not say: {needed}");
    }
}
