//! Cases, verdicts, mergers and the list of confirmed frauds, as the log tells them.
//!
//! A decision of `duplicate`, `mismatch` or `review` opens a case under its application's code. Two adjudicators judge it
//! independently; when they disagree a supervisor ends it. A check that is decided anew on other references opens
//! its case again, in a new round.

use duynhat_engine::log::{Adjudicated, CaseVerdict, Decided, Event, FraudListed, Merged, Record, Role, Submitted};
use duynhat_engine::template::{Outcome, Purpose};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Registry, RegistryError};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS cases(
    application TEXT PRIMARY KEY, position INTEGER NOT NULL, purpose TEXT NOT NULL, operator TEXT NOT NULL,
    submitted_ms INTEGER NOT NULL, decision TEXT, state INTEGER NOT NULL, round INTEGER NOT NULL, outcome TEXT,
    subject TEXT, claimed BLOB) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cases_state ON cases(state, position);
CREATE INDEX IF NOT EXISTS cases_position ON cases(position);
CREATE TABLE IF NOT EXISTS verdicts(
    event INTEGER PRIMARY KEY, application TEXT NOT NULL, round INTEGER NOT NULL, adjudicator TEXT NOT NULL,
    supervisor INTEGER NOT NULL, verdict TEXT NOT NULL, subject TEXT, note TEXT NOT NULL, time_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS verdicts_application ON verdicts(application);
CREATE TABLE IF NOT EXISTS distinct_people(position INTEGER NOT NULL, other INTEGER NOT NULL,
    PRIMARY KEY(position, other)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mergers(
    application TEXT PRIMARY KEY, event INTEGER NOT NULL, merged BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frauds(
    name TEXT PRIMARY KEY, position INTEGER NOT NULL, reason TEXT NOT NULL, operator TEXT NOT NULL,
    time_ms INTEGER NOT NULL) WITHOUT ROWID;
";

/// Where a case stands. The number is the encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum CaseState {
    /// The submission is known, nothing has been found: no case.
    None = 0,
    /// Nobody has judged.
    First = 1,
    /// One has judged.
    Second = 2,
    /// Two have judged and disagree.
    Supervisor = 3,
    /// Ended.
    Closed = 4,
}

impl CaseState {
    fn of(number: i64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::First,
            2 => Self::Second,
            3 => Self::Supervisor,
            _ => Self::Closed,
        }
    }
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The application's code.
    pub application: String,
    /// Position of the submission.
    pub position: u64,
    /// Its purpose.
    pub purpose: Purpose,
    /// Who submitted.
    pub operator: String,
    /// When, milliseconds since 1970.
    pub submitted_ms: u64,
    /// The decision that opened it.
    pub decision: Option<Outcome>,
    /// Where it stands.
    pub state: CaseState,
    /// How often it was opened.
    pub round: u64,
    /// What it ended in.
    pub outcome: Option<Outcome>,
    /// The subject that it ended with.
    pub subject: Option<String>,
    /// Keyed pseudonym of the claimed record's number.
    pub claimed: Option<[u8; 32]>,
}

/// One verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    /// Position of the event.
    pub event: u64,
    /// In which round.
    pub round: u64,
    /// Who.
    pub adjudicator: String,
    /// As what.
    pub role: Role,
    /// What they found.
    pub verdict: CaseVerdict,
    /// Of `same_person`: with whom.
    pub subject: Option<String>,
    /// In their own words.
    pub note: String,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// An entry of the list of confirmed frauds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FraudRow {
    /// Its name.
    pub name: String,
    /// Its position in the log.
    pub position: u64,
    /// Why it is there.
    pub reason: String,
    /// Who put it there.
    pub operator: String,
    /// Milliseconds since 1970.
    pub time_ms: u64,
}

/// Stable words of the verdicts.
pub fn verdict_word(verdict: CaseVerdict) -> &'static str {
    match verdict {
        CaseVerdict::SamePerson => "same_person",
        CaseVerdict::DifferentPeople => "different_people",
        CaseVerdict::BadCapture => "bad_capture",
    }
}

const CASE_COLUMNS: &str =
    "application, position, purpose, operator, submitted_ms, decision, state, round, outcome, subject, claimed";

fn outcome_of(word: Option<String>) -> Option<Outcome> {
    const ALL: [Outcome; 6] = [
        Outcome::Clear,
        Outcome::Confirmed,
        Outcome::Duplicate,
        Outcome::Mismatch,
        Outcome::Review,
        Outcome::Recapture,
    ];
    ALL.into_iter().find(|outcome| Some(outcome.as_str()) == word.as_deref())
}

