//! A digest of what the registry holds, because SQLite's pages carry no checksum.
//!
//! The digest of a row is SHA-256 over its table's name and its values, each with its type and length; the registry's is
//! the sum of its rows' (four lanes of 64 bits, each modulo 2^64), so that it does not depend on their order and follows
//! every change without reading anything else. It finds damage and defects, not forgery: who can write the file can
//! write the digest too.
//!
//! Triggers of the writing connection keep it up to date: every row that is added or removed goes through the SQL
//! function `duynhat_digest`. The table `meta`, where it is kept, does not count.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Null, ValueRef};
use sha2::{Digest, Sha256};

use super::RegistryError;

/// Rows, and the sum of their digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Rows of all tables but `meta`.
    pub rows: u64,
    sum: [u64; 4],
}

impl Content {
    /// The digest's bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut out = [0; 32];
        for (bytes, lane) in out.chunks_exact_mut(8).zip(self.sum) {
            bytes.copy_from_slice(&lane.to_le_bytes());
        }
        out
    }

    /// From what [`Content::digest`] gave.
    pub fn new(rows: u64, digest: &[u8; 32]) -> Self {
        let mut sum = [0; 4];
        for (lane, bytes) in sum.iter_mut().zip(digest.chunks_exact(8)) {
            *lane = bytes.iter().rev().fold(0, |acc, b| acc << 8 | u64::from(*b));
        }
        Self { rows, sum }
    }

    fn count(&mut self, row: [u64; 4], added: bool) {
        for (lane, part) in self.sum.iter_mut().zip(row) {
            *lane = if added { lane.wrapping_add(part) } else { lane.wrapping_sub(part) };
        }
        self.rows = if added { self.rows.wrapping_add(1) } else { self.rows.wrapping_sub(1) };
    }

    /// Reads every row of the registry; about a microsecond each.
    ///
    /// # Errors
    /// SQLite, damage that it sees among it.
    pub(super) fn read(db: &Connection) -> Result<Self, RegistryError> {
        let mut content = Self::default();
        for (table, columns) in tables(db)? {
            let mut query = db.prepare(&format!("SELECT {} FROM \"{table}\"", columns.join(", ")))?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                let mut hash = RowHash::new(&table);
                for column in 0..columns.len() {
                    hash.value(row.get_ref(column)?);
                }
                content.count(hash.finish(), true);
            }
        }
        Ok(content)
    }
}

/// Tables that count, with their quoted columns in order.
fn tables(db: &Connection) -> Result<Vec<(String, Vec<String>)>, RegistryError> {
    let mut query = db.prepare(
        "SELECT name FROM main.sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'meta' ORDER BY name",
    )?;
    let names: Vec<String> = query.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    let mut all = Vec::new();
    for name in names {
        let mut query = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns = query.query_map([&name], |r| Ok(format!("\"{}\"", r.get::<_, String>(0)?)))?;
        let columns = columns.collect::<Result<_, _>>()?;
        all.push((name, columns));
    }
    Ok(all)
}

struct RowHash(Sha256);

impl RowHash {
    fn new(table: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((table.len() as u64).to_le_bytes());
        hash.update(table);
        Self(hash)
    }

    fn value(&mut self, value: ValueRef<'_>) {
        let mut bytes = |tag: u8, bytes: &[u8]| {
            self.0.update([tag]);
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        };
        match value {
            ValueRef::Null => bytes(0, &[]),
            ValueRef::Integer(n) => bytes(1, &n.to_le_bytes()),
            ValueRef::Real(x) => bytes(2, &x.to_le_bytes()),
            ValueRef::Text(text) => bytes(3, text),
            ValueRef::Blob(blob) => bytes(4, blob),
        }
    }

    fn finish(self) -> [u64; 4] {
        Content::new(0, &self.0.finalize().into()).sum
    }
}

/// Follows the changes of one connection.
#[derive(Clone)]
pub(super) struct Follower(Arc<Mutex<Content>>);

impl Follower {
    /// Puts the function and the triggers into the connection; they are its own and not in the file.
    pub fn install(db: &Connection) -> Result<Self, RegistryError> {
        let state = Arc::new(Mutex::new(Content::default()));
        let follower = Self(state.clone());
        db.create_scalar_function("duynhat_digest", -1, FunctionFlags::SQLITE_UTF8, move |context: &Context<'_>| {
            let added = context.get::<bool>(0)?;
            let mut hash = RowHash::new(&context.get::<String>(1)?);
            for at in 2..context.len() {
                hash.value(context.get_raw(at));
            }
            state.lock().unwrap_or_else(PoisonError::into_inner).count(hash.finish(), added);
            Ok(Null)
        })?;
        // A row that is replaced must be seen to go.
        db.pragma_update(None, "recursive_triggers", true)?;
        for (table, columns) in tables(db)? {
            let call = |added: u8, row: &str| {
                let values: Vec<String> = columns.iter().map(|c| format!("{row}.{c}")).collect();
                format!("SELECT duynhat_digest({added}, '{table}', {});", values.join(", "))
            };
            let (new, old) = (call(1, "NEW"), call(0, "OLD"));
            db.execute_batch(&format!(
                "CREATE TEMP TRIGGER digest_{table}_insert AFTER INSERT ON main.\"{table}\" BEGIN {new} END;
                 CREATE TEMP TRIGGER digest_{table}_delete AFTER DELETE ON main.\"{table}\" BEGIN {old} END;
                 CREATE TEMP TRIGGER digest_{table}_update AFTER UPDATE ON main.\"{table}\" BEGIN {old} {new} END;"
            ))?;
        }
        Ok(follower)
    }

    pub fn get(&self) -> Content {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, content: Content) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = content;
    }
}
