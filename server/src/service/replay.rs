//! Past decisions made again from the log: to see that they come out the same, byte for byte, or what another policy would
//! have made of them.
//!
//! The log is folded anew, in a folder of its own, and stopped at every position that a decision saw; there the
//! decision is made again by the same code. Every decision says which position that was.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};

use duynhat_engine::decision::Policy;
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::finger::Cohort;
use duynhat_engine::gallery::{Gallery, GalleryError};
use duynhat_engine::log::projection::{self, Applicable, ProjectionError};
use duynhat_engine::log::{Event, JournalReader, LogError, Record, Submitted};
use duynhat_engine::template::Outcome;

use super::decide::Job;
use super::key::PseudonymKey;
use super::{CheckDocument, Models, Shared, gallery_dir, job_of, judge_capture, log_dir, registry_path};
use crate::registry::{Registry, RegistryError};

/// Records folded at a time at most.
const BATCH: usize = 1_024;

/// What the past decisions are made again for.
pub enum ReplayMode {
    /// By the policy that held: they must come out the same.
    Same,
    /// By another policy, as if it had held.
    Shadow(Box<Policy>),
}

/// How to make decisions again.
pub struct ReplayOptions {
    /// What for.
    pub mode: ReplayMode,
    /// Threads.
    pub threads: usize,
    /// Decisions from this log position on.
    pub from: u64,
    /// And up to this one.
    pub until: u64,
}

