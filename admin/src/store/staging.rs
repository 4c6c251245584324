//! Staged rows of a bulk file: a database of their own, attached beside the store.
//!
//! - Reading and checking a file write to the staged file only, so they delay no edit, however
//!   large the file is. Only [`apply`] writes to the store, in one transaction.
//! - A staged file is one file in a folder, or nameless (for the command line): removing the rows
//!   means removing the file.
//! - The truth about a committed upload is in the store, in the transaction of its rows, and never
//!   here: a crash between the two files cannot report a commit that did not happen.
//!
//! All table names differ from the store's, so queries over both databases need no database names.

use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{OptionalExtension, Row, params_from_iter};

use super::rows::{Page, day_text};
use super::{DedicatedConnection, ReadTx, StagingTx, StoreError};
use crate::catalog::{BulkMode, BulkRow, COLUMNS, CellChange, Cells, FieldError, escape_formula};

pub mod apply;
pub mod cross_row_checks;

/// Room for the pages that a large file touches repeatedly.
const CACHE_KIB: i64 = 131_072;
/// Cache of the store during a commit: the index pages that a million rows change in a large store.
const COMMIT_CACHE_KIB: i64 = 393_216;

const SCHEMA: &str = "
    CREATE TABLE staging.staged_file (
        id INTEGER PRIMARY KEY CHECK (id = 1), mode TEXT NOT NULL, allow_reissue INTEGER NOT NULL,
        last_number INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    -- A sound row holds what its cells mean: NULL keeps, 0 clears. Another one holds them as typed.
    CREATE TABLE staging.staged_row (
        number INTEGER PRIMARY KEY, line INTEGER, sound INTEGER NOT NULL, folded TEXT,
        code_id ANY, code TEXT, offer_id ANY, affiliate_id ANY, status TEXT, start_date ANY, end_date ANY,
        description ANY, is_description_plain_text ANY, internal_notes ANY, conversion_only ANY
    ) STRICT;
    CREATE TABLE staging.staged_fault (
        number INTEGER NOT NULL, kind INTEGER NOT NULL, column_name TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT;
    CREATE INDEX staging.staged_fault_number ON staged_fault (number);
    -- Cells of columns without a field; a wrong row is downloaded with them.
    CREATE TABLE staging.staged_extra_column (position INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
    CREATE TABLE staging.staged_extra_cell (
        number INTEGER NOT NULL, position INTEGER NOT NULL, cell TEXT NOT NULL, PRIMARY KEY (number, position)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE staging.staged_warning (text TEXT NOT NULL) STRICT;";

/// Files that an earlier version staged lack the tables of extra columns and warnings.
const HAS_EXTRAS: &str =
    "SELECT count(*) FROM staging.sqlite_schema WHERE name = 'staged_extra_column'";

const INSERT: &str = "INSERT OR REPLACE INTO staged_row (number, line, sound, folded, code_id, code, offer_id, affiliate_id, \
    status, start_date, end_date, description, is_description_plain_text, internal_notes, conversion_only) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

const CELLS: &str = "code_id, code, offer_id, affiliate_id, status, start_date, end_date, description, \
    is_description_plain_text, internal_notes, conversion_only";

/// Mode and options of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// Add or update.
    pub mode: BulkMode,
    /// Whether codes that once belonged to another partner may be issued again.
    pub allow_reissue: bool,
}

/// Origin of a fault, and therefore when it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The bytes could not be read; removed when the cell is typed again.
    Unreadable = 0,
    /// The row itself is wrong; removed when the row is edited.
    Own = 1,
    /// The row collides with other rows or with the store; checked again each time.
    Judged = 2,
}

/// Numbers of rows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
pub struct Counts {
    /// All rows.
    pub rows: u64,
    /// Rows without a fault.
    pub valid: u64,
    /// Rows with a fault.
    pub invalid: u64,
}

impl Counts {
    /// The numbers of a file without rows.
    pub const NONE: Counts = Counts { rows: 0, valid: 0, invalid: 0 };
}

/// The numbers of rows of a file, and what was left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Numbers of rows.
    pub counts: Counts,
    /// Sentences about what was left out.
    pub warnings: Vec<String>,
}

impl Summary {
    /// The summary of a file without rows.
    pub const NONE: Summary = Summary { counts: Counts::NONE, warnings: Vec::new() };
}

/// Selects rows for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChoice {
    /// All rows.
    All,
    /// Rows without a fault.
    Valid,
    /// Rows with a fault.
    Invalid {
        /// Empty for a fault of the whole row; `None` for any column.
        column: Option<String>,
        /// `None` for any message.
        error: Option<String>,
    },
}

