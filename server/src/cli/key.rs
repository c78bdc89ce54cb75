//! `duynhat key`: the key file of journal, backups and exports.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use duynhat_engine::storage::{StorageKey, key_in_use, use_key};

use super::BadInput;

/// The variable that names a key file when `--key-file` does not.
pub const KEY_FILE_VARIABLE: &str = "DUYNHAT_KEY_FILE";

/// Makes a key file, or opens what was sealed under one.
#[derive(clap::Args, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(clap::Subcommand, Debug)]
enum KeyCommand {
    /// Makes a key file that only its owner can read. Without it nothing that is sealed under it can ever be read.
    New {
        /// The file; must not be there.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Opens an export that was sealed under the key file.
    Open {
        /// The sealed file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Where to; must not be there.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Gives this process the key of `--key-file` or of `DUYNHAT_KEY_FILE`, when there is one.
///
/// # Errors
/// Not a key file, or one that others may read (exit code 2).
pub fn take(option: Option<&Path>) -> anyhow::Result<()> {
    let named = std::env::var_os(KEY_FILE_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    let Some(path) = option.map(Path::to_owned).or(named) else { return Ok(()) };
    let bad = |what: String| BadInput::error(format!("{}: {what}", path.display()));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).map_err(|e| bad(e.to_string()))?);
    if mode & 0o077 != 0 {
        return Err(bad(format!("a key file that others may read (mode {:o}): chmod 600", mode & 0o777)));
    }
    let key = StorageKey::read(&path).map_err(|e| bad(e.to_string()))?;
    use_key(key).map_err(|_| anyhow::anyhow!("this process has a key already"))
}

/// Runs the subcommand.
///
/// # Errors
/// A file that is there already or is not what it should be (exit code 2), I/O.
pub fn run(args: &KeyArgs) -> anyhow::Result<()> {
    let create = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map_err(|e| BadInput::error(format!("{}: {e}", path.display())))
    };
    match &args.command {
        KeyCommand::New { file } => {
            let key = StorageKey::generate()?;
            let mut out = create(file)?;
            out.write_all(key.to_text().as_bytes()).and_then(|()| out.sync_all()).with_context(|| named(file))?;
            println!("{}: keep a copy where the data is not", file.display());
        }
        KeyCommand::Open { file, out } => {
            let key = key_in_use().ok_or_else(|| BadInput::error("give the key file with --key-file"))?;
            let sealed = std::fs::File::open(file).map_err(|e| BadInput::error(format!("{}: {e}", named(file))))?;
            let opened = create(out)?;
            let read = crate::sealed_file::open(std::io::BufReader::new(sealed), &key, &opened);
            if let Err(error) = read.and_then(|_| opened.sync_all()) {
                // A part of it is no export.
                let _ = std::fs::remove_file(out);
                return Err(BadInput::error(format!("{}: {error}", file.display())));
            }
        }
    }
    Ok(())
}

fn named(path: &Path) -> String {
    path.display().to_string()
}
