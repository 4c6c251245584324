//! What was asked to be erased, and how far that has come.
//!
//! A row is written before anything is erased, so that whoever comes after a crash goes on with it.
//! Its stages only go forward: the clicks of the archive, then the rows of postbacks and conversions
//! (which tell which clicks belong to them, so they come second), then the free space of the file.
//! What is looked for stands in the row as long as it is needed and is blanked with the last row that
//! it leads to; the audit never has it.

pub mod personal_rows;

use std::net::IpAddr;

use coupon_shared::transaction_id::TransactionId;
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::{ReadTx, StoreError, WriteTx, audit};

/// Whose data is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Of one click and what came of it.
    TransactionId(TransactionId),
    /// Of an address.
    Ip(IpAddr),
    /// Of who bought under an address, without regard to case.
    Email(String),
}

impl Selector {
    /// As stored, and as requests name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Selector::TransactionId(_) => "transaction_id",
            Selector::Ip(_) => "ip",
            Selector::Email(_) => "email",
        }
    }

    fn value(&self) -> String {
        match self {
            Selector::TransactionId(id) => id.to_string(),
            Selector::Ip(ip) => ip.to_string(),
            Selector::Email(email) => email.clone(),
        }
    }

    fn parse(kind: &str, value: &str) -> Option<Selector> {
        match kind {
            "transaction_id" => value.parse().ok().map(Selector::TransactionId),
            "ip" => value.parse().ok().map(Selector::Ip),
            _ => Some(Selector::Email(value.to_owned())).filter(|_| !value.is_empty()),
        }
    }
}

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The click archive is looked through and rewritten.
    Clicks,
    /// Postbacks and conversions are looked through and blanked.
    Rows,
    /// What is left in the free space of the store's file is overwritten.
    File,
    /// Nothing is left to do.
    Done,
}

impl Stage {
    const ALL: [Stage; 4] = [Stage::Clicks, Stage::Rows, Stage::File, Stage::Done];

    fn as_str(self) -> &'static str {
        match self {
            Stage::Clicks => "clicks",
            Stage::Rows => "rows",
            Stage::File => "file",
            Stage::Done => "done",
        }
    }
}

/// How many were found to hold personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasureCounts {
    /// Clicks of the archive; `None` until it was looked through.
    pub clicks: Option<u64>,
    /// Postbacks; `None` until they were looked through.
    pub postbacks: Option<u64>,
    /// Conversions; `None` until they were looked through.
    pub conversions: Option<u64>,
    /// Postbacks that still wait for their click, and are blanked when they are decided.
    pub waiting: u64,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its number.
    pub id: u32,
    /// `transaction_id`, `ip` or `email`.
    pub kind: String,
    /// `None` once it is not needed any more.
    pub selector: Option<Selector>,
    /// Only counts.
    pub dry_run: bool,
    /// How far it has come.
    pub stage: Stage,
    /// What was found.
    pub found: ErasureCounts,
    /// When it was asked for, in Unix seconds.
    pub time_created: i64,
    /// When it was done; 0 until then.
    pub time_done: i64,
}

const COLUMNS: &str = "id, kind, value, dry_run, stage, clicks, postbacks, conversions, waiting, time_created, time_done";

fn read(row: &Row<'_>) -> rusqlite::Result<Erasure> {
    let (kind, value, stage): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?);
    let stage = Stage::ALL.into_iter().find(|known| known.as_str() == stage);
    Ok(Erasure {
        id: row.get(0)?,
        selector: Selector::parse(&kind, &value),
        kind,
        dry_run: row.get(3)?,
        stage: stage.unwrap_or(Stage::Done),
        found: ErasureCounts {
            clicks: row.get(5)?,
            postbacks: row.get(6)?,
            conversions: row.get(7)?,
            waiting: row.get(8)?,
        },
        time_created: row.get(9)?,
        time_done: row.get(10)?,
    })
}

/// Writes down what is to be erased, for the one who erases.
///
/// # Errors
/// When SQLite fails.
pub fn request(tx: &WriteTx<'_>, selector: &Selector, dry_run: bool) -> Result<u32, StoreError> {
    let sql = "INSERT INTO erasure (kind, value, dry_run, time_created) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, (selector.kind(), selector.value(), dry_run, tx.now()))?;
    let id = u32::try_from(tx.last_insert_rowid()).unwrap_or(u32::MAX);
    let action = if dry_run { "searched" } else { "requested" };
    record_audit(tx, id, action, selector.kind(), &ErasureCounts::default())?;
    Ok(id)
}

