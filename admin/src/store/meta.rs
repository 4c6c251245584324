//! The one row with the identity of the store and its change sequence.

use super::{ReadTx, StoreError, WriteTx};

/// A value of the change sequence: the number of published changes up to and including this one.
pub type Sequence = u64;

/// The row as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Made once; files of another lineage are refused.
    pub lineage: [u8; 16],
    /// Key of the MAC in transaction ids.
    pub click_id_key: [u8; 16],
    /// The last change.
    pub change_seq: Sequence,
    /// The last change to the catalog's content.
    pub catalog_seq: Sequence,
    /// The last generation known to be published.
    pub generation: u64,
}

/// Reads the row.
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

/// Makes the row of a new store: lineage and click-id key from the system's random source.
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
    /// Takes the next value of the change sequence, for a change to coupon codes.
    pub fn next_code_sequence(&self) -> Result<Sequence, StoreError> {
        let sql = "UPDATE meta SET change_seq = change_seq + 1 RETURNING change_seq";
        Ok(self.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }

    /// Takes the next value of the change sequence, for a change to the catalog's content.
    pub fn next_catalog_sequence(&self) -> Result<Sequence, StoreError> {
        let sql = "UPDATE meta SET change_seq = change_seq + 1, catalog_seq = change_seq + 1 RETURNING change_seq";
        Ok(self.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }
}
