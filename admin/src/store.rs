//! The admin's store: SQLite in `DIR/admin.db`, the truth about all edited data.
//!
//! - There is **one writer**: a connection on a thread of its own. [`Store::write`] sends it a
//!   closure. Closures that wait together are committed together, each in a savepoint of its own,
//!   and get their answers after the commit is durable (`synchronous = FULL`).
//! - A failed closure leaves nothing behind and does not affect the others of its commit.
//! - Readers never wait for the writer: [`Store::read`] runs on a read-only connection, in one
//!   transaction, so all its queries see one state.
//! - A background thread moves the content of the write-ahead log into the database
//!   ([`checkpoints`]).
//! - All SQL of this package is below this module. The rules are pure and live in `catalog`.
//!
//! A bulk commit writes in a transaction of its own, in this process or another (the command line);
//! SQLite's lock orders the two. A write waits at most 45 s for a bulk commit and is then refused
//! as [`StoreError::Busy`], which the API answers as 503 with `Retry-After`. Reads never wait.
//!
//! Functions that fail return [`StoreError`]; unless their comments say more, they fail when SQLite
//! fails.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

mod casefold;
mod checkpoints;
mod migration_copies;
mod migrations;
mod readers;
mod transactions;
mod writer;

pub mod origin;

pub mod meta;
pub mod rows;

pub mod accounts;
pub mod advertisers;
pub mod affiliates;
pub mod api_keys;
pub mod caps;
pub mod certificates;
pub mod coupon_codes;
pub mod domains;
pub mod edges;
pub mod events;
pub mod forwarding_rules;
pub mod offer_groups;
pub mod offer_links;
pub mod offer_urls;
pub mod offers;
pub mod outbox;
pub mod partner_postbacks;
pub mod redirects;
pub mod rulesets;
pub mod settings;
pub(crate) mod target_values;
pub mod traffic_controls;
pub mod webhooks;

pub mod export;
pub mod jobs;
pub mod staging;
pub mod uploads;

pub mod audit;
pub mod erasure;
pub mod idempotency;

pub mod copy;

pub mod publication;
pub mod removal_clock;

pub mod conversions;
pub mod facts;
pub mod postbacks;

pub(crate) mod address_alerts;
pub mod blocked_values;
pub mod blocks;
pub mod bot_list;
pub mod click_archive;
pub mod click_terms;
pub mod labels;
pub mod nodes;
pub mod rollups;
pub mod smart_switch;

pub use casefold::casefolded;
pub use migration_copies::DEFAULT_KEPT as DEFAULT_MIGRATION_COPIES;
pub use transactions::{DedicatedConnection, OpenTransaction, ReadTx, StagingTx, WriteTx};

/// Name of the database in the data folder.
pub const FILE_NAME: &str = "admin.db";

/// Longest wait of a connection for another process's transaction, such as an import.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// Reasons why the store could not be opened, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The schema number is above the known ones.
    #[error(
        "the store has schema {found}, and this program knows up to {known}: start the newer program again, or put the copy back that it left in `migration-copies` before it migrated the store"
    )]
    Newer {
        /// Schema of the file.
        found: i64,
        /// Newest known schema.
        known: i64,
    },
    /// The file is another program's database.
    #[error(
        "the database belongs to another program (application id {application_id:#x}): choose another data folder"
    )]
    Foreign {
        /// Application id in the file's header.
        application_id: i32,
    },
    /// The data folder, or a file in it, is unusable.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The folder or file.
        path: PathBuf,
        /// Error of the system.
        source: Arc<std::io::Error>,
    },
    /// The folder has no store.
    #[error("there is no store in {}: name the data folder with --data, or start coupon-admin there once", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// Another process held the write lock too long.
    #[error("the store is busy with another writer, such as an import: try again in some seconds")]
    Busy,
    /// The disk is full.
    #[error("the disk of the data folder is full: free some space and try again")]
    Full,
    /// The writer's thread is gone, or the work panicked.
    #[error("the work on the store was broken off; nothing of it was saved")]
    Aborted,
    /// The system's random source failed.
    #[error("the system's random source failed: {0}")]
    Random(#[from] getrandom::Error),
    /// A rollup pack is unreadable.
    #[error(transparent)]
    Rollups(#[from] rollups::PackError),
    /// The copy before a migration failed, so the store stays as it is.
    #[error(
        "the store has schema {found} and is not migrated to {known}, because its copy of {bytes} \
         bytes failed: {reason}. Free some space and start again, or migrate without a copy by \
         migration_copies = 0"
    )]
    MigrationCopy {
        /// Schema of the file.
        found: i64,
        /// Newest known schema.
        known: i64,
        /// Size of the copy.
        bytes: u64,
        /// The cause.
        reason: String,
    },
    /// Any other error of SQLite.
    #[error("the store failed: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy,
            Some(ErrorCode::DiskFull) => StoreError::Full,
            _ => StoreError::Sqlite(Arc::new(error)),
        }
    }
}

