//! The service: log, projections and search behind one door, for HTTP and the command line alike.
//!
//! A check goes: features (pool) -> submission (writer, durable, position *s*, reference visible) -> search of every
//! live reference before *s* (pool) -> decision (writer, durable) -> answer. What was accepted is decided even when
//! nobody waits any more, and after a restart.

mod api;
mod cases;
mod cohort;
mod decide;
mod erasure;
mod explain;
mod folder;
mod growth;
mod identity;
mod key;
mod lookup;
mod maintenance;
mod replay;
mod sum;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use duynhat_engine::codec;
use duynhat_engine::decision::{Applicant, GateInput, Policy, Reason as Cause, Tails, gate};
use duynhat_engine::face::FaceCalibration;
use duynhat_engine::finger::screen::ScreenParams;
use duynhat_engine::finger::{Calibration, Cohort, Model};
use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::kernel::Isa;
use duynhat_engine::log::{Enrolled, Event, PolicyAdopted, SecondApproval, StoredBiometrics, Submitted};
use duynhat_engine::search::Probe;
use duynhat_engine::storage::{self, Storage};
use duynhat_engine::template::{Biometrics, Outcome, Purpose};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use api::*;
pub use cases::*;
pub use cohort::{LearnCohortError, LearnedCohort, learn_cohort};
pub use decide::Models;
pub(crate) use erasure::without_erased;
pub use erasure::{CarriedOut, ERASED_SUBJECT, EraseRequest, EraseTarget, ErasureDocument};
pub use explain::explain;
pub use folder::{Folder, FolderError, ReadOnly, Remake, gallery_dir, log_dir, registry_path};
pub use growth::growth_max;
pub use identity::{Date, Identity, IdentityFault, Sex};
pub use key::PseudonymKey;
pub use lookup::{identify_prepared, verify_rows};
pub use maintenance::MaintenanceOptions;
pub use replay::{Again, ReplayError, ReplayMode, ReplayOptions, Replayed, replay};

use crate::registry::{Application, Registry, Stage};
pub use crate::registry::{ExceptionRate, Minor};
use decide::Job;
use lookup::{usable, verify};
use writer::{Accepted, Command, internal};

impl Models {
    /// The models that this build ships.
    ///
    /// # Errors
    /// The forced kernel is not available on this machine.
    pub fn shipped() -> Result<Self, duynhat_engine::kernel::IsaError> {
        let model = Model::shipped();
        Ok(Self {
            model,
            cohort: Cohort::shipped(),
            calibration: Calibration::shipped(),
            tails: Tails::new(Calibration::shipped(), FaceCalibration::shipped()),
            faces: FaceCalibration::shipped().clone(),
            params: ScreenParams::of_model(model),
            isa: Isa::from_environment()?,
        })
    }
}

/// What a service may use.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Threads that extract, search and compare.
    pub threads: usize,
    /// Checks that may wait for a decision; one more is refused.
    pub pending_max: usize,
    /// The decision policy from here on; `None` for the one that the log says was adopted last, or the shipped one.
    pub policy: Option<Policy>,
    /// The face calibration from here on; `None` as for the policy.
    pub face_calibration: Option<FaceCalibration>,
    /// Where journal and gallery lie; tests put faults here.
    pub storage: Arc<dyn Storage>,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { threads, pending_max: 512, policy: None, face_calibration: None, storage: storage::disk() }
    }
}

/// What the service's threads share.
pub(crate) struct Shared {
    dir: PathBuf,
    models: Models,
    policy: Policy,
    pool: rayon::ThreadPool,
    /// Lays out columns for the writer, so that it never queues behind searches.
    writer_pool: rayon::ThreadPool,
    published: Arc<ArcSwap<Snapshot>>,
    /// In force at the log's end; what is prepared by an older one is levelled anew where its place in the log is known.
    cohort: ArcSwap<Cohort>,
    registry: Mutex<Registry>,
    /// Connections for decisions, one each at a time.
    readers: Mutex<Vec<Registry>>,
    key: PseudonymKey,
    position: AtomicU64,
    pending: AtomicU64,
    stopped: AtomicBool,
    closing: AtomicBool,
    disk_full: AtomicBool,
    damage: maintenance::Damage,
}

