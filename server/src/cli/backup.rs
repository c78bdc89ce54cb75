//! `duynhat gallery backup | restore`.

use std::path::PathBuf;

use anyhow::Context;
use duynhat_engine::gallery::{FolderLock, GalleryError};
use duynhat_engine::storage::key_in_use;

use super::upkeep::exists;
use super::{BadInput, grouped, print_json, print_table};
use crate::backup::{self, BackupError, MakeOptions};

/// Makes one more generation of a backup; may run beside a server.
#[derive(clap::Args, Debug)]
pub struct BackupArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the backup lies; made when it is not there. With a key file it is encrypted.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Generations to keep; those from before an erasure that was carried out go whatever this says.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    keep: u32,
    /// Put the identity key into the backup too; only into an encrypted one.
    #[arg(long)]
    with_identity_key: bool,
    /// Read everything back and compare it with its digests.
    #[arg(long)]
    verify: bool,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Puts a backup into a new data folder.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// Where the backup lies.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The data folder; must not be there, or be empty.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Another generation than the last.
    #[arg(long, value_name = "N")]
    generation: Option<u32>,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// What the user asked for and can't have is a bad input; all else is a failure.
fn explained<T>(result: Result<T, BackupError>) -> anyhow::Result<T> {
    result.map_err(|error| match error {
        BackupError::Refused { .. } => BadInput::error(error.to_string()),
        error => error.into(),
    })
}

/// Makes a backup.
///
/// # Errors
/// No data folder there, another gallery's backup, no key (exit code 2); damage, I/O.
pub fn make(args: &BackupArgs) -> anyhow::Result<()> {
    exists(&args.data)?;
    // A server has the lock; without one nobody may begin to write meanwhile.
    let lock = match FolderLock::acquire(&args.data) {
        Ok(lock) => Some(lock),
        Err(GalleryError::Locked { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let options = MakeOptions {
        key: key_in_use(),
        keep: args.keep as usize,
        with_identity_key: args.with_identity_key,
        alone: lock.is_some(),
    };
    let made = explained(backup::make(&args.data, &args.backup, &options))?;
    drop(lock);
    if args.verify {
        explained(backup::verify(&args.backup, key_in_use(), Some(made.generation))).context("verifying")?;
    }
    if args.json {
        return print_json(&made);
    }
    let removed: Vec<String> = made.generations_removed.iter().map(u32::to_string).collect();
    print_table(&[
        vec!["generation".into(), made.generation.to_string()],
        vec!["log position".into(), grouped(made.position)],
        vec!["files".into(), grouped(made.files)],
        vec!["bytes".into(), grouped(made.bytes)],
        vec!["bytes written".into(), grouped(made.bytes_written)],
        vec!["generations removed".into(), removed.join(", ")],
    ]);
    if key_in_use().is_none() {
        println!("not encrypted: give --key-file for a backup that may leave the house");
    }
    Ok(())
}

/// Restores.
///
/// # Errors
/// No backup there, a folder that is not empty, no key (exit code 2); damage, I/O.
pub fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let restored = explained(backup::restore(&args.backup, &args.data, key_in_use(), args.generation))?;
    if args.json {
        return print_json(&restored);
    }
    print_table(&[
        vec!["generation".into(), restored.generation.to_string()],
        vec!["log position".into(), grouped(restored.position)],
        vec!["files".into(), grouped(restored.files)],
        vec!["bytes".into(), grouped(restored.bytes)],
    ]);
    if !restored.identity_key {
        println!("put keys/identity.key back before anything is started: a new one would know no identity number");
    }
    Ok(())
}
