//! The registry: applications, identities and subjects, in SQLite. A projection of the log like the gallery: it carries
//! the position that it has applied, and can be rebuilt at any time.

mod cases;
mod digest;
mod erasure;

use std::path::Path;

use duynhat_engine::finger::{Cohort, Model};
use duynhat_engine::log::projection::{leaves_reference, provisional_subject};
use duynhat_engine::log::{Erased, Event, PolicyAdopted, Record, RegistryDigest};
use duynhat_engine::template::{FingerRule, Outcome};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

pub use cases::{Case, CaseState, FraudRow, VerdictRow, verdict_word};
pub use digest::Content;
pub use erasure::{Erasure, ErasureTargets};

use digest::Follower;

/// 2: cohorts have their ids. A registry of an earlier schema is made anew from the log.
const SCHEMA_VERSION: i64 = 2;
const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applications(
    code TEXT PRIMARY KEY, request BLOB NOT NULL, position INTEGER NOT NULL, status INTEGER NOT NULL,
    time_ms INTEGER NOT NULL, identity BLOB, document BLOB, subject TEXT, supersedes TEXT,
    station TEXT, operator TEXT, missing INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS applications_pending ON applications(position) WHERE status = 0;
CREATE INDEX IF NOT EXISTS applications_position ON applications(position);
CREATE INDEX IF NOT EXISTS applications_subject ON applications(subject) WHERE subject IS NOT NULL;
CREATE TABLE IF NOT EXISTS subjects(subject TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY(subject, position))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS subjects_position ON subjects(position);
CREATE TABLE IF NOT EXISTS identities(pseudonym BLOB NOT NULL, position INTEGER NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY(pseudonym, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS identities_subject ON identities(subject);
CREATE TABLE IF NOT EXISTS rests_on(position INTEGER NOT NULL, application TEXT NOT NULL,
    PRIMARY KEY(position, application)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rests_on_application ON rests_on(application);
CREATE TABLE IF NOT EXISTS erasures(position INTEGER PRIMARY KEY, subject BLOB, operator TEXT NOT NULL,
    reason TEXT NOT NULL, records INTEGER NOT NULL, time_ms INTEGER NOT NULL, done_ms INTEGER);
CREATE INDEX IF NOT EXISTS erasures_subject ON erasures(subject);
CREATE INDEX IF NOT EXISTS erasures_pending ON erasures(position) WHERE done_ms IS NULL;
CREATE TABLE IF NOT EXISTS erased(position INTEGER PRIMARY KEY, erasure INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS erased_erasure ON erased(erasure);
CREATE TABLE IF NOT EXISTS erased_applications(code BLOB PRIMARY KEY, erasure INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS applications_identity ON applications(identity) WHERE identity IS NOT NULL;
CREATE TABLE IF NOT EXISTS approvals(application TEXT PRIMARY KEY, approved INTEGER NOT NULL, operator TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS captures(station TEXT NOT NULL, operator TEXT NOT NULL, missing INTEGER NOT NULL,
    checks INTEGER NOT NULL, PRIMARY KEY(station, operator, missing)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minors(position INTEGER PRIMARY KEY, age INTEGER NOT NULL, time_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS adopted(position INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, policy TEXT NOT NULL,
    calibration TEXT NOT NULL, face_calibration TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cohorts(position INTEGER PRIMARY KEY, cohort TEXT NOT NULL, weights BLOB NOT NULL);
";

const PENDING: i64 = 0;
const DECIDED: i64 = 1;
const WITHDRAWN: i64 = 2;

/// Where an application stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Submitted.
    Pending,
    /// Decided.
    Decided,
    /// Withdrawn.
    Withdrawn,
}

/// One application.
#[derive(Clone, Debug)]
pub struct Application {
    /// SHA-256 of its request.
    pub request: [u8; 32],
    /// Position of the submission.
    pub position: u64,
    /// Where it stands.
    pub stage: Stage,
    /// The answer as given, once decided.
    pub document: Option<Vec<u8>>,
}

/// An earlier claim to an identity number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberClaim {
    /// Position of the submission.
    pub position: u64,
    /// The subject that its reference counts to.
    pub subject: String,
}

/// A reference of somebody who was not yet grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minor {
    /// Position of the submission.
    pub position: u64,
    /// Age in whole years.
    pub age: u8,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Younger than this people may still grow.
const GROWN: u8 = 21;

/// Missing fingers at one station, by one operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExceptionRate {
    /// The station's code.
    pub station: String,
    /// The operator's code.
    pub operator: String,
    /// Checks for which fingers had to be captured.
    pub checks: u64,
    /// Checks that named at least one finger missing.
    pub with_missing: u64,
    /// Checks that named more fingers missing than the policy lets pass.
    pub over_limit: u64,
    /// Fingers named missing in all.
    pub missing_fingers: u64,
    /// `with_missing` as a share of `checks`.
    pub rate: f64,
}

/// What can go wrong with the registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// SQLite said so.
    #[error("registry: {0}")]
    Sql(#[from] rusqlite::Error),
    /// The file belongs elsewhere.
    #[error("registry: {0}")]
    Foreign(String),
    /// The file does not hold what was put into it.
    #[error("registry: {0}")]
    Damaged(String),
}

impl RegistryError {
    /// Whether the file is at fault, so that making it anew from the log helps.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged(_) => true,
            Self::Sql(error) => match error.sqlite_error_code() {
                Some(code) => matches!(code, DatabaseCorrupt | NotADatabase),
                // A value of another type than the one that was written, a row that must be there and is not.
                None => true,
            },
            Self::Foreign(_) => false,
        }
    }
}

impl RegistryError {
    /// Whether there was no room; nothing was changed then.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// A connection to the registry.
pub struct Registry {
    db: Connection,
    /// Of the connection that writes.
    follower: Option<Follower>,
    /// Positions of log digests that this registry did not agree with when it came past them.
    disagreed: Vec<u64>,
}

impl Registry {
    /// Opens or creates the file; `gallery` must be the one that the file belongs to.
    ///
    /// # Errors
    /// Another gallery's file, an unknown schema, SQLite.
    pub fn open(path: &Path, gallery: [u8; 16]) -> Result<Self, RegistryError> {
        let mut registry = Self::open_to_read(path, gallery)?;
        registry.follower = Some(Follower::install(&registry.db)?);
        Ok(registry)
    }

    /// A second connection beside the one that writes.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_to_read(path: &Path, gallery: [u8; 16]) -> Result<Self, RegistryError> {
        let db = Connection::open(path)?;
        // The log is what is durable; the registry only has to be consistent.
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "NORMAL")?;
        db.busy_timeout(std::time::Duration::from_secs(10))?;
        // What is deleted is overwritten, in the file and in its free pages.
        db.pragma_update(None, "secure_delete", true)?;
        db.execute_batch(SCHEMA)?;
        db.execute_batch(cases::SCHEMA)?;
        let version: Option<i64> =
            db.query_row("SELECT value FROM meta WHERE key = 'schema'", [], |r| r.get(0)).optional()?;
        let owner: Option<Vec<u8>> =
            db.query_row("SELECT value FROM meta WHERE key = 'gallery'", [], |r| r.get(0)).optional()?;
        match (version, owner) {
            (None, None) => {
                db.execute(
                    "INSERT INTO meta VALUES('schema', ?1), ('gallery', ?2), ('applied', 0), ('rows', 0), ('digest', ?3)",
                    params![SCHEMA_VERSION, gallery, [0u8; 32]],
                )?;
            }
            (Some(SCHEMA_VERSION), Some(owner)) if owner == gallery => {}
            (Some(SCHEMA_VERSION), _) => {
                return Err(RegistryError::Foreign("belongs to another gallery than the log beside it".into()));
            }
            (Some(earlier), _) if earlier < SCHEMA_VERSION => {
                return Err(RegistryError::Damaged(format!("schema {earlier}; this build has {SCHEMA_VERSION}")));
            }
            (found, _) => {
                return Err(RegistryError::Foreign(format!("schema {found:?}; this build reads {SCHEMA_VERSION}")));
            }
        }
        Ok(Self { db, follower: None, disagreed: Vec::new() })
    }

    /// Opens the file to look at it, beside its writer or without one.
    ///
    /// # Errors
    /// No such file, SQLite.
    pub fn open_read_only(path: &Path) -> Result<Self, RegistryError> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(std::time::Duration::from_secs(10))?;
        Ok(Self { db, follower: None, disagreed: Vec::new() })
    }

    /// From here on until [`Registry::end`] every question is answered as of one log position, which is returned.
    ///
    /// # Errors
    /// SQLite.
    pub fn begin(&self) -> Result<u64, RegistryError> {
        self.end()?;
        self.db.execute_batch("BEGIN")?;
        self.applied()
    }

    /// Ends what [`Registry::begin`] began, if it did.
    ///
    /// # Errors
    /// SQLite.
    pub fn end(&self) -> Result<(), RegistryError> {
        if !self.db.is_autocommit() {
            self.db.execute_batch("COMMIT")?;
        }
        Ok(())
    }

    /// The last log position applied.
    ///
    /// # Errors
    /// SQLite.
    pub fn applied(&self) -> Result<u64, RegistryError> {
        let applied: i64 = self.db.query_row("SELECT value FROM meta WHERE key = 'applied'", [], |r| r.get(0))?;
        Ok(applied as u64)
    }

    /// Applies records in log order, all or none; those applied before are passed over.
    ///
    /// # Errors
    /// SQLite.
    pub fn apply<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) -> Result<(), RegistryError> {
        let (applied, before) = (self.applied()?, self.recorded()?);
        let Some(follower) = self.follower.clone() else {
            return Err(RegistryError::Foreign("opened to read".into()));
        };
        follower.set(before);
        let mut disagreed = self.disagreed.clone();
        let tx = self.db.transaction()?;
        let mut last = applied;
        for record in records {
            if record.position > applied {
                apply_one(&tx, record)?;
                last = record.position;
                match &record.event {
                    Event::RegistryDigest(d) if !agrees(&follower.get(), d) => disagreed.push(record.position),
                    // What stood before an erasure can't be had again.
                    Event::Erased(_) => disagreed.clear(),
                    _ => {}
                }
            }
        }
        let content = follower.get();
        tx.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'applied'")?.execute([last as i64])?;
        tx.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'rows'")?.execute([content.rows as i64])?;
        tx.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'digest'")?.execute([content.digest()])?;
        tx.commit()?;
        self.disagreed = disagreed;
        Ok(())
    }

    /// What the registry should hold, as it was counted with every change.
    ///
    /// # Errors
    /// SQLite.
    pub fn recorded(&self) -> Result<Content, RegistryError> {
        let value = |key: &str| format!("SELECT value FROM meta WHERE key = '{key}'");
        let rows: i64 = self.db.query_row(&value("rows"), [], |r| r.get(0))?;
        let digest: [u8; 32] = self.db.query_row(&value("digest"), [], |r| r.get(0))?;
        Ok(Content::new(rows as u64, &digest))
    }

    /// Reads every row and every index entry and compares with what should be there; some microseconds a row.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`], SQLite.
    pub fn verify(&self) -> Result<Content, RegistryError> {
        // One view, while the writer goes on.
        let tx = self.db.unchecked_transaction()?;
        // The pages' own structure, and that every index says what its table says.
        let structure: String = tx.query_row("PRAGMA integrity_check(1)", [], |r| r.get(0))?;
        if structure != "ok" {
            return Err(RegistryError::Damaged(structure));
        }
        let (recorded, found) = (self.recorded()?, Content::read(&tx)?);
        if recorded != found {
            let what = format!("{} rows recorded, {} found, or their content differs", recorded.rows, found.rows);
            return Err(RegistryError::Damaged(what));
        }
        Ok(found)
    }

    /// The digest event of the present state.
    ///
    /// # Errors
    /// SQLite.
    pub fn digest_event(&self) -> Result<RegistryDigest, RegistryError> {
        let content = self.recorded()?;
        let (position, schema) = (self.applied()?, SCHEMA_VERSION as u32);
        Ok(RegistryDigest { position, schema, rows: content.rows, digest: content.digest() })
    }

    /// Whether a digest in the log is that of the present state; one of another position or schema can't be compared.
    ///
    /// # Errors
    /// SQLite.
    pub fn agrees_with(&self, digest: &RegistryDigest) -> Result<bool, RegistryError> {
        // Only the digest's own record may have been applied since.
        let comparable = self.applied()? <= digest.position + 1 && self.applied()? >= digest.position;
        Ok(!comparable || agrees(&self.recorded()?, digest))
    }

    /// Positions of log digests that the registry did not agree with when it came past them.
    pub fn disagreed(&self) -> &[u64] {
        &self.disagreed
    }

    /// Empties the write-ahead log into the file.
    ///
    /// # Errors
    /// SQLite; a reader in the way.
    pub fn checkpoint(&self) -> Result<(), RegistryError> {
        let busy: i64 = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        if busy != 0 {
            return Err(RegistryError::Foreign("a reader is in the way of the checkpoint".into()));
        }
        Ok(())
    }

    /// The application with a code.
    ///
    /// # Errors
    /// SQLite.
    pub fn application(&self, code: &str) -> Result<Option<Application>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT request, position, status, document FROM applications WHERE code = ?1")?;
        let row = query.query_row([code], |r| {
            Ok(Application {
                request: r.get(0)?,
                position: r.get::<_, i64>(1)? as u64,
                stage: match r.get::<_, i64>(2)? {
                    PENDING => Stage::Pending,
                    DECIDED => Stage::Decided,
                    _ => Stage::Withdrawn,
                },
                document: r.get(3)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Positions of the submissions that wait for a decision, in order.
    ///
    /// # Errors
    /// SQLite.
    pub fn pending(&self) -> Result<Vec<u64>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT position FROM applications WHERE status = 0 ORDER BY position")?;
        let rows = query.query_map([], |r| r.get::<_, i64>(0))?;
        Ok(rows.map(|r| r.map(|p| p as u64)).collect::<Result<_, _>>()?)
    }

    /// Positions of the submissions whose decisions rest on the reference at `position`.
    ///
    /// # Errors
    /// SQLite.
    pub fn resting_on(&self, position: u64) -> Result<Vec<u64>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT a.position FROM rests_on r JOIN applications a ON a.code = r.application
             WHERE r.position = ?1 AND a.status = 1 ORDER BY a.position",
        )?;
        let rows = query.query_map([position as i64], |r| r.get::<_, i64>(0))?;
        Ok(rows.map(|r| r.map(|p| p as u64)).collect::<Result<_, _>>()?)
    }

    /// The subject that an identity number's pseudonym belongs to.
    ///
    /// # Errors
    /// SQLite.
    pub fn subject_of(&self, pseudonym: &[u8; 32]) -> Result<Option<String>, RegistryError> {
        let mut query =
            self.db.prepare_cached("SELECT subject FROM identities WHERE pseudonym = ?1 ORDER BY position LIMIT 1")?;
        Ok(query.query_row([pseudonym], |r| r.get(0)).optional()?)
    }

    /// Earlier submissions before `position` that declared this number and left a reference.
    ///
    /// # Errors
    /// SQLite.
    pub fn claims(&self, pseudonym: &[u8; 32], before: u64) -> Result<Vec<NumberClaim>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT a.position, s.subject FROM applications a JOIN subjects s ON s.position = a.position
             WHERE a.identity = ?1 AND a.position < ?2 AND a.status <> 2 ORDER BY a.position",
        )?;
        let rows = query.query_map(params![pseudonym, before as i64], |r| {
            Ok(NumberClaim { position: r.get::<_, i64>(0)? as u64, subject: r.get(1)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The identity numbers' pseudonyms under which a subject is known or was declared.
    ///
    /// # Errors
    /// SQLite.
    pub fn numbers_of(&self, subject: &str) -> Result<Vec<[u8; 32]>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT pseudonym FROM identities WHERE subject = ?1
             UNION SELECT a.identity FROM subjects s JOIN applications a ON a.position = s.position
             WHERE s.subject = ?1 AND a.identity IS NOT NULL AND a.status <> 2",
        )?;
        let rows = query.query_map([subject], |r| r.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// References before `position` of people who were younger than `below` when they were enrolled.
    ///
    /// # Errors
    /// SQLite.
    pub fn minors(&self, below: u8, before: u64) -> Result<Vec<Minor>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT position, age, time_ms FROM minors WHERE age < ?1 AND position < ?2 ORDER BY position",
        )?;
        let rows = query.query_map(params![below, before as i64], |r| {
            Ok(Minor { position: r.get::<_, i64>(0)? as u64, age: r.get(1)?, time_ms: r.get::<_, i64>(2)? as u64 })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What a second person said about an application's missing fingers.
    ///
    /// # Errors
    /// SQLite.
    pub fn approval(&self, application: &str) -> Result<Option<bool>, RegistryError> {
        let mut query = self.db.prepare_cached("SELECT approved FROM approvals WHERE application = ?1")?;
        Ok(query.query_row([application], |r| r.get(0)).optional()?)
    }

    /// The policy and calibrations that were adopted last.
    ///
    /// # Errors
    /// SQLite.
    pub fn adopted(&self) -> Result<Option<PolicyAdopted>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT time_ms, policy, calibration, face_calibration FROM adopted ORDER BY position DESC LIMIT 1",
        )?;
        let row = query.query_row([], |r| {
            Ok(PolicyAdopted {
                time_ms: r.get::<_, i64>(0)? as u64,
                policy: r.get(1)?,
                calibration: r.get(2)?,
                face_calibration: r.get(3)?,
            })
        });
        Ok(row.optional()?)
    }

    /// The cohort in force at a position: of those frozen before with this model, the last.
    ///
    /// # Errors
    /// SQLite.
    pub fn cohort_before(&self, position: u64, model: &Model) -> Result<Option<Cohort>, RegistryError> {
        Ok(self.last_cohort(position, model)?.map(|(_, cohort)| cohort))
    }

    /// Where in the log the cohort was frozen that is in force.
    ///
    /// # Errors
    /// SQLite.
    pub fn cohort_position(&self, model: &Model) -> Result<Option<u64>, RegistryError> {
        Ok(self.last_cohort(u64::MAX, model)?.map(|(position, _)| position))
    }

    fn last_cohort(&self, position: u64, model: &Model) -> Result<Option<(u64, Cohort)>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT position, cohort, weights FROM cohorts WHERE position < ?1 ORDER BY position DESC",
        )?;
        let mut rows = query.query([i64::try_from(position).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let (position, id, bytes): (i64, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let mut weights = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let cohort = Cohort::frozen(model, std::array::from_fn(|_| weights.next().unwrap_or(0.0)));
            if cohort.id() == id {
                return Ok(Some((position as u64, cohort)));
            }
        }
        Ok(None)
    }

    /// Missing fingers by station and operator, the highest rate first; more than `max` are over the limit.
    ///
    /// # Errors
    /// SQLite.
    pub fn exceptions(&self, max: usize) -> Result<Vec<ExceptionRate>, RegistryError> {
        let mut query = self.db.prepare_cached(
            "SELECT station, operator, sum(checks), sum(CASE WHEN missing > 0 THEN checks ELSE 0 END),
             sum(CASE WHEN missing > ?1 THEN checks ELSE 0 END), sum(missing * checks)
             FROM captures GROUP BY station, operator",
        )?;
        let rows = query.query_map([max as i64], |r| {
            let number = |at: usize| r.get::<_, i64>(at).map(|n| n as u64);
            let (checks, with_missing) = (number(2)?, number(3)?);
            Ok(ExceptionRate {
                station: r.get(0)?,
                operator: r.get(1)?,
                checks,
                with_missing,
                over_limit: number(4)?,
                missing_fingers: number(5)?,
                rate: with_missing as f64 / checks.max(1) as f64,
            })
        })?;
        let mut rates: Vec<ExceptionRate> = rows.collect::<Result<_, _>>()?;
        rates.sort_by(|a, b| {
            b.rate.total_cmp(&a.rate).then_with(|| (&a.station, &a.operator).cmp(&(&b.station, &b.operator)))
        });
        Ok(rates)
    }

    /// Positions of the references that count to a subject.
    ///
    /// # Errors
    /// SQLite.
    pub fn positions_of(&self, subject: &str) -> Result<Vec<u64>, RegistryError> {
        let mut query = self.db.prepare_cached("SELECT position FROM subjects WHERE subject = ?1 ORDER BY position")?;
        let rows = query.query_map([subject], |r| r.get::<_, i64>(0))?;
        Ok(rows.map(|r| r.map(|p| p as u64)).collect::<Result<_, _>>()?)
    }

    /// Counts: applications, pending ones, subjects with a reference.
    ///
    /// # Errors
    /// SQLite.
    pub fn counts(&self) -> Result<(u64, u64, u64), RegistryError> {
        let count = |sql: &str| self.db.query_row(sql, [], |r| r.get::<_, i64>(0)).map(|n| n as u64);
        Ok((
            count("SELECT count(*) FROM applications")?,
            count("SELECT count(*) FROM applications WHERE status = 0")?,
            count("SELECT count(DISTINCT subject) FROM subjects")?,
        ))
    }
}

fn agrees(content: &Content, digest: &RegistryDigest) -> bool {
    digest.schema != SCHEMA_VERSION as u32 || (content.rows, content.digest()) == (digest.rows, digest.digest)
}

fn apply_one(tx: &rusqlite::Transaction<'_>, record: &Record) -> Result<(), RegistryError> {
    let position = record.position as i64;
    let add_subject = |subject: &str, position: i64| -> Result<(), RegistryError> {
        tx.prepare_cached("INSERT OR IGNORE INTO subjects VALUES(?1, ?2)")?.execute(params![subject, position])?;
        Ok(())
    };
    match &record.event {
        Event::Created(_) | Event::RegistryDigest(_) | Event::ModelAdopted(_) | Event::Redacted(_) => {}
        Event::Erased(Erased::Ordered(order)) => erasure::apply(tx, record.position, order)?,
        Event::Erased(Erased::Done(done)) => {
            for order in &done.orders {
                tx.prepare_cached("UPDATE erasures SET done_ms = ?2 WHERE position = ?1")?
                    .execute(params![*order as i64, done.time_ms as i64])?;
            }
        }
        Event::Enrolled(e) => {
            add_subject(&e.subject, position)?;
            if let Some(identity) = &e.identity {
                tx.prepare_cached("INSERT OR IGNORE INTO identities VALUES(?1, ?2, ?3)")?
                    .execute(params![identity, position, e.subject])?;
            }
        }
        Event::Submitted(s) => {
            let subject = leaves_reference(&record.event).then(|| provisional_subject(record.position));
            // Counted only where fingers are asked for.
            let counted = matches!(s.purpose.finger_rule(), FingerRule::All | FingerRule::Some);
            let missing = counted.then(|| s.biometrics.missing().len() as i64);
            tx.prepare_cached(
                "INSERT OR REPLACE INTO applications VALUES(?1, ?2, ?3, 0, ?4, ?5, NULL, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                s.application,
                s.request,
                position,
                s.time_ms as i64,
                s.identity,
                subject,
                s.supersedes,
                s.station,
                s.operator,
                missing
            ])?;
            if let Some(subject) = &subject {
                add_subject(subject, position)?;
                if let Some(age) = s.age.filter(|age| *age < GROWN) {
                    tx.prepare_cached("INSERT OR IGNORE INTO minors VALUES(?1, ?2, ?3)")?.execute(params![
                        position,
                        age,
                        s.time_ms as i64
                    ])?;
                }
            }
            if let Some(missing) = missing {
                tx.prepare_cached(
                    "INSERT INTO captures VALUES(?1, ?2, ?3, 1)
                     ON CONFLICT(station, operator, missing) DO UPDATE SET checks = checks + 1",
                )?
                .execute(params![s.station, s.operator, missing])?;
            }
        }
        Event::PolicyAdopted(p) => {
            tx.prepare_cached("INSERT OR REPLACE INTO adopted VALUES(?1, ?2, ?3, ?4, ?5)")?.execute(params![
                position,
                p.time_ms as i64,
                p.policy,
                p.calibration,
                p.face_calibration
            ])?;
        }
        Event::CohortFrozen(c) => {
            let weights: Vec<u8> = c.weights.iter().flat_map(|w| w.to_le_bytes()).collect();
            tx.prepare_cached("INSERT OR REPLACE INTO cohorts VALUES(?1, ?2, ?3)")?
                .execute(params![position, c.cohort, weights])?;
        }
        Event::SecondApproval(a) => {
            tx.prepare_cached("INSERT OR IGNORE INTO approvals VALUES(?1, ?2, ?3)")?.execute(params![
                a.application,
                a.approved,
                a.operator
            ])?;
        }
        Event::Decided(d) => {
            let submitted = d.submitted as i64;
            tx.prepare_cached("UPDATE applications SET status = ?2, document = ?3 WHERE code = ?1 AND status <> ?4")?
                .execute(params![d.application, DECIDED, d.document.0, WITHDRAWN])?;
            tx.prepare_cached("DELETE FROM rests_on WHERE application = ?1")?.execute([&d.application])?;
            for on in &d.rests_on {
                tx.prepare_cached("INSERT OR IGNORE INTO rests_on VALUES(?1, ?2)")?
                    .execute(params![*on as i64, d.application])?;
            }
            if let Some(subject) = &d.subject {
                tx.prepare_cached("UPDATE applications SET subject = ?2 WHERE code = ?1")?
                    .execute(params![d.application, subject])?;
                tx.prepare_cached("DELETE FROM subjects WHERE position = ?1")?.execute([submitted])?;
                add_subject(subject, submitted)?;
                // A confirmed holder may have got a new number.
                if matches!(d.outcome, Outcome::Clear | Outcome::Confirmed) {
                    tx.prepare_cached(
                        "INSERT OR IGNORE INTO identities
                         SELECT identity, position, ?2 FROM applications WHERE code = ?1 AND identity IS NOT NULL",
                    )?
                    .execute(params![d.application, subject])?;
                }
            }
        }
        Event::Withdrawn(w) => {
            let submitted = w.submitted as i64;
            tx.prepare_cached("UPDATE applications SET status = ?2 WHERE code = ?1")?
                .execute(params![w.application, WITHDRAWN])?;
            tx.prepare_cached("DELETE FROM subjects WHERE position = ?1")?.execute([submitted])?;
            tx.prepare_cached(
                "DELETE FROM identities
                 WHERE NOT EXISTS (SELECT 1 FROM subjects s WHERE s.subject = identities.subject)
                 AND pseudonym IN (SELECT identity FROM applications WHERE code = ?1)",
            )?
            .execute([&w.application])?;
        }
        _ => {}
    }
    cases::apply(tx, record)
}