impl Shared {
    fn is_damaged(&self) -> bool {
        !self.damage.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        // A reader that panicked leaves a connection that is as good as before.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub struct Service {
    shared: Arc<Shared>,
    commands: Mutex<Option<Sender<Command>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    maintenance: Mutex<Option<std::thread::JoinHandle<()>>>,
    permits: Arc<Semaphore>,
    pending_max: usize,
}

impl Service {
    /// Opens a data folder, making it when it is not there, and goes on with the checks that wait for a decision.
    ///
    /// # Errors
    /// Another process has it, damage with file and offset, I/O.
    pub fn open(dir: &Path, mut models: Models, options: ServiceOptions) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: dir.to_owned(), source };
        let pool = |name: &'static str| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(options.threads)
                .thread_name(move |n| format!("{name}-{n}"))
                .build()
                .map_err(|e| io(std::io::Error::other(e)))
        };
        let (pool, writer_pool) = (pool("search")?, pool("layout")?);
        let storage = options.storage.clone();
        let remake = Remake::default();
        let mut folder = pool.install(|| Folder::open_in(storage, dir, models.model, models.cohort, remake))?;
        models.set_cohort(folder.cohort());
        let policy = adopt(&mut folder, &mut models, &options)?;
        let registry = Registry::open_to_read(&registry_path(dir), folder.gallery_id())?;
        let pending = registry.pending()?;
        let key = PseudonymKey::open(&dir.join("keys").join("identity.key")).map_err(io)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            models,
            policy,
            pool,
            writer_pool,
            published: folder.published(),
            cohort: ArcSwap::from_pointee(folder.cohort().clone()),
            registry: Mutex::new(registry),
            readers: Mutex::default(),
            key,
            position: AtomicU64::new(folder.last_position()),
            pending: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            damage: maintenance::Damage::default(),
        });
        let (commands, receiver) = channel();
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || writer::run(folder, &for_writer, &receiver))
            .map_err(io)?;
        let service = Self {
            shared,
            commands: Mutex::new(Some(commands)),
            writer: Mutex::new(Some(writer)),
            maintenance: Mutex::new(None),
            permits: Arc::new(Semaphore::new(options.pending_max)),
            pending_max: options.pending_max,
        };
        service.again(&pending);
        Ok(service)
    }

    /// Asks a check, and waits up to `wait` for the decision; after that the answer says `pending`.
    ///
    /// # Errors
    /// See [`ServiceError`]. After an error other than [`ServiceError::Internal`] nothing was written.
    pub async fn check(&self, submission: Submission, wait: Duration) -> Result<CheckDocument, ServiceError> {
        let deadline = Instant::now() + wait;
        self.accepting()?;
        let permit = self.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ServiceError::Overloaded { retry_after_s: 1 })?;
        let request = self.digest(&submission);
        let application = submission.application.clone();
        let shared = self.shared.clone();
        let (submitted, prepared, job) = self.on_pool(move || build(&shared, submission, request)).await??;
        let accepted = self
            .command(|reply| Command::Submit { submitted: Box::new(submitted), prepared: Some(prepared), reply })
            .await?;
        match accepted {
            Accepted::Known(known) => self.stand(self.known(&application, known, deadline).await?),
            Accepted::New { position, again } => {
                self.again(&again);
                let pending = pending_document(&application, position);
                let answer = self.start(Job { position, ..job }, permit)?;
                match tokio::time::timeout_at(deadline.into(), answer).await {
                    Ok(Ok(result)) => self.stand(result?),
                    Ok(Err(_)) => Err(ServiceError::Internal),
                    Err(_) => self.stand(pending),
                }
            }
        }
    }

    /// The answer to an application as it stands.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn document(&self, application: &str) -> Result<CheckDocument, ServiceError> {
        let registry = self.shared.registry();
        let Some(found) = registry.application(application).map_err(internal)? else {
            let code = self.shared.key.pseudonym_of_name("application", application);
            let erased = registry.erasure_by_application(&code).map_err(internal)?.is_some();
            let what = "application";
            return Err(if erased { ServiceError::Erased { what } } else { ServiceError::NotFound { what } });
        };
        let mut document = render(application, found)?;
        erasure::say_what_is_erased(&mut document, &registry)?;
        drop(registry);
        self.stand(document)
    }

    /// Takes an application back. It leaves no reference, and checks that rested on it are decided anew.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or the log cannot be written.
    pub async fn withdraw(&self, application: &str) -> Result<CheckDocument, ServiceError> {
        self.accepting()?;
        let code = application.to_owned();
        let again = self.command(|reply| Command::Withdraw { application: code, reply }).await?;
        self.again(&again);
        self.document(application).await
    }

    /// A second person says whether a check's missing fingers may pass; it is decided anew.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::State`] when no approval is waited for, one was given, or the operator
    /// is the one who submitted the check.
    pub async fn approve(
        &self,
        application: &str,
        operator: &str,
        approved: bool,
    ) -> Result<CheckDocument, ServiceError> {
        self.accepting()?;
        let state = |text: &str| Err(ServiceError::State(text.to_owned()));
        let found = self.shared.registry().application(application).map_err(internal)?;
        let found = found.ok_or(ServiceError::NotFound { what: "application" })?;
        let position = found.position;
        let document = render(application, found)?;
        if self.shared.registry().approval(application).map_err(internal)?.is_some() {
            return state("a second person has already decided on the missing fingers");
        }
        let waits = document.reasons.iter().any(|r| r.code == "many_fingers_missing");
        if document.status != CheckStatus::Decided || !waits {
            return state("the application waits for no second person's approval");
        }
        let shared = self.shared.clone();
        let record = self.on_pool(move || Folder::record(&shared.dir, position)).await?.map_err(internal)?;
        let Some(Event::Submitted(submitted)) = record.map(|r| r.event) else { return Err(ServiceError::Internal) };
        if submitted.operator == operator {
            return state("the second person must be another than the one who submitted the check");
        }
        let approval = SecondApproval {
            submitted: position,
            application: application.to_owned(),
            operator: operator.to_owned(),
            approved,
            time_ms: now_ms(),
        };
        self.command(|reply| Command::Approve { approval, reply }).await?;
        let (reply, answer) = oneshot::channel();
        let (shared, sender) = (self.shared.clone(), self.sender()?);
        let counted = Counted::new(&shared);
        let done: Done = Box::new(move |result| {
            drop(counted);
            // Nobody may be waiting any more.
            let _ = reply.send(result);
        });
        self.shared.pool.spawn(move || match restore(&shared, position) {
            Ok(Some(job)) => decide_and_log(shared, sender, Arc::new(job), done),
            Ok(None) => done(Err(ServiceError::Internal)),
            Err(error) => done(Err(error)),
        });
        answer.await.map_err(|_| ServiceError::Internal)?
    }

    /// The policy that decisions follow.
    pub fn policy(&self) -> &Policy {
        &self.shared.policy
    }

    /// Missing fingers by station and operator, those with the highest rate first.
    ///
    /// # Errors
    /// The registry can't be read.
    pub fn exceptions(&self) -> Result<Vec<ExceptionRate>, ServiceError> {
        self.shared.registry().exceptions(self.shared.policy.missing_max).map_err(internal)
    }

    /// Searches without leaving anything in the log.
    ///
    /// # Errors
    /// [`ServiceError::Unusable`] when the probe has nothing to compare.
    pub async fn identify(&self, request: IdentifyRequest) -> Result<IdentifyDocument, ServiceError> {
        self.sound()?;
        let permit = self.permits.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| ServiceError::Overloaded { retry_after_s: 1 })?;
        let shared = self.shared.clone();
        self.on_pool(move || {
            let prepared = usable(&shared.models, &shared.cohort.load(), &request.biometrics)?;
            identify_prepared(&shared.models, &shared.published.load_full(), &prepared, &request)
        })
        .await?
    }

    /// Compares with one subject.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Unusable`].
    pub async fn verify(&self, request: VerifyRequest) -> Result<VerifyDocument, ServiceError> {
        self.sound()?;
        let permit = self.permits.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| ServiceError::Overloaded { retry_after_s: 1 })?;
        let shared = self.shared.clone();
        self.on_pool(move || verify(&shared, &request)).await?
    }

    /// Takes references over without a check, in order; returns the first one's position.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn enrol(&self, references: Vec<EnrolRequest>) -> Result<u64, ServiceError> {
        self.accepting()?;
        let shared = self.shared.clone();
        let references = self
            .on_pool(move || {
                use rayon::prelude::*;
                let cohort = shared.cohort.load_full();
                let one = |r: EnrolRequest| {
                    let prepared = Prepared::new(shared.models.model, &cohort, &r.biometrics);
                    let biometrics = StoredBiometrics::from(&r.biometrics);
                    let identity = r.identity.as_ref().map(|i| shared.key.pseudonym(i));
                    (Enrolled { subject: r.subject, identity, biometrics }, prepared)
                };
                references.into_par_iter().map(one).collect::<Vec<_>>()
            })
            .await?;
        self.command(|reply| Command::Enrol { references, reply }).await
    }

    /// How things are.
    pub fn health(&self) -> Health {
        let shared = &self.shared;
        let reason = if shared.stopped.load(Ordering::Acquire) {
            Some("the log or a projection has stopped; see the server's log and restart".to_owned())
        } else if shared.closing.load(Ordering::Acquire) {
            Some("shutting down".to_owned())
        } else if shared.is_damaged() {
            Some("the data folder is damaged; see the server's log and run gallery check --repair".to_owned())
        } else if shared.disk_full.load(Ordering::Acquire) {
            Some("no room on disk".to_owned())
        } else {
            None
        };
        Health {
            ready: reason.is_none(),
            reason,
            position: shared.position.load(Ordering::Acquire),
            references: shared.published.load().live(),
            pending: shared.pending.load(Ordering::Acquire),
            kernel: shared.models.isa.to_string(),
            damaged_places: shared.damage.lock().unwrap_or_else(PoisonError::into_inner).len() as u64,
        }
    }

    /// The latest view of the gallery.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.published.load_full()
    }

    /// Stops taking work, finishes what was accepted, flushes.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        // Every permit back means that every accepted check is decided.
        let all = u32::try_from(self.pending_max).unwrap_or(u32::MAX);
        let _all = self.permits.acquire_many(all).await;
        while self.shared.pending.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let maintenance = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(maintenance) = maintenance {
            let _joined = tokio::task::spawn_blocking(move || maintenance.join()).await;
        }
        if let Some(sender) = self.commands.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(sender.send(Command::Close));
        }
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _joined = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }

    fn accepting(&self) -> Result<(), ServiceError> {
        let shared = &self.shared;
        if shared.stopped.load(Ordering::Acquire) || shared.closing.load(Ordering::Acquire) {
            return Err(ServiceError::Unavailable);
        }
        self.sound()
    }

    /// On damage nothing is answered: whom a search would miss is not known.
    fn sound(&self) -> Result<(), ServiceError> {
        if self.shared.is_damaged() { Err(ServiceError::Unavailable) } else { Ok(()) }
    }

    fn sender(&self) -> Result<Sender<Command>, ServiceError> {
        let sender = self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sender.ok_or(ServiceError::Unavailable)
    }

    async fn command<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, ServiceError>>) -> Command,
    ) -> Result<T, ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.sender()?.send(make(reply)).map_err(|_| ServiceError::Unavailable)?;
        answer.await.map_err(|_| ServiceError::Unavailable)?
    }

    /// Runs work on the bounded pool, never on a tokio worker.
    async fn on_pool<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
        let (reply, answer) = oneshot::channel();
        self.shared.pool.spawn(move || drop(reply.send(work())));
        // The pool drops the sender only when the work panicked.
        answer.await.map_err(|_| ServiceError::Internal)
    }

    /// SHA-256 over what was asked, canonically: the same request in another order of fields is the same.
    fn digest(&self, s: &Submission) -> [u8; 32] {
        let pseudonym = |i: &Option<Identity>| i.as_ref().map(|i| self.shared.key.pseudonym(i));
        let stored = StoredBiometrics::from(&s.biometrics);
        let chip = StoredBiometrics::from(&Biometrics { faces: s.chip.clone(), ..Biometrics::default() });
        let all = (
            (&s.application, s.purpose, &s.station, &s.operator, &s.supersedes),
            (pseudonym(&s.identity), pseudonym(&s.claimed_identity)),
            (&stored, &chip),
            (s.age, s.legal_reason),
        );
        // Encoding fails only for types of unknown length; these have one.
        Sha256::digest(codec::encode(&all).unwrap_or_default()).into()
    }

    /// Decides a job on the pool; the permit is held until then. A stale decision is searched for again.
    fn start(
        &self,
        job: Job,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<CheckDocument, ServiceError>>, ServiceError> {
        let (reply, answer) = oneshot::channel();
        let (shared, sender) = (self.shared.clone(), self.sender()?);
        let counted = Counted::new(&shared);
        let done: Done = Box::new(move |result| {
            drop((permit, counted));
            // Nobody may be waiting any more.
            let _ = reply.send(result);
        });
        self.shared.pool.spawn(move || decide_and_log(shared, sender, Arc::new(job), done));
        Ok(answer)
    }

    /// Decides submissions that are in the log: after a restart, or because something that they rested on is gone.
    fn again(&self, positions: &[u64]) {
        for &position in positions {
            let (shared, Ok(sender)) = (self.shared.clone(), self.sender()) else { return };
            let counted = Counted::new(&shared);
            let done: Done = Box::new(move |result| {
                if let Err(error) = result {
                    tracing::error!(position, %error, "a submission could not be decided; it stays pending");
                }
                drop(counted);
            });
            self.shared.pool.spawn(move || match restore(&shared, position) {
                Ok(Some(job)) => decide_and_log(shared, sender, Arc::new(job), done),
                Ok(None) => done(Err(ServiceError::NotFound { what: "submission" })),
                Err(error) => done(Err(error)),
            });
        }
    }

    async fn known(&self, code: &str, known: Application, deadline: Instant) -> Result<CheckDocument, ServiceError> {
        let mut known = known;
        while known.stage == Stage::Pending && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let again = self.shared.registry().application(code).map_err(internal)?;
            known = again.ok_or(ServiceError::Internal)?;
        }
        render(code, known)
    }
}

