//! Real collections: folders of finger templates, named by a pattern.
//!
//! Reading is the caller's: a collection lists files and says whose they are, and [`Collection::load`] hands the bytes to
//! the decoder it is given. The order is the names' natural order (`2` before `10`), the same on every file system.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

/// What a file's name says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// The person; in a folder of single fingers, the finger.
    pub subject: String,
    /// The finger as the name says it, when it does: not necessarily a position code.
    pub finger: Option<String>,
    /// The impression's number, when the name says it.
    pub impression: Option<u32>,
}

/// A pattern of file names such as `{subject}f{finger}_{impression}.iso`.
///
/// Placeholders: `{subject}` (any characters but `/`), `{finger}` (digits), `{impression}` (digits). All else is
/// literal. `{subject}` must be there; each at most once; between two placeholders there must be a literal, since
/// otherwise nobody knows where one ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Subject,
    Finger,
    Impression,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Not one of the three placeholders.
    #[error("unknown placeholder {{{name}}} at byte {offset}; known are {{subject}}, {{finger}} and {{impression}}")]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// Where the brace opens.
        offset: usize,
    },
    /// A brace without its partner.
    #[error("a brace at byte {offset} has no partner")]
    Brace {
        /// Where it is.
        offset: usize,
    },
    /// A placeholder stands twice.
    #[error("{placeholder} stands twice, again at byte {offset}")]
    Twice {
        /// Which one.
        placeholder: &'static str,
        /// Where the second one opens.
        offset: usize,
    },
    /// Nothing stands between two placeholders.
    #[error("two placeholders meet at byte {offset}: put a literal character between them")]
    Adjacent {
        /// Where the second one opens.
        offset: usize,
    },
    /// `{subject}` is missing.
    #[error("the pattern has no {{subject}}")]
    NoSubject,
    /// A folder in the pattern.
    #[error("the pattern names files of one folder: '/' at byte {offset} is not allowed")]
    Separator {
        /// Where it is.
        offset: usize,
    },
}

impl Pattern {
    /// The collections' own: `<finger>_<impression>.iso`, each finger a subject.
    pub fn finger_impression() -> Self {
        let literal = |text: &str| Piece::Literal(text.to_owned());
        Self {
            pieces: vec![Piece::Subject, literal("_"), Piece::Impression, literal(".iso")],
            text: "{subject}_{impression}.iso".to_owned(),
        }
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut offset = 0;
        while offset < text.len() {
            let rest = &text[offset..];
            if let Some(inner) = rest.strip_prefix('{') {
                let end = inner.find(['}', '{']).filter(|&e| inner.as_bytes()[e] == b'}');
                let name = &inner[..end.ok_or(PatternError::Brace { offset })?];
                let (piece, placeholder) = match name {
                    "subject" => (Piece::Subject, "{subject}"),
                    "finger" => (Piece::Finger, "{finger}"),
                    "impression" => (Piece::Impression, "{impression}"),
                    _ => return Err(PatternError::Unknown { name: name.to_owned(), offset }),
                };
                if pieces.contains(&piece) {
                    return Err(PatternError::Twice { placeholder, offset });
                }
                if pieces.last().is_some_and(|p| !matches!(p, Piece::Literal(_))) {
                    return Err(PatternError::Adjacent { offset });
                }
                pieces.push(piece);
                offset += name.len() + 2;
            } else {
                let literal = &rest[..rest.find(['{', '}']).unwrap_or(rest.len())];
                if literal.is_empty() {
                    return Err(PatternError::Brace { offset });
                }
                if let Some(at) = literal.find('/') {
                    return Err(PatternError::Separator { offset: offset + at });
                }
                pieces.push(Piece::Literal(literal.to_owned()));
                offset += literal.len();
            }
        }
        if !pieces.contains(&Piece::Subject) {
            return Err(PatternError::NoSubject);
        }
        Ok(Self { pieces, text: text.to_owned() })
    }

    /// What this file name says, `None` when it does not fit. When several readings fit, the subject takes as much as it
    /// can, the finger as few digits.
    pub fn read(&self, name: &str) -> Option<FileName> {
        let mut found = FileName::default();
        fit(&self.pieces, name, &mut found).then_some(found)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `name` fits `pieces`; fills `found`. Literals stand between placeholders, so each placeholder has one
/// candidate end per occurrence of the next literal: at most length to the third power, on file names.
fn fit(pieces: &[Piece], name: &str, found: &mut FileName) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return name.is_empty() };
    if let Piece::Literal(text) = piece {
        return name.strip_prefix(text.as_str()).is_some_and(|tail| fit(rest, tail, found));
    }
    let mut ends: Vec<usize> = name.char_indices().map(|(i, c)| i + c.len_utf8()).collect();
    if *piece == Piece::Subject {
        ends.reverse();
    }
    for end in ends {
        let (value, tail) = name.split_at(end);
        let accepted = match piece {
            Piece::Subject => {
                found.subject = value.to_owned();
                true
            }
            Piece::Finger if is_number(value) => {
                found.finger = Some(value.to_owned());
                true
            }
            Piece::Impression if is_number(value) => {
                found.impression = value.parse().ok();
                found.impression.is_some()
            }
            _ => false,
        };
        if accepted && fit(rest, tail, found) {
            return true;
        }
    }
    false
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A file of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// The file's name without its extension, e.g. `101_1`.
    pub stem: String,
    /// What the name says.
    pub name: FileName,
}

/// A folder's files that fit a pattern, in the natural order of subject, finger and impression.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The folder's own name.
    pub name: String,
    /// The files.
    pub entries: Vec<Entry>,
    /// How many files did not fit the pattern.
    pub skipped: usize,
}

