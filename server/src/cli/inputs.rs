//! What several commands read: folders of finger templates by pattern, single files, embeddings.

use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_datasets::collection::{Collection, Pattern};
use duynhat_engine::template::codec::{FaceRows, decode_face_npy};
use duynhat_engine::template::{DecodeOptions, Extractor, FingerPosition, FingerTemplate, decode};

use super::BadInput;

/// The pattern of file names when none is given.
pub const PATTERN_DEFAULT: &str = "{subject}_{finger}_{impression}.iso";

/// Impression numbers from `FIRST-LAST` or `N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impressions {
    first: u32,
    last: u32,
}

impl Impressions {
    /// For clap.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |t: &str| t.parse::<u32>().map_err(|_| format!("`{t}` is not a number; expected N or FIRST-LAST"));
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        if first > last {
            return Err(format!("{first} comes after {last}"));
        }
        Ok(Self { first, last })
    }

    /// Whether the impression is wanted; a name that says no impression counts as 1.
    pub fn wants(self, impression: Option<u32>) -> bool {
        (self.first..=self.last).contains(&impression.unwrap_or(1))
    }
}

/// A template from a folder.
pub struct FileTemplate {
    /// The file.
    pub path: PathBuf,
    /// What the file's name says.
    pub subject: String,
    /// What the file's name says; 1 when it says nothing.
    pub impression: u32,
    /// The print.
    pub template: FingerTemplate,
}

/// The templates of a folder, in the natural order of their names, and how many could not be decoded.
///
/// # Errors
/// A folder that can't be read, a pattern that nothing fits. A file that is refused is reported on stderr.
pub fn read_folder(
    folder: &Path,
    pattern: &str,
    impressions: Option<Impressions>,
    extractor: &Extractor,
) -> anyhow::Result<(Vec<FileTemplate>, usize)> {
    let pattern = Pattern::parse(pattern).map_err(|e| BadInput::error(format!("--pattern: {e}")))?;
    let mut collection = Collection::open(folder, &pattern).map_err(|e| BadInput::error(e.to_string()))?;
    collection.entries.retain(|e| impressions.is_none_or(|i| i.wants(e.name.impression)));
    let options = DecodeOptions { extractor: extractor.clone(), ..DecodeOptions::default() };
    let decoded = collection.load(|_, bytes| decode(bytes, &options))?;
    let mut templates = Vec::new();
    let mut refused = 0;
    for (entry, record) in collection.entries.iter().zip(decoded) {
        match record {
            Err(error) => {
                refused += 1;
                eprintln!("{}: refused: {error}", entry.path.display());
            }
            Ok(record) => {
                for view in record.views {
                    let mut template = view.template;
                    if template.position == FingerPosition::UNKNOWN
                        && let Some(finger) = &entry.name.finger
                    {
                        template.position = position(finger, &entry.path)?;
                    }
                    templates.push(FileTemplate {
                        path: entry.path.clone(),
                        subject: entry.name.subject.clone(),
                        impression: entry.name.impression.unwrap_or(1),
                        template,
                    });
                }
            }
        }
    }
    Ok((templates, refused))
}

fn position(finger: &str, path: &Path) -> anyhow::Result<FingerPosition> {
    let code = finger.parse().ok().and_then(FingerPosition::new);
    code.ok_or_else(|| {
        BadInput::error(format!("{}: {{finger}} is `{finger}`; expected a position from 0 to 10", path.display()))
    })
}

/// The prints of one file; every view is one.
///
/// # Errors
/// The file can't be read, or is refused: why.
pub fn read_file(path: &Path, extractor: &Extractor) -> anyhow::Result<Vec<FingerTemplate>> {
    let bytes = read_bytes(path, 1 << 20)?;
    let options = DecodeOptions { extractor: extractor.clone(), ..DecodeOptions::default() };
    let record = decode(&bytes, &options).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))?;
    Ok(record.views.into_iter().map(|v| v.template).collect())
}

/// Rows of embeddings.
///
/// # Errors
/// The file can't be read, or is not an array of 32-bit floats: why.
pub fn read_faces(path: &Path) -> anyhow::Result<FaceRows> {
    let bytes = read_bytes(path, 64 << 30)?;
    decode_face_npy(&bytes).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))
}

/// A whole file, if it is not longer than `bytes_max`.
///
/// # Errors
/// It can't be read, or is too long.
pub fn read_bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    let length = std::fs::metadata(path).map_err(|e| BadInput::error(format!("{}: {e}", path.display())))?.len();
    if length > bytes_max {
        return Err(BadInput::error(format!("{}: {length} bytes; at most {bytes_max} are read", path.display())));
    }
    std::fs::read(path).with_context(|| path.display().to_string())
}

/// For clap.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_extractor(text: &str) -> Result<Extractor, String> {
    Extractor::new(text).map_err(|e| e.to_string())
}
