//! `duynhat gallery check`.

use std::path::{Path, PathBuf};

use duynhat_engine::log::{Event, JournalReader, RegistryDigest, verify_durable_note};
use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table, progress};
use crate::registry::{Registry, RegistryError};
use crate::service::{Folder, Models, Remake, log_dir, registry_path};

/// Reads everything and verifies every checksum and structure.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Make damaged columns and a damaged registry anew from the log, and say what was done. The log itself is never
    /// repaired.
    #[arg(long)]
    repair: bool,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
struct Checked {
    ok: bool,
    records: u64,
    redacted: u64,
    blocks: usize,
    registry_position: u64,
    registry_rows: u64,
    pending: u64,
    erasures_pending: u64,
    damage: Vec<String>,
    repaired: Vec<String>,
    warnings: Vec<String>,
}

/// What is damaged.
#[derive(Default)]
struct Found {
    log: Vec<String>,
    gallery: Vec<String>,
    registry: Vec<String>,
}

/// Checks, and repairs what was asked for.
///
/// # Errors
/// No gallery there (exit code 2), damage with file and offset that was not repaired (exit code 1).
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let (mut checked, found) = look(&args.data, &models)?;
    checked.damage = [&found.log[..], &found.gallery, &found.registry].concat();
    if args.repair && !checked.damage.is_empty() {
        if !found.log.is_empty() {
            print(args, &checked)?;
            anyhow::bail!("the journal is damaged: it is the truth, and nothing can give it back but a backup");
        }
        let remake = Remake {
            gallery: !found.gallery.is_empty(),
            registry: !found.registry.is_empty(),
            face_basis: false,
            model: false,
        };
        Folder::open_and(&args.data, models.model, models.cohort, remake)?.close()?;
        let (mut again, left) = look(&args.data, &models)?;
        let made = [(remake.gallery, "gallery/"), (remake.registry, "registry.sqlite")];
        let made = made.iter().filter(|(made, _)| *made).map(|(_, what)| format!("{what} was made again from the log"));
        again.repaired = checked.damage.into_iter().chain(made).collect();
        again.damage = [left.log, left.gallery, left.registry].concat();
        checked = again;
    }
    checked.ok = checked.damage.is_empty();
    print(args, &checked)?;
    if checked.ok { Ok(()) } else { anyhow::bail!("{} damaged places", checked.damage.len()) }
}

fn print(args: &CheckArgs, checked: &Checked) -> anyhow::Result<()> {
    if args.json {
        return print_json(checked);
    }
    print_table(&[
        vec!["log records read".into(), grouped(checked.records)],
        vec!["of these redacted".into(), grouped(checked.redacted)],
        vec!["blocks verified".into(), grouped(checked.blocks as u64)],
        vec!["registry at position".into(), grouped(checked.registry_position)],
        vec!["registry rows verified".into(), grouped(checked.registry_rows)],
        vec!["checks pending".into(), grouped(checked.pending)],
        vec!["erasures pending".into(), grouped(checked.erasures_pending)],
    ]);
    checked.warnings.iter().for_each(|w| println!("warning: {w}"));
    checked.repaired.iter().for_each(|r| println!("repaired: {r}"));
    checked.damage.iter().for_each(|d| println!("DAMAGE: {d}"));
    if checked.damage.is_empty() {
        println!("no damage {}", if checked.repaired.is_empty() { "found" } else { "left" });
    }
    Ok(())
}

fn look(data: &Path, models: &Models) -> anyhow::Result<(Checked, Found)> {
    let (mut checked, mut found) = (Checked::default(), Found::default());
    let logs = log_dir(data);
    let reader = JournalReader::open(&logs, 1).map_err(|_| {
        BadInput::error(format!("{}: no journal there; is {} a data folder?", logs.display(), data.display()))
    })?;
    found.log.extend(verify_durable_note(&logs).err().map(|e| e.to_string()));
    let mut digests: Vec<(u64, RegistryDigest)> = Vec::new();
    for record in reader {
        match record {
            Ok(record) => {
                checked.records += 1;
                match record.event {
                    Event::Redacted(_) => checked.redacted += 1,
                    Event::RegistryDigest(digest) => digests.push((record.position, digest)),
                    _ => {}
                }
            }
            Err(error) => found.log.push(error.to_string()),
        }
    }
    if found.log.is_empty() {
        match super::open_folder(data, models) {
            Ok(gallery) => {
                let snapshot = &gallery.snapshot;
                checked.blocks = snapshot.block_count();
                let bar = progress(checked.blocks as u64, "checking");
                for block in snapshot.blocks() {
                    if let Err(error) = block.verify(snapshot.face_models()) {
                        found.gallery.push(error.to_string());
                    }
                    bar.inc(1);
                }
                bar.finish_and_clear();
            }
            Err(error) if error.chain().any(super::is_bad_input) => return Err(error),
            Err(error) => found.gallery.push(format!("{error:#}")),
        }
    }
    let path = registry_path(data);
    if path.exists() {
        let registry = Registry::open_read_only(&path).and_then(|r| look_at_registry(&r, &digests, &mut checked));
        if let Err(error) = registry {
            found.registry.push(format!("{}: {error}", path.display()));
        }
    }
    checked.warnings.extend(super::at_rest::warning(data));
    Ok((checked, found))
}

fn look_at_registry(
    registry: &Registry,
    digests: &[(u64, RegistryDigest)],
    checked: &mut Checked,
) -> Result<(), RegistryError> {
    checked.registry_position = registry.applied()?;
    checked.registry_rows = registry.verify()?.rows;
    checked.pending = registry.counts()?.1;
    checked.erasures_pending = registry.erasure_counts()?.1;
    for (position, digest) in digests {
        if !registry.agrees_with(digest)? {
            return Err(RegistryError::Damaged(format!(
                "not the content that the log recorded at position {position}"
            )));
        }
    }
    Ok(())
}
