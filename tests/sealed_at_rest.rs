//! With a key file the journal and exports say nothing without it, and everything with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use bytemuck::cast_slice;
use duynhat_datasets::{EncounterSettings, People, Settings};

const BINARY: &str = env!("CARGO_BIN_EXE_duynhat-under-test");

fn cli(key: Option<&Path>, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("DUYNHAT_KEY_FILE");
    if let Some(key) = key {
        command.env("DUYNHAT_KEY_FILE", key);
    }
    let out = command.output().expect("runs");
    (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

fn holds(path: &Path, needle: &[u8]) -> bool {
    if path.is_dir() {
        return std::fs::read_dir(path).unwrap().any(|entry| holds(&entry.unwrap().path(), needle));
    }
    std::fs::read(path).unwrap().windows(needle.len()).any(|w| w == needle)
}

#[test]
fn a_sealed_journal_and_export_open_with_their_key_only() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let text = |path: &PathBuf| path.display().to_string();
    let (key, other, data, out) = (at("key"), at("other"), at("data"), at("out.ndjson"));
    for file in [&key, &other] {
        let (code, said) = cli(None, &["key", "new", &text(file)]);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(cli(None, &["key", "new", &text(&key)]).0, Some(2), "a key is not written over");
    let d = text(&data);
    let (code, said) = cli(Some(&key), &["synth", "--people", "4", "--seed", "9", "--fingers", "2,7", "--data", &d]);
    assert_eq!(code, Some(0), "{said}");

    let settings = EncounterSettings {
        fingers: [2, 7].into_iter().filter_map(duynhat_engine::template::FingerPosition::new).collect(),
        ..EncounterSettings::default()
    };
    let person = People::new(9, Settings::default()).person(3).encounter(0, &settings);
    let needle: &[u8] = cast_slice(person.fingers[0].minutiae());
    assert!(!holds(&data.join("log"), needle));
    // The same without a key, to see that the needle is one.
    let plain = at("plain");
    let arguments = ["synth", "--people", "4", "--seed", "9", "--fingers", "2,7", "--data"];
    assert_eq!(cli(None, &[&arguments[..], &[&text(&plain)]].concat()).0, Some(0));
    assert!(holds(&plain.join("log"), needle));

    let (code, said) = cli(Some(&key), &["gallery", "check", "--data", &d]);
    assert_eq!(code, Some(0), "{said}");
    for (wrong, words) in [(None, "no key file was given"), (Some(other.as_path()), "another key")] {
        let (code, said) = cli(wrong, &["gallery", "stat", "--data", &d]);
        assert_ne!(code, Some(0));
        assert!(said.contains(words), "{said}");
        let (code, said) = cli(wrong, &["gallery", "check", "--repair", "--data", &d]);
        assert_ne!(code, Some(0), "nothing is repaired without the key: {said}");
        assert!(said.contains(words), "{said}");
    }
    // Erasing works on sealed records too.
    let erase = ["subject", "erase", "--data", &d, "--operator", "o", "--now", "2"];
    let (code, said) = cli(Some(&key), &erase);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = cli(Some(&key), &["gallery", "rebuild", "--data", &d]);
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = cli(Some(&key), &["gallery", "export", "--data", &d, "--out", &text(&out)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!holds(&out, b"subject"));
    let opened = at("opened.ndjson");
    assert_eq!(cli(Some(&other), &["key", "open", &text(&out), "--out", &text(&opened)]).0, Some(2));
    assert!(!opened.exists());
    let (code, said) = cli(Some(&key), &["key", "open", &text(&out), "--out", &text(&opened)]);
    assert_eq!(code, Some(0), "{said}");
    let lines = std::fs::read_to_string(&opened).unwrap();
    assert_eq!(lines.lines().count(), 3);
    for who in [0, 1, 3] {
        assert!(lines.contains(&format!("\"subject\":\"{who}\"")), "{who}");
    }
    for m in person.fingers[0].minutiae().iter().take(3) {
        let stored = format!("[{},{},{},{},{}]", m.x, m.y, m.angle, m.kind_code, m.quality);
        assert!(lines.lines().last().unwrap().contains(&stored), "{stored}");
    }
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = cli(Some(&key), &["gallery", "stat", "--data", &d]);
    assert_eq!(code, Some(2), "a key that others may read is refused: {said}");
}
