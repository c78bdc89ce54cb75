//! What the registry knows of erasures: the orders, and what they concern.

use duynhat_engine::log::ErasureOrder;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Registry, RegistryError};
use crate::service::without_erased;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Position of the order in the log.
    pub position: u64,
    /// Who ordered it.
    pub operator: String,
    /// Why, in a word.
    pub reason: String,
    /// Submissions and enrolments that it erases.
    pub records: u64,
    /// When it was ordered: milliseconds since 1970, UTC.
    pub time_ms: u64,
    /// When it was carried out, once it was.
    pub done_ms: Option<u64>,
}

/// What an order would concern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasureTargets {
    /// Positions of submissions and enrolments, ascending.
    pub positions: Vec<u64>,
    /// Codes of the applications among them.
    pub applications: Vec<String>,
}

const COLUMNS: &str = "position, operator, reason, records, time_ms, done_ms";

fn erasure(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    Ok(Erasure {
        position: row.get::<_, i64>(0)? as u64,
        operator: row.get(1)?,
        reason: row.get(2)?,
        records: row.get::<_, i64>(3)? as u64,
        time_ms: row.get::<_, i64>(4)? as u64,
        done_ms: row.get::<_, Option<i64>>(5)?.map(|t| t as u64),
    })
}

/// An order takes every trace of its positions out of the tables, and out of answers to others that list them.
///
/// What is left must be what the log gives when it is read without the erased records: a rebuild comes after the
/// redaction, and the digests are compared. A table that counts or sums must therefore be able to take back.
pub(super) fn apply(tx: &Transaction<'_>, position: u64, order: &ErasureOrder) -> Result<(), RegistryError> {
    tx.prepare_cached("INSERT OR REPLACE INTO erasures VALUES(?1, ?2, ?3, ?4, ?5, ?6, NULL)")?.execute(params![
        position as i64,
        order.subject,
        order.operator,
        order.reason,
        order.positions.len() as i64,
        order.time_ms as i64
    ])?;
    for code in &order.applications {
        tx.prepare_cached("INSERT OR REPLACE INTO erased_applications VALUES(?1, ?2)")?
            .execute(params![code, position as i64])?;
    }
    let mut subjects: Vec<String> = Vec::new();
    for target in &order.positions {
        let at = *target as i64;
        let mut query = tx.prepare_cached("SELECT subject FROM subjects WHERE position = ?1")?;
        subjects.extend(query.query_map([at], |r| r.get(0))?.collect::<Result<Vec<String>, _>>()?);
        tx.prepare_cached("INSERT OR REPLACE INTO erased VALUES(?1, ?2)")?.execute(params![at, position as i64])?;
        // What was counted of it is counted no longer.
        tx.prepare_cached(
            "UPDATE captures SET checks = checks - 1 WHERE (station, operator, missing) IN
             (SELECT station, operator, missing FROM applications WHERE position = ?1)",
        )?
        .execute([at])?;
        tx.prepare_cached("DELETE FROM captures WHERE checks <= 0")?.execute([])?;
        tx.prepare_cached(
            "DELETE FROM approvals WHERE application IN (SELECT code FROM applications WHERE position = ?1)",
        )?
        .execute([at])?;
        tx.prepare_cached(
            "DELETE FROM rests_on WHERE application IN (SELECT code FROM applications WHERE position = ?1)",
        )?
        .execute([at])?;
        for table in ["applications", "subjects", "identities", "minors"] {
            tx.prepare_cached(&format!("DELETE FROM {table} WHERE position = ?1"))?.execute([at])?;
        }
    }
    super::cases::erase(tx, &order.positions)?;
    // An identity number belongs to nobody when its subject has nothing left.
    for subject in subjects {
        tx.prepare_cached(
            "DELETE FROM identities WHERE subject = ?1 AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.subject = ?1)",
        )?
        .execute([subject])?;
    }
    for target in &order.positions {
        let mut query = tx.prepare_cached(
            "SELECT a.code, a.document FROM rests_on r JOIN applications a ON a.code = r.application
             WHERE r.position = ?1 AND a.document IS NOT NULL",
        )?;
        let others = query.query_map([*target as i64], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let others: Vec<(String, Vec<u8>)> = others.collect::<Result<_, _>>()?;
        for (code, document) in others {
            if let Some(document) = without_erased(&document, &order.positions) {
                tx.prepare_cached("UPDATE applications SET document = ?2 WHERE code = ?1")?
                    .execute(params![code, document])?;
            }
        }
    }
    Ok(())
}

impl Registry {
    /// What there is of a subject: its references, its applications that left none, and the applications that these
    /// replaced.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_of_subject(&self, subject: &str) -> Result<ErasureTargets, RegistryError> {
        let mut query = self.db.prepare_cached(
            "WITH RECURSIVE own(code, position, supersedes) AS (
                 SELECT code, position, supersedes FROM applications WHERE subject = ?1
                 UNION
                 SELECT a.code, a.position, a.supersedes FROM own JOIN applications a ON a.code = own.supersedes)
             SELECT position, code FROM own
             UNION
             SELECT s.position, a.code FROM subjects s LEFT JOIN applications a ON a.position = s.position
             WHERE s.subject = ?1 ORDER BY 1",
        )?;
        targets(query.query_map([subject], |r| Ok((r.get(0)?, r.get(1)?)))?)
    }

    /// What there is of one application.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_of_application(&self, code: &str) -> Result<ErasureTargets, RegistryError> {
        let mut query = self.db.prepare_cached("SELECT position, code FROM applications WHERE code = ?1")?;
        targets(query.query_map([code], |r| Ok((r.get(0)?, r.get(1)?)))?)
    }

    /// The last order that erased a subject, by the subject's keyed pseudonym.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_by_subject(&self, subject: &[u8; 32]) -> Result<Option<Erasure>, RegistryError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE subject = ?1 ORDER BY position DESC LIMIT 1");
        Ok(self.db.prepare_cached(&sql)?.query_row([subject], erasure).optional()?)
    }

    /// The order that erased an application, by the keyed pseudonym of its code.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_by_application(&self, code: &[u8; 32]) -> Result<Option<Erasure>, RegistryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM erasures WHERE position = (SELECT erasure FROM erased_applications WHERE code = ?1)"
        );
        Ok(self.db.prepare_cached(&sql)?.query_row([code], erasure).optional()?)
    }

    /// The order that erased the record at a position.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_of_position(&self, position: u64) -> Result<Option<Erasure>, RegistryError> {
        let sql =
            format!("SELECT {COLUMNS} FROM erasures WHERE position = (SELECT erasure FROM erased WHERE position = ?1)");
        Ok(self.db.prepare_cached(&sql)?.query_row([position as i64], erasure).optional()?)
    }

    /// Orders that are not carried out yet, in order, with the positions that each erases.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasures_pending(&self) -> Result<Vec<(Erasure, Vec<u64>)>, RegistryError> {
        let sql = format!("SELECT {COLUMNS} FROM erasures WHERE done_ms IS NULL ORDER BY position");
        let mut query = self.db.prepare_cached(&sql)?;
        let orders: Vec<Erasure> = query.query_map([], erasure)?.collect::<Result<_, _>>()?;
        let mut all = Vec::new();
        for order in orders {
            let mut query =
                self.db.prepare_cached("SELECT position FROM erased WHERE erasure = ?1 ORDER BY position")?;
            let positions = query.query_map([order.position as i64], |r| r.get::<_, i64>(0))?;
            let positions = positions.map(|p| p.map(|p| p as u64)).collect::<Result<_, _>>()?;
            all.push((order, positions));
        }
        Ok(all)
    }

    /// Counts: orders, and those not carried out yet.
    ///
    /// # Errors
    /// SQLite.
    pub fn erasure_counts(&self) -> Result<(u64, u64), RegistryError> {
        let sql = "SELECT count(*), count(*) - count(done_ms) FROM erasures";
        Ok(self.db.query_row(sql, [], |r| Ok((r.get::<_, i64>(0)? as u64, r.get::<_, i64>(1)? as u64)))?)
    }
}

fn targets(
    rows: impl Iterator<Item = rusqlite::Result<(i64, Option<String>)>>,
) -> Result<ErasureTargets, RegistryError> {
    let mut targets = ErasureTargets::default();
    for row in rows {
        let (position, code) = row?;
        targets.positions.push(position as u64);
        targets.applications.extend(code);
    }
    targets.positions.dedup();
    targets.applications.sort();
    targets.applications.dedup();
    Ok(targets)
}
