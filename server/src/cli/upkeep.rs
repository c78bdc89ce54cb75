//! `duynhat gallery rebuild | compact | erase`: what changes a data folder's files and not what they say.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::{BadInput, grouped, print_json, print_table};
use crate::service::{CarriedOut, ErasureDocument, Folder, Models, Remake, Service, ServiceOptions};

/// Throws the columns and the registry away and makes them from the log.
#[derive(clap::Args, Debug)]
pub struct RebuildArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Learn the face bases anew from the references of today; they are kept as they were frozen otherwise.
    #[arg(long)]
    relearn_face_basis: bool,
    /// Where the gallery was made with another fingerprint model: make it anew with this build's, and say so in the log.
    /// Earlier builds do not read the folder any more; a frozen cohort holds no longer: freeze another.
    #[arg(long)]
    adopt_model: bool,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Writes stripes anew without the data of withdrawn and erased references.
#[derive(clap::Args, Debug)]
pub struct CompactArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Says which erasures wait to be carried out; with `--now` carries them out.
#[derive(clap::Args, Debug)]
pub struct EraseArgs {
    /// The data folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Carry them out now.
    #[arg(long)]
    now: bool,
    /// Print one JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Opens a data folder that must be there, to change it.
pub(super) fn open(data: &std::path::Path) -> anyhow::Result<Service> {
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    exists(data)?;
    Ok(Service::open(data, models, ServiceOptions::default())?)
}

pub(super) fn exists(data: &std::path::Path) -> anyhow::Result<()> {
    let logs = crate::service::log_dir(data);
    if logs.is_dir() {
        return Ok(());
    }
    Err(BadInput::error(format!("{}: no journal there; is {} a data folder?", logs.display(), data.display())))
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

#[derive(Serialize)]
struct Rebuilt {
    position: u64,
    references: u64,
    finger_model: String,
    seconds: f64,
    references_per_s: f64,
    digest_disagrees_at: Vec<u64>,
}

/// Rebuilds.
///
/// # Errors
/// No data folder there (exit code 2), another process writes it, the journal is damaged (nothing is thrown away then).
pub fn rebuild(args: &RebuildArgs) -> anyhow::Result<()> {
    exists(&args.data)?;
    let models = Models::shipped().map_err(|e| BadInput::error(e.to_string()))?;
    let started = Instant::now();
    let remake = Remake { gallery: true, registry: true, face_basis: args.relearn_face_basis, model: args.adopt_model };
    let folder = Folder::open_and(&args.data, models.model, models.cohort, remake)?;
    let (position, references) = (folder.last_position(), folder.published().load().live());
    let digest_disagrees_at = folder.disagreed().to_vec();
    folder.close()?;
    let seconds = started.elapsed().as_secs_f64();
    let references_per_s = (references as f64 / seconds.max(1e-9)).round();
    let finger_model = models.model.id().to_owned();
    let rebuilt = Rebuilt { position, references, finger_model, seconds, references_per_s, digest_disagrees_at };
    if args.json {
        print_json(&rebuilt)?;
    } else {
        print_table(&[
            vec!["log position".into(), grouped(position)],
            vec!["references".into(), grouped(references)],
            vec!["fingerprint model".into(), models.model.id().to_owned()],
            vec!["seconds".into(), format!("{seconds:.1}")],
            vec!["references per second".into(), grouped(references_per_s as u64)],
        ]);
    }
    match rebuilt.digest_disagrees_at.first() {
        None => Ok(()),
        Some(at) => anyhow::bail!(
            "the registry made from the log is not the one whose digest stands at position {at}: another build made it, or the log was changed"
        ),
    }
}

/// Compacts.
///
/// # Errors
/// No data folder there (exit code 2), another process writes it, I/O.
pub fn compact(args: &CompactArgs) -> anyhow::Result<()> {
    let service = open(&args.data)?;
    let stripes = runtime()?.block_on(async {
        let stripes = service.compact().await;
        service.close().await;
        stripes
    })?;
    if args.json {
        #[derive(Serialize)]
        struct Compacted {
            stripes: u32,
        }
        return print_json(&Compacted { stripes });
    }
    println!("{stripes} stripes written anew");
    Ok(())
}

#[derive(Serialize)]
struct Erasures {
    pending: Vec<ErasureDocument>,
    carried_out: Option<CarriedOut>,
}

/// Lists or carries out.
///
/// # Errors
/// No data folder there (exit code 2), another process writes it, I/O.
pub fn erase(args: &EraseArgs) -> anyhow::Result<()> {
    let pending = if args.now {
        let service = open(&args.data)?;
        let (carried_out, pending) = runtime()?.block_on(async {
            let carried = service.carry_out_erasures().await;
            let pending = service.erasures_pending();
            service.close().await;
            anyhow::Ok((carried?, pending?))
        })?;
        if !args.json {
            println!(
                "{} erasures carried out: {} journal records redacted, {} stripes written anew",
                carried_out.orders, carried_out.records, carried_out.stripes
            );
            return Ok(());
        }
        return print_json(&Erasures { pending, carried_out: Some(carried_out) });
    } else {
        exists(&args.data)?;
        let path = crate::service::registry_path(&args.data);
        let registry = crate::registry::Registry::open_read_only(&path)?;
        registry.erasures_pending()?
    };
    let pending: Vec<ErasureDocument> = pending.into_iter().map(|(e, _)| e.into()).collect();
    if args.json {
        return print_json(&Erasures { pending, carried_out: None });
    }
    let mut table = vec![["order", "records", "ordered by", "reason", "ordered at (ms)"].map(String::from).to_vec()];
    table.extend(pending.iter().map(|e| {
        vec![grouped(e.erasure), grouped(e.records), e.operator.clone(), e.reason.clone(), e.ordered_ms.to_string()]
    }));
    print_table(&table);
    Ok(())
}