/// Why a collection can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectionError {
    /// The folder or file can't be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No file fits.
    #[error("{path}: none of {skipped} files fits the pattern {pattern}")]
    Empty {
        /// The folder.
        path: PathBuf,
        /// The pattern.
        pattern: String,
        /// How many files there are.
        skipped: usize,
    },
    /// Two files say the same of themselves.
    #[error("{first} and {second} both name the same subject, finger and impression")]
    Twice {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A file is longer than any template.
    #[error("{path}: {length} bytes; a template has at most {FILE_LENGTH_MAX}")]
    TooLong {
        /// Which.
        path: PathBuf,
        /// How long.
        length: u64,
    },
}

/// The longest file that is read: 1 MiB.
pub const FILE_LENGTH_MAX: u64 = 1 << 20;

impl Collection {
    /// Lists a folder (not its sub-folders).
    ///
    /// # Errors
    /// See [`CollectionError`]: the folder can't be read, nothing fits, or two files say the same.
    pub fn open(folder: &Path, pattern: &Pattern) -> Result<Self, CollectionError> {
        let io = |source| CollectionError::Io { path: folder.to_owned(), source };
        let mut entries = Vec::new();
        let mut skipped = 0;
        for item in std::fs::read_dir(folder).map_err(io)? {
            let item = item.map_err(io)?;
            if item.file_type().map_err(io)?.is_dir() {
                continue;
            }
            let path = item.path();
            let file_name = item.file_name();
            match file_name.to_str().and_then(|n| pattern.read(n)) {
                Some(name) => {
                    let stem = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
                    entries.push(Entry { path, stem, name });
                }
                None => skipped += 1,
            }
        }
        if entries.is_empty() {
            return Err(CollectionError::Empty { path: folder.to_owned(), pattern: pattern.to_string(), skipped });
        }
        entries.sort_by(|a, b| compare_names(&a.name, &b.name).then_with(|| a.path.cmp(&b.path)));
        if let Some(pair) = entries.windows(2).find(|p| p[0].name == p[1].name) {
            return Err(CollectionError::Twice { first: pair[0].path.clone(), second: pair[1].path.clone() });
        }
        let name = folder.file_name().map_or_else(|| ".".to_owned(), |n| n.to_string_lossy().into_owned());
        Ok(Self { name, entries, skipped })
    }

    /// Reads and decodes every file, in parallel; results stand in the order of [`Collection::entries`].
    ///
    /// # Errors
    /// A file can't be read or is too long. What the decoder refuses stays in its place as its error.
    pub fn load<T, E>(
        &self,
        decode: impl Fn(&Entry, &[u8]) -> Result<T, E> + Sync,
    ) -> Result<Vec<Result<T, E>>, CollectionError>
    where
        T: Send,
        E: Send,
    {
        self.entries.par_iter().map(|entry| Ok(decode(entry, &read_file(&entry.path)?))).collect()
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CollectionError> {
    let io = |source| CollectionError::Io { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > FILE_LENGTH_MAX {
        return Err(CollectionError::TooLong { path: path.to_owned(), length });
    }
    std::fs::read(path).map_err(io)
}

fn compare_names(a: &FileName, b: &FileName) -> Ordering {
    let finger = |n: &FileName| n.finger.clone().unwrap_or_default();
    natural(&a.subject, &b.subject)
        .then_with(|| natural(&finger(a), &finger(b)))
        .then_with(|| a.impression.cmp(&b.impression))
}

/// Compares with runs of digits read as numbers, so that `2` comes before `10`; equal only when the texts are.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    loop {
        let (Some(p), Some(q)) = (x.chars().next(), y.chars().next()) else {
            return x.len().cmp(&y.len()).then_with(|| a.cmp(b));
        };
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let run = |t: &str| t.find(|c: char| !c.is_ascii_digit()).unwrap_or(t.len());
            let ((m, rest_x), (n, rest_y)) = (x.split_at(run(x)), y.split_at(run(y)));
            let (m, n) = (m.trim_start_matches('0'), n.trim_start_matches('0'));
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if order != Ordering::Equal {
                return order;
            }
            (x, y) = (rest_x, rest_y);
        } else {
            if p != q {
                return p.cmp(&q);
            }
            (x, y) = (&x[p.len_utf8()..], &y[q.len_utf8()..]);
        }
    }
}

/// The folder of shared real data: `DUYNHAT_DATA`, else `../shared/data` or `../../shared/data` from `base` (a package's
/// folder or the working folder); `None` when there is none.
pub fn data_folder(base: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("DUYNHAT_DATA").map(PathBuf::from);
    let near = ["../shared/data", "../../shared/data"].map(|p| base.join(p));
    named.into_iter().chain(near).find(|p| p.is_dir())
}

/// The sub-folders of `folder`, in natural order, whose name `keep` accepts.
///
/// # Errors
/// The folder can't be read.
pub fn sub_folders(folder: &Path, keep: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, CollectionError> {
    let io = |source| CollectionError::Io { path: folder.to_owned(), source };
    let mut folders = Vec::new();
    for item in std::fs::read_dir(folder).map_err(io)? {
        let item = item.map_err(io)?;
        let name = item.file_name().to_string_lossy().into_owned();
        if item.path().is_dir() && keep(&name) {
            folders.push((name, item.path()));
        }
    }
    folders.sort_by(|a, b| natural(&a.0, &b.0));
    Ok(folders.into_iter().map(|(_, path)| path).collect())
}
