//! Checks that need all rows of a file together and the store.
//!
//! [`fill`] computes the state after the file for each code in it, in a temporary table ordered by
//! (code, offer); the checks query this table. Only rows of the same code can collide, so checking
//! all rows of some codes is exact for these codes. Nothing here writes to the store or needs its
//! lock.

use rusqlite::Row;

use super::super::meta::{self, Sequence};
use super::super::{ReadTx, StagingTx, StoreError};
use crate::catalog::BulkMode;

/// Rows to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All rows.
    All,
    /// All rows of these folded codes.
    Codes(&'a [String]),
}

const TABLES: &str = "
    CREATE TEMP TABLE IF NOT EXISTS staged_scope (folded TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE IF NOT EXISTS staged_after (
        folded TEXT NOT NULL, offer_id INTEGER NOT NULL, number INTEGER NOT NULL, target INTEGER, affiliate_id INTEGER,
        is_new_offer INTEGER NOT NULL, is_new_owner INTEGER NOT NULL, PRIMARY KEY (folded, offer_id, number)
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE IF NOT EXISTS owner_conflicts (
        folded TEXT PRIMARY KEY, low INTEGER NOT NULL, low_number INTEGER, high INTEGER NOT NULL, high_number INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE IF NOT EXISTS affected_rows (number INTEGER PRIMARY KEY, other INTEGER NOT NULL) STRICT;
    DELETE FROM temp.staged_scope; DELETE FROM temp.staged_after;
    DELETE FROM temp.owner_conflicts; DELETE FROM temp.affected_rows;";

const ADDED: &str = "INSERT INTO temp.staged_after
    SELECT folded, offer_id, number, NULL, nullif(affiliate_id, 0), 1, 1
    FROM staged_row INDEXED BY staged_row_folded WHERE sound = 1 {scope} ORDER BY folded, offer_id, number";

/// The row that an update selects: by id, otherwise the only row of its code.
const SELECTED: &str = "iif(s.code_id IS NOT NULL, s.code_id,
    (SELECT max(t.id) FROM coupon_code t INDEXED BY coupon_code_published
     WHERE t.folded = s.folded AND t.time_deleted = 0 HAVING count(*) = 1))";

const UPDATED: &str = "INSERT INTO temp.staged_after
    SELECT s.folded, coalesce(s.offer_id, c.offer_id), s.number, c.id,
        iif(s.affiliate_id IS NULL, c.affiliate_id, nullif(s.affiliate_id, 0)),
        coalesce(s.offer_id <> c.offer_id, 0),
        s.affiliate_id IS NOT NULL AND nullif(s.affiliate_id, 0) IS NOT c.affiliate_id
    FROM staged_row s INDEXED BY staged_row_folded
    CROSS JOIN coupon_code c INDEXED BY coupon_code_published
        ON c.folded = s.folded AND c.time_deleted = 0 AND c.id = {selected}
    WHERE s.sound = 1 {scope}";

/// Computes the state after these rows.
pub fn fill(
    connection: &StagingTx<'_>,
    mode: BulkMode,
    scope: Scope<'_>,
) -> Result<(), StoreError> {
    connection.execute_batch(TABLES)?;
    let within = match scope {
        Scope::All => "",
        Scope::Codes(codes) => {
            let mut statement =
                connection.prepare("INSERT OR IGNORE INTO temp.staged_scope VALUES (?1)")?;
            for code in codes {
                statement.execute([code])?;
            }
            "AND folded IN (SELECT folded FROM temp.staged_scope)"
        }
    };
    let sql = match mode {
        BulkMode::Add => ADDED.replace("{scope}", within),
        BulkMode::Update => UPDATED
            .replace("{selected}", SELECTED)
            .replace("{scope}", &within.replace("folded IN", "s.folded IN")),
    };
    connection.execute(&sql, [])?;
    Ok(())
}

/// Removes the faults of earlier checks from the rows of `scope`.
pub fn delete_faults(connection: &StagingTx<'_>, scope: Scope<'_>) -> Result<(), StoreError> {
    let within = match scope {
        Scope::All => "",
        Scope::Codes(_) => {
            "AND number IN (SELECT number FROM staged_row WHERE folded IN (SELECT folded FROM temp.staged_scope))"
        }
    };
    connection.execute(&format!("DELETE FROM staged_fault WHERE kind = 2 {within}"), [])?;
    Ok(())
}

/// State of the store at a check: its change sequence, and its offers and partners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    sequence: Sequence,
    references: References,
}

/// Number of objects ever made of each kind, and the sum of their deletion times.
type References = [(u64, i64); 2];

/// The present state of the store.
pub fn seen(connection: &ReadTx<'_>) -> Result<Seen, StoreError> {
    let read = |sql| connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(Seen {
        sequence: meta::read(connection)?.change_seq,
        references: [
            read("SELECT count(*), ifnull(sum(time_deleted), 0) FROM offer")?,
            read("SELECT count(*), ifnull(sum(time_deleted), 0) FROM affiliate")?,
        ],
    })
}

/// Above this number of changed codes, all rows are checked again.
const MOST_CHANGED: usize = 10_000;

/// Codes whose rows must be checked again, because nothing else relevant changed since `seen`;
/// `None` if the changes are unknown.
pub fn changed_since(
    connection: &ReadTx<'_>,
    mode: BulkMode,
    seen: &Seen,
) -> Result<Option<Vec<String>>, StoreError> {
    // An update is written from the table of a complete check.
    if mode == BulkMode::Update || self::seen(connection)?.references != seen.references {
        return Ok(None);
    }
    let sql = "SELECT folded FROM coupon_code WHERE change_seq > ?1 \
               UNION SELECT folded FROM coupon_code_left WHERE change_seq > ?1 LIMIT ?2";
    let mut statement = connection.prepare(sql)?;
    let codes = statement.query_map((seen.sequence, MOST_CHANGED + 1), |row| row.get(0))?;
    let codes = codes.collect::<Result<Vec<String>, _>>()?;
    Ok(Some(codes).filter(|codes| codes.len() <= MOST_CHANGED))
}

/// A row of an update that selects no single code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedRow {
    /// The row.
    pub number: u32,
    /// As typed.
    pub code: String,
    /// The requested id.
    pub code_id: Option<u32>,
    /// Ids of the code's rows, separated by commas; `None` without rows.
    pub ids: Option<String>,
}

