//! Requested erasures, and their progress.
//!
//! A row is written before anything is erased, so a later start can continue after a crash. Stages
//! only advance: first the clicks of the archive; then the rows of postbacks and conversions (which
//! name the clicks that belong to them, so they come second); then the free space of the file. The
//! search value stays in the row as long as it is needed and is blanked with the last row that it
//! finds; the audit never holds it.

pub mod personal_rows;

use std::net::IpAddr;

use coupon_shared::transaction_id::TransactionId;
use rusqlite::{OptionalExtension, Row};
use serde::Serialize;

use super::{ReadTx, StoreError, WriteTx, audit};

/// Subject of an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// One click with its conversions.
    TransactionId(TransactionId),
    /// An address.
    Ip(IpAddr),
    /// Buyers with an email address, compared without case.
    Email(String),
}

impl Selector {
    /// Word in the store and in requests.
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

/// Progress of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The click archive is searched and rewritten.
    Clicks,
    /// Postbacks and conversions are searched and blanked.
    Rows,
    /// The free space of the store's file is overwritten.
    File,
    /// Finished.
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

/// Numbers of found items with personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasureCounts {
    /// Clicks of the archive; `None` before the search.
    pub clicks: Option<u64>,
    /// Postbacks; `None` before the search.
    pub postbacks: Option<u64>,
    /// Conversions; `None` before the search.
    pub conversions: Option<u64>,
    /// Postbacks that still wait for their click; they are blanked when they are decided.
    pub waiting: u64,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Number of the erasure.
    pub id: u32,
    /// `transaction_id`, `ip` or `email`.
    pub kind: String,
    /// `None` when it is no longer needed.
    pub selector: Option<Selector>,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Progress.
    pub stage: Stage,
    /// Found items.
    pub found: ErasureCounts,
    /// Time of the request, in Unix seconds.
    pub time_created: i64,
    /// Time of completion; 0 before.
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

/// Records a request for the removal task.
pub fn request(tx: &WriteTx<'_>, selector: &Selector, dry_run: bool) -> Result<u32, StoreError> {
    let sql = "INSERT INTO erasure (kind, value, dry_run, time_created) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, (selector.kind(), selector.value(), dry_run, tx.now()))?;
    let id = u32::try_from(tx.last_insert_rowid()).unwrap_or(u32::MAX);
    let action = if dry_run { "searched" } else { "requested" };
    record_audit(tx, id, action, selector.kind(), &ErasureCounts::default())?;
    Ok(id)
}

/// Finds an erasure.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Erasure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// Unfinished erasures, in the order of their requests.
pub fn unfinished(connection: &ReadTx<'_>) -> Result<Vec<Erasure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM erasure WHERE stage <> 'done' ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
}

/// Records the clicks found in the archive. The first number stays: a second search, after a crash,
/// misses the clicks that are erased already.
pub fn set_found_clicks(tx: &WriteTx<'_>, id: u32, clicks: u64) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET clicks = ifnull(clicks, ?2) WHERE id = ?1";
    tx.execute(sql, (id, clicks))?;
    Ok(())
}

/// The clicks are erased; rows come next.
pub fn finish_clicks(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE erasure SET stage = 'rows' WHERE id = ?1 AND stage = 'clicks'", [id])?;
    Ok(())
}

/// Adds clicks found through rows made after the archive was searched.
pub fn add_found_clicks(tx: &WriteTx<'_>, id: u32, clicks: u64) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET clicks = ifnull(clicks, 0) + ?2 WHERE id = ?1";
    tx.execute(sql, (id, clicks))?;
    Ok(())
}

/// Records the number of postbacks that wait for their click.
pub fn set_waiting(tx: &WriteTx<'_>, id: u32, waiting: u64) -> Result<(), StoreError> {
    tx.execute("UPDATE erasure SET waiting = ?2 WHERE id = ?1", (id, waiting))?;
    Ok(())
}

/// Adds found rows; several calls add up.
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

/// The rows are erased, and the search value is blanked.
pub fn finish_rows(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET stage = 'file', value = '' WHERE id = ?1 AND stage = 'rows'";
    with_secure_delete(tx, |tx| {
        blank_users_addresses(tx, id)?;
        Ok(tx.execute(sql, [id])?)
    })?;
    Ok(())
}

/// Blanks the address where users of the console and of keys came from it.
fn blank_users_addresses(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    for table in ["api_key_use", "user_session"] {
        let sql = format!(
            "UPDATE {table} SET address = '' WHERE address = (SELECT value FROM erasure
             WHERE id = ?1 AND kind = 'ip' AND dry_run = 0 AND stage = 'rows')"
        );
        tx.execute(&sql, [id])?;
    }
    Ok(())
}

/// Overwrites the space that `work` frees in the file with zeros.
pub(super) fn with_secure_delete<T>(
    tx: &WriteTx<'_>,
    work: impl FnOnce(&WriteTx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    tx.execute_batch("PRAGMA secure_delete = ON")?;
    let done = work(tx);
    tx.execute_batch("PRAGMA secure_delete = OFF")?;
    done
}

/// Marks an erasure as finished.
pub fn finish(tx: &WriteTx<'_>, erasure: &Erasure) -> Result<(), StoreError> {
    let sql = "UPDATE erasure SET stage = 'done', value = '', time_done = ?2 WHERE id = ?1";
    tx.execute(sql, (erasure.id, tx.now()))?;
    let action = if erasure.dry_run { "counted" } else { "erased" };
    record_audit(tx, erasure.id, action, &erasure.kind, &erasure.found)
}

/// The subject is left out: the audit is kept for ever.
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
