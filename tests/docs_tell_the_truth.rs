//! What the documentation says can be typed: every `duynhat` command in a `console` block parses, every test, recipe
//! and script it names is there. And it says everything: each route, field, problem, metric and command of the product
//! has its place in the reference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The README and every page of the book.
fn pages() -> Vec<(String, String)> {
    let mut pages = vec!["README.md".to_owned(), "tests/README.md".to_owned()];
    let mut folders = vec!["docs/src".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                pages.push(name);
            }
        }
    }
    pages.sort();
    pages.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// The lines after `$ ` in the `console` blocks of a page, continued lines joined.
fn commands(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let (mut console, mut continued) = (false, false);
    for line in text.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            console = language == "console";
            continued = false;
        } else if console {
            let part = if continued { Some(line) } else { line.strip_prefix("$ ") };
            let Some(part) = part else { continue };
            let more = part.strip_suffix('\\');
            let text = more.unwrap_or(part).trim();
            match found.last_mut() {
                Some(last) if continued => *last = format!("{last} {text}"),
                _ => found.push(text.to_owned()),
            }
            continued = more.is_some();
        }
    }
    found
}

/// The words of a shell command, quotes taken off.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut some) = (String::new(), None, false);
    for c in command.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => (quote, some) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if some || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                some = false;
            }
            (_, c) => word.push(c),
        }
    }
    if some || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What is wrong with one simple command, if anything.
fn wrong(words: &[String]) -> Option<String> {
    let assignment = |w: &&String| {
        w.split_once('=').is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
    };
    let words: Vec<&str> = words.iter().skip_while(assignment).map(String::as_str).collect();
    let after = |separator: &str| words.iter().position(|w| *w == separator).map(|at| &words[at + 1..]);
    match words.as_slice() {
        ["duynhat" | "target/release/duynhat", rest @ ..] => refused(rest),
        ["cargo", "run", ..] => refused(after("--").unwrap_or_default()),
        ["cargo", "test", ..] => {
            let target = after("--test").and_then(|rest| rest.first())?;
            let there = root().join(format!("tests/{target}.rs")).exists();
            (!there).then(|| format!("there is no tests/{target}.rs"))
        }
        ["just", recipe, ..] => {
            let head = |line: &str| line.split([' ', ':']).next() == Some(recipe) && line.contains(':');
            (!read("justfile").lines().any(head)).then(|| format!("the justfile has no recipe {recipe}"))
        }
        [program, ..] if program.contains('/') => {
            (!root().join(program).exists()).then(|| format!("there is no {program}"))
        }
        _ => None,
    }
}

/// Why the command line is refused, if it is. `--help` and `--version` are no refusals.
fn refused(arguments: &[&str]) -> Option<String> {
    let all = std::iter::once("duynhat").chain(arguments.iter().copied());
    let error = duynhat_server::command().try_get_matches_from(all).err()?;
    error.use_stderr().then(|| error.to_string())
}

#[test]
fn every_command_in_the_documentation_can_be_typed() {
    let (mut seen, mut faults) = (0, Vec::new());
    for (page, text) in pages() {
        for command in commands(&text) {
            for simple in words(&command).split(|word| word == "|" || word == "&&") {
                seen += 1;
                if let Some(why) = wrong(simple) {
                    faults.push(format!("{page}: $ {command}\n{why}"));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} commands were seen: the test has gone blind");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_seen() {
    let block =
        "```console\n$ A=1 duynhat serve --data D \\\n    --listen '127.0.0.1:0'\nlistening\n```\n```text\n$ no\n```";
    assert_eq!(commands(block), ["A=1 duynhat serve --data D --listen '127.0.0.1:0'"]);
    assert_eq!(wrong(&words(&commands(block)[0])), None);
    for bad in [
        "duynhat no-such-command",
        "cargo run --release -- serve --no-such-option",
        "just no-such-recipe",
        "cargo test -p duynhat-tests --test no_such_test",
        "scripts/no-such-script.sh",
    ] {
        assert!(wrong(&words(bad)).is_some(), "{bad}");
    }
}

/// Every distinct run of `allowed` characters in `text` that begins with `prefix`.
fn names(text: &str, prefix: &str, allowed: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.match_indices(prefix)
        .map(|(at, _)| text[at..].chars().take_while(|c| prefix.contains(*c) || allowed(*c)).collect::<String>())
        .map(|name| name.trim_end_matches(['_', '-', '/', '.']).to_owned())
        .filter(|name| name.len() > prefix.len())
        .collect()
}

#[test]
fn every_problem_is_in_the_error_catalogue_and_no_other() {
    let word = |c: char| c.is_ascii_lowercase() || c == '-';
    let prefix = "urn:duynhat:problem:";
    let (code, page) = (read("server/src/http/problem.rs"), read("docs/src/reference/errors.md"));
    assert_eq!(names(&page, prefix, word), names(&code, prefix, word));
}

#[test]
fn every_metric_is_in_the_book_and_no_other() {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let code = read("server/src/http/observe.rs");
    // Only the names themselves: the constants at the head of the file.
    let code: String = code.lines().filter(|line| line.starts_with("const ")).collect();
    let page = read("docs/src/operating/metrics.md");
    assert_eq!(names(&page, "duynhat_", word), names(&code, "duynhat_", word));
}

#[test]
fn every_route_is_in_the_reference() {
    let routes = read("server/src/http/routes.rs") + &read("server/src/http/cases.rs");
    let page = read("docs/src/reference/http.md");
    let paths: BTreeSet<&str> = routes
        .split("path = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|p| p.starts_with('/'))
        .collect();
    assert!(paths.len() > 5, "{paths:?}");
    let absent: Vec<_> = paths.iter().filter(|path| !page.contains(**path)).collect();
    assert!(absent.is_empty(), "not in reference/http.md: {absent:?}");
}

#[test]
fn every_field_of_the_api_is_in_the_reference() {
    let page = read("docs/src/reference/http.md") + &read("docs/src/operating/metrics.md");
    let mut absent = Vec::new();
    let files =
        [("server/src/http/dto.rs", "Body"), ("server/src/service/api.rs", ""), ("server/src/service/cases.rs", "")];
    for (file, ends) in files {
        let mut inside = false;
        let source = read(file);
        let mut serialised = false;
        for line in source.lines() {
            serialised |= line.contains("ToSchema");
            if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.split([' ', '(', ';']).next()) {
                inside = serialised && name.ends_with(ends);
                serialised = false;
            } else if line.starts_with('}') {
                inside = false;
            } else if let Some((field, _)) = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(':'))
                && inside
                && !page.contains(&format!("`{field}`"))
            {
                absent.push(format!("{file}: {field}"));
            }
        }
    }
    assert!(absent.is_empty(), "in neither reference/http.md nor operating/metrics.md: {absent:?}");
}

#[test]
fn every_command_is_in_the_reference() {
    let page = read("docs/src/reference/cli.md");
    let mut absent = Vec::new();
    let command = duynhat_server::command();
    let mut waiting = vec![(String::from("duynhat"), &command)];
    while let Some((name, command)) = waiting.pop() {
        let below: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        if below.is_empty() {
            if !page.contains(&format!("`{name}`")) {
                absent.push(name.clone());
            }
            for option in command.get_arguments().filter_map(|a| a.get_long()).filter(|o| *o != "help") {
                if !page.contains(&format!("--{option}")) {
                    absent.push(format!("{name} --{option}"));
                }
            }
        }
        waiting.extend(below.into_iter().map(|c| (format!("{name} {}", c.get_name()), c)));
    }
    assert!(absent.is_empty(), "not in reference/cli.md: {absent:?}");
}
