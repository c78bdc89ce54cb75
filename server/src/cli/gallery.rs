//! `duynhat gallery`: looks at a data folder, and looks after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use duynhat_engine::gallery::ColumnId;
use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table};
use crate::service::{Models, ReadOnly, log_dir};

/// Looks at a data folder and looks after it.
#[derive(clap::Args, Debug)]
pub struct GalleryArgs {
    #[command(subcommand)]
    command: GalleryCommand,
}

#[derive(clap::Subcommand, Debug)]
enum GalleryCommand {
    /// What there is: references, columns, bytes.
    Stat(FolderArgs),
    /// Reads everything and verifies every checksum and structure.
    Check(super::check::CheckArgs),
    /// Throws the columns and the registry away and makes them from the log.
    Rebuild(super::upkeep::RebuildArgs),
    /// Writes stripes anew without the data of withdrawn and erased references.
    Compact(super::upkeep::CompactArgs),
    /// Makes one more generation of a backup.
    Backup(super::backup::BackupArgs),
    /// Puts a backup into a new data folder.
    Restore(super::backup::RestoreArgs),
    /// Writes every live reference as one JSON document a line.
    Export(super::export::ExportArgs),
    /// Learns from the gallery's own prints what strangers score, for whoever is enrolled from now on.
    FreezeCohort(super::cohort::FreezeArgs),
    /// Says which erasures wait to be carried out; with --now carries them out.
    Erase(super::upkeep::EraseArgs),
}

#[derive(clap::Args, Debug)]
struct FolderArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// No gallery there (exit code 2), damage with file and offset (exit code 1).
pub fn run(args: &GalleryArgs) -> anyhow::Result<()> {
    match &args.command {
        GalleryCommand::Stat(args) => stat(args),
        GalleryCommand::Check(args) => super::check::run(args),
        GalleryCommand::Rebuild(args) => super::upkeep::rebuild(args),
        GalleryCommand::Compact(args) => super::upkeep::compact(args),
        GalleryCommand::Backup(args) => super::backup::make(args),
        GalleryCommand::Restore(args) => super::backup::restore(args),
        GalleryCommand::Export(args) => super::export::run(args),
        GalleryCommand::FreezeCohort(args) => super::cohort::freeze(args),
        GalleryCommand::Erase(args) => super::upkeep::erase(args),
    }
}

fn open(data: &Path) -> anyhow::Result<ReadOnly> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    super::open_folder(data, &models)
}

#[derive(Serialize)]
struct Stat {
    log_position: u64,
    references: u64,
    withdrawn: u64,
    blocks: usize,
    face_models: Vec<String>,
    log_bytes: u64,
    column_bytes: BTreeMap<String, u64>,
    bytes_per_reference: f64,
}

fn stat(args: &FolderArgs) -> anyhow::Result<()> {
    let gallery = open(&args.data)?;
    let snapshot = &gallery.snapshot;
    let mut columns: BTreeMap<ColumnId, u64> = BTreeMap::new();
    for block in snapshot.blocks() {
        for (id, bytes) in block.column_bytes() {
            *columns.entry(id).or_default() += bytes;
        }
    }
    let total: u64 = columns.values().sum();
    let mut log_bytes = 0;
    for entry in std::fs::read_dir(log_dir(&args.data))? {
        log_bytes += entry?.metadata()?.len();
    }
    let stat = Stat {
        log_position: gallery.position,
        references: snapshot.live(),
        withdrawn: snapshot.overlay().withdrawn(),
        blocks: snapshot.block_count(),
        face_models: snapshot.face_models().iter().map(|m| format!("{} ({}-d)", m.name(), m.dimension())).collect(),
        log_bytes,
        column_bytes: columns.into_iter().map(|(id, bytes)| (id.file_name(), bytes)).collect(),
        bytes_per_reference: (total as f64 / snapshot.rows().max(1) as f64 * 10.0).round() / 10.0,
    };
    if args.json {
        return print_json(&stat);
    }
    let mut table = vec![
        vec!["log position".into(), grouped(stat.log_position)],
        vec!["log bytes".into(), grouped(stat.log_bytes)],
        vec!["references".into(), grouped(stat.references)],
        vec!["withdrawn".into(), grouped(stat.withdrawn)],
        vec!["blocks".into(), grouped(stat.blocks as u64)],
        vec!["face models".into(), stat.face_models.join(", ")],
        vec!["bytes per reference".into(), stat.bytes_per_reference.to_string()],
    ];
    table.extend(stat.column_bytes.iter().map(|(name, bytes)| vec![name.clone(), grouped(*bytes)]));
    print_table(&table);
    Ok(())
}
