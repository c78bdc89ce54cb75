//! Erasure: ordered in the log, at once out of every search and answer, then out of the files.
//!
//! An order is an event: it names positions, and says who gave it and when. From its commit on nothing of these positions
//! is searched or shown. Carrying it out takes them out of the journal, the stripes, the face bases and the registry;
//! an event says when that was done. A crash in between leaves an order that is not carried out, and the work is begun
//! again: every step leaves alone what is already gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;

use duynhat_engine::gallery::Compaction;
use duynhat_engine::log::{Decided, Erased, ErasureDone, ErasureOrder, Event, redact};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::cohort;
use super::writer::{self, Command, Writer, internal};
use super::{CheckDocument, Reason, Service, ServiceError, Shared, log_dir, now_ms};
use crate::registry::{Erasure, ErasureTargets, Registry};

/// What stands in answers to others where an erased subject's name stood.
pub const ERASED_SUBJECT: &str = "(erased)";

/// Whose data is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseTarget {
    /// Everything of a subject: references, and applications that left none.
    Subject(String),
    /// Everything of one application.
    Application(String),
}

/// An order to erase.
#[derive(Clone, Debug)]
pub struct EraseRequest {
    /// Whose.
    pub target: EraseTarget,
    /// Who orders it.
    pub operator: String,
    /// Why, in a word.
    pub reason: String,
}

/// Where an erasure stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ErasureDocument {
    /// Position of the order in the log.
    pub erasure: u64,
    /// Who ordered it.
    pub operator: String,
    /// Why, in a word.
    pub reason: String,
    /// Submissions and enrolments that it erases.
    pub records: u64,
    /// When it was ordered: milliseconds since 1970, UTC. From then on nothing of it is searched or shown.
    pub ordered_ms: u64,
    /// When it was gone from the files of the data folder; absent until then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub erased_ms: Option<u64>,
}

impl From<Erasure> for ErasureDocument {
    fn from(e: Erasure) -> Self {
        Self {
            erasure: e.position,
            operator: e.operator,
            reason: e.reason,
            records: e.records,
            ordered_ms: e.time_ms,
            erased_ms: e.done_ms,
        }
    }
}

/// What carrying out took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CarriedOut {
    /// Orders that were carried out.
    pub orders: u64,
    /// Journal records redacted.
    pub records: u64,
    /// Stripes written anew.
    pub stripes: u32,
    /// Face models whose basis was learned anew.
    pub bases: u32,
    /// Fingerprint cohorts that were learned anew.
    pub cohorts: u32,
}

/// A decision's document without what it says of erased references: their subjects' names and the scores of their
/// sources. `None` when it says nothing of them.
pub(crate) fn without_erased(document: &[u8], positions: &[u64]) -> Option<Vec<u8>> {
    let mut parsed: CheckDocument = simd_json::serde::from_slice(&mut document.to_vec()).ok()?;
    let mut any = false;
    for candidate in &mut parsed.candidates {
        if positions.binary_search(&candidate.position).is_ok() && candidate.subject != ERASED_SUBJECT {
            candidate.subject = ERASED_SUBJECT.to_owned();
            candidate.sources.clear();
            any = true;
        }
    }
    if !any {
        return None;
    }
    simd_json::serde::to_vec(&parsed).ok()
}

/// A decision that rested on erased data says so.
pub(super) fn say_what_is_erased(document: &mut CheckDocument, registry: &Registry) -> Result<(), ServiceError> {
    for candidate in &document.candidates {
        if let Some(erasure) = registry.erasure_of_position(candidate.position).map_err(internal)? {
            let text = format!(
                "the reference at position {}, which this decision rested on, was erased by the order at position {}",
                candidate.position, erasure.position
            );
            let text_vi = format!(
                "mẫu tham chiếu ở vị trí {} mà quyết định này dựa vào đã bị xóa theo lệnh ở vị trí {}",
                candidate.position, erasure.position
            );
            document.reasons.push(Reason { code: "rested_on_erased".into(), finger: None, text, text_vi });
        }
    }
    Ok(())
}

impl Service {
    /// Orders an erasure: durable, and gone from every search, when this returns. The same order again gives the same
    /// answer.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or the log cannot be written.
    pub async fn erase(&self, request: EraseRequest) -> Result<ErasureDocument, ServiceError> {
        self.accepting()?;
        self.maintain(move |writer| order(writer, request)).await
    }

