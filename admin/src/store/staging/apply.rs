//! Writes the staged rows without faults, under one change sequence, after the cross-row checks.
//!
//! Rows are written in the order of their codes, so each page of the indexes by code, which are
//! much larger than any cache, changes once. Ids follow the order of the file, because the lowest
//! id of a code decides its destination. In a file of more than [`IN_FILE_ORDER`] rows, ids follow
//! the file's order only among rows of one code, and otherwise the order of the codes: the other
//! indexes then grow at ends that stay in the processor's cache, which halves the time for a
//! million rows.
//!
//! An update writes only columns that some row sets, because SQLite writes each index of a set
//! column, changed or not. The update also goes in the order of the codes if the ids follow it in
//! few strands, as after imports: the indexes by code are then swept once, the others in a few
//! places at a time. With scattered ids the update goes in the order of ids, because most indexes
//! are by id. The counts of codes, otherwise kept by triggers per row, are updated here at once.

use std::collections::HashSet;

use super::super::coupon_codes::slice::Column;
use super::super::meta::Sequence;
use super::super::{StoreError, WriteTx};
use super::Bound;

/// Result of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// New codes.
    pub created: u64,
    /// Changed codes.
    pub updated: u64,
    /// Lowest and highest id of these codes.
    pub ids: Option<(u32, u32)>,
}

const VALID: &str = "NOT IN (SELECT number FROM staged_fault)";

/// In larger files ids follow the order of the codes.
const IN_FILE_ORDER: u64 = 50_000;

/// Adds the rows, about `rows` of them.
pub fn add(tx: &WriteTx<'_>, sequence: Sequence, rows: u64) -> Result<Applied, StoreError> {
    let sql = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'coupon_code'";
    let before_first_id: u32 = tx.query_row(sql, [], |row| row.get(0))?;
    let (id, order) = if rows <= IN_FILE_ORDER {
        ("?1 + number", "folded, offer_id")
    } else {
        // The next id, independent of earlier values.
        ("nullif(?1, ?1)", "folded, number")
    };
    let count_each = take_trigger(tx, "coupon_code_counted")?;
    let created = tx.execute(
        &format!(
            "INSERT INTO coupon_code (id, code, folded, offer_id, affiliate_id, status, start_date, end_date, description, \
             is_description_plain_text, internal_notes, conversion_only, time_created, time_saved, change_seq) \
             SELECT {id}, code, folded, offer_id, nullif(affiliate_id, 0), status, nullif(start_date, 0), \
             nullif(end_date, 0), iif(description = 0, '', description), is_description_plain_text, \
             iif(internal_notes = 0, '', internal_notes), conversion_only, ?2, ?2, ?3 \
             FROM staged_row INDEXED BY staged_row_folded WHERE number {VALID} ORDER BY {order}"
        ),
        (before_first_id, tx.now(), sequence),
    )?;
    tx.execute_batch(&count_each)?;
    count(tx, before_first_id)?;
    let ids = tx.query_row(
        "SELECT (SELECT min(id) FROM coupon_code WHERE id > ?1), (SELECT max(id) FROM coupon_code WHERE id > ?1)",
        [before_first_id],
        |row| Ok(row.get::<_, Option<u32>>(0)?.zip(row.get(1)?)),
    )?;
    Ok(Applied { created: created as u64, updated: 0, ids })
}

/// Drops a trigger that counts per row, within this transaction; returns the SQL that creates it
/// again.
fn take_trigger(tx: &WriteTx<'_>, name: &str) -> Result<String, StoreError> {
    let sql = "SELECT sql FROM main.sqlite_schema WHERE type = 'trigger' AND name = ?1";
    let made_by = tx.query_row(sql, [name], |row| row.get(0))?;
    tx.execute_batch(&format!("DROP TRIGGER main.{name}"))?;
    Ok(made_by)
}

/// Counts the codes with higher ids in one statement.
fn count(tx: &WriteTx<'_>, before_first_id: u32) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO coupon_code_count SELECT offer_id, ifnull(affiliate_id, 0), status, count(*) \
         FROM coupon_code NOT INDEXED WHERE id > ?1 AND time_deleted = 0 GROUP BY 1, 2, 3 \
         ON CONFLICT DO UPDATE SET codes = codes + excluded.codes",
        [before_first_id],
    )?;
    tx.execute(
        "INSERT INTO coupon_code_block SELECT id >> 12, count(*) \
         FROM coupon_code NOT INDEXED WHERE id > ?1 AND time_deleted = 0 GROUP BY 1 \
         ON CONFLICT DO UPDATE SET codes = codes + excluded.codes",
        [before_first_id],
    )?;
    Ok(())
}