/// One more check waits for its decision until this is dropped.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.pending.fetch_add(1, Ordering::AcqRel);
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Adopts what the options name, or what the log says was adopted last, or what this build ships. Whatever is new goes
/// into the log, so that every decision can be told by what it followed.
fn adopt(folder: &mut Folder, models: &mut Models, options: &ServiceOptions) -> Result<Policy, FolderError> {
    let last = folder.registry.adopted()?;
    let invalid = |what: String| FolderError::Adopted { what };
    let policy = match (&options.policy, &last) {
        (Some(policy), _) => policy.clone(),
        (None, Some(last)) => Policy::from_toml(&last.policy).map_err(|e| invalid(e.to_string()))?,
        (None, None) => Policy::default(),
    };
    let faces = match (&options.face_calibration, &last) {
        (Some(faces), _) => FaceCalibration::shipped().clone().with(faces),
        (None, Some(last)) if !last.face_calibration.is_empty() => {
            FaceCalibration::from_json(last.face_calibration.as_bytes()).map_err(|e| invalid(e.to_string()))?
        }
        (None, _) => FaceCalibration::shipped().clone(),
    };
    let shipped = faces.id() == FaceCalibration::shipped().id();
    let now = PolicyAdopted {
        time_ms: now_ms(),
        policy: policy.text().to_owned(),
        calibration: models.calibration.id().to_owned(),
        face_calibration: if shipped { String::new() } else { faces.to_json().map_err(|e| invalid(e.to_string()))? },
    };
    let same = |last: &PolicyAdopted| PolicyAdopted { time_ms: now.time_ms, ..last.clone() } == now;
    if !last.as_ref().is_some_and(same) {
        folder.append_event(Event::PolicyAdopted(now))?;
    }
    models.set_faces(faces);
    Ok(policy)
}

