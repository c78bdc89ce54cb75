//! `duynhat gallery stat | check`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use duynhat_engine::gallery::ColumnId;
use duynhat_engine::log::{JournalReader, verify_durable_note};
use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table, progress};
use crate::registry::Registry;
use crate::service::{Models, ReadOnly, log_dir, registry_path};

/// Looks at a data folder; may run beside its server.
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
    Check(FolderArgs),
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
        GalleryCommand::Check(args) => check(args),
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

#[derive(Serialize)]
struct Checked {
    ok: bool,
    records: u64,
    blocks: usize,
    registry_position: u64,
    pending: u64,
    damage: Vec<String>,
}

fn check(args: &FolderArgs) -> anyhow::Result<()> {
    let gallery = open(&args.data)?;
    let snapshot = &gallery.snapshot;
    let mut damage = Vec::new();
    damage.extend(verify_durable_note(&log_dir(&args.data)).err().map(|e| e.to_string()));
    let mut records = 0;
    for record in JournalReader::open(&log_dir(&args.data), 1)? {
        match record {
            Ok(_) => records += 1,
            Err(error) => damage.push(error.to_string()),
        }
    }
    let bar = progress(snapshot.block_count() as u64, "checking");
    for block in snapshot.blocks() {
        if let Err(error) = block.verify(snapshot.face_models()) {
            damage.push(error.to_string());
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (mut registry_position, mut pending) = (0, 0);
    let path = registry_path(&args.data);
    if path.exists() {
        match Registry::open_read_only(&path).and_then(|r| Ok((r.applied()?, r.counts()?.1))) {
            Ok((applied, waiting)) => (registry_position, pending) = (applied, waiting),
            Err(error) => damage.push(format!("{}: {error}", path.display())),
        }
    }
    let checked =
        Checked { ok: damage.is_empty(), records, blocks: snapshot.block_count(), registry_position, pending, damage };
    if args.json {
        print_json(&checked)?;
    } else {
        print_table(&[
            vec!["log records read".into(), grouped(checked.records)],
            vec!["blocks verified".into(), grouped(checked.blocks as u64)],
            vec!["registry at position".into(), grouped(checked.registry_position)],
            vec!["checks pending".into(), grouped(checked.pending)],
        ]);
        checked.damage.iter().for_each(|d| println!("DAMAGE: {d}"));
    }
    if checked.ok {
        if !args.json {
            println!("no damage found");
        }
        return Ok(());
    }
    anyhow::bail!("{} damaged places", checked.damage.len())
}