/// Columns of the code counts.
const COUNTED_BY: [Column; 3] = [Column::OfferId, Column::AffiliateId, Column::Status];

/// Columns that an update can set, with their values from the staged row `s` over the code `c`.
const SET: [(Column, &str); 8] = [
    (Column::OfferId, "coalesce(s.offer_id, c.offer_id)"),
    (Column::AffiliateId, "iif(s.affiliate_id IS NULL, c.affiliate_id, nullif(s.affiliate_id, 0))"),
    (Column::Status, "coalesce(s.status, c.status)"),
    (Column::StartDate, "iif(s.start_date IS NULL, c.start_date, nullif(s.start_date, 0))"),
    (Column::EndDate, "iif(s.end_date IS NULL, c.end_date, nullif(s.end_date, 0))"),
    (
        Column::Description,
        "iif(s.description IS NULL, c.description, iif(s.description = 0, '', s.description))",
    ),
    (
        Column::IsDescriptionPlainText,
        "coalesce(s.is_description_plain_text, c.is_description_plain_text)",
    ),
    (
        Column::InternalNotes,
        "iif(s.internal_notes IS NULL, c.internal_notes, iif(s.internal_notes = 0, '', s.internal_notes))",
    ),
];

/// Computes the changed rows and their new values; returns their number.
pub fn plan_update(tx: &WriteTx<'_>) -> Result<u64, StoreError> {
    let columns = SET.map(|(column, value)| format!("{value} AS {}", column.as_str())).join(", ");
    let differs =
        SET.map(|(column, value)| format!("{value} IS NOT c.{}", column.as_str())).join(" OR ");
    let order = if ids_follow_codes(tx)? { "a.folded, a.offer_id, a.number" } else { "c.id" };
    tx.execute_batch("DROP TABLE IF EXISTS temp.staged_change")?;
    tx.execute_batch(&format!(
        "CREATE TEMP TABLE staged_change AS SELECT c.id AS target, a.is_new_offer, a.is_new_owner, {columns} \
         FROM temp.staged_after a CROSS JOIN staged_row s ON s.number = a.number \
         CROSS JOIN coupon_code c ON c.id = a.target \
         WHERE a.number {VALID} AND ({differs}) ORDER BY {order}"
    ))?;
    Ok(tx.query_row("SELECT count(*) FROM temp.staged_change", [], |row| row.get(0))?)
}

/// Whether the ids of the selected rows follow the order of their codes in few strands.
fn ids_follow_codes(tx: &WriteTx<'_>) -> Result<bool, StoreError> {
    let sql = "SELECT target FROM temp.staged_after ORDER BY folded, offer_id, number";
    let mut statement = tx.prepare(sql)?;
    let ids = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<u32>, _>>()?;
    Ok(are_strands(&ids))
}

/// In a window of this many ids …
const WINDOW: usize = 4096;
/// … at most this many blocks of 4,096 ids occur if the ids are strands: SQLite's cache holds the
/// changed pages of that many places of each index.
const STRANDS: usize = 64;

/// Whether ids form a few ascending, interleaved strands. Fewer ids than a window are fast in any
/// order.
fn are_strands(ids: &[u32]) -> bool {
    let windows = ids.chunks_exact(WINDOW);
    let blocks = |ids: &[u32]| ids.iter().map(|id| id >> 12).collect::<HashSet<_>>().len();
    let met: usize = windows.clone().map(blocks).sum();
    windows.len() > 0 && met <= windows.len() * STRANDS
}