    /// Carries out every order that waits, now. Takes as long as the affected stripes and segments take to be written.
    ///
    /// # Errors
    /// The log or the files cannot be written; what was done stays done, and the rest is done by the next call.
    pub async fn carry_out_erasures(&self) -> Result<CarriedOut, ServiceError> {
        self.accepting()?;
        let (shared, sender) = (self.shared.clone(), self.sender()?);
        let work = tokio::task::spawn_blocking(move || carry_out(&shared, &sender));
        work.await.map_err(|_| ServiceError::Internal)?
    }

    /// Writes every stripe anew that holds data of withdrawn or erased references; returns how many that were.
    ///
    /// # Errors
    /// Damage, or the files cannot be written.
    pub async fn compact(&self) -> Result<u32, ServiceError> {
        self.accepting()?;
        let (shared, sender) = (self.shared.clone(), self.sender()?);
        let work = tokio::task::spawn_blocking(move || {
            let compaction = on_writer(&sender, |writer| {
                let position = writer.position();
                writer.folder.gallery.flush(position).map_err(internal)?;
                Ok(writer.folder.gallery.compaction())
            })?;
            rewrite_stale(&shared, &sender, &compaction)
        });
        work.await.map_err(|_| ServiceError::Internal)?
    }

    /// Orders that wait to be carried out.
    ///
    /// # Errors
    /// The registry.
    pub fn erasures_pending(&self) -> Result<Vec<ErasureDocument>, ServiceError> {
        let pending = self.shared.registry().erasures_pending().map_err(internal)?;
        Ok(pending.into_iter().map(|(e, _)| e.into()).collect())
    }

    /// Runs work on the writer's thread, after what was asked before.
    pub(super) async fn maintain<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer<'_>) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let answer = send(&self.sender()?, work)?;
        answer.await.map_err(|_| ServiceError::Unavailable)?
    }
}

fn send<T: Send + 'static>(
    sender: &Sender<Command>,
    work: impl FnOnce(&mut Writer<'_>) -> Result<T, ServiceError> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, ServiceError>>, ServiceError> {
    let (reply, answer) = oneshot::channel();
    let work: writer::Work = Box::new(move |writer| drop(reply.send(writer.and_then(work))));
    sender.send(Command::Maintain(work)).map_err(|_| ServiceError::Unavailable)?;
    Ok(answer)
}

/// [`Service::maintain`] for a thread of its own.
pub(super) fn on_writer<T: Send + 'static>(
    sender: &Sender<Command>,
    work: impl FnOnce(&mut Writer<'_>) -> Result<T, ServiceError> + Send + 'static,
) -> Result<T, ServiceError> {
    send(sender, work)?.blocking_recv().map_err(|_| ServiceError::Unavailable)?
}

fn order(writer: &mut Writer<'_>, request: EraseRequest) -> Result<ErasureDocument, ServiceError> {
    let (registry, shared) = (&writer.folder.registry, writer.shared);
    let code = |code: &str| shared.key.pseudonym_of_name("application", code);
    let (targets, subject, before, what) = match &request.target {
        EraseTarget::Subject(name) => {
            let pseudonym = shared.key.pseudonym_of_name("subject", name);
            let before = registry.erasure_by_subject(&pseudonym).map_err(internal)?;
            (registry.erasure_of_subject(name).map_err(internal)?, Some(pseudonym), before, "subject")
        }
        EraseTarget::Application(name) => {
            let before = registry.erasure_by_application(&code(name)).map_err(internal)?;
            (registry.erasure_of_application(name).map_err(internal)?, None, before, "application")
        }
    };
    let ErasureTargets { positions, applications } = targets;
    if positions.is_empty() {
        return before.map(ErasureDocument::from).ok_or(ServiceError::NotFound { what });
    }
    let order = ErasureOrder {
        positions,
        subject,
        applications: applications.iter().map(|c| code(c)).collect(),
        operator: request.operator,
        reason: request.reason,
        time_ms: now_ms(),
    };
    let document = ErasureDocument {
        erasure: writer.folder.last_position() + 1,
        operator: order.operator.clone(),
        reason: order.reason.clone(),
        records: order.positions.len() as u64,
        ordered_ms: order.time_ms,
        erased_ms: None,
    };
    writer.append(Event::Erased(Erased::Ordered(order)))?;
    Ok(document)
}

