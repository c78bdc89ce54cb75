//! Every relative link in a Markdown file of the repository leads to a file that is there, and every `#heading` to a
//! heading that is there; every page of the book is in its summary. Links to the web are not followed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// Every Markdown file that belongs to the repository: not what was built, and nothing hidden.
fn markdown_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || ["target", "out"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines outside fenced code, with their numbers from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number + 1, line));
        }
    }
    lines
}

/// The line without `code`, which may hold anything.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The targets of `[text](target)`.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let ends = line.match_indices("](").map(|(at, m)| at + m.len());
    ends.filter_map(|start| line[start..].split_once(')').map(|(target, _)| target.to_owned())).collect()
}

/// The anchors of a page, as mdBook makes them: lower case, spaces become hyphens, punctuation goes, and a repeated one
/// gets a number.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (_, line) in prose(text) {
        let Some(heading) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) else { continue };
        if !heading.starts_with(' ') {
            continue;
        }
        let slug: String = heading
            .trim()
            .chars()
            .filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        let mut name = slug.clone();
        let mut count = 0;
        while !all.insert(name) {
            count += 1;
            name = format!("{slug}-{count}");
        }
    }
    all
}

/// What is wrong with the link `target` in `file`, if anything.
fn broken(file: &Path, target: &str) -> Option<String> {
    if ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let to = if path.is_empty() { file.to_owned() } else { file.parent().expect("a folder").join(path) };
    if !to.exists() {
        return Some("there is no such file".into());
    }
    // A link that leaves the book works in the repository and is dead in the built book.
    let book = root().join("docs/src");
    let canonical = to.canonicalize().expect("it exists");
    if file.starts_with(&book) && !canonical.starts_with(&book) {
        return Some("it leaves the book".into());
    }
    if !anchor.is_empty() && !anchors(&fs::read_to_string(&to).unwrap_or_default()).contains(anchor) {
        return Some("there is no such heading".into());
    }
    None
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in markdown_files() {
        let text = fs::read_to_string(&file).expect("UTF-8");
        for (number, line) in prose(&text) {
            for target in links(line) {
                seen += 1;
                if let Some(why) = broken(&file, &target) {
                    wrong.push(format!("{}:{number}: {target}: {why}", file.display()));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} links were seen: the test has gone blind");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let book = root().join("docs/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).expect("the summary");
    let listed: BTreeSet<PathBuf> = summary.lines().flat_map(links).map(|target| book.join(target)).collect();
    let pages: BTreeSet<PathBuf> =
        markdown_files().into_iter().filter(|file| file.starts_with(&book) && !file.ends_with("SUMMARY.md")).collect();
    assert_eq!(pages, listed);
    assert!(listed.iter().all(|page| page.components().all(|part| part != Component::ParentDir)));
}

#[test]
fn a_dead_link_and_a_dead_heading_are_seen() {
    let page = root().join("docs/src/README.md");
    assert_eq!(links("see [a](b.md#c), `[x](y)` and [d](e)"), ["b.md#c", "e"]);
    assert!(broken(&page, "no-such-page.md").is_some());
    assert!(broken(&page, "glossary.md#no-such-heading").is_some());
    assert!(broken(&page, "../../README.md").is_some());
    assert_eq!(broken(&page, "glossary.md#errors-and-rates"), None);
    assert_eq!(broken(&page, "https://example.org/"), None);
    let names = anchors("# One, two!\n```\n# no\n```\n## One two\n## `x_y` and 3.5\n");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["one-two", "one-two-1", "x_y-and-35"]);
}
