//! The one thread that writes: commands in, events on disk, projections brought up, answers out.
//!
//! Commands that wait together share one sync (group commit). An answer leaves only after its event is durable and
//! applied. On a full disk new work is refused, and what was accepted before waits here: decisions that could not be
//! written, and events that are in the log while the registry has no room to follow.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use duynhat_engine::finger::Cohort;
use duynhat_engine::gallery::{Flushed, Prepared};
use duynhat_engine::log::projection::{self, Applicable};
use duynhat_engine::log::{
    Decided, Enrolled, Event, EventLog, LogError, Record, SecondApproval, Submitted, Withdrawn, gather,
};
use tokio::sync::oneshot;

use super::folder::Folder;
use super::{ServiceError, Shared};
use crate::registry::{Application, Stage};

/// Most commands under one sync.
const GROUP_MAX: usize = 512;
/// With nothing to do for this long, the note of the durable position is synced.
const SETTLE_AFTER: Duration = Duration::from_millis(20);
/// How often a full disk is asked whether there is room again.
const ROOM_PROBE: Duration = Duration::from_millis(500);
/// With nothing to do for this long, fewer blocks are worth a flush too: a crash then costs less to follow up.
const FLUSH_WHEN_IDLE: Duration = Duration::from_secs(1);
/// With nothing to do for a moment, or with much to do, references wait at most this long to be filed: what a crash
/// leaves to be made anew. Each time the last, partial block is written whole, so not too often.
const FLUSH_EVERY: Duration = Duration::from_secs(30);
/// After a flush that failed, the next one waits for this long.
const FLUSH_AGAIN: Duration = Duration::from_secs(10);

/// A submission's place in the log.
pub(super) enum Accepted {
    /// Appended just now, durable, and visible to every later check.
    New {
        position: u64,
        /// Submissions whose decisions rested on the superseded one.
        again: Vec<u64>,
    },
    /// The same request was made before.
    Known(Application),
}

pub(super) type Told = Box<dyn FnOnce(Result<bool, ServiceError>) + Send>;
type Reply<T> = oneshot::Sender<Result<T, ServiceError>>;

/// What the writer is asked to do.
pub(super) enum Command {
    Submit {
        submitted: Box<Submitted>,
        prepared: Option<Prepared>,
        reply: Reply<Accepted>,
    },
    /// Answers whether the decision stands; not when a reference that it rests on was withdrawn meanwhile.
    Decide {
        decided: Box<Decided>,
        reply: Told,
    },
    /// Answers with the positions of the checks that rested on the withdrawn one.
    Withdraw {
        application: String,
        reply: Reply<Vec<u64>>,
    },
    /// A second person's word; the first one counts.
    Approve {
        approval: SecondApproval,
        reply: Reply<()>,
    },
    Enrol {
        references: Vec<(Enrolled, Prepared)>,
        reply: Reply<u64>,
    },
    /// An event made from the state as it is: all that came before is applied, and nothing shares its sync. Answers with
    /// the submissions to be decided anew.
    Exclusive {
        make: Make,
        reply: Reply<Vec<u64>>,
    },
    /// Runs after what was asked before is durable and applied.
    Maintain(Work),
    Close,
}

/// Work on the writer's thread, or why it can't be done.
pub(super) type Work = Box<dyn FnOnce(Result<&mut Writer<'_>, ServiceError>) + Send>;

/// Makes an event from the state, or says why not.
pub(super) type Make = Box<dyn FnOnce(&Folder) -> Result<Made, ServiceError> + Send>;

/// An event to be written.
pub(super) struct Made {
    pub event: Event,
    /// Features of the reference that it makes, if it makes one.
    pub prepared: Option<Prepared>,
    /// Submissions whose decisions rested on what the event takes away.
    pub again: Vec<u64>,
}

/// An answer held back until its group is durable and applied.
enum Held {
    Reply(Box<dyn FnOnce(Result<(), ServiceError>) + Send>),
    /// A decision, and its record in the group if it makes one.
    Decision {
        record: Option<usize>,
        reply: Told,
    },
}

#[derive(Default)]
struct Group {
    records: Vec<(Event, Option<Prepared>)>,
    held: Vec<Held>,
}

/// Records that are in the log, but not yet in the registry.
struct Behind {
    records: Vec<Record>,
    prepared: Vec<Option<Prepared>>,
    held: Vec<Held>,
}

pub(super) struct Writer<'a> {
    pub folder: Folder,
    pub shared: &'a Arc<Shared>,
    /// Decisions that found no room.
    deferred: Vec<Command>,
    behind: Option<Behind>,
    flushing: Option<std::thread::JoinHandle<Flushed>>,
    flush_after: Instant,
    flushed: Instant,
    served: Instant,
    settled: bool,
    /// Whether another cohort was frozen since the folder was opened. Its event stands alone in its group.
    levelled_anew: bool,
}