fn build(
    shared: &Shared,
    submission: Submission,
    request: [u8; 32],
) -> Result<(Submitted, Prepared, Job), ServiceError> {
    let (models, cohort) = (&shared.models, shared.cohort.load_full());
    let prepared = Prepared::new(models.model, &cohort, &submission.biometrics);
    let findings = judge_capture(shared, submission.purpose, submission.age, &submission.biometrics, &prepared);
    let chip = Biometrics { faces: submission.chip, ..Biometrics::default() };
    let submitted = Submitted {
        application: submission.application,
        request,
        purpose: submission.purpose,
        station: submission.station,
        operator: submission.operator,
        identity: submission.identity.as_ref().map(|i| shared.key.pseudonym(i)),
        claimed_identity: submission.claimed_identity.as_ref().map(|i| shared.key.pseudonym(i)),
        supersedes: submission.supersedes,
        age: submission.age,
        legal_reason: submission.legal_reason,
        usable: findings.is_empty(),
        time_ms: now_ms(),
        biometrics: StoredBiometrics::from(&submission.biometrics),
        chip: (!chip.faces.is_empty()).then(|| StoredBiometrics::from(&chip)),
    };
    let probe = Probe::new(models.model, &models.params, &prepared);
    let job = Job::new(0, &submitted, submission.biometrics, chip.faces, findings, probe, cohort);
    Ok((submitted, prepared, job))
}