/// One decision made again.
pub struct Again {
    /// Position of the decision.
    pub position: u64,
    /// As it was recorded.
    pub recorded: CheckDocument,
    /// As it comes out now.
    pub again: CheckDocument,
    /// Whether the two documents are the same bytes, but for the time that each took.
    pub same: bool,
    /// Whether the log says, as the document does, that another fingerprint model or calibration than this build's held
    /// then, so that it can't be the same.
    pub other_models: bool,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Decisions made again.
    pub decisions: u64,
    /// Of these, with the same document.
    pub same: u64,
    /// Of these, with the same outcome.
    pub same_outcome: u64,
    /// Of these, recorded by another fingerprint model or calibration than this build's.
    pub other_models: u64,
    /// Of those, with the same outcome.
    pub other_models_same_outcome: u64,
    /// Log records folded.
    pub records: u64,
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The gallery made anew.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
    /// Folding.
    #[error(transparent)]
    Projection(#[from] ProjectionError),
    /// The registry made anew.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The folder to work in, or the key.
    #[error("replay: {0}")]
    Io(#[from] std::io::Error),
    /// The log holds what this build cannot have written.
    #[error("log position {position}: {what}")]
    Record {
        /// Where.
        position: u64,
        /// What is wrong.
        what: String,
    },
}

/// A decision that is to be made again.
struct Due {
    seen: u64,
    position: u64,
    submitted: u64,
}

/// Makes the decisions of `data`'s log again, in a folder `work` that must be empty, and shows each to `visit` in the order of
/// the positions that they saw.
///
/// # Errors
/// See [`ReplayError`]; a decision that comes out differently is none.
pub fn replay(
    data: &Path,
    work: &Path,
    models: Models,
    options: &ReplayOptions,
    mut visit: impl FnMut(&Again),
) -> Result<Replayed, ReplayError> {
    let due = due(data, options)?;
    let mut last_use: HashMap<u64, u64> = HashMap::new();
    for decision in &due {
        last_use.insert(decision.submitted, decision.seen);
    }
    let mut fold = Fold::new(data, work, models, options)?;
    let mut submissions: BTreeMap<u64, Submitted> = BTreeMap::new();
    let mut reader = JournalReader::open(&log_dir(data), 1)?.peekable();
    let mut replayed = Replayed::default();
    let mut at = 0;
    for decision in &due {
        while at < decision.seen {
            let mut records = Vec::new();
            while records.len() < BATCH && at < decision.seen {
                let Some(record) = reader.next().transpose()? else {
                    let what = "the log ends before it".to_owned();
                    return Err(ReplayError::Record { position: decision.seen, what });
                };
                at = record.position;
                if let Event::Submitted(submitted) = &record.event
                    && last_use.contains_key(&at)
                {
                    submissions.insert(at, submitted.clone());
                }
                records.push(record);
            }
            replayed.records += records.len() as u64;
            fold.apply(records, options)?;
        }
        let missing =
            || ReplayError::Record { position: decision.position, what: "its submission is not there".into() };
        let submitted = submissions.get(&decision.submitted).ok_or_else(missing)?;
        let again = fold.decide(data, decision, submitted, options)?;
        replayed.decisions += 1;
        replayed.same += u64::from(again.same);
        let same_outcome = again.again.decision == again.recorded.decision;
        replayed.same_outcome += u64::from(same_outcome);
        replayed.other_models += u64::from(again.other_models);
        replayed.other_models_same_outcome += u64::from(again.other_models && same_outcome);
        visit(&again);
        submissions.retain(|position, _| last_use.get(position).is_some_and(|last| *last >= decision.seen));
    }
    Ok(replayed)
}

/// Every decision in the range, by the position that it saw.
fn due(data: &Path, options: &ReplayOptions) -> Result<Vec<Due>, ReplayError> {
    let mut due = Vec::new();
    for record in JournalReader::open(&log_dir(data), options.from.max(1))? {
        let record = record?;
        if record.position > options.until {
            break;
        }
        if let Event::Decided(decided) = &record.event {
            due.push(Due { seen: decided.seen, position: record.position, submitted: decided.submitted });
        }
    }
    due.sort_by_key(|d| (d.seen, d.position));
    Ok(due)
}

/// The state at one log position, and everything that it takes to decide on it.
struct Fold {
    shared: Shared,
    gallery: Gallery,
    registry: Registry,
    /// The fingerprint model and the calibration that the log says hold; old logs do not say which calibration.
    held: (String, Option<String>),
    recorded: Option<(u64, JournalReader)>,
}

impl Fold {
    fn new(data: &Path, work: &Path, models: Models, options: &ReplayOptions) -> Result<Self, ReplayError> {
        let (id, model) = match JournalReader::open(&log_dir(data), 1)?.next().transpose()? {
            Some(Record { event: Event::Created(created), .. }) => (created.gallery, created.finger_model),
            _ => return Err(ReplayError::Record { position: 1, what: "not the gallery's creation".into() }),
        };
        let gallery = Gallery::open(&gallery_dir(work), id, models.model.into(), true)?;
        let registry = Registry::open(&registry_path(work), id)?;
        let pool = || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
            pool.map_err(std::io::Error::other)
        };
        let policy = match &options.mode {
            ReplayMode::Same => Policy::default(),
            ReplayMode::Shadow(policy) => (**policy).clone(),
        };
        let cohort = arc_swap::ArcSwap::from_pointee(models.cohort.clone());
        let shared = Shared {
            dir: work.to_owned(),
            models,
            policy,
            pool: pool()?,
            writer_pool: pool()?,
            published: gallery.published(),
            cohort,
            registry: Mutex::new(Registry::open(&registry_path(work), id)?),
            readers: Mutex::default(),
            key: PseudonymKey::open(&work.join("identity.key"))?,
            position: AtomicU64::new(0),
            pending: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            damage: super::maintenance::Damage::default(),
        };
        Ok(Self { shared, gallery, registry, held: (model, None), recorded: None })
    }

    fn apply(&mut self, records: Vec<Record>, options: &ReplayOptions) -> Result<(), ReplayError> {
        let Some(last) = records.last().map(|r| r.position) else { return Ok(()) };
        for record in &records {
            if let Event::ModelAdopted(adopted) = &record.event {
                self.held.0.clone_from(&adopted.finger_model);
            }
            if let Event::PolicyAdopted(adopted) = &record.event {
                self.held.1 = Some(adopted.calibration.clone());
                let wrong = |what: String| ReplayError::Record { position: record.position, what };
                if matches!(options.mode, ReplayMode::Same) {
                    self.shared.policy = Policy::from_toml(&adopted.policy).map_err(|e| wrong(e.to_string()))?;
                }
                let faces = match adopted.face_calibration.as_str() {
                    "" => FaceCalibration::shipped().clone(),
                    text => FaceCalibration::from_json(text.as_bytes()).map_err(|e| wrong(e.to_string()))?,
                };
                self.shared.models.set_faces(faces);
            }
        }
        self.registry.apply(&records)?;
        let models = &self.shared.models;
        let mut cohort = Cohort::clone(&self.shared.cohort.load());
        let prepare = || Applicable::prepare(records, models.model, &mut cohort);
        let applicable = self.shared.pool.install(prepare)?;
        self.shared.cohort.store(std::sync::Arc::new(cohort));
        let gallery = &mut self.gallery;
        self.shared.pool.install(|| projection::apply(gallery, applicable))?;
        self.gallery.publish(last);
        if self.gallery.wants_flush() {
            self.gallery.flush(last)?;
        }
        Ok(())
    }

    fn decide(
        &mut self,
        data: &Path,
        due: &Due,
        submitted: &Submitted,
        options: &ReplayOptions,
    ) -> Result<Again, ReplayError> {
        let wrong = |what: String| ReplayError::Record { position: due.position, what };
        let shared = &self.shared;
        let mut job: Job = job_of(shared, due.submitted, submitted).map_err(|e| wrong(e.to_string()))?;
        if matches!(options.mode, ReplayMode::Shadow(_)) {
            // The gates are part of the policy.
            let biometrics = submitted.biometrics.restore().map_err(|e| wrong(e.to_string()))?;
            let cohort = shared.cohort.load();
            let prepared = duynhat_engine::gallery::Prepared::new(shared.models.model, &cohort, &biometrics);
            job.findings = judge_capture(shared, submitted.purpose, submitted.age, &biometrics, &prepared);
        }
        let (mut again, _) = shared.pool.install(|| job.decide(shared)).map_err(|e| wrong(e.to_string()))?;
        let mut bytes = self.recorded(data, due)?;
        let mut recorded: CheckDocument = simd_json::serde::from_slice(&mut bytes).map_err(|e| wrong(e.to_string()))?;
        let (models, (model, calibration)) = (&self.shared.models, &self.held);
        let other_models = recorded.basis.as_ref().is_some_and(|basis| {
            let other = basis.model != models.model.id() || basis.calibration != models.calibration.id();
            other && basis.model == *model && calibration.as_ref().is_none_or(|held| basis.calibration == *held)
        });
        // The one thing that may differ.
        let took_ms = std::mem::take(&mut recorded.took_ms);
        again.took_ms = 0.0;
        let text = |document: &CheckDocument| simd_json::serde::to_vec(document).unwrap_or_default();
        let same = text(&recorded) == text(&again);
        recorded.took_ms = took_ms;
        Ok(Again { position: due.position, recorded, again, same, other_models })
    }

    /// The document as it was recorded. Decisions come nearly in the order of the log, so the reader goes on where it was.
    fn recorded(&mut self, data: &Path, due: &Due) -> Result<Vec<u8>, ReplayError> {
        let (next, mut reader) = match self.recorded.take() {
            Some((next, reader)) if next <= due.position && due.position - next < 4_096 => (next, reader),
            _ => (due.position, JournalReader::open(&log_dir(data), due.position)?),
        };
        let skip = usize::try_from(due.position - next).unwrap_or(usize::MAX);
        let record = reader.nth(skip).transpose()?;
        self.recorded = Some((due.position + 1, reader));
        match record {
            Some(Record { event: Event::Decided(decided), position }) if position == due.position => {
                debug_assert!(decided.outcome != Outcome::Clear || decided.submitted == due.submitted);
                Ok(decided.document.0)
            }
            _ => Err(ReplayError::Record { position: due.position, what: "not a decision any more".into() }),
        }
    }
}