/// Rows that select no code, or several.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_unmatched(
    connection: &StagingTx<'_>,
    scope: Scope<'_>,
    mut each: impl FnMut(UnmatchedRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let within = match scope {
        Scope::All => "",
        Scope::Codes(_) => "AND s.folded IN (SELECT folded FROM temp.staged_scope)",
    };
    // As many ids as fit into a message.
    let sql = format!(
        "SELECT s.number, s.code, s.code_id, (SELECT group_concat(id, ', ') FROM (SELECT t.id FROM coupon_code t \
         INDEXED BY coupon_code_published WHERE t.folded = s.folded AND t.time_deleted = 0 LIMIT 20)) \
         FROM staged_row s WHERE s.sound = 1 {within} AND s.number NOT IN (SELECT number FROM temp.staged_after)"
    );
    each_row(connection, &sql, |row| {
        each(UnmatchedRow {
            number: row.get(0)?,
            code: row.get(1)?,
            code_id: row.get(2)?,
            ids: row.get(3)?,
        })
    })
}

/// A row, and the row number or id that it collides with.
type Pair = (u32, u32);

/// Rows that name a missing offer.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_missing_offer(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT number, offer_id FROM temp.staged_after WHERE is_new_offer \
               AND offer_id NOT IN (SELECT id FROM offer WHERE time_deleted = 0)";
    each_pair(connection, sql, each)
}

/// Rows that name a missing partner.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_missing_affiliate(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT number, affiliate_id FROM temp.staged_after WHERE is_new_owner \
               AND affiliate_id NOT IN (SELECT id FROM affiliate WHERE time_deleted = 0)";
    each_pair(connection, sql, each)
}