fn judge_capture(
    shared: &Shared,
    purpose: Purpose,
    age: Option<u8>,
    given: &Biometrics,
    prepared: &Prepared,
) -> Vec<Cause> {
    gate(&shared.policy, GateInput { purpose, applicant: Applicant { age }, given, prepared })
}

/// A job from the log.
fn restore(shared: &Shared, position: u64) -> Result<Option<Job>, ServiceError> {
    let record = Folder::record(&shared.dir, position).map_err(internal)?;
    let Some(Event::Submitted(submitted)) = record.map(|r| r.event) else { return Ok(None) };
    job_of(shared, position, &submitted).map(Some)
}

fn job_of(shared: &Shared, position: u64, submitted: &Submitted) -> Result<Job, ServiceError> {
    let (models, cohort) = (&shared.models, shared.cohort.load_full());
    let biometrics = submitted.biometrics.restore().map_err(internal)?;
    let prepared = Prepared::new(models.model, &cohort, &biometrics);
    let findings: Vec<Cause> = match submitted.usable {
        true => Vec::new(),
        false => judge_capture(shared, submitted.purpose, submitted.age, &biometrics, &prepared),
    };
    let chip = match &submitted.chip {
        Some(chip) => chip.restore().map_err(internal)?.faces,
        None => Vec::new(),
    };
    let probe = Probe::new(models.model, &models.params, &prepared);
    Ok(Job::new(position, submitted, biometrics, chip, findings, probe, cohort))
}