/// Runs until [`Command::Close`] or until every sender is gone.
pub(super) fn run(folder: Folder, shared: &Arc<Shared>, commands: &Receiver<Command>) {
    let (flush_after, flushed, served) = (Instant::now(), Instant::now(), Instant::now());
    let (deferred, behind, flushing) = (Vec::new(), None, None);
    let (settled, levelled_anew) = (false, false);
    let mut writer =
        Writer { folder, shared, deferred, behind, flushing, flush_after, flushed, served, settled, levelled_anew };
    let mut open = true;
    while open {
        let waiting = match writer.wait(commands) {
            Ok(first) => gather(first, commands, GROUP_MAX),
            Err(RecvTimeoutError::Timeout) => {
                writer.idle();
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        open = !waiting.iter().any(|command| matches!(command, Command::Close));
        writer.serve(waiting);
        writer.served = Instant::now();
        writer.collect_flush(false);
        writer.start_flush(writer.folder.gallery.wants_flush() || writer.is_due());
    }
    writer.close();
}

impl Writer<'_> {
    fn is_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Acquire)
    }

    /// Whether references have waited long enough to be filed.
    fn is_due(&self) -> bool {
        self.folder.gallery.unfiled() > 0 && self.flushed.elapsed() >= FLUSH_EVERY
    }

    fn wait(&self, commands: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        if !self.settled || self.flushing.is_some() {
            commands.recv_timeout(SETTLE_AFTER)
        } else if self.is_full() || self.folder.gallery.unfiled() > 0 {
            commands.recv_timeout(ROOM_PROBE)
        } else {
            commands.recv().map_err(|_| RecvTimeoutError::Disconnected)
        }
    }

    /// Nothing is being asked.
    fn idle(&mut self) {
        if !self.settled {
            self.settled = true;
            self.settle();
        }
        self.collect_flush(false);
        if self.is_full() && self.folder.journal.has_room() && self.catch_up() {
            self.shared.disk_full.store(false, Ordering::Release);
            let deferred = std::mem::take(&mut self.deferred);
            if !deferred.is_empty() {
                self.serve(deferred);
            }
        }
        if self.shared.closing.load(Ordering::Acquire) {
            self.let_go();
        }
        let idle = self.served.elapsed() >= FLUSH_WHEN_IDLE;
        self.start_flush(self.is_due() || idle && self.folder.gallery.could_flush());
    }

    fn settle(&mut self) {
        if self.shared.stopped.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.folder.journal.settle() {
            stop(self.shared, "the journal has stopped; restart after the cause is mended", &error);
        }
    }

    /// A decision that cannot be written now stays in the log as a submission: the next start decides it.
    fn let_go(&mut self) {
        for command in self.deferred.drain(..) {
            refuse(command, ServiceError::Unavailable);
        }
        if let Some(behind) = self.behind.take() {
            release(behind.held, &Err(ServiceError::Unavailable));
            // The log is ahead of the registry: nothing more may be appended before a restart.
            self.shared.stopped.store(true, Ordering::Release);
        }
    }

    fn close(mut self) {
        self.let_go();
        self.collect_flush(true);
        // A digest is worth a record when something changed since the last one.
        let changed = self.folder.digest_at != self.folder.last_position();
        if changed
            && !self.shared.stopped.load(Ordering::Acquire)
            && !self.is_full()
            && let Err(error) = self.append_digest()
        {
            tracing::warn!(%error, "the registry's digest could not be written");
        }
        // The log has it all: a failed flush costs a longer replay, never data.
        if let Err(error) = self.folder.gallery.flush(self.shared.position.load(Ordering::Acquire)) {
            tracing::error!(%error, "the gallery's files could not be written; the log is safe");
        }
        self.settle();
        self.folder.seal();
    }

    /// Writes what is not yet in files on a thread of its own: neither checks nor searches wait for it.
    fn start_flush(&mut self, wanted: bool) {
        let gallery = &mut self.folder.gallery;
        if self.flushing.is_some() || !wanted || Instant::now() < self.flush_after {
            return;
        }
        let Some(flush) = gallery.begin_flush(self.shared.position.load(Ordering::Acquire)) else { return };
        let thread = std::thread::Builder::new().name("flush".into());
        match thread.spawn(move || flush.run()) {
            Ok(running) => (self.flushing, self.flushed) = (Some(running), Instant::now()),
            // Its files went with the closure: only a restart opens them again.
            Err(error) => stop(self.shared, "no thread for the gallery's files; restart", &error),
        }
    }

    fn collect_flush(&mut self, wait: bool) {
        let Some(running) = self.flushing.take_if(|running| wait || running.is_finished()) else { return };
        let Ok(flushed) = running.join() else {
            return stop(self.shared, "the flush broke off; restart", &"panic");
        };
        if let Err(error) = self.folder.gallery.finish_flush(flushed) {
            tracing::error!(%error, "the gallery's files could not be written; the log is safe, and it is tried again");
            self.flush_after = Instant::now() + FLUSH_AGAIN;
        }
        self.folder.gallery.publish(self.shared.position.load(Ordering::Acquire));
    }

    /// One group: what waits, and before it the decisions that found no room the last time.
    fn serve(&mut self, waiting: Vec<Command>) {
        if !self.catch_up() {
            return waiting.into_iter().for_each(|command| self.no_room(command));
        }
        let (works, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|command| matches!(command, Command::Maintain(_)));
        let mut group = Group::default();
        for command in std::mem::take(&mut self.deferred).into_iter().chain(waiting) {
            match command {
                Command::Exclusive { make, reply } => {
                    self.write(std::mem::take(&mut group));
                    self.exclusive(make, reply);
                }
                command => group.take(&self.folder, self.shared, command),
            }
        }
        if group.records.is_empty() {
            release(group.held, &Ok(()));
        } else {
            self.write(group);
        }
        for work in works {
            if let Command::Maintain(work) = work {
                self.maintain(work);
            }
        }
    }

    /// What is asked in between: on a gallery that no flush works on, with projections that are up to the log.
    fn maintain(&mut self, work: Work) {
        if !self.catch_up() {
            return work(Err(ServiceError::DiskFull));
        }
        if self.shared.stopped.load(Ordering::Acquire) {
            return work(Err(ServiceError::Unavailable));
        }
        self.collect_flush(true);
        work(Ok(self));
    }

    /// The last log position applied.
    pub fn position(&self) -> u64 {
        self.shared.position.load(Ordering::Acquire)
    }

    /// Appends one event, and returns when it is durable and applied.
    pub fn append(&mut self, event: Event) -> Result<(), ServiceError> {
        let result = Arc::new(std::sync::Mutex::new(Err(ServiceError::DiskFull)));
        let told = result.clone();
        let reply = move |r| *told.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = r;
        self.write(Group { records: vec![(event, None)], held: vec![Held::Reply(Box::new(reply))] });
        // Not told: it is in the log, and the registry follows as soon as it has room.
        result.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Appends what the registry holds now, to be compared with later.
    pub fn append_digest(&mut self) -> Result<(), ServiceError> {
        let digest = self.folder.registry.digest_event().map_err(internal)?;
        self.append(Event::RegistryDigest(digest))?;
        self.folder.digest_at = self.folder.last_position();
        Ok(())
    }

    /// What a failure of the log means for the service.
    pub fn log_error(&self, error: &LogError) -> ServiceError {
        if matches!(error, LogError::DiskFull) {
            self.shared.disk_full.store(true, Ordering::Release);
            return ServiceError::DiskFull;
        }
        stop(self.shared, "the journal has stopped; restart after the cause is mended", error);
        ServiceError::Unavailable
    }

    /// One event on the state as it is.
    fn exclusive(&mut self, make: Make, reply: Reply<Vec<u64>>) {
        if self.behind.is_some() {
            return drop(reply.send(Err(ServiceError::DiskFull)));
        }
        match make(&self.folder) {
            Err(error) => drop(reply.send(Err(error))),
            Ok(Made { event, prepared, again }) => {
                let reply = move |r: Result<(), _>| drop(reply.send(r.map(|()| again)));
                let held = vec![Held::Reply(Box::new(reply))];
                self.write(Group { records: vec![(event, prepared)], held });
            }
        }
    }

    /// Decisions wait for room, all else is refused: its sender is there to try again.
    fn no_room(&mut self, command: Command) {
        match command {
            Command::Decide { .. } => self.deferred.push(command),
            other => refuse(other, ServiceError::DiskFull),
        }
    }

    fn write(&mut self, group: Group) {
        let Group { records, held } = group;
        if records.is_empty() {
            return release(held, &Ok(()));
        }
        if self.behind.is_some() {
            // The registry has no room for what is in the log already.
            let events = records.into_iter().map(|(event, _)| event).collect();
            return self.defer(events, held);
        }
        if self.shared.stopped.load(Ordering::Acquire) {
            return release(held, &Err(ServiceError::Unavailable));
        }
        let (events, mut prepared): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let first = match self.folder.journal.append(&events) {
            Ok(first) => first,
            Err(LogError::DiskFull) => {
                self.shared.disk_full.store(true, Ordering::Release);
                return self.defer(events, held);
            }
            Err(error) => {
                stop(self.shared, "the journal has stopped; restart after the cause is mended", &error);
                return release(held, &Err(ServiceError::Unavailable));
            }
        };
        self.settled = false;
        // What was prepared while another cohort was in force: the log's order decides.
        if self.levelled_anew {
            prepared.iter_mut().flatten().for_each(|p| p.level_by(&self.folder.cohort));
        }
        for event in &events {
            if let Event::CohortFrozen(frozen) = event {
                self.folder.cohort = Cohort::frozen(self.shared.models.model, frozen.weights);
                self.shared.cohort.store(Arc::new(self.folder.cohort.clone()));
                self.levelled_anew = true;
            }
        }
        let records = events.into_iter().zip(first..).map(|(event, position)| Record { position, event }).collect();
        self.behind = Some(Behind { records, prepared, held });
        if self.catch_up() {
            self.shared.disk_full.store(false, Ordering::Release);
        }
    }

    /// Nothing of the group is in the log.
    fn defer(&mut self, events: Vec<Event>, held: Vec<Held>) {
        let mut events: Vec<Option<Event>> = events.into_iter().map(Some).collect();
        for held in held {
            match held {
                Held::Decision { record: Some(record), reply } => {
                    if let Some(Event::Decided(decided)) = events.get_mut(record).and_then(Option::take) {
                        self.deferred.push(Command::Decide { decided: Box::new(decided), reply });
                    }
                }
                Held::Decision { record: None, reply } => reply(Ok(true)),
                Held::Reply(reply) => reply(Err(ServiceError::DiskFull)),
            }
        }
    }

    /// Brings the projections up to the log and lets the answers go; false while the registry has no room.
    fn catch_up(&mut self) -> bool {
        let Some(Behind { records, prepared, held }) = self.behind.take() else { return true };
        // The projections can be made again from the log; if one cannot follow, only a restart is safe.
        let what = "a projection cannot follow the log; restart to rebuild it";
        match self.folder.registry.apply(&records) {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                self.shared.disk_full.store(true, Ordering::Release);
                self.behind = Some(Behind { records, prepared, held });
                return false;
            }
            Err(error) => {
                stop(self.shared, what, &error);
                release(held, &Err(ServiceError::Internal));
                return true;
            }
        }
        let last = records.last().map_or(0, |r| r.position);
        let applicable = records.into_iter().zip(prepared).map(|(r, p)| Applicable::with(r, p)).collect();
        let gallery = &mut self.folder.gallery;
        if let Err(error) = self.shared.writer_pool.install(|| projection::apply(gallery, applicable)) {
            stop(self.shared, what, &error);
            release(held, &Err(ServiceError::Internal));
            return true;
        }
        self.shared.position.store(last, Ordering::Release);
        self.folder.gallery.publish(last);
        release(held, &Ok(()));
        true
    }
}