impl RowChoice {
    /// A condition on the numbers of rows, and its parameters.
    fn condition(&self) -> (String, Vec<&str>) {
        match self {
            RowChoice::All => ("true".into(), Vec::new()),
            RowChoice::Valid => {
                ("number NOT IN (SELECT number FROM staged_fault)".into(), Vec::new())
            }
            RowChoice::Invalid { column, error } => {
                let named = [("column_name", column), ("reason", error)].into_iter();
                let named = named.filter_map(|(name, value)| Some((name, value.as_deref()?)));
                let (names, values): (Vec<&str>, Vec<&str>) = named.unzip();
                let equals: String = names.iter().map(|name| format!(" AND {name} = ?")).collect();
                let rows =
                    format!("number IN (SELECT number FROM staged_fault WHERE true{equals})");
                (rows, values)
            }
        }
    }
}

/// A row for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRow {
    /// From 1, in the order of the file; never reused in this file.
    pub number: u32,
    /// Line of the file; `None` for rows added later.
    pub line: Option<u64>,
    /// The cells as in a file.
    pub cells: Cells<String>,
    /// Faults of the row.
    pub faults: Vec<FieldError>,
}

/// Attaches the staged file at `path`; without a path, a nameless file that ends with the
/// connection.
///
/// # Errors
/// When it cannot be opened.
pub fn attach(connection: &DedicatedConnection, path: Option<&Path>) -> Result<(), StoreError> {
    let name = path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    connection.execute("ATTACH ?1 AS staging", [name])?;
    connection.execute_batch(&format!(
        "PRAGMA main.cache_size = -{CACHE_KIB}; PRAGMA staging.cache_size = -{CACHE_KIB};"
    ))?;
    Ok(())
}

/// Enlarges the cache of a connection for a large commit.
pub fn make_room(connection: &DedicatedConnection) -> Result<(), StoreError> {
    Ok(connection.execute_batch(&format!("PRAGMA main.cache_size = -{COMMIT_CACHE_KIB}"))?)
}

/// Creates the tables of a new file. A crash before [`finish`] leaves an unusable file.
pub fn create(connection: &DedicatedConnection, intent: Intent) -> Result<(), StoreError> {
    let _: String =
        connection.query_row("PRAGMA staging.journal_mode = OFF", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA staging.synchronous = OFF;")?;
    connection.execute_batch(SCHEMA)?;
    connection.execute(
        "INSERT INTO staged_file (id, mode, allow_reissue) VALUES (1, ?1, ?2)",
        (intent.mode.as_str(), intent.allow_reissue),
    )?;
    Ok(())
}

/// Sorts the complete rows by code, and makes later changes crash-safe.
pub fn finish(connection: &DedicatedConnection) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE INDEX staging.staged_row_folded ON staged_row (folded, offer_id, number, affiliate_id, sound)",
    )?;
    let _: String =
        connection.query_row("PRAGMA staging.journal_mode = DELETE", [], |row| row.get(0))?;
    connection.execute_batch("PRAGMA staging.synchronous = FULL;")?;
    Ok(())
}

/// Mode and options of the file.
pub fn intent(connection: &ReadTx<'_>) -> Result<Intent, StoreError> {
    let sql = "SELECT mode, allow_reissue FROM staged_file";
    Ok(connection.query_row(sql, [], |row| {
        Ok(Intent { mode: super::rows::word(row, 0)?, allow_reissue: row.get(1)? })
    })?)
}