/// Rows that select the same code as an earlier row, and the earlier row.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_selected_twice(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT number, first FROM (SELECT number, min(number) OVER (PARTITION BY target) AS first \
               FROM temp.staged_after) WHERE number <> first";
    each_pair(connection, sql, each)
}

/// Rows that put a code on an offer where another row of the file puts it, too, and the other row.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_repeated(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT number, other FROM (SELECT a.number, (SELECT b.number FROM temp.staged_after b \
               WHERE b.folded = a.folded AND b.offer_id = a.offer_id AND b.number <> a.number \
               AND (b.number < a.number OR NOT b.is_new_offer) ORDER BY b.number LIMIT 1) AS other \
               FROM temp.staged_after a WHERE a.is_new_offer) WHERE other IS NOT NULL";
    each_pair(connection, sql, each)
}

/// Rows that put a code on an offer where the store has it and the file does not move it, and its
/// id.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_taken(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT a.number, c.id FROM temp.staged_after a CROSS JOIN coupon_code c INDEXED BY coupon_code_folded_offer \
               ON c.folded = a.folded AND c.offer_id = a.offer_id AND c.time_deleted = 0 WHERE a.is_new_offer \
               AND NOT EXISTS (SELECT 1 FROM temp.staged_after b WHERE b.folded = a.folded AND b.target = c.id)";
    each_pair(connection, sql, each)
}

/// Rows whose new or kept dates end before they start.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_ended_before_its_start(
    connection: &StagingTx<'_>,
    mut each: impl FnMut(u32) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let after = |column: &str| {
        format!("iif(s.{column} IS NULL, c.{column}, iif(s.{column} = 0, NULL, s.{column}))")
    };
    let sql = format!(
        "SELECT a.number FROM temp.staged_after a CROSS JOIN staged_row s ON s.number = a.number \
         CROSS JOIN coupon_code c ON c.id = a.target \
         WHERE (s.start_date IS NOT NULL OR s.end_date IS NOT NULL) AND {} > {}",
        after("start_date"),
        after("end_date")
    );
    each_row(connection, &sql, |row| each(row.get(0)?))
}

/// Rows that would change whether a code has a link.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_other_kind(
    connection: &StagingTx<'_>,
    mut each: impl FnMut(u32) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT s.number FROM staged_row s CROSS JOIN temp.staged_after a ON a.folded = s.folded AND a.number = s.number \
               CROSS JOIN coupon_code c ON c.id = a.target \
               WHERE s.sound = 1 AND s.conversion_only IS NOT NULL AND s.conversion_only <> c.conversion_only";
    each_row(connection, sql, |row| each(row.get(0)?))
}

/// A code that another row of the file gives to another partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerConflict {
    /// The row.
    pub number: u32,
    /// As typed.
    pub code: String,
    /// The other row.
    pub other: u32,
    /// Partner of the other row.
    pub partner_id: u32,
}

/// Rows that give a code to a partner while another row of the file gives or leaves the code to
/// another.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_owner_conflict(
    connection: &StagingTx<'_>,
    mut each: impl FnMut(OwnerConflict) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    connection.execute_batch(
        "INSERT INTO temp.owner_conflicts (folded, low, high) SELECT folded, min(affiliate_id), max(affiliate_id) \
         FROM temp.staged_after WHERE affiliate_id IS NOT NULL GROUP BY folded HAVING min(affiliate_id) <> max(affiliate_id);
         UPDATE temp.owner_conflicts AS t SET \
         low_number = (SELECT min(number) FROM temp.staged_after b WHERE b.folded = t.folded AND b.affiliate_id = t.low), \
         high_number = (SELECT min(number) FROM temp.staged_after b WHERE b.folded = t.folded AND b.affiliate_id = t.high)",
    )?;
    let sql = "SELECT a.number, s.code, iif(a.affiliate_id = t.low, t.high_number, t.low_number), \
               iif(a.affiliate_id = t.low, t.high, t.low) FROM temp.owner_conflicts t \
               CROSS JOIN temp.staged_after a ON a.folded = t.folded CROSS JOIN staged_row s ON s.number = a.number \
               WHERE a.is_new_owner AND a.affiliate_id IS NOT NULL";
    each_row(connection, sql, |row| {
        each(OwnerConflict {
            number: row.get(0)?,
            code: row.get(1)?,
            other: row.get(2)?,
            partner_id: row.get(3)?,
        })
    })
}