/// Applies the changes of [`plan_update`].
pub fn update(tx: &WriteTx<'_>, sequence: Sequence) -> Result<Applied, StoreError> {
    tx.execute(
        "INSERT OR IGNORE INTO coupon_code_former_owner (folded, affiliate_id) \
         SELECT c.folded, c.affiliate_id FROM temp.staged_change x CROSS JOIN coupon_code c ON c.id = x.target \
         WHERE x.is_new_owner AND c.affiliate_id IS NOT NULL",
        [],
    )?;
    let columns = set_columns(tx)?;
    let is_counted_anew = columns.iter().any(|column| COUNTED_BY.contains(column));
    let count_each = if is_counted_anew { Some(recount(tx)?) } else { None };
    let mut set: String = columns
        .iter()
        .enumerate()
        .map(|(at, column)| format!("{} = ?{}, ", column.as_str(), 4 + at))
        .collect();
    if columns.contains(&Column::OfferId) {
        // Codes that swap places would collide on the way, so all leave before any arrives.
        tx.execute(
            "UPDATE coupon_code SET time_deleted = -1 WHERE id IN (SELECT target FROM temp.staged_change WHERE is_new_offer)",
            [],
        )?;
        set += "time_deleted = 0, ";
    }
    let updated = update_each(tx, sequence, &columns, &set)?;
    if let Some(count_each) = count_each {
        tx.execute_batch(&count_each)?;
    }
    let ids =
        tx.query_row("SELECT min(target), max(target) FROM temp.staged_change", [], |row| {
            Ok(row.get::<_, Option<u32>>(0)?.zip(row.get(1)?))
        })?;
    Ok(Applied { created: 0, updated, ids })
}

/// Writes the changes one by one; returns their number. `UPDATE … FROM` would use the order of ids.
fn update_each(
    tx: &WriteTx<'_>,
    sequence: Sequence,
    columns: &[Column],
    set: &str,
) -> Result<u64, StoreError> {
    let values: String = columns.iter().map(|column| format!(", {}", column.as_str())).collect();
    let mut changes =
        tx.prepare(&format!("SELECT target{values} FROM temp.staged_change ORDER BY rowid"))?;
    let mut update = tx.prepare(&format!(
        "UPDATE coupon_code SET {set}change_seq = ?1, time_saved = ?2 WHERE id = ?3"
    ))?;
    update.raw_bind_parameter(1, sequence)?;
    update.raw_bind_parameter(2, tx.now())?;
    let mut rows = changes.query([])?;
    let mut updated = 0;
    while let Some(row) = rows.next()? {
        for at in 0..=columns.len() {
            update.raw_bind_parameter(3 + at, Bound(row.get_ref(at)?))?;
        }
        updated += update.raw_execute()? as u64;
    }
    Ok(updated)
}

/// Columns that some row sets.
pub fn set_columns(tx: &WriteTx<'_>) -> Result<Vec<Column>, StoreError> {
    let columns = SET.map(|(column, _)| column);
    let is_set = columns.map(|column| format!("max({} IS NOT NULL)", column.as_str())).join(", ");
    Ok(tx.query_row(&format!("SELECT {is_set} FROM staged_row"), [], |row| {
        let is_set = |(at, column)| Ok(row.get::<_, bool>(at)?.then_some(column));
        columns.into_iter().enumerate().filter_map(|column| is_set(column).transpose()).collect()
    })?)
}

/// Counts the changed codes under their new values in one statement instead of by the trigger;
/// returns the SQL that creates the trigger again.
fn recount(tx: &WriteTx<'_>) -> Result<String, StoreError> {
    let count_each = take_trigger(tx, "coupon_code_recounted")?;
    tx.execute(
        "INSERT INTO coupon_code_count SELECT offer_id, affiliate_id, status, sum(codes) FROM ( \
         SELECT c.offer_id, ifnull(c.affiliate_id, 0) AS affiliate_id, c.status, -1 AS codes \
         FROM temp.staged_change x CROSS JOIN coupon_code c ON c.id = x.target \
         UNION ALL SELECT offer_id, ifnull(affiliate_id, 0), status, 1 FROM temp.staged_change) \
         GROUP BY 1, 2, 3 HAVING sum(codes) <> 0 \
         ON CONFLICT DO UPDATE SET codes = codes + excluded.codes",
        [],
    )?;
    Ok(count_each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_leave_strands_and_single_creations_do_not() {
        // Every tenth code of ten imports of a million, each in the order of its codes.
        let imports: Vec<u32> = (0..100_000).map(|at| at % 10 * 1_000_000 + at).collect();
        assert!(are_strands(&imports));
        let strewn: Vec<u32> = (0..100_000_u32)
            .map(|at| ((u64::from(at.wrapping_mul(2_654_435_761)) * 10_000_000) >> 32) as u32)
            .collect();
        assert!(!are_strands(&strewn));
        let small: Vec<u32> = strewn.iter().map(|id| id / 100).collect();
        assert!(are_strands(&small), "a small store is in the cache as a whole");
        assert!(!are_strands(&imports[..4000]));
    }
}
