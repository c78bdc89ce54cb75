//! The one thread that writes: commands in, events on disk, projections brought up, answers out.
//!
//! Commands that wait together share one sync (group commit). An answer leaves only after its event is durable and
//! applied.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use duynhat_engine::gallery::{Prepared, Snapshot};
use duynhat_engine::log::projection::{self, Applicable};
use duynhat_engine::log::{Decided, Enrolled, Event, EventLog, LogError, Record, Submitted, Withdrawn};
use tokio::sync::oneshot;

use super::folder::Folder;
use super::{ServiceError, Shared};
use crate::registry::{Application, Stage};

/// Most commands under one sync.
const GROUP_MAX: usize = 512;

/// A submission's place in the log.
pub(super) enum Accepted {
    /// Appended just now, durable, and visible to every later check.
    New {
        position: u64,
        snapshot: Arc<Snapshot>,
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
    Enrol {
        references: Vec<(Enrolled, Prepared)>,
        reply: Reply<u64>,
    },
    /// Runs after what was asked before is durable and applied.
    Maintain(Work),
    Close,
}

pub(super) type Work = Box<dyn FnOnce(&mut Folder, &Arc<Shared>) + Send>;

/// An answer held back until its group is durable.
type Held = Box<dyn FnOnce(Result<(), ServiceError>) + Send>;

struct Group {
    records: Vec<(Event, Option<Prepared>)>,
    held: Vec<Held>,
}

/// Runs until [`Command::Close`] or until every sender is gone.
pub(super) fn run(mut folder: Folder, shared: &Arc<Shared>, commands: &Receiver<Command>) {
    let mut open = true;
    while open {
        let Ok(first) = commands.recv() else { break };
        let mut waiting = vec![first];
        while waiting.len() < GROUP_MAX {
            let Ok(next) = commands.try_recv() else { break };
            waiting.push(next);
        }
        let mut group = Group { records: Vec::new(), held: Vec::new() };
        let mut works = Vec::new();
        for command in waiting {
            match command {
                Command::Close => open = false,
                Command::Maintain(work) => works.push(work),
                command => group.take(&folder, shared, command),
            }
        }
        group.commit(&mut folder, shared);
        works.into_iter().for_each(|work| work(&mut folder, shared));
        if folder.gallery.wants_flush() {
            flush(&mut folder, shared);
        }
    }
    flush(&mut folder, shared);
    // A digest is worth a record when something changed since the last one.
    if folder.digest_at != folder.journal_position() && !shared.stopped.load(Ordering::Acquire) {
        if let Err(error) = write_digest(&mut folder, shared) {
            tracing::warn!(%error, "the registry's digest could not be written");
        }
        flush(&mut folder, shared);
    }
    folder.seal();
}

fn flush(folder: &mut Folder, shared: &Shared) {
    // The log has it all: a failed flush costs memory and a longer replay, never data.
    if let Err(error) = folder.gallery.flush(shared.position.load(Ordering::Acquire)) {
        tracing::error!(%error, "the gallery's files could not be written; the log is safe");
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
                    self.held.push(Box::new(move |r| drop(reply.send(r.map(|()| Accepted::Known(known))))));
                }
                Ok(Ok(again)) => {
                    let position = self.next_position(folder);
                    self.records.push((Event::Submitted(*submitted), prepared));
                    let shared = shared.clone();
                    self.held.push(Box::new(move |r| {
                        let snapshot = shared.published.load_full();
                        drop(reply.send(r.map(|()| Accepted::New { position, snapshot, again })));
                    }));
                }
            },
            Command::Decide { decided, reply } => {
                // A withdrawal may have come first: then there is nothing left to decide.
                match self.application(folder, &decided.application) {
                    Err(error) => return reply(Err(error)),
                    Ok(Some(a)) if a.stage != Stage::Withdrawn && a.position == decided.submitted => {
                        match self.is_stale(folder, &decided) {
                            Ok(false) => self.records.push((Event::Decided(*decided), None)),
                            Ok(true) => return reply(Ok(false)),
                            Err(error) => return reply(Err(error)),
                        }
                    }
                    Ok(_) => {}
                }
                self.held.push(Box::new(move |r| reply(r.map(|()| true))));
            }
            Command::Withdraw { application, reply } => match self.withdraw(folder, application) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(again) => self.held.push(Box::new(move |r| drop(reply.send(r.map(|()| again))))),
            },
            Command::Enrol { references, reply } => {
                let first = self.next_position(folder);
                self.records.extend(references.into_iter().map(|(e, p)| (Event::Enrolled(e), Some(p))));
                self.held.push(Box::new(move |r| drop(reply.send(r.map(|()| first)))));
            }
            Command::Maintain(_) | Command::Close => {}
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

    fn commit(self, folder: &mut Folder, shared: &Shared) {
        let result = if self.records.is_empty() { Ok(()) } else { write(self.records, folder, shared) };
        for held in self.held {
            held(result.clone());
        }
    }
}

pub(super) fn write(
    records: Vec<(Event, Option<Prepared>)>,
    folder: &mut Folder,
    shared: &Shared,
) -> Result<(), ServiceError> {
    if shared.stopped.load(Ordering::Acquire) {
        return Err(ServiceError::Unavailable);
    }
    let (events, prepared): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    let first = match folder.journal.append(&events) {
        Ok(first) => first,
        Err(error) => return Err(log_error(shared, &error)),
    };
    shared.disk_full.store(false, Ordering::Release);
    let last = first + events.len() as u64 - 1;
    let records: Vec<Record> =
        events.into_iter().zip(first..).map(|(event, position)| Record { position, event }).collect();
    // The projections can be made again from the log; if one cannot follow, only a restart is safe.
    let stop = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a projection cannot follow the log; restart to rebuild it");
        shared.stopped.store(true, Ordering::Release);
        ServiceError::Internal
    };
    folder.registry.apply(&records).map_err(|e| stop(&e))?;
    let applicable = records.into_iter().zip(prepared).map(|(r, p)| Applicable::with(r, p)).collect();
    shared.writer_pool.install(|| projection::apply(&mut folder.gallery, applicable)).map_err(|e| stop(&e))?;
    shared.position.store(last, Ordering::Release);
    folder.gallery.publish(last);
    Ok(())
}

/// Appends what the registry holds now, to be compared with later.
pub(super) fn write_digest(folder: &mut Folder, shared: &Shared) -> Result<(), ServiceError> {
    let digest = folder.registry.digest_event().map_err(internal)?;
    write(vec![(Event::RegistryDigest(digest), None)], folder, shared)?;
    folder.digest_at = folder.journal_position();
    Ok(())
}

/// What a failure of the log means for the service.
pub(super) fn log_error(shared: &Shared, error: &LogError) -> ServiceError {
    match error {
        LogError::DiskFull => {
            shared.disk_full.store(true, Ordering::Release);
            ServiceError::DiskFull
        }
        error => {
            tracing::error!(%error, "the journal has stopped; restart after the cause is mended");
            shared.stopped.store(true, Ordering::Release);
            ServiceError::Unavailable
        }
    }
}

pub(super) fn internal(error: impl std::fmt::Display) -> ServiceError {
    tracing::error!(%error, "internal error");
    ServiceError::Internal
}