/// Reserves the next row number.
pub fn next_number(connection: &StagingTx<'_>) -> Result<u32, StoreError> {
    let sql = "UPDATE staged_file SET last_number = last_number + 1 RETURNING last_number";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Records the last reserved row number.
pub fn numbers_taken(connection: &StagingTx<'_>, last: u32) -> Result<(), StoreError> {
    connection.execute("UPDATE staged_file SET last_number = ?1", [last])?;
    Ok(())
}

/// Stores a row without own faults, replacing the row with its number.
pub fn put(
    connection: &StagingTx<'_>,
    number: u32,
    line: Option<u64>,
    row: &BulkRow,
) -> Result<(), StoreError> {
    let day = |day: &CellChange<_>| match day {
        CellChange::Keep => Value::Null,
        CellChange::Clear => Value::Integer(0),
        CellChange::Set(day) => day_text(Some(*day)).into(),
    };
    fn text(text: &CellChange<String>) -> ValueRef<'_> {
        match text {
            CellChange::Keep => ValueRef::Null,
            CellChange::Clear => ValueRef::Integer(0),
            CellChange::Set(text) => ValueRef::Text(text.as_bytes()),
        }
    }
    let affiliate_id = match row.affiliate_id {
        CellChange::Keep => None,
        CellChange::Clear => Some(0),
        CellChange::Set(id) => Some(id),
    };
    connection.prepare_cached(INSERT)?.execute((
        number,
        line,
        true,
        row.folded.as_str(),
        row.code_id,
        &row.code,
        row.offer_id,
        affiliate_id,
        row.status.map(|status| status.as_str()),
        day(&row.start_date),
        day(&row.end_date),
        Bound(text(&row.description)),
        row.is_description_plain_text,
        Bound(text(&row.internal_notes)),
        row.conversion_only,
    ))?;
    Ok(())
}

/// Binds a value without a copy.
struct Bound<'a>(ValueRef<'a>);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(self.0))
    }
}