fn stop(shared: &Shared, what: &str, error: &dyn std::fmt::Display) {
    tracing::error!(%error, "{what}");
    shared.stopped.store(true, Ordering::Release);
}

fn release(held: Vec<Held>, result: &Result<(), ServiceError>) {
    for held in held {
        match held {
            Held::Reply(reply) => reply(result.clone()),
            Held::Decision { reply, .. } => reply(result.clone().map(|()| true)),
        }
    }
}

fn refuse(command: Command, error: ServiceError) {
    match command {
        Command::Submit { reply, .. } => drop(reply.send(Err(error))),
        Command::Decide { reply, .. } => reply(Err(error)),
        Command::Withdraw { reply, .. } => drop(reply.send(Err(error))),
        Command::Approve { reply, .. } => drop(reply.send(Err(error))),
        Command::Enrol { reply, .. } => drop(reply.send(Err(error))),
        Command::Exclusive { reply, .. } => drop(reply.send(Err(error))),
        Command::Maintain(work) => work(Err(error)),
        Command::Close => {}
    }
}

impl Group {
    /// Looks an application up: in this group first, then in the registry.
    fn application(&self, folder: &Folder, code: &str) -> Result<Option<Application>, ServiceError> {
        let next = folder.journal.last_position() + 1;
        for (at, (event, _)) in self.records.iter().enumerate() {
            if let Event::Submitted(s) = event
                && s.application == code
            {
                let withdrawn =
                    self.records[at..].iter().any(|(e, _)| matches!(e, Event::Withdrawn(w) if w.application == code));
                let stage = if withdrawn { Stage::Withdrawn } else { Stage::Pending };
                let position = next + at as u64;
                return Ok(Some(Application { request: s.request, position, stage, document: None }));
            }
        }
        let mut found = folder.registry.application(code).map_err(internal)?;
        if let Some(found) = &mut found {
            let in_group =
                |(e, _): &(Event, Option<Prepared>)| matches!(e, Event::Withdrawn(w) if w.application == code);
            if self.records.iter().any(in_group) {
                found.stage = Stage::Withdrawn;
            }
        }
        Ok(found)
    }