type Done = Box<dyn FnOnce(Result<CheckDocument, ServiceError>) + Send>;

fn finish(done: &Mutex<Option<Done>>, result: Result<CheckDocument, ServiceError>) {
    if let Some(done) = done.lock().unwrap_or_else(PoisonError::into_inner).take() {
        done(result);
    }
}

/// Searches and hands the decision to the writer. When a reference that it rests on was withdrawn meanwhile, it is
/// searched for again.
fn decide_and_log(shared: Arc<Shared>, sender: Sender<Command>, job: Arc<Job>, done: Done) {
    let (document, decided) = match job.decide(&shared) {
        Ok(decided) => decided,
        Err(error) => return done(Err(error)),
    };
    // What is to be done if the writer is gone must be kept outside the command that would take it along.
    let done = Arc::new(Mutex::new(Some(done)));
    let (then, again) = (done.clone(), sender.clone());
    let reply: writer::Told = Box::new(move |result| match result {
        Ok(true) => {
            count(job.purpose, job.captured.missing.len(), &document);
            finish(&then, Ok(document));
        }
        Err(error) => finish(&then, Err(error)),
        Ok(false) => {
            let Some(done) = then.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
            let pool = shared.clone();
            pool.pool.spawn(move || decide_and_log(shared, again, job, done));
        }
    });
    if sender.send(Command::Decide { decided: Box::new(decided), reply }).is_err() {
        finish(&done, Err(ServiceError::Unavailable));
    }
}

/// Counts a decision once, when it is in the log: answers repeat it. `http` describes the metrics and renders them.
fn count(purpose: Purpose, missing: usize, document: &CheckDocument) {
    if missing > 0 {
        metrics::counter!("duynhat_checks_with_missing_fingers_total", "purpose" => purpose.as_str()).increment(1);
    }
    let outcome = document.decision.map_or("none", Outcome::as_str);
    metrics::counter!("duynhat_decisions_total", "purpose" => purpose.as_str(), "outcome" => outcome).increment(1);
    let seconds = document.took_ms / 1000.0;
    metrics::histogram!("duynhat_check_decision_seconds", "purpose" => purpose.as_str()).record(seconds);
}

/// An application's answer as it stands.
///
/// # Errors
/// The stored answer can't be read.
pub fn rendered(code: &str, application: Application) -> Result<CheckDocument, ServiceError> {
    render(code, application)
}

fn render(code: &str, application: Application) -> Result<CheckDocument, ServiceError> {
    let mut document = match application.document {
        Some(mut bytes) => simd_json::serde::from_slice(&mut bytes).map_err(internal)?,
        None => pending_document(code, application.position),
    };
    if application.stage == Stage::Withdrawn {
        document.status = CheckStatus::Withdrawn;
        document.subject = None;
    }
    Ok(document)
}

fn pending_document(application: &str, position: u64) -> CheckDocument {
    CheckDocument {
        application: application.to_owned(),
        subject: None,
        status: CheckStatus::Pending,
        purpose: None,
        decision: None::<Outcome>,
        findings: Vec::new(),
        reasons: Vec::new(),
        position,
        candidates: Vec::new(),
        chip: None,
        basis: None,
        standing: None,
        waits_for: None,
        took_ms: 0.0,
    }
}

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
