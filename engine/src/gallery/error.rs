//! What can go wrong with a gallery.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::CodecError;

/// Damage, the medium, and a wrong use are different things.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GalleryError {
    /// A file is not what was recorded of it.
    #[error("{}: damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process writes this gallery.
    #[error("{}: another process has this data folder open for writing", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// No gallery there.
    #[error("{}: no gallery there", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The gallery was made with another fingerprint model.
    #[error("the gallery was made with fingerprint model {found}; this build has {expected}")]
    Model {
        /// This build's.
        expected: String,
        /// The gallery's.
        found: String,
    },
    /// The files belong to another gallery than the log.
    #[error("{}: belongs to another gallery than the log beside it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A limit was reached.
    #[error("{0}")]
    Limit(String),
    /// A record could not be encoded.
    #[error("could not be encoded: {0}")]
    Encode(#[from] CodecError),
}

impl GalleryError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), offset, what: what.into() }
    }
}
