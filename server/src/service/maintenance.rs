//! What a server does beside its work: carries out erasures in time, and reads everything again and again to find
//! damage before a search does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use duynhat_engine::gallery::Gallery;
use duynhat_engine::log::segment;
use duynhat_engine::storage::key_in_use;

use super::erasure::{carry_out, is_due};
use super::writer::{Command, internal};
use super::{Service, ServiceError, Shared, gallery_dir, log_dir, registry_path};
use crate::backup::{self, MakeOptions};
use crate::registry::Registry;

/// How often the thread looks around.
const TICK: Duration = Duration::from_millis(100);
/// How often it asks whether an erasure is due.
const ERASURES_EVERY: Duration = Duration::from_secs(30);
/// Rest after a whole round of verification.
const ROUND_PAUSE: Duration = Duration::from_secs(60);
/// How long a failed round of erasures waits before the next try.
const RETRY: Duration = Duration::from_secs(300);
/// Generations of a backup that are kept.
const KEEP: usize = 7;

/// How a server looks after its data folder.
#[derive(Clone, Debug)]
pub struct MaintenanceOptions {
    /// An erasure is carried out at the latest this long after it was ordered.
    pub erase_within: Duration,
    /// Bytes that are read again each second to verify their checksums; 0 turns it off.
    pub verify_bytes_per_s: u64,
    /// Where backups are made, if anywhere.
    pub backup: Option<PathBuf>,
    /// How often; after a round of erasures there is one more.
    pub backup_every: Duration,
}

impl Default for MaintenanceOptions {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { erase_within: day, verify_bytes_per_s: 8 << 20, backup: None, backup_every: day }
    }
}

impl Service {
    /// Starts looking after the data folder, until [`Service::close`].
    ///
    /// # Errors
    /// No thread can be started.
    pub fn look_after(&self, options: MaintenanceOptions) -> Result<(), ServiceError> {
        let (shared, sender) = (self.shared.clone(), self.sender()?);
        let thread = std::thread::Builder::new().name("maintenance".into());
        let thread = thread.spawn(move || run(&shared, &sender, &options)).map_err(internal)?;
        *self.maintenance.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// What verification has found damaged, in words, with file and offset. Once there is anything, the service answers
    /// nothing: it does not know what it would leave out.
    pub fn damage(&self) -> Vec<String> {
        self.shared.damage.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn run(shared: &Arc<Shared>, sender: &Sender<Command>, options: &MaintenanceOptions) {
    let mut next_erasures = Instant::now();
    let mut next_backup = Instant::now();
    let mut verification = Verification::default();
    while !shared.closing.load(Ordering::Acquire) {
        if Instant::now() >= next_erasures {
            next_erasures = Instant::now() + ERASURES_EVERY;
            match erase_in_time(shared, sender, options.erase_within) {
                Ok(false) => {}
                // What is erased here must leave the backup's newest generation too.
                Ok(true) => next_backup = Instant::now(),
                Err(error) => {
                    tracing::error!(%error, "erasures could not be carried out; they are tried again");
                    next_erasures = Instant::now() + RETRY;
                }
            }
        }
        if let Some(dir) = &options.backup
            && Instant::now() >= next_backup
        {
            next_backup = Instant::now() + back_up(shared, dir, options.backup_every);
        }
        let pause = if options.verify_bytes_per_s == 0 { TICK } else { verification.step(shared, options) };
        let until = Instant::now() + pause;
        while Instant::now() < until && !shared.closing.load(Ordering::Acquire) {
            let due = Instant::now() >= next_erasures;
            if due {
                break;
            }
            std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

/// Whether there was anything to carry out.
fn erase_in_time(shared: &Arc<Shared>, sender: &Sender<Command>, within: Duration) -> Result<bool, ServiceError> {
    if !is_due(shared, within)? {
        return Ok(false);
    }
    let started = Instant::now();
    let done = carry_out(shared, sender)?;
    let (orders, records, stripes) = (done.orders, done.records, done.stripes);
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(orders, records, stripes, seconds, "erasures carried out");
    Ok(true)
}

/// Makes a backup, and says when the next one is due.
fn back_up(shared: &Shared, dir: &Path, every: Duration) -> Duration {
    let options = MakeOptions { key: key_in_use(), keep: KEEP, with_identity_key: false, alone: false };
    match backup::make(&shared.dir, dir, &options) {
        Ok(made) => {
            let (generation, position, bytes_written) = (made.generation, made.position, made.bytes_written);
            tracing::info!(generation, position, bytes_written, "backup made");
            every
        }
        Err(error) => {
            tracing::error!(%error, "no backup could be made; it is tried again");
            RETRY.min(every)
        }
    }
}

/// One round after the other: the closed segments, the blocks, the tail, the registry.
#[derive(Default)]
struct Verification {
    /// The closed segment that is next, by first position.
    segment: u64,
    /// The block that is next.
    block: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Segments,
    Blocks,
    Tail,
    Registry,
}

impl Verification {
    /// Verifies one thing and says how long to rest after it.
    fn step(&mut self, shared: &Shared, options: &MaintenanceOptions) -> Duration {
        let found = match self.stage {
            Stage::Segments => self.segment(shared),
            Stage::Blocks => self.block(shared),
            Stage::Tail => self.tail(shared),
            Stage::Registry => self.registry(shared),
        };
        let bytes = found.unwrap_or_else(|what| {
            tracing::error!(damage = %what, "damage in the data folder; stop the server and run gallery check --repair");
            shared.damage.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
            0
        });
        metrics::counter!("duynhat_verified_bytes_total").increment(bytes);
        if self.stage == Stage::Segments && self.segment == 0 && bytes == 0 {
            return ROUND_PAUSE;
        }
        Duration::from_secs_f64(bytes as f64 / options.verify_bytes_per_s as f64)
    }

    fn segment(&mut self, shared: &Shared) -> Result<u64, String> {
        let from = self.segment;
        let closed = segment::closed(&log_dir(&shared.dir)).map_err(|e| e.to_string())?;
        let Some((first, path)) = closed.into_iter().find(|(first, _)| *first > from) else {
            (self.segment, self.block, self.stage) = (0, 0, Stage::Blocks);
            return Ok(1);
        };
        self.segment = first;
        segment::verify_closed(&path, first).map(|(_, bytes)| bytes).map_err(|e| e.to_string())
    }

    fn block(&mut self, shared: &Shared) -> Result<u64, String> {
        let snapshot = shared.published.load_full();
        let Some(block) = snapshot.block(self.block) else {
            self.stage = Stage::Tail;
            return Ok(1);
        };
        self.block += 1;
        block.verify_again().map_err(|e| e.to_string())
    }

    /// The partial block as it lies in its file; in memory it is another copy.
    fn tail(&mut self, shared: &Shared) -> Result<u64, String> {
        self.stage = Stage::Registry;
        Gallery::verify_tail_in(&gallery_dir(&shared.dir)).map_err(|e| e.to_string())
    }

    fn registry(&mut self, shared: &Shared) -> Result<u64, String> {
        self.stage = Stage::Segments;
        let path = registry_path(&shared.dir);
        match Registry::open_read_only(&path).and_then(|registry| registry.verify()) {
            Ok(_) => Ok(0),
            Err(error) if error.is_damage() => Err(format!("{}: {error}", path.display())),
            Err(error) => {
                tracing::warn!(%error, "the registry could not be verified");
                Ok(0)
            }
        }
    }
}

/// Damage found so far.
pub(super) type Damage = std::sync::Mutex<BTreeSet<String>>;
