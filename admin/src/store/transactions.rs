//! Transactions as types: [`ReadTx`] for functions that read, [`WriteTx`] for functions that change
//! the store, [`StagingTx`] for functions that change a staged file.
//!
//! Only the store can reach the SQLite connection of a transaction, so all SQL stays below `store`.

use std::ops::Deref;
use std::sync::Arc;

use rusqlite::hooks::Action;
use rusqlite::{CachedStatement, Connection, Params, Row, Statement, TransactionBehavior};

use super::StoreError;
use super::origin::{Actor, Origin};

/// An open read transaction: all its queries see one state of the store.
pub struct ReadTx<'c> {
    connection: &'c Connection,
}

impl<'c> ReadTx<'c> {
    /// `connection` must be inside a transaction.
    pub(in crate::store) fn within(connection: &'c Connection) -> ReadTx<'c> {
        ReadTx { connection }
    }

    pub(in crate::store) fn prepare(&self, sql: &str) -> rusqlite::Result<Statement<'c>> {
        self.connection.prepare(sql)
    }

    pub(in crate::store) fn prepare_cached(
        &self,
        sql: &str,
    ) -> rusqlite::Result<CachedStatement<'c>> {
        self.connection.prepare_cached(sql)
    }

    pub(in crate::store) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.query_row(sql, params, read)
    }

    /// The connection, for SQL of tests.
    #[cfg(test)]
    pub(crate) fn raw_connection(&self) -> &'c Connection {
        self.connection
    }
}

/// An open write transaction. A function with a `WriteTx` may change rows; a function with a
/// [`ReadTx`] may not.
pub struct WriteTx<'c> {
    read: ReadTx<'c>,
    now: i64,
    origin: Arc<Origin>,
}

impl<'c> WriteTx<'c> {
    /// `connection` must be inside a write transaction; `now` is its start in Unix seconds.
    pub(in crate::store) fn within(
        connection: &'c Connection,
        now: i64,
        origin: Arc<Origin>,
    ) -> WriteTx<'c> {
        WriteTx { read: ReadTx::within(connection), now, origin }
    }

    /// The user or program behind the write.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Start of the transaction in Unix seconds; all rows of the transaction carry this time.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.now
    }

    /// The staged file on the same connection, changed in the same transaction.
    #[must_use]
    pub fn staging(&self) -> StagingTx<'c> {
        StagingTx { read: ReadTx::within(self.read.connection) }
    }

    pub(in crate::store) fn execute(
        &self,
        sql: &str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.read.connection.execute(sql, params)
    }

    pub(in crate::store) fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.read.connection.execute_batch(sql)
    }

    pub(in crate::store) fn last_insert_rowid(&self) -> i64 {
        self.read.connection.last_insert_rowid()
    }
}

impl<'c> Deref for WriteTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &ReadTx<'c> {
        &self.read
    }
}

/// An open transaction on the attached staged file and temporary tables; the store is only read.
pub struct StagingTx<'c> {
    read: ReadTx<'c>,
}

impl StagingTx<'_> {
    pub(in crate::store) fn execute(
        &self,
        sql: &str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.read.connection.execute(sql, params)
    }

    pub(in crate::store) fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.read.connection.execute_batch(sql)
    }
}

impl<'c> Deref for StagingTx<'c> {
    type Target = ReadTx<'c>;

    fn deref(&self) -> &ReadTx<'c> {
        &self.read
    }
}

/// A transaction of a [`DedicatedConnection`]. Dropped without [`OpenTransaction::commit`], the
/// transaction is rolled back.
pub struct OpenTransaction<'c, T> {
    view: T,
    transaction: rusqlite::Transaction<'c>,
}

impl<'c, T> OpenTransaction<'c, T> {
    fn begin(
        connection: &'c Connection,
        behavior: TransactionBehavior,
        view: impl FnOnce(&'c Connection) -> T,
    ) -> Result<OpenTransaction<'c, T>, StoreError> {
        let transaction = rusqlite::Transaction::new_unchecked(connection, behavior)?;
        Ok(OpenTransaction { view: view(connection), transaction })
    }

    /// Commits; a write transaction is then durable.
    ///
    /// # Errors
    /// When SQLite cannot commit; the transaction is then rolled back.
    pub fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit()?)
    }
}

impl<T> Deref for OpenTransaction<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

/// A connection beside the writer's thread and the pool of readers, for the command line, imports
/// and uploads. At most one transaction is open at a time.
pub struct DedicatedConnection {
    connection: Connection,
}

impl DedicatedConnection {
    pub(in crate::store) fn new(connection: Connection) -> DedicatedConnection {
        DedicatedConnection { connection }
    }

    /// Begins a read transaction.
    ///
    /// # Errors
    /// When another transaction of this connection is open.
    pub fn begin_read(&self) -> Result<OpenTransaction<'_, ReadTx<'_>>, StoreError> {
        let behavior = TransactionBehavior::Deferred;
        OpenTransaction::begin(&self.connection, behavior, ReadTx::within)
    }

    /// Begins a transaction on the attached staged file, without the store's write lock.
    ///
    /// # Errors
    /// When another transaction of this connection is open.
    pub fn begin_staging(&mut self) -> Result<OpenTransaction<'_, StagingTx<'_>>, StoreError> {
        OpenTransaction::begin(&self.connection, TransactionBehavior::Deferred, |connection| {
            StagingTx { read: ReadTx::within(connection) }
        })
    }

    /// Takes the store's write lock for the command line, within 60 s.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if another writer holds the lock longer.
    pub fn begin_write(&mut self) -> Result<OpenTransaction<'_, WriteTx<'_>>, StoreError> {
        self.begin_write_as(Origin::new(Actor::CommandLine))
    }

    /// As [`DedicatedConnection::begin_write`], for `origin`.
    ///
    /// # Errors
    /// The same.
    pub fn begin_write_as(
        &mut self,
        origin: Arc<Origin>,
    ) -> Result<OpenTransaction<'_, WriteTx<'_>>, StoreError> {
        OpenTransaction::begin(&self.connection, TransactionBehavior::Immediate, |connection| {
            // Read under the lock: rows of a later transaction never carry an earlier time.
            WriteTx::within(connection, jiff::Timestamp::now().as_second(), origin)
        })
    }

    /// Calls `count` for each coupon code that this connection writes from now on.
    ///
    /// # Errors
    /// When SQLite does not take the hook.
    pub fn count_code_writes(
        &mut self,
        count: impl Fn() + Send + 'static,
    ) -> Result<(), StoreError> {
        let hook = move |_: Action, _: &str, table: &str, _: i64| {
            if table == "coupon_code" {
                count();
            }
        };
        Ok(self.connection.update_hook(Some(hook))?)
    }

    pub(in crate::store) fn execute(
        &self,
        sql: &str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.connection.execute(sql, params)
    }

    pub(in crate::store) fn execute_batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.execute_batch(sql)
    }

    pub(in crate::store) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection.query_row(sql, params, read)
    }

    /// The connection, for SQL of tests.
    #[cfg(test)]
    pub(crate) fn raw_connection(&self) -> &Connection {
        &self.connection
    }
}
