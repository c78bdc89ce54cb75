//! The same prints and seed give the same model, byte for byte, for any number of threads and order of folders; another
//! seed gives another one. The shipped model is made anew from nothing.

use std::path::Path;
use std::process::Command;

use duynhat_datasets::{MODEL_SEED, People, Settings};
use duynhat_engine::finger::Model;
use duynhat_engine::template::{FingerPosition, encode_iso_2005};

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");
const FINGERS: u64 = 20;
const IMPRESSIONS: u64 = 4;

/// `<finger>_<impression>.iso` of some synthetic index fingers.
fn collection(folder: &Path, seed: u64) {
    std::fs::create_dir_all(folder).expect("a folder");
    let people = People::new(seed, Settings::default());
    let index = FingerPosition::new(2).expect("right index");
    for finger in 0..FINGERS {
        for impression in 0..IMPRESSIONS {
            let template = people.person(finger).finger(index, 3 * impression);
            let path = folder.join(format!("{}_{}.iso", 101 + finger, 1 + impression));
            std::fs::write(path, encode_iso_2005(&[template.into()]).expect("encodes")).expect("writes");
        }
    }
}

fn train(folders: &[&Path], out: &Path, seed: &str, threads: &str) -> Vec<u8> {
    let output = Command::new(BINARY)
        .args(["train", "finger"])
        .args(folders)
        .args([Path::new("--out"), out, Path::new("--seed"), Path::new(seed)])
        .env("RAYON_NUM_THREADS", threads)
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(out).expect("a model")
}

#[test]
fn the_same_prints_and_seed_give_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("first-synthetic"), folder.path().join("second-synthetic"));
    collection(&a, 5);
    collection(&b, 6);
    let out = folder.path().join("model");
    let first = train(&[&a, &b], &out, "1", "1");
    assert!(Model::from_bytes(&first).is_ok(), "a model that this build reads");
    assert!(train(&[&b, &a], &out, "1", "3") == first, "three threads, folders turned round");
    assert!(train(&[&a, &b], &out, "2", "2") != first, "another seed");
}

/// With AVX2, where faer adds in the same order whatever else the CPU has; other CPUs' last bits may differ.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_shipped_model_is_made_anew_from_synthetic_prints() {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        eprintln!("\n*** NOT TESTED: the shipped model can be made anew on CPUs with AVX2 and FMA only ***\n");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let synth = format!("synth --people 800 --seed {MODEL_SEED} --fingers 2,7 --encounters 6 --faces 0 --out");
    let made = Command::new(BINARY).args(synth.split(' ')).arg(folder.path()).output().expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let output = Command::new(BINARY)
        .args(["train", "finger"])
        .arg(folder.path().join("fingers"))
        .arg("--out")
        .arg(folder.path().join("model"))
        .output()
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trained = std::fs::read(folder.path().join("model")).expect("a model");
    assert!(trained == include_bytes!("../engine/model/finger-v1.bin"), "{}", String::from_utf8_lossy(&output.stdout));
}