    fn next_position(&self, folder: &Folder) -> u64 {
        folder.journal.last_position() + 1 + self.records.len() as u64
    }

    fn take(&mut self, folder: &Folder, shared: &Arc<Shared>, command: Command) {
        match command {
            Command::Submit { submitted, prepared, reply } => match self.submit(folder, shared, &submitted) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(Err(known)) => {
                    // Known from this very group: its event is durable only after the commit.
                    let reply = move |r: Result<(), _>| drop(reply.send(r.map(|()| Accepted::Known(known))));
                    self.held.push(Held::Reply(Box::new(reply)));
                }
                Ok(Ok(again)) => {
                    let position = self.next_position(folder);
                    self.records.push((Event::Submitted(*submitted), prepared));
                    let reply = move |r: Result<(), _>| drop(reply.send(r.map(|()| Accepted::New { position, again })));
                    self.held.push(Held::Reply(Box::new(reply)));
                }
            },
            Command::Decide { decided, reply } => {
                let mut record = None;
                // A withdrawal may have come first: then there is nothing left to decide.
                match self.application(folder, &decided.application) {
                    Err(error) => return reply(Err(error)),
                    Ok(Some(a)) if a.stage != Stage::Withdrawn && a.position == decided.submitted => {
                        match self.is_stale(folder, &decided) {
                            Ok(false) => {
                                record = Some(self.records.len());
                                self.records.push((Event::Decided(*decided), None));
                            }
                            Ok(true) => return reply(Ok(false)),
                            Err(error) => return reply(Err(error)),
                        }
                    }
                    Ok(_) => {}
                }
                self.held.push(Held::Decision { record, reply });
            }
            Command::Withdraw { application, reply } => match self.withdraw(folder, application) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(again) => {
                    self.held.push(Held::Reply(Box::new(move |r| drop(reply.send(r.map(|()| again))))));
                }
            },
            Command::Approve { approval, reply } => match self.approve(folder, approval) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(()) => self.held.push(Held::Reply(Box::new(move |r| drop(reply.send(r))))),
            },
            Command::Enrol { references, reply } => {
                let first = self.next_position(folder);
                self.records.extend(references.into_iter().map(|(e, p)| (Event::Enrolled(e), Some(p))));
                self.held.push(Held::Reply(Box::new(move |r| drop(reply.send(r.map(|()| first))))));
            }
            Command::Maintain(_) | Command::Exclusive { .. } | Command::Close => {}
        }
    }

    /// Checks the idempotency key; the inner error is the application when the same request was made before. Otherwise
    /// the submissions whose decisions rested on the superseded one.
    fn submit(
        &mut self,
        folder: &Folder,
        shared: &Shared,
        submitted: &Submitted,
    ) -> Result<Result<Vec<u64>, Application>, ServiceError> {
        let mut again = Vec::new();
        if let Some(known) = self.application(folder, &submitted.application)? {
            if known.request != submitted.request {
                return Err(ServiceError::Conflict { application: submitted.application.clone() });
            }
            return Ok(Err(known));
        }
        let code = shared.key.pseudonym_of_name("application", &submitted.application);
        if folder.registry.erasure_by_application(&code).map_err(internal)?.is_some() {
            return Err(ServiceError::Erased { what: "application" });
        }
        if let Some(old) = &submitted.supersedes {
            match self.application(folder, old)? {
                None => return Err(ServiceError::NotFound { what: "superseded application" }),
                Some(found) if found.stage != Stage::Withdrawn => {
                    again = folder.registry.resting_on(found.position).map_err(internal)?;
                    let withdrawn = Withdrawn { submitted: found.position, application: old.clone() };
                    self.records.push((Event::Withdrawn(withdrawn), None));
                }
                Some(_) => {}
            }
        }
        Ok(Ok(again))
    }

    /// Whether a reference that the decision rests on is withdrawn by now.
    fn is_stale(&self, folder: &Folder, decided: &Decided) -> Result<bool, ServiceError> {
        let snapshot = folder.gallery.published().load_full();
        for position in &decided.rests_on {
            let in_group =
                |(e, _): &(Event, Option<Prepared>)| matches!(e, Event::Withdrawn(w) if w.submitted == *position);
            let row = snapshot.row_of(*position).map_err(internal)?;
            if row.is_none_or(|row| !snapshot.is_live(row)) || self.records.iter().any(in_group) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn withdraw(&mut self, folder: &Folder, application: String) -> Result<Vec<u64>, ServiceError> {
        let found = self.application(folder, &application)?.ok_or(ServiceError::NotFound { what: "application" })?;
        if found.stage == Stage::Withdrawn {
            return Ok(Vec::new());
        }
        let again = folder.registry.resting_on(found.position).map_err(internal)?;
        self.records.push((Event::Withdrawn(Withdrawn { submitted: found.position, application }), None));
        Ok(again)
    }

    fn approve(&mut self, folder: &Folder, approval: SecondApproval) -> Result<(), ServiceError> {
        let code = &approval.application;
        let found = self.application(folder, code)?.ok_or(ServiceError::NotFound { what: "application" })?;
        if found.stage == Stage::Withdrawn {
            return Err(ServiceError::State("the application is withdrawn".into()));
        }
        let same = |(e, _): &(Event, Option<Prepared>)| matches!(e, Event::SecondApproval(a) if a.application == *code);
        if self.records.iter().any(same) || folder.registry.approval(code).map_err(internal)?.is_some() {
            let text = "a second person has already decided on the missing fingers";
            return Err(ServiceError::State(text.into()));
        }
        self.records.push((Event::SecondApproval(approval), None));
        Ok(())
    }
}

pub(super) fn internal(error: impl std::fmt::Display) -> ServiceError {
    tracing::error!(%error, "internal error");
    ServiceError::Internal
}