/// Rows that give a code to a partner while a row of the store outside the file belongs to another
/// partner.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_owned_by_another(
    connection: &StagingTx<'_>,
    each: impl FnMut(super::super::coupon_codes::OwnedCode) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT x.number, s.code, x.owner, p.name FROM (SELECT a.number, (SELECT c.affiliate_id FROM coupon_code c \
               INDEXED BY coupon_code_published WHERE c.folded = a.folded AND c.time_deleted = 0 \
               AND c.affiliate_id <> a.affiliate_id AND NOT EXISTS (SELECT 1 FROM temp.staged_after b \
               WHERE b.folded = a.folded AND b.target = c.id) ORDER BY c.id LIMIT 1) AS owner \
               FROM temp.staged_after a WHERE a.is_new_owner AND a.affiliate_id IS NOT NULL) x \
               CROSS JOIN staged_row s ON s.number = x.number CROSS JOIN affiliate p ON p.id = x.owner \
               WHERE x.owner IS NOT NULL";
    each_owned(connection, sql, each)
}

/// New rows whose code once belonged to another partner than after this file. Excluded are codes
/// that only get a further offer: beside a row of the same partner or, for a row without partner,
/// beside any row.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_once_anothers(
    connection: &StagingTx<'_>,
    each: impl FnMut(super::super::coupon_codes::OwnedCode) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let sql = "SELECT x.number, s.code, x.owner, p.name FROM (SELECT a.number, a.folded, a.affiliate_id, \
               (SELECT min(g.affiliate_id) FROM coupon_code_former_owner g \
                WHERE g.folded = a.folded AND g.affiliate_id IS NOT coalesce(a.affiliate_id, \
                     (SELECT max(b.affiliate_id) FROM temp.staged_after b WHERE b.folded = a.folded \
                      AND b.number NOT IN (SELECT number FROM staged_fault)))) AS owner \
               FROM temp.staged_after a) x CROSS JOIN staged_row s ON s.number = x.number \
               CROSS JOIN affiliate p ON p.id = x.owner \
               WHERE x.owner IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coupon_code t INDEXED BY coupon_code_published \
               WHERE t.folded = x.folded AND t.time_deleted = 0 \
               AND (t.affiliate_id IS x.affiliate_id OR x.affiliate_id IS NULL))";
    each_owned(connection, sql, each)
}

/// Rows of an update that depend on a faulty row of the same code, and the faulty row: owner and
/// offers of a code were checked as if all its rows were saved.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_affected(
    connection: &StagingTx<'_>,
    each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    connection.execute_batch(
        "INSERT INTO temp.affected_rows SELECT a.number, w.wrong FROM (SELECT r.folded, min(r.number) AS wrong \
         FROM staged_row r WHERE r.folded IS NOT NULL AND r.number IN (SELECT number FROM staged_fault) GROUP BY r.folded) w \
         CROSS JOIN temp.staged_after a ON a.folded = w.folded \
         WHERE (a.is_new_offer OR a.is_new_owner) AND a.number NOT IN (SELECT number FROM staged_fault)",
    )?;
    each_pair(connection, "SELECT number, other FROM temp.affected_rows", each)
}

fn each_row(
    connection: &StagingTx<'_>,
    sql: &str,
    mut each: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(row)?;
    }
    Ok(())
}

fn each_pair(
    connection: &StagingTx<'_>,
    sql: &str,
    mut each: impl FnMut(Pair) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_row(connection, sql, |row| each((row.get(0)?, row.get(1)?)))
}

fn each_owned(
    connection: &StagingTx<'_>,
    sql: &str,
    mut each: impl FnMut(super::super::coupon_codes::OwnedCode) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_row(connection, sql, |row| {
        each(super::super::coupon_codes::OwnedCode {
            id: row.get(0)?,
            code: row.get(1)?,
            owner_id: row.get(2)?,
            owner_name: row.get(3)?,
        })
    })
}