fn case(r: &Row<'_>) -> rusqlite::Result<Case> {
    let purpose: String = r.get(2)?;
    Ok(Case {
        application: r.get(0)?,
        position: r.get::<_, i64>(1)? as u64,
        purpose: Purpose::ALL.into_iter().find(|p| p.as_str() == purpose).unwrap_or(Purpose::AuthorisedSearch),
        operator: r.get(3)?,
        submitted_ms: r.get::<_, i64>(4)? as u64,
        decision: outcome_of(r.get(5)?),
        state: CaseState::of(r.get(6)?),
        round: r.get::<_, i64>(7)? as u64,
        outcome: outcome_of(r.get(8)?),
        subject: r.get(9)?,
        claimed: r.get(10)?,
    })
}

fn verdict(r: &Row<'_>) -> rusqlite::Result<VerdictRow> {
    const ALL: [CaseVerdict; 3] = [CaseVerdict::SamePerson, CaseVerdict::DifferentPeople, CaseVerdict::BadCapture];
    let word: String = r.get(4)?;
    Ok(VerdictRow {
        event: r.get::<_, i64>(0)? as u64,
        round: r.get::<_, i64>(1)? as u64,
        adjudicator: r.get(2)?,
        role: if r.get::<_, bool>(3)? { Role::Supervisor } else { Role::Adjudicator },
        verdict: ALL.into_iter().find(|v| verdict_word(*v) == word).unwrap_or(CaseVerdict::BadCapture),
        subject: r.get(5)?,
        note: r.get(6)?,
        time_ms: r.get::<_, i64>(7)? as u64,
    })
}

impl Registry {
    /// The case of an application, if a decision ever opened one.
    ///
    /// # Errors
    /// SQLite.
    pub fn case(&self, application: &str) -> Result<Option<Case>, RegistryError> {
        let sql = format!("SELECT {CASE_COLUMNS} FROM cases WHERE application = ?1 AND state > 0");
        Ok(self.db.prepare_cached(&sql)?.query_row([application], case).optional()?)
    }