/// Whether an order has waited so long that it must be carried out now to be done `within` the time.
pub(super) fn is_due(shared: &Shared, within: Duration) -> Result<bool, ServiceError> {
    let pending = shared.registry().erasures_pending().map_err(internal)?;
    let half = within.as_millis() as u64 / 2;
    Ok(pending.first().is_some_and(|(oldest, _)| oldest.time_ms.saturating_add(half) <= now_ms()))
}

/// Carries out what was ordered. Runs beside the writer, which is asked for short steps only.
pub(super) fn carry_out(shared: &Arc<Shared>, sender: &Sender<Command>) -> Result<CarriedOut, ServiceError> {
    let plan = on_writer(sender, |writer| {
        let (position, folder, shared) = (writer.position(), &mut writer.folder, writer.shared);
        let orders = folder.registry.erasures_pending().map_err(internal)?;
        let mut targets = BTreeMap::new();
        for (order, positions) in &orders {
            targets.extend(positions.iter().map(|p| (*p, order.position)));
        }
        if targets.is_empty() {
            return Ok(None);
        }
        let positions: Vec<u64> = targets.keys().copied().collect();
        let gallery = &mut folder.gallery;
        let bases = shared.writer_pool.install(|| gallery.relearn_without(&positions)).map_err(internal)?;
        folder.gallery.flush(position).map_err(internal)?;
        if let Err(error) = folder.journal.close_segment() {
            return Err(writer.log_error(&error));
        }
        let orders: Vec<u64> = orders.into_iter().map(|(order, _)| order.position).collect();
        Ok(Some((orders, targets, bases, writer.folder.gallery.compaction())))
    })?;
    let Some((orders, targets, bases, compaction)) = plan else { return Ok(CarriedOut::default()) };
    let logs = log_dir(&shared.dir);
    redact::sweep(&logs).map_err(internal)?;
    let positions: Vec<u64> = targets.keys().copied().collect();
    let redaction = redact::redact(&logs, &targets, |_, event| speaks_of(event, &positions)).map_err(internal)?;
    let stripes = rewrite_stale(shared, sender, &compaction)?;
    let cohort = cohort::without_erased(shared, &targets)?;
    let (orders_done, cohorts) = (orders.len() as u64, u32::from(cohort.is_some()));
    let carried = CarriedOut { orders: orders_done, records: redaction.records, stripes, bases, cohorts };
    on_writer(sender, move |writer| {
        writer.folder.registry.checkpoint().map_err(internal)?;
        if let Some(frozen) = cohort {
            writer.append(Event::CohortFrozen(frozen))?;
        }
        let (records, stripes) = (carried.records, carried.stripes);
        let done = ErasureDone { orders, time_ms: now_ms(), records, stripes };
        writer.append(Event::Erased(Erased::Done(done)))?;
        writer.append_digest()?;
        writer.folder.registry.checkpoint().map_err(internal)
    })?;
    Ok(carried)
}

/// Writes every stripe anew that holds data of withdrawn rows; returns how many that were. Searches and enrolments go on.
fn rewrite_stale(shared: &Arc<Shared>, sender: &Sender<Command>, compaction: &Compaction) -> Result<u32, ServiceError> {
    let stale = compaction.stale().map_err(internal)?;
    for number in &stale {
        // What is not done now is done after the next start.
        if shared.closing.load(Ordering::Acquire) {
            return Err(ServiceError::Unavailable);
        }
        let stripe = shared.writer_pool.install(|| compaction.rewrite(*number)).map_err(internal)?;
        on_writer(sender, move |writer| {
            let position = writer.position();
            writer.folder.gallery.adopt(stripe, position).map_err(internal)
        })?;
    }
    on_writer(sender, |writer| {
        writer.folder.gallery.retire_bases().map_err(internal)?;
        writer.folder.gallery.sweep().map_err(internal)
    })?;
    Ok(stale.len() as u32)
}

/// The decision without what it says of the erased, when it says something.
fn speaks_of(event: &Event, positions: &[u64]) -> Option<Event> {
    let Event::Decided(decided) = event else { return None };
    let document = without_erased(&decided.document.0, positions)?;
    Some(Event::Decided(Decided { document: duynhat_engine::codec::Blob(document), ..decided.clone() }))
}
