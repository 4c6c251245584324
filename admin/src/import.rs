//! The command line's CSV import: all rows of a file become coupon codes, or none does.
//!
//! Rows are read, checked by the rules of `catalog` and staged in a temporary table, which needs no
//! lock on the store and bounds the memory. Then one transaction judges what only all rows together
//! can show, writes them under one change sequence, and commits. So a running admin is held up for
//! the writing only, and a process killed at any moment leaves everything or nothing.
//!
//! Ids follow the order of the file, because the lowest id of a code decides where it leads.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rusqlite::{Connection, TransactionBehavior};

use crate::edit::coupon_codes::{owned_message, reissue_message};
use crate::store::imports::{self, Staged};
use crate::store::{StoreError, WriteTx, coupon_codes};

mod faults;
mod rows;

pub use faults::{Fault, Faults};
pub use rows::ReadError;
use rows::Rows;

/// What is imported, and how.
#[derive(Debug)]
pub struct Import {
    /// The file.
    pub path: PathBuf,
    /// Codes that once belonged to another partner are issued anew.
    pub allow_reissue: bool,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read, or is no table of coupon codes.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list of what is wrong cannot be written.
    #[error("cannot write the list of errors: {0}")]
    Errors(#[from] csv::Error),
    /// Rows are wrong; which ones stands in the [`Faults`].
    #[error("{rows} row(s) were read and something is wrong with them; nothing was saved")]
    Refused {
        /// How many were read.
        rows: u64,
    },
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of the file are read.
    Read(u64),
    /// All rows are read; they are compared with each other and with the store.
    Judging,
    /// They are being written.
    Saving,
}

impl Import {
    /// Imports the file and answers how many codes it created.
    ///
    /// # Errors
    /// When anything is wrong; nothing is saved then.
    pub fn run(
        &self,
        connection: &mut Connection,
        faults: &mut Faults,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<u64, ImportError> {
        let file = File::open(&self.path)
            .map_err(|source| ReadError::Open { path: self.path.clone(), source })?;
        let rows = stage(connection, file, faults, progress)?;
        progress(Progress::Judging);
        imports::index_staged(connection)?;
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        judge_before(&tx, faults)?;
        if faults.is_empty() {
            progress(Progress::Saving);
            save(&WriteTx::within(&tx), self.allow_reissue, faults)?;
        }
        faults.finish()?;
        if !faults.is_empty() {
            return Err(ImportError::Refused { rows });
        }
        tx.commit().map_err(StoreError::from)?;
        Ok(rows)
    }
}

/// Reads and checks every row by itself; the right ones are staged. Answers how many were read.
fn stage(
    connection: &mut Connection,
    file: impl Read,
    faults: &mut Faults,
    progress: &mut dyn FnMut(Progress),
) -> Result<u64, ImportError> {
    let mut rows = Rows::open(file)?;
    let tx = connection.transaction().map_err(StoreError::from)?;
    imports::create_staged(&tx)?;
    let mut count = 0;
    while let Some(row) = rows.next_row() {
        count += 1;
        if count % 4096 == 0 {
            progress(Progress::Read(rows.bytes_read()));
        }
        match row {
            Ok((line, code)) => imports::stage(&tx, line, &code)?,
            Err(found) => faults.extend(found)?,
        }
    }
    progress(Progress::Read(rows.bytes_read()));
    tx.commit().map_err(StoreError::from)?;
    Ok(count)
}

/// What would collide with other rows or names what is not there.
fn judge_before(connection: &Connection, faults: &mut Faults) -> Result<(), ImportError> {
    let mut noted = Ok(());
    let mut note = |line: u64, column: &str, reason: String| {
        if noted.is_ok() {
            noted = faults.add(Fault { line, column: column.into(), reason });
        }
    };
    imports::each_missing_offer(connection, |line, id| {
        note(line, "offer_id", format!("there is no offer {id}"))
    })?;
    imports::each_missing_affiliate(connection, |line, id| {
        note(line, "affiliate_id", format!("there is no affiliate {id}"));
    })?;
    imports::each_repeated(connection, |line, other, offer| {
        note(
            line,
            "coupon_code",
            format!("stands on offer {offer} twice in this file; the other is on line {other}"),
        );
    })?;
    imports::each_taken(connection, |line, other, offer| {
        note(
            line,
            "coupon_code",
            format!("stands on offer {offer} already, as coupon code {other}"),
        );
    })?;
    Ok(noted?)
}

/// Writes the rows and judges whose codes they are, on the state they leave.
fn save(tx: &WriteTx<'_>, allow_reissue: bool, faults: &mut Faults) -> Result<(), ImportError> {
    let sequence = tx.next_code_sequence()?;
    let Staged { before_first_id } = imports::insert_staged(tx, sequence)?;
    let mut found = Vec::new();
    coupon_codes::each_owned_by_another(tx, sequence, |claim| {
        found.push((claim.id, "affiliate_id", owned_message(&claim)));
        found.len() < Faults::AT_ONCE
    })?;
    if !allow_reissue {
        coupon_codes::each_once_anothers(tx, sequence, |claim| {
            found.push((claim.id, "coupon_code", reissue_message(&claim, "use --allow-reissue")));
            found.len() < 2 * Faults::AT_ONCE
        })?;
    }
    for (id, column, reason) in found {
        let line = imports::line_of(tx, id - before_first_id)?;
        faults.add(Fault { line, column: column.into(), reason })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