/// One erasure.
///
/// # Errors
/// When SQLite fails.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Erasure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// Those that are not done, in the order in which they were asked for.
///
/// # Errors
/// When SQLite fails.
pub fn unfinished(connection: &ReadTx<'_>) -> Result<Vec<Erasure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE stage <> 'done' ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// The archive was looked through. What was found the first time holds: a second look, after a crash,
/// does not find what is erased already.
///
/// # Errors
/// When SQLite fails.
pub fn set_found_clicks(tx: &WriteTx<'_>, id: u32, clicks: u64) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET clicks = ifnull(clicks, ?2) WHERE id = ?1";
    tx.execute(sql, (id, clicks))?;
    Ok(())
}

/// The clicks are erased; the rows come next.
///
/// # Errors
/// When SQLite fails.
pub fn finish_clicks(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE erasure SET stage = 'rows' WHERE id = ?1 AND stage = 'clicks'", [id])?;
    Ok(())
}

/// Counts clicks that were found through rows that came after the archive was looked through.
///
/// # Errors
/// When SQLite fails.
pub fn add_found_clicks(tx: &WriteTx<'_>, id: u32, clicks: u64) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET clicks = ifnull(clicks, 0) + ?2 WHERE id = ?1";
    tx.execute(sql, (id, clicks))?;
    Ok(())
}

/// So many postbacks wait for their click.
///
/// # Errors
/// When SQLite fails.
pub fn set_waiting(tx: &WriteTx<'_>, id: u32, waiting: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE erasure SET waiting = ?2 WHERE id = ?1", (id, waiting))?;
    Ok(())
}

/// Counts rows that were found; those of several calls add up.
///
/// # Errors
/// When SQLite fails.
pub fn add_found_rows(
    tx: &WriteTx<'_>,
    id: u32,
    postbacks: u64,
    conversions: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET postbacks = ifnull(postbacks, 0) + ?2,
             conversions = ifnull(conversions, 0) + ?3 WHERE id = ?1";
    tx.execute(sql, (id, postbacks, conversions))?;
    Ok(())
}

/// The rows are erased, and what was looked for is not needed any more.
///
/// # Errors
/// When SQLite fails.
pub fn finish_rows(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET stage = 'file', value = '' WHERE id = ?1 AND stage = 'rows'";
    with_secure_delete(tx, |tx| Ok(tx.execute(sql, [id])?))?;
    Ok(())
}

/// What the work frees in the file is overwritten with zeros.
pub(super) fn with_secure_delete<T>(
    tx: &WriteTx<'_>,
    work: impl FnOnce(&WriteTx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    tx.execute_batch("PRAGMA secure_delete = ON")?;
    let done = work(tx);
    tx.execute_batch("PRAGMA secure_delete = OFF")?;
    done
}

/// Nothing is left to do.
///
/// # Errors
/// When SQLite fails.
pub fn finish(tx: &WriteTx<'_>, erasure: &Erasure) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET stage = 'done', value = '', time_done = ?2 WHERE id = ?1";
    tx.execute(sql, (erasure.id, tx.now()))?;
    let action = if erasure.dry_run { "counted" } else { "erased" };
    record_audit(tx, erasure.id, action, &erasure.kind, &erasure.found)
}

/// What was erased for whom is not told: the audit is kept for ever.
fn record_audit(
    tx: &WriteTx<'_>,
    id: u32,
    action: &str,
    kind: &str,
    found: &ErasureCounts,
) -> Result<(), StoreError> {
    let said = [
        ("by", kind.into()),
        ("clicks", found.clicks.into()),
        ("postbacks", found.postbacks.into()),
        ("conversions", found.conversions.into()),
    ];
    let said = said.into_iter().filter(|(_, after): &(_, serde_json::Value)| !after.is_null());
    let changes = said.map(|(field, after)| audit::FieldChange {
        field: field.into(),
        before: serde_json::Value::Null,
        after,
    });
    let changes = changes.collect();
    let object = "personal_data";
    audit::record(
        tx,
        &audit::AuditEntry { object, action, objects: 1, first_id: id, last_id: id, changes },
    )
}
