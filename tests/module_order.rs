//! The engine's modules import only downward, `unsafe` stays in its two places, and the engine knows no server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Low to high; modules of one row do not know each other.
const ORDER: &[&[&str]] = &[
    &["codec"],
    &["storage"],
    &["template"],
    &["kernel"],
    &["likelihood"],
    &["finger", "face"],
    &["gallery"],
    &["log"],
    &["search"],
    &["decision"],
    &["evaluation"],
];

/// Where `unsafe` may stand, relative to the repository: the kernels, and the one file that maps memory.
const UNSAFE_FOLDER: &str = "engine/src/kernel/";
const UNSAFE_FILE: &str = "engine/src/gallery/map.rs";

/// Crates that would make the library a server.
const NOT_IN_ENGINE: &[&str] = &["axum", "clap", "hyper", "reqwest", "tokio", "tower", "tower-http", "utoipa"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file under `folder`, sorted, as (path relative to the repository, text without comments and literals).
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
                found.push((name, code_only(&text)));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no Rust file under {folder}");
    found
}

/// The text with comments, strings and character literals blanked; line numbers stay.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    // Copies line ends, drops the rest, up to `end`.
    let blank = |out: &mut String, from: usize, end: usize| {
        out.push(' ');
        out.extend(bytes[from..end.min(bytes.len())].iter().filter(|&&b| b == b'\n').map(|_| '\n'));
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + rest.windows(2).position(|w| w == b"*/").map_or(rest.len(), |p| p + 2)
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|p| bytes[p])) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = 2 + hashes;
            let tail = &rest[open..];
            at + open
                + tail.windows(close.len()).position(|w| w == close.as_bytes()).map_or(tail.len(), |p| p + close.len())
        } else if rest[0] == b'"' {
            let mut end = 1;
            while end < rest.len() && rest[end] != b'"' {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            at + end + 1
        } else if rest[0] == b'\'' && rest.get(1) == Some(&b'\\') {
            at + 3 + rest[3..].iter().position(|&b| b == b'\'').map_or(rest.len() - 3, |p| p + 1)
        } else if rest[0] == b'\'' && rest.len() > 2 && rest[1..].iter().take(5).skip(1).any(|&b| b == b'\'') {
            // A character, not a lifetime: one character (up to four bytes) and a closing quote.
            let width = text[at + 1..].chars().next().map_or(1, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') { at + 2 + width } else { at }
        } else {
            at
        };
        if end > at {
            blank(&mut out, at, end);
            at = end;
        } else {
            let width = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + width]);
            at += width;
        }
    }
    out
}

/// How many hashes a raw string that starts here has.
fn raw_string(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if rest[0] != b'r' || before.is_some_and(|b| (b.is_ascii_alphanumeric() && b != b'b') || b == b'_') {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|&&b| b == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
}

/// The position of `module` in [`ORDER`].
fn level(module: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&module))
}

/// The first-level modules that the code of one file names, by `crate::x`, `crate::{x, y::z}` and `super::` chains.
fn named_modules(file: &str, code: &str) -> Vec<(usize, String)> {
    // engine/src/finger/mod.rs is one level deep, engine/src/finger/compare.rs two; an inline module adds one, which a
    // chain of `super` then needs too, so the chain that leaves the file's own module is at least this long.
    let parts: Vec<&str> = file.trim_start_matches("engine/src/").split('/').collect();
    let depth = parts.len() - usize::from(parts.last() == Some(&"mod.rs"));
    let mut found = Vec::new();
    let mut roots: Vec<usize> = code.match_indices("crate::").map(|(i, m)| i + m.len()).collect();
    let chain = "super::".repeat(depth);
    roots.extend(code.match_indices(&chain).map(|(i, m)| i + m.len()));
    for start in roots {
        let line = code[..start].matches('\n').count() + 1;
        let rest = code[start..].trim_start();
        let Some(inside) = rest.strip_prefix('{') else {
            found.push((line, identifier(rest)));
            continue;
        };
        // The heads of a group at its first level.
        let (mut nested, mut head) = (0, true);
        for (i, c) in inside.char_indices() {
            match c {
                '{' => nested += 1,
                '}' if nested == 0 => break,
                '}' => nested -= 1,
                ',' if nested == 0 => head = true,
                c if head && !c.is_whitespace() => {
                    found.push((line, identifier(&inside[i..])));
                    head = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn engine_modules_import_only_downward() {
    let mut wrong = Vec::new();
    let mut files: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, code) in sources("engine/src") {
        let inside = file.trim_start_matches("engine/src/");
        let module = inside.split_once('/').map_or(inside.trim_end_matches(".rs"), |(folder, _)| folder);
        if module == "lib" {
            continue; // It names every module.
        }
        let Some(own) = level(module) else {
            wrong.push(format!("{file}: module `{module}` has no place in the order"));
            continue;
        };
        let name = ORDER[own].iter().find(|m| **m == module).expect("just found");
        *files.entry(name).or_default() += 1;
        for (line, named) in named_modules(&file, &code) {
            if named == module {
                continue;
            }
            match level(&named) {
                Some(other) if other < own => {}
                Some(_) => wrong.push(format!("{file}:{line}: `{module}` uses `{named}`, which is not below it")),
                None => {} // A function, type or macro of lib.rs, or `super` within the module.
            }
        }
    }
    assert!(files.len() >= 9, "too few modules were seen: {files:?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn order_test_sees_an_upward_import() {
    let upward = "use crate::{template::Minutia, search::{Plan, Task}};\nfn f() { super::super::log::open() }";
    let named: Vec<String> =
        named_modules("engine/src/gallery/writer.rs", &code_only(upward)).into_iter().map(|(_, m)| m).collect();
    assert_eq!(named, ["template", "search", "log"]);
    let quiet =
        "// crate::log\nlet s = \"crate::search\"; let c = '\"'; /* crate::decision */ let r = r#\"crate::log\"#;";
    assert!(named_modules("engine/src/gallery/writer.rs", &code_only(quiet)).is_empty());
}

#[test]
fn unsafe_stands_only_in_the_kernels_and_the_map() {
    let mut wrong = Vec::new();
    for folder in ["engine", "server/src", "datasets/src", "benches", "tests"] {
        for (file, code) in sources(folder) {
            if file.starts_with(UNSAFE_FOLDER) || file == UNSAFE_FILE {
                continue;
            }
            for (number, line) in code.lines().enumerate() {
                let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                if words.clone().any(|word| word == "unsafe")
                    || (line.contains("allow(") && words.clone().any(|word| word == "unsafe_code"))
                {
                    wrong.push(format!("{file}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "`unsafe` outside {UNSAFE_FOLDER} and {UNSAFE_FILE}:\n{}", wrong.join("\n"));
}

#[test]
fn the_engine_depends_on_no_server_crate() {
    let manifest = fs::read_to_string(root().join("engine/Cargo.toml")).expect("engine/Cargo.toml");
    let found: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| NOT_IN_ENGINE.contains(name))
        .collect();
    assert!(found.is_empty(), "the engine depends on {found:?}");
    assert!(manifest.contains("bytemuck"), "the manifest was read as it is written");
}