/// Stores a row with own faults, as typed.
pub fn put_wrong<T: AsRef<str>>(
    connection: &ReadTx<'_>,
    number: u32,
    line: Option<u64>,
    folded: Option<&str>,
    cells: &Cells<T>,
) -> Result<(), StoreError> {
    let text = |text: &str| Value::Text(text.to_owned());
    let head = [
        number.into(),
        line.map_or(Value::Null, |line| Value::Integer(line.cast_signed())),
        Value::Integer(0),
        folded.map_or(Value::Null, text),
    ];
    let values = head.into_iter().chain(cells.0.iter().map(|cell| text(cell.as_ref())));
    connection.prepare_cached(INSERT)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Records a fault of a row.
pub fn add_fault(
    connection: &StagingTx<'_>,
    number: u32,
    kind: FaultKind,
    column: &str,
    reason: &str,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO staged_fault (number, kind, column_name, reason) VALUES (?1, ?2, ?3, ?4)";
    connection.prepare_cached(sql)?.execute((number, kind as u8, column, reason))?;
    Ok(())
}

/// Stores a cell of a column without a field.
pub fn put_extra(
    connection: &StagingTx<'_>,
    number: u32,
    position: usize,
    cell: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO staged_extra_cell (number, position, cell) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute((number, position, cell))?;
    Ok(())
}

/// Records a column without a field, by its position in the file.
pub fn put_extra_column(
    connection: &StagingTx<'_>,
    position: usize,
    name: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO staged_extra_column (position, name) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((position, name))?;
    Ok(())
}

/// Records what was left out of the file.
pub fn add_warning(connection: &StagingTx<'_>, text: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO staged_warning (text) VALUES (?1)";
    connection.prepare_cached(sql)?.execute([text])?;
    Ok(())
}

fn has_extras(connection: &ReadTx<'_>) -> Result<bool, StoreError> {
    Ok(connection.prepare_cached(HAS_EXTRAS)?.query_row([], |row| row.get(0))?)
}

/// The numbers of rows, and what was left out of the file.
pub fn summary(connection: &ReadTx<'_>) -> Result<Summary, StoreError> {
    Ok(Summary { counts: counts(connection)?, warnings: warnings(connection)? })
}

/// What was left out of the file.
pub fn warnings(connection: &ReadTx<'_>) -> Result<Vec<String>, StoreError> {
    if !has_extras(connection)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT text FROM staged_warning ORDER BY rowid";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Positions and names of the columns without a field, in the order of the file.
pub fn extra_columns(connection: &ReadTx<'_>) -> Result<Vec<(usize, String)>, StoreError> {
    if !has_extras(connection)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT position, name FROM staged_extra_column ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(columns.collect::<Result<_, _>>()?)
}

/// The cell of a row in a column without a field; empty if it is blank.
pub fn extra_cell(
    connection: &ReadTx<'_>,
    number: u32,
    position: usize,
) -> Result<String, StoreError> {
    let sql = "SELECT cell FROM staged_extra_cell WHERE number = ?1 AND position = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let cell = statement.query_row((number, position), |row| row.get(0)).optional()?;
    Ok(cell.unwrap_or_default())
}

/// Columns of a row whose bytes could not be read.
pub fn unreadable(connection: &ReadTx<'_>, number: u32) -> Result<Vec<FieldError>, StoreError> {
    faults_where(connection, "number = ?1 AND kind = 0", number)
}

/// Rows with the same fault in the same column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultGroup {
    /// Column and message.
    pub fault: FieldError,
    /// Number of rows.
    pub rows: u64,
}

/// The most frequent faults first.
pub fn fault_groups(connection: &ReadTx<'_>, most: u32) -> Result<Vec<FaultGroup>, StoreError> {
    let sql = "SELECT column_name, reason, count(DISTINCT number) AS rows FROM staged_fault \
               GROUP BY column_name, reason ORDER BY rows DESC, column_name, reason LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let group = |row: &Row<'_>| Ok(FaultGroup { fault: fault(row, 0)?, rows: row.get(2)? });
    Ok(statement.query_map([most], group)?.collect::<Result<_, _>>()?)
}

/// Numbers of the rows with a fault.
pub fn numbers_with_fault(
    connection: &ReadTx<'_>,
    fault: &FieldError,
) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT DISTINCT number FROM staged_fault WHERE column_name = ?1 AND reason = ?2 \
               ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let numbers = statement.query_map([&fault.field, &fault.error], |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// Removes all faults of a row.
pub fn delete_faults(connection: &StagingTx<'_>, number: u32) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM staged_fault WHERE number = ?1")?.execute([number])?;
    Ok(())
}

/// Removes a row.
pub fn remove(connection: &StagingTx<'_>, number: u32) -> Result<(), StoreError> {
    delete_faults(connection, number)?;
    connection.prepare_cached("DELETE FROM staged_row WHERE number = ?1")?.execute([number])?;
    Ok(())
}

/// Folded code of a row: the key of the rows to check again after a change.
pub fn folded(connection: &ReadTx<'_>, number: u32) -> Result<Option<String>, StoreError> {
    let sql = "SELECT folded FROM staged_row WHERE number = ?1";
    let found = connection.prepare_cached(sql)?.query_row([number], |row| row.get(0)).optional()?;
    Ok(found.flatten())
}

/// Numbers of rows.
pub fn counts(connection: &ReadTx<'_>) -> Result<Counts, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM staged_row), (SELECT count(DISTINCT number) FROM staged_fault)";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| {
        let (rows, invalid): (u64, u64) = (row.get(0)?, row.get(1)?);
        Ok(Counts { rows, valid: rows.saturating_sub(invalid), invalid })
    })?)
}

/// Bytes of the staged file.
pub fn staged_bytes(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let read = |sql| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    let pages = read("PRAGMA staging.page_count")?;
    Ok(pages.saturating_mul(read("PRAGMA staging.page_size")?))
}

/// Finds one row.
pub fn find(connection: &ReadTx<'_>, number: u32) -> Result<Option<ShownRow>, StoreError> {
    let mode = intent(connection)?.mode;
    let sql = format!("SELECT number, line, sound, {CELLS} FROM staged_row WHERE number = ?1");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([number], |row| read_shown_row(row, mode))
        .optional()?;
    found.map(|row| with_faults(connection, row)).transpose()
}

/// Number of the chosen rows.
pub fn count(connection: &ReadTx<'_>, choice: &RowChoice) -> Result<u64, StoreError> {
    let (condition, values) = choice.condition();
    let sql = format!("SELECT count(*) FROM staged_row WHERE {condition}");
    let values = params_from_iter(values);
    Ok(connection.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?)
}

