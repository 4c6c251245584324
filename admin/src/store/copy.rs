//! The store as one file: copied during writes, and adopted from a copy.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::meta::{self, Meta};
use super::origin::{Actor, Origin};
use super::{
    BUSY_TIMEOUT, FILE_NAME, ReadTx, StoreError, WriteTx, audit, blocks, flags, migrations,
    open_writer,
};

/// Pages between two progress reports: 4 MiB.
const PAGES_PER_STEP: i32 = 1024;

/// Identity of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Schema number.
    pub schema: i64,
    /// Identity of the store.
    pub meta: Meta,
}

/// Copies one consistent state of the store in `dir` to the new file `to`. Writers are not delayed
/// and do not restart the copy, because it is one read transaction.
///
/// # Errors
/// When there is no store, this program does not know its schema, or SQLite fails.
pub fn copy(
    dir: &Path,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Copied, StoreError> {
    if !dir.join(FILE_NAME).exists() {
        return Err(StoreError::Missing { dir: dir.into() });
    }
    let access = flags(OpenFlags::SQLITE_OPEN_READ_ONLY);
    let mut from = Connection::open_with_flags(dir.join(FILE_NAME), access)?;
    from.busy_timeout(BUSY_TIMEOUT)?;
    let tx = from.transaction_with_behavior(TransactionBehavior::Deferred)?;
    let copied =
        Copied { schema: migrations::known_schema(&tx)?, meta: meta::read(&ReadTx::within(&tx))? };
    write_pages(&tx, to, progress)?;
    Ok(copied)
}

/// Copies the committed state of the database file `from` to the new file `to`.
pub(super) fn copy_pages(from: &Path, to: &Path) -> Result<(), StoreError> {
    let from = Connection::open_with_flags(from, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))?;
    from.busy_timeout(BUSY_TIMEOUT)?;
    write_pages(&from, to, &mut |_, _| ())
}

fn write_pages(
    from: &Connection,
    to: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), StoreError> {
    let mut target = Connection::open(to)?;
    let backup = Backup::new(from, &mut target)?;
    loop {
        match backup.step(PAGES_PER_STEP)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {
                let pages = backup.progress();
                let total = u64::try_from(pages.pagecount).unwrap_or_default();
                progress(total - u64::try_from(pages.remaining).unwrap_or_default(), total);
            }
            // Busy refers to the target, which no other process uses.
            _ => return Err(StoreError::Busy),
        }
    }
}

/// Findings in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedStore {
    /// Identity of the store.
    pub meta: Meta,
    /// Last counted frame of the archive.
    pub last_frame: Option<u64>,
}

/// Reasons to reject a copy.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// SQLite found damage.
    #[error("the copied store is damaged: {0}")]
    Damaged(String),
    /// The store cannot be opened or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AdoptError {
    fn from(error: rusqlite::Error) -> AdoptError {
        AdoptError::Store(error.into())
    }
}

/// Least gap in a table's ids after a restore.
const GAP: i64 = 1_000_000;
/// Codes are created by the million.
const CODES_GAP: i64 = 10_000_000;
/// Offer ids have 24 bits.
const OFFERS_GAP: i64 = 10_000;
const SEQUENCE_GAP: i64 = 1_000_000_000;

/// Checks the store in `dir`, an unused copy of another store; migrates it; and advances everything
/// that the original may have issued since the copy: ids, which are in clicks; the change sequence,
/// which identifies changes to the daemon; and revisions, which editors hold.
///
/// # Errors
/// When it is damaged, foreign or newer.
pub fn adopt_restored(dir: &Path, copied_at: i64) -> Result<AdoptedStore, AdoptError> {
    // The backup is the copy before a migration.
    let mut connection = open_writer(dir, 0)?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(AdoptError::Damaged(verdict));
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    skip_numbers(&tx)?;
    // The staged rows are in files outside of the copy, so uploads must be repeated.
    tx.execute("DELETE FROM coupon_code_upload", [])?;
    // The age of the copy says nothing about this machine's clock.
    tx.execute("DELETE FROM removal_clock", [])?;
    let now = jiff::Timestamp::now().as_second();
    record(&WriteTx::within(&tx, now, Origin::new(Actor::CommandLine)), copied_at)?;
    let taken_up = AdoptedStore {
        meta: meta::read(&ReadTx::within(&tx))?,
        last_frame: blocks::last(&ReadTx::within(&tx))?.map(|block| block.archive_sequence),
    };
    tx.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(taken_up)
}

fn skip_numbers(tx: &rusqlite::Transaction<'_>) -> Result<(), StoreError> {
    let counted: Vec<String> = tx
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in counted {
        let gap = match table.as_str() {
            "coupon_code" => CODES_GAP,
            "offer" => OFFERS_GAP,
            _ => GAP,
        };
        tx.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 \
             WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            [&table],
        )?;
        tx.execute("UPDATE sqlite_sequence SET seq = seq + ?2 WHERE name = ?1", (&table, gap))?;
    }
    tx.execute("UPDATE meta SET change_seq = change_seq + ?1", [SEQUENCE_GAP])?;
    let revised: Vec<String> = tx
        .prepare(
            "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c ON c.name = 'revision' \
             WHERE t.type = 'table'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in revised {
        tx.execute(&format!("UPDATE \"{table}\" SET revision = revision + ?1"), [GAP])?;
    }
    Ok(())
}

fn record(tx: &WriteTx<'_>, copied_at: i64) -> Result<(), StoreError> {
    let changes = vec![audit::FieldChange {
        field: "time_of_backup".into(),
        before: serde_json::Value::Null,
        after: copied_at.into(),
    }];
    let (object, action) = ("store", "restored");
    audit::record(
        tx,
        &audit::AuditEntry { object, action, objects: 1, first_id: 0, last_id: 0, changes },
    )
}
