//! The one row that says who this store is and how far its change sequence has come.

use super::{ReadTx, StoreError, WriteTx};

/// A value of the change sequence: the number of published changes up to and including this one.
pub type Sequence = u64;

/// The row as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Made once; files of another store are refused by it.
    pub lineage: [u8; 16],
    /// Signs transaction ids.
    pub click_id_key: [u8; 16],
    /// The last change.
    pub change_seq: Sequence,
    /// The last change to anything the catalog holds.
    pub catalog_seq: Sequence,
    /// The last generation that is known to be published.
    pub generation: u64,
}

/// Reads the row.
///
/// # Errors
/// When SQLite fails.
pub fn read(connection: &ReadTx<'_>) -> Result<Meta, StoreError> {
    let sql = "SELECT lineage, click_id_key, change_seq, catalog_seq, generation FROM meta";
    let mut statement = connection.prepare_cached(sql)?;
    let meta = statement.query_row([], |row| {
        Ok(Meta {
            lineage: row.get(0)?,
            click_id_key: row.get(1)?,
            change_seq: row.get(2)?,
            catalog_seq: row.get(3)?,
            generation: row.get(4)?,
        })
    })?;
    Ok(meta)
}

/// Makes the row of a new store: a lineage and a signing key from the system's random source.
pub(super) fn ensure(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let (mut lineage, mut key) = ([0_u8; 16], [0_u8; 16]);
    getrandom::fill(&mut lineage)?;
    getrandom::fill(&mut key)?;
    tx.execute(
        "INSERT OR IGNORE INTO meta (id, lineage, click_id_key) VALUES (1, ?1, ?2)",
        (lineage, key),
    )?;
    tx.execute("INSERT OR IGNORE INTO settings (id, time_saved) VALUES (1, unixepoch())", [])?;
    Ok(())
}

impl WriteTx<'_> {
    /// Takes the next value of the change sequence for a change to coupon codes.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn next_code_sequence(&self) -> Result<Sequence, StoreError> {
        let sql = "UPDATE meta SET change_seq = change_seq + 1 RETURNING change_seq";
        Ok(self.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Takes the next value of the change sequence for a change to what the catalog holds.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn next_catalog_sequence(&self) -> Result<Sequence, StoreError> {
        let sql = "UPDATE meta SET change_seq = change_seq + 1, catalog_seq = change_seq + 1 RETURNING change_seq";
        Ok(self.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }
}