/// One page of the chosen rows.
pub fn page(
    connection: &ReadTx<'_>,
    choice: &RowChoice,
    page: Page,
) -> Result<Vec<ShownRow>, StoreError> {
    let mode = intent(connection)?.mode;
    let (condition, values) = choice.condition();
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    let sql = format!(
        "SELECT number, line, sound, {CELLS} FROM staged_row WHERE {condition} \
         ORDER BY number LIMIT {} OFFSET {offset}",
        page.size
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| read_shown_row(row, mode))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    rows.into_iter().map(|row| with_faults(connection, row)).collect()
}

/// Visits all rows with faults.
///
/// # Errors
/// When SQLite fails, or the error of `each`.
pub fn each_wrong_row<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    mut each: impl FnMut(&ShownRow) -> Result<(), E>,
) -> Result<(), E> {
    let sql = "SELECT DISTINCT number FROM staged_fault ORDER BY number";
    let mut statement = connection.prepare_cached(sql).map_err(StoreError::from)?;
    let mut numbers = statement.query([]).map_err(StoreError::from)?;
    while let Some(row) = numbers.next().map_err(StoreError::from)? {
        let number = row.get(0).map_err(StoreError::from)?;
        if let Some(row) = find(connection, number)? {
            each(&row)?;
        }
    }
    Ok(())
}

/// Numbers of all rows.
pub fn numbers(connection: &ReadTx<'_>) -> Result<Vec<u32>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT number FROM staged_row ORDER BY number")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Visits all faults by row: number, line, column and message.
///
/// # Errors
/// When SQLite fails, or what `each` answers.
pub fn each_fault<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    most: u64,
    mut each: impl FnMut(u32, Option<u64>, FieldError) -> Result<(), E>,
) -> Result<(), E> {
    let sql = "SELECT f.number, r.line, f.column_name, f.reason FROM staged_fault f \
               JOIN staged_row r ON r.number = f.number ORDER BY f.number, f.rowid LIMIT ?1";
    let mut statement = connection.prepare_cached(sql).map_err(StoreError::from)?;
    let mut rows = statement.query([most]).map_err(StoreError::from)?;
    while let Some(row) = rows.next().map_err(StoreError::from)? {
        let read = || Ok((row.get(0)?, row.get(1)?, fault(row, 2)?));
        let (number, line, fault) =
            read().map_err(|error: rusqlite::Error| StoreError::from(error))?;
        each(number, line, fault)?;
    }
    Ok(())
}

fn with_faults(connection: &ReadTx<'_>, mut row: ShownRow) -> Result<ShownRow, StoreError> {
    row.faults = faults_where(connection, "number = ?1", row.number)?;
    Ok(row)
}

fn faults_where(
    connection: &ReadTx<'_>,
    condition: &str,
    number: u32,
) -> Result<Vec<FieldError>, StoreError> {
    let sql =
        format!("SELECT column_name, reason FROM staged_fault WHERE {condition} ORDER BY rowid");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([number], |row| fault(row, 0))?.collect::<Result<_, _>>()?)
}

fn fault(row: &Row<'_>, at: usize) -> rusqlite::Result<FieldError> {
    Ok(FieldError { field: row.get(at)?, error: row.get(at + 1)? })
}

fn read_shown_row(row: &Row<'_>, mode: BulkMode) -> rusqlite::Result<ShownRow> {
    let sound: bool = row.get(2)?;
    let mut cells = Cells::<String>::default();
    for (at, cell) in cells.0.iter_mut().enumerate() {
        let value = row.get_ref(at + 3)?;
        *cell = if sound {
            as_cell(value, at, mode)?
        } else {
            value.as_str_or_null()?.unwrap_or_default().into()
        };
    }
    Ok(ShownRow { number: row.get(0)?, line: row.get(1)?, cells, faults: Vec::new() })
}

/// A valid cell as in a file.
fn as_cell(value: ValueRef<'_>, at: usize, mode: BulkMode) -> rusqlite::Result<String> {
    let is_truth = matches!(COLUMNS[at], "is_description_plain_text" | "conversion_only");
    Ok(match value {
        ValueRef::Integer(truth) if is_truth => (truth != 0).to_string(),
        ValueRef::Integer(0) if mode == BulkMode::Update => "-".into(),
        ValueRef::Integer(0) => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        other => escape_formula(other.as_str_or_null()?.unwrap_or_default()).into_owned(),
    })
}