    /// Cases, in the order of their submissions: the open ones, or all.
    ///
    /// # Errors
    /// SQLite.
    pub fn cases(&self, open: bool, max: usize) -> Result<Vec<Case>, RegistryError> {
        let last = if open { CaseState::Supervisor } else { CaseState::Closed };
        let sql = format!("SELECT {CASE_COLUMNS} FROM cases WHERE state BETWEEN 1 AND ?1 ORDER BY position LIMIT ?2");
        let mut query = self.db.prepare_cached(&sql)?;
        let rows = query.query_map(params![last as i64, max as i64], case)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many cases are open.
    ///
    /// # Errors
    /// SQLite.
    pub fn cases_open(&self) -> Result<u64, RegistryError> {
        let sql = "SELECT count(*) FROM cases WHERE state BETWEEN 1 AND 3";
        Ok(self.db.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0))? as u64)
    }

    /// Every verdict on a case, oldest first.
    ///
    /// # Errors
    /// SQLite.
    pub fn verdicts(&self, application: &str) -> Result<Vec<VerdictRow>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT event, round, adjudicator, supervisor, verdict, subject, note, time_ms FROM verdicts
             WHERE application = ?1 ORDER BY event",
        )?;
        let rows = query.query_map([application], verdict)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// References that the submission at `position` was found not to be of the same person as, or that were found so
    /// against it.
    ///
    /// # Errors
    /// SQLite.
    pub fn distinct_from(&self, position: u64) -> Result<Vec<u64>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT other FROM distinct_people WHERE position = ?1 ORDER BY other")?;
        let rows = query.query_map([position as i64], |r| r.get::<_, i64>(0))?;
        Ok(rows.map(|r| r.map(|p| p as u64)).collect::<Result<_, _>>()?)
    }

    /// The merger that stands under an application's case: position of its event, and what was merged.
    ///
    /// # Errors
    /// SQLite; a row that this build did not write.
    pub fn merger(&self, application: &str) -> Result<Option<(u64, Merged)>, RegistryError> {
        let mut query = self.db.prepare_cached("SELECT event, merged FROM mergers WHERE application = ?1")?;
        let row = query.query_row([application], |r| Ok((r.get::<_, i64>(0)? as u64, r.get::<_, Vec<u8>>(1)?)));
        let Some((event, bytes)) = row.optional()? else { return Ok(None) };
        let merged = duynhat_engine::codec::decode(&bytes).map_err(|e| RegistryError::Foreign(e.to_string()))?;
        Ok(Some((event, merged)))
    }

    /// Pseudonyms of the identity numbers of a subject.
    ///
    /// # Errors
    /// SQLite.
    pub fn identities_of(&self, subject: &str) -> Result<Vec<[u8; 32]>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT pseudonym FROM identities WHERE subject = ?1 ORDER BY pseudonym")?;
        let rows = query.query_map([subject], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The subject that the reference at a position counts to.
    ///
    /// # Errors
    /// SQLite.
    pub fn subject_at(&self, position: u64) -> Result<Option<String>, RegistryError> {
        let mut query = self.db.prepare_cached("SELECT subject FROM subjects WHERE position = ?1")?;
        Ok(query.query_row([position as i64], |r| r.get(0)).optional()?)
    }

    /// The list of confirmed frauds, by name.
    ///
    /// # Errors
    /// SQLite.
    pub fn frauds(&self) -> Result<Vec<FraudRow>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT name, position, reason, operator, time_ms FROM frauds ORDER BY name")?;
        let rows = query.query_map([], |r| {
            Ok(FraudRow {
                name: r.get(0)?,
                position: r.get::<_, i64>(1)? as u64,
                reason: r.get(2)?,
                operator: r.get(3)?,
                time_ms: r.get::<_, i64>(4)? as u64,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Folds one record; called for each, after the applications' own tables.
pub(super) fn apply(tx: &Transaction<'_>, record: &Record) -> Result<(), RegistryError> {
    match &record.event {
        Event::Submitted(submitted) => remember(tx, record.position, submitted),
        Event::Decided(decided) => open(tx, decided),
        Event::Withdrawn(withdrawn) => {
            forget(tx, &withdrawn.application)?;
            Ok(())
        }
        Event::Adjudicated(adjudicated) => judge(tx, record.position, adjudicated),
        Event::Merged(merged) => merge(tx, record.position, merged, true),
        Event::Unmerged(merged) => merge(tx, record.position, merged, false),
        Event::FraudListed(fraud) => list(tx, record.position, fraud),
        _ => Ok(()),
    }
}

/// What a case will have to know of its submission, until it is clear that there is none.
fn remember(tx: &Transaction<'_>, position: u64, s: &Submitted) -> Result<(), RegistryError> {
    tx.prepare_cached("INSERT OR REPLACE INTO cases VALUES(?1, ?2, ?3, ?4, ?5, NULL, 0, 0, NULL, NULL, ?6)")?.execute(
        params![s.application, position as i64, s.purpose.as_str(), s.operator, s.time_ms as i64, s.claimed_identity],
    )?;
    Ok(())
}

/// Withdrawn: nobody has to look any more. What was judged stays on record.
fn forget(tx: &Transaction<'_>, application: &str) -> Result<(), RegistryError> {
    tx.prepare_cached("DELETE FROM cases WHERE application = ?1 AND state = 0")?.execute([application])?;
    tx.prepare_cached("UPDATE cases SET state = ?2, outcome = NULL WHERE application = ?1 AND state < ?2")?
        .execute(params![application, CaseState::Closed as i64])?;
    Ok(())
}

fn open(tx: &Transaction<'_>, decided: &Decided) -> Result<(), RegistryError> {
    let found: Option<(i64, Option<String>)> = tx
        .prepare_cached("SELECT state, outcome FROM cases WHERE application = ?1")?
        .query_row([&decided.application], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((state, ended_in)) = found else { return Ok(()) };
    if !matches!(decided.outcome, Outcome::Duplicate | Outcome::Mismatch | Outcome::Review) {
        // Decided anew, and nothing is left to judge.
        if state == 0 {
            tx.prepare_cached("DELETE FROM cases WHERE application = ?1")?.execute([&decided.application])?;
        } else if ended_in.is_none() {
            tx.prepare_cached("UPDATE cases SET state = ?2, decision = ?3, outcome = ?3 WHERE application = ?1")?
                .execute(params![decided.application, CaseState::Closed as i64, decided.outcome.as_str()])?;
        }
        return Ok(());
    }
    if ended_in.is_some() && !rests_on_unjudged(tx, decided)? {
        return Ok(());
    }
    tx.prepare_cached(
        "UPDATE cases SET state = ?2, decision = ?3, round = round + 1, outcome = NULL, subject = NULL
         WHERE application = ?1",
    )?
    .execute(params![decided.application, CaseState::First as i64, decided.outcome.as_str()])?;
    Ok(())
}

/// Whether a decision rests on a reference that its submission was not found to differ from.
fn rests_on_unjudged(tx: &Transaction<'_>, decided: &Decided) -> Result<bool, RegistryError> {
    let mut known = tx.prepare_cached("SELECT 1 FROM distinct_people WHERE position = ?1 AND other = ?2")?;
    for other in &decided.rests_on {
        if !known.exists(params![decided.submitted as i64, *other as i64])? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn judge(tx: &Transaction<'_>, event: u64, a: &Adjudicated) -> Result<(), RegistryError> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO verdicts
         SELECT ?1, ?2, round, ?3, ?4, ?5, ?6, ?7, ?8 FROM cases WHERE application = ?2",
    )?
    .execute(params![
        event as i64,
        a.application,
        a.adjudicator,
        a.role == Role::Supervisor,
        verdict_word(a.verdict),
        a.subject,
        a.note,
        a.time_ms as i64
    ])?;
    let Some(closing) = &a.closing else {
        // Waits for one more: after the first for the second, after two who disagree for the supervisor.
        tx.prepare_cached("UPDATE cases SET state = state + 1 WHERE application = ?1 AND state IN (1, 2)")?
            .execute([&a.application])?;
        return Ok(());
    };
    tx.prepare_cached("UPDATE cases SET state = ?2, outcome = ?3, subject = ?4 WHERE application = ?1")?
        .execute(params![a.application, CaseState::Closed as i64, closing.outcome.as_str(), a.subject])?;
    for other in &closing.distinct_from {
        for (x, y) in [(a.submitted, *other), (*other, a.submitted)] {
            tx.prepare_cached("INSERT OR IGNORE INTO distinct_people VALUES(?1, ?2)")?
                .execute(params![x as i64, y as i64])?;
        }
    }
    let submitted = a.submitted as i64;
    if closing.outcome == Outcome::Recapture {
        tx.prepare_cached("DELETE FROM subjects WHERE position = ?1")?.execute([submitted])?;
        tx.prepare_cached("DELETE FROM rests_on WHERE application = ?1")?.execute([&a.application])?;
        return Ok(());
    }
    let Some(subject) = &closing.subject else { return Ok(()) };
    tx.prepare_cached("DELETE FROM subjects WHERE position = ?1")?.execute([submitted])?;
    tx.prepare_cached("INSERT OR IGNORE INTO subjects VALUES(?1, ?2)")?.execute(params![subject, submitted])?;
    if closing.outcome == Outcome::Clear {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO identities
             SELECT identity, position, ?2 FROM applications WHERE code = ?1 AND identity IS NOT NULL",
        )?
        .execute(params![a.application, subject])?;
    }
    Ok(())
}

fn merge(tx: &Transaction<'_>, event: u64, merged: &Merged, forward: bool) -> Result<(), RegistryError> {
    let to = if forward { &merged.into } else { &merged.from };
    for position in &merged.positions {
        tx.prepare_cached("UPDATE OR IGNORE subjects SET subject = ?2 WHERE position = ?1")?
            .execute(params![*position as i64, to])?;
    }
    for identity in &merged.identities {
        tx.prepare_cached("UPDATE identities SET subject = ?2 WHERE pseudonym = ?1")?.execute(params![identity, to])?;
    }
    if forward {
        let bytes = duynhat_engine::codec::encode(merged).map_err(|e| RegistryError::Foreign(e.to_string()))?;
        tx.prepare_cached("INSERT OR REPLACE INTO mergers VALUES(?1, ?2, ?3)")?.execute(params![
            merged.application,
            event as i64,
            bytes
        ])?;
    } else {
        tx.prepare_cached("DELETE FROM mergers WHERE application = ?1")?.execute([&merged.application])?;
    }
    Ok(())
}

/// What the log no longer tells once the records at `positions` are redacted: the cases of those submissions with their
/// verdicts, and mergers of which nothing is left. Entries of the list of frauds stay: they are not the subject's
/// enrolment but the authority's record of a crime.
pub(super) fn erase(tx: &Transaction<'_>, positions: &[u64]) -> Result<(), RegistryError> {
    for position in positions {
        let at = [*position as i64];
        tx.prepare_cached(
            "DELETE FROM verdicts WHERE application IN (SELECT application FROM cases WHERE position = ?1)",
        )?
        .execute(at)?;
        tx.prepare_cached("DELETE FROM cases WHERE position = ?1")?.execute(at)?;
        tx.prepare_cached("DELETE FROM distinct_people WHERE position = ?1 OR other = ?1")?.execute(at)?;
    }
    let mut query = tx.prepare_cached("SELECT application, merged FROM mergers")?;
    let mergers: Vec<(String, Vec<u8>)> =
        query.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut erased = tx.prepare_cached("SELECT 1 FROM erased WHERE position = ?1")?;
    for (application, bytes) in mergers {
        let merged: Merged =
            duynhat_engine::codec::decode(&bytes).map_err(|e| RegistryError::Foreign(e.to_string()))?;
        let mut left = false;
        for position in &merged.positions {
            left |= !erased.exists([*position as i64])?;
        }
        if !left {
            tx.prepare_cached("DELETE FROM mergers WHERE application = ?1")?.execute([application])?;
        }
    }
    Ok(())
}

fn list(tx: &Transaction<'_>, position: u64, fraud: &FraudListed) -> Result<(), RegistryError> {
    tx.prepare_cached("INSERT OR REPLACE INTO frauds VALUES(?1, ?2, ?3, ?4, ?5)")?.execute(params![
        fraud.name,
        position as i64,
        fraud.reason,
        fraud.operator,
        fraud.time_ms as i64
    ])?;
    Ok(())
}
