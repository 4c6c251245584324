//! The values that jobs replaced. A revert uses a row up in the transaction that gives its values
//! back, so a crash between two slices neither loses nor repeats one.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use super::read_values;
use crate::catalog::CheckedCode;
use crate::store::coupon_codes::slice::{Column, ValuesBefore};
use crate::store::meta::Sequence;
use crate::store::{ReadTx, StoreError, WriteTx};

/// A row before a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// The code, folded.
    pub folded: String,
    /// The code's id.
    pub code_id: u32,
    /// The row's change sequence after the job.
    pub sequence: Sequence,
    /// The replaced values.
    pub before: ValuesBefore,
}

/// Keeps the values of some columns of a row, which the job replaced under `sequence`.
pub fn keep_row(
    tx: &WriteTx<'_>,
    job_id: u32,
    code_id: u32,
    before: &CheckedCode,
    columns: &[Column],
    sequence: Sequence,
) -> Result<(), StoreError> {
    let (names, places): (String, String) = columns
        .iter()
        .enumerate()
        .map(|(at, column)| (format!(", {}", column.as_str()), format!(", ?{}", at + 5)))
        .unzip();
    let sql = format!(
        "INSERT INTO job_row (job_id, folded, code_id, change_seq{names}) VALUES (?1, ?2, ?3, ?4{places})"
    );
    let values = [
        job_id.into(),
        before.code.folded().as_str().to_owned().into(),
        code_id.into(),
        Value::Integer(sequence.cast_signed()),
    ];
    let values = values.into_iter().chain(columns.iter().map(|column| column.value(before)));
    tx.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Keeps the values that the planned changes of an upload will replace; returns the number of rows.
pub fn keep_staged_changes(
    tx: &WriteTx<'_>,
    job_id: u32,
    columns: &[Column],
    sequence: Sequence,
) -> Result<u64, StoreError> {
    let names: String = columns.iter().map(|column| format!(", {}", column.as_str())).collect();
    let values: String = columns.iter().map(|column| format!(", c.{}", column.as_str())).collect();
    let kept = tx.execute(
        &format!(
            "INSERT INTO job_row (job_id, folded, code_id, change_seq{names}) \
             SELECT ?1, c.folded, c.id, ?2{values} FROM temp.staged_change x \
             CROSS JOIN coupon_code c ON c.id = x.target ORDER BY c.folded, c.id"
        ),
        (job_id, sequence),
    )?;
    Ok(kept as u64)
}

/// The first kept rows of a job, about `most`: the rows of the last code are complete.
pub fn kept_rows(
    connection: &ReadTx<'_>,
    job_id: u32,
    most: usize,
) -> Result<Vec<KeptRow>, StoreError> {
    let columns = Column::ALL.map(|column| format!(", {}", column.as_str())).concat();
    let sql = format!(
        "SELECT folded, code_id, change_seq{columns} FROM job_row WHERE job_id = ?1 ORDER BY folded, code_id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([job_id])?;
    let mut kept: Vec<KeptRow> = Vec::new();
    while let Some(row) = rows.next()? {
        let folded: String = row.get(0)?;
        if kept.len() >= most && kept.last().is_some_and(|last| last.folded != folded) {
            break;
        }
        let (code_id, sequence) = (row.get(1)?, row.get(2)?);
        kept.push(KeptRow { folded, code_id, sequence, before: read_values(row, 3)? });
    }
    Ok(kept)
}

/// Removes the first kept rows of a job; returns their number.
pub fn remove_kept_rows(tx: &WriteTx<'_>, job_id: u32, most: u64) -> Result<u64, StoreError> {
    let sql = "DELETE FROM job_row WHERE (job_id, folded, code_id) IN (SELECT job_id, folded, code_id \
               FROM job_row WHERE job_id = ?1 ORDER BY folded, code_id LIMIT ?2)";
    Ok(tx.prepare_cached(sql)?.execute((job_id, most))? as u64)
}