/// Handle to the open store; clones share it. Dropping the last one ends the writer.
#[derive(Clone)]
pub struct Store {
    dir: Arc<Path>,
    // Dropped before `readers`: the last connection to close is then a writing one, which
    // checkpoints the log.
    readers: Arc<readers::Readers>,
    writer: Arc<writer::Writer>,
    checkpoints: Arc<checkpoints::Checkpoints>,
}

impl Store {
    /// Like [`Store::open_keeping`], with the default number of copies.
    ///
    /// # Errors
    /// As [`Store::open_keeping`].
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        Store::open_keeping(dir, DEFAULT_MIGRATION_COPIES)
    }

    /// Opens the store in `dir`; creates folder, file and schema if missing. A store with an older
    /// schema is copied before its migration; the last `migration_copies` copies stay.
    ///
    /// Blocks: call it before the runtime serves requests.
    ///
    /// # Errors
    /// When the folder cannot be used, the file is another program's or a newer one's, or the copy
    /// fails.
    pub fn open_keeping(dir: &Path, migration_copies: u32) -> Result<Store, StoreError> {
        let mut connection = open_writer(dir, migration_copies)?;
        let checkpoints = checkpoints::Checkpoints::start(dir)?;
        checkpoints.watch(&mut connection)?;
        Ok(Store {
            dir: Arc::from(dir),
            readers: Arc::new(readers::Readers::new(dir.join(FILE_NAME))),
            writer: Arc::new(writer::Writer::start(connection)),
            checkpoints: Arc::new(checkpoints),
        })
    }

    /// The data folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `work` in a write transaction; returns after the commit is durable.
    ///
    /// If `work` fails, none of its changes stay.
    ///
    /// # Errors
    /// What `work` answers, or that the store could not commit.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Runs `work` on one consistent state of the store.
    ///
    /// # Errors
    /// What `work` answers, or that the store could not be read.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.readers.read(work).await
    }

    /// Opens a further connection, for a large and long transaction.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn connect_dedicated(&self) -> Result<DedicatedConnection, StoreError> {
        let mut connection = open_connection(&self.dir)?;
        self.checkpoints.watch(&mut connection)?;
        Ok(DedicatedConnection::new(connection))
    }

    /// Like [`Store::read`], on the calling thread and a connection of its own: for long work that
    /// must not occupy a shared connection.
    ///
    /// # Errors
    /// What `work` answers, or that the store could not be read.
    pub(crate) fn read_dedicated<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&ReadTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.read_dedicated(work)
    }
}

/// A connection to an existing store that may write, after migrations. For programs without the
/// writer's thread: the command line.
///
/// # Errors
/// When there is none, and as [`Store::open_keeping`].
pub fn connect_existing(
    dir: &Path,
    migration_copies: u32,
) -> Result<DedicatedConnection, StoreError> {
    if dir.join(FILE_NAME).exists() {
        open_writer(dir, migration_copies).map(DedicatedConnection::new)
    } else {
        Err(StoreError::Missing { dir: dir.into() })
    }
}

/// Like [`connect_existing`], also for a new store, and with the default number of copies.
///
/// # Errors
/// As [`Store::open`].
pub fn connect_writer(dir: &Path) -> Result<DedicatedConnection, StoreError> {
    open_writer(dir, DEFAULT_MIGRATION_COPIES).map(DedicatedConnection::new)
}

fn open_writer(dir: &Path, migration_copies: u32) -> Result<Connection, StoreError> {
    let path = dir.join(FILE_NAME);
    create_private(dir, &path)
        .map_err(|source| StoreError::Open { path: path.clone(), source: Arc::new(source) })?;
    let mut connection = open_connection(dir)?;
    let copies = migration_copies::MigrationCopies::new(dir, migration_copies);
    migrations::migrate(&mut connection, &copies)?;
    Ok(connection)
}

/// Rewrites the database file, so no removed or blanked data stays in its free space or in the
/// write-ahead log. Without `is_rewritten` only the log is emptied. Concurrent writers wait, or get
/// a busy error.
///
/// # Errors
/// When SQLite fails, or somebody reads an older state for long: then it may be tried again.
pub fn vacuum_and_truncate_wal(dir: &Path, is_rewritten: bool) -> Result<(), StoreError> {
    let connection = open_connection(dir)?;
    if is_rewritten {
        connection.execute_batch("VACUUM")?;
    }
    let is_held_up: bool =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_held_up { Err(StoreError::Busy) } else { Ok(()) }
}

fn open_connection(dir: &Path) -> Result<Connection, StoreError> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = Connection::open_with_flags(dir.join(FILE_NAME), flags(access))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864;",
    )?;
    connection.set_prepared_statement_cache_capacity(128);
    casefold::register(&connection)?;
    Ok(connection)
}

fn flags(access: OpenFlags) -> OpenFlags {
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The file holds the click-id key, so only its owner may read it. SQLite gives its side files the
/// same mode.
fn create_private(dir: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
