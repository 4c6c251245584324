//! Bulk files: all rows of a CSV file become coupon codes, or change some, or nothing happens.
//!
//! The way of a file, the same for an upload and for the command line: [`load`] reads it, checks
//! each row by itself and stages the rows in a database beside the store; [`validate_rows`] says what only
//! all rows and the store together can show; [`commit`] judges again, if the store has changed, and
//! writes, in one transaction under one change sequence. A process killed at any moment leaves
//! everything or nothing.
//!
//! Whom it holds up: reading and judging nobody, because they write beside the store. A commit holds
//! the store's write lock while it writes, some 24 s for a million rows into ten million; edits wait
//! for it as long as `store` says and are then told when to come again. What was judged before the
//! lock was taken is judged again under it as far as the store has changed in between, so two imports
//! at once are judged as if one came after the other.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use serde_json::{Map, Value};

use crate::catalog::{BulkMode, BulkRow, Cells, FieldError};
use crate::disk::{Disk, LowDiskSpace};
use crate::edit::audit;
use crate::store::origin::Origin;
use crate::store::staging::judge::{Scope, Seen};
use crate::store::staging::{self, Counts, FaultKind, Intent, apply};
use crate::store::uploads::Outcome;
use crate::store::{StoreError, WriteTx};

mod header;
mod lines;
mod rows;

pub mod edit;
pub mod errors;
mod validation;

pub use validation::validate_rows;

use rows::Rows;

/// What a saved row takes of the disk: the row and its places in the store's indexes, and the same in
/// the write-ahead log before; 630 bytes were measured. Its texts come on top.
const WRITTEN_PER_ROW: u64 = 700;

/// A row as read.
type Row = Result<BulkRow, Box<WrongRow>>;

/// A row that is wrong by itself, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WrongRow {
    /// Its code, where that can be read.
    folded: Option<String>,
    cells: Cells<String>,
    /// Cells whose bytes are no text.
    unreadable: Vec<FieldError>,
    /// Cells that do not mean anything.
    own: Vec<FieldError>,
}

/// Why a file cannot be read as a table of coupon codes.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not UTF-8.
    #[error("line 1: the file is not UTF-8 text; save it as \"CSV UTF-8\"")]
    NotUtf8,
    /// A workbook of a spreadsheet program, or another archive.
    #[error(
        "line 1: the file is {0}, not text; open it in the program that made it and save it as \"CSV UTF-8\""
    )]
    Workbook(&'static str),
    /// Lines that end as on an old Macintosh.
    #[error(
        "line 1: the lines end with CR alone; save the file with lines that end with LF or CRLF"
    )]
    OnlyCr,
    /// There is no comma in the header, but another separator.
    #[error("line 1: the columns are separated by `{0}`; save the file with commas")]
    Separator(char),
    /// Columns that must be there are not.
    #[error("line 1: there is no column {}; these must be there: {needed}", missing.join(", "))]
    Missing {
        /// Which.
        missing: Vec<&'static str>,
        /// All that must be there.
        needed: String,
    },
    /// An update that sets nothing.
    #[error("line 1: coupon_code only selects; at least one more column must say what to set")]
    NothingToSet,
    /// A column that is not known.
    #[error("line 1: there is no column named `{0}`; known: {known}", known = crate::catalog::COLUMNS.join(", "))]
    Unknown(String),
    /// A column that stands twice.
    #[error("line 1: the column {0} stands there twice")]
    Twice(&'static str),
    /// The file ends within quotes.
    #[error("line {line}: a quote is opened in this row and never closed")]
    OpenQuote {
        /// Where the row begins.
        line: u64,
    },
    /// The rows cannot be told apart any more, or no more bytes came.
    #[error("line {line}: {source}")]
    Broken {
        /// Where the row begins.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
}

/// Why an import did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something is wrong with rows; the staged file says what.
    #[error("{} of {} row(s) are wrong; nothing was saved", .0.invalid, .0.rows)]
    Refused(Counts),
    /// There is nothing to save.
    #[error("there is no row to save")]
    Empty,
    /// The rows would take of the disk's reserve.
    #[error(transparent)]
    LowDiskSpace(#[from] LowDiskSpace),
}

impl From<rusqlite::Error> for ImportError {
    fn from(error: rusqlite::Error) -> ImportError {
        ImportError::Store(error.into())
    }
}

/// Reads a file into new staged tables. Answers how many rows it has.
///
/// # Errors
/// When it cannot be read, or the rows not be staged.
pub fn load(
    connection: &mut Connection,
    file: impl Read,
    intent: Intent,
    progress: &mut dyn FnMut(u64),
) -> Result<u32, ImportError> {
    staging::create(connection, intent)?;
    let mut rows = Rows::open(intent.mode, file)?;
    let tx = connection.transaction()?;
    let mut number = 0;
    while let Some((line, row)) = rows.next_row()? {
        number += 1;
        if number % 4096 == 0 {
            progress(rows.bytes_read());
        }
        put(&tx, number, Some(line), &row)?;
    }
    progress(rows.bytes_read());
    staging::numbers_taken(&tx, number)?;
    tx.commit()?;
    staging::finish(connection)?;
    Ok(number)
}

/// Makes staged tables without rows.
///
/// # Errors
/// When they cannot be made.
pub fn load_nothing(connection: &Connection, intent: Intent) -> Result<(), StoreError> {
    staging::create(connection, intent)?;
    staging::finish(connection)
}

fn put(
    connection: &Connection,
    number: u32,
    line: Option<u64>,
    row: &Row,
) -> Result<(), StoreError> {
    match row {
        Ok(row) => staging::put(connection, number, line, row),
        Err(wrong) => {
            let WrongRow { folded, cells, unreadable, own } = &**wrong;
            staging::put_wrong(connection, number, line, folded.as_deref(), cells)?;
            let kinds = [(FaultKind::Unreadable, unreadable), (FaultKind::Own, own)];
            for (kind, FieldError { field, error }) in
                kinds.into_iter().flat_map(|(kind, faults)| faults.iter().map(move |f| (kind, f)))
            {
                staging::add_fault(connection, number, kind, field, error)?;
            }
            Ok(())
        }
    }
}

/// Where rows come from, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A file of the command line.
    File(String),
    /// An upload.
    Upload(u32),
}

/// How rows are saved.
#[derive(Debug)]
pub struct Commit {
    /// What the file does.
    pub intent: Intent,
    /// Wrong rows are left out instead of standing in the way.
    pub skip_invalid: bool,
    /// On whose behalf.
    pub origin: Arc<Origin>,
    /// Where the rows come from.
    pub source: ImportSource,
    /// Where the store is.
    pub disk: Disk,
    /// What the judgement saw that the rows still bear, if that is known.
    pub validated: Option<Seen>,
}

/// Reads a whole file into a nameless staged one and saves its rows. After a refusal, the staged
/// file of the connection says what is wrong.
///
/// # Errors
/// When it cannot be read, rows are wrong, or the store fails; nothing is saved then.
pub fn import(
    connection: &mut Connection,
    file: impl Read,
    how: Commit,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, ImportError> {
    staging::attach(connection, None)?;
    load(connection, file, how.intent, &mut |bytes| progress(Progress::Read(bytes)))?;
    progress(Progress::Saving);
    commit(connection, how, |_, _| Ok(()))
}

/// How far an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of the file are read.
    Read(u64),
    /// All rows are read; they are judged and written.
    Saving,
}

/// Judges the staged rows, unless they bear the judgement that this store would pass, and saves them:
/// all, or with `skip_invalid` those that are right. `record` adds what belongs into the same
/// transaction.
///
/// # Errors
/// When rows are wrong, none is there, or the store fails; nothing is saved then.
pub fn commit(
    connection: &mut Connection,
    how: Commit,
    record: impl FnOnce(&WriteTx<'_>, &Outcome) -> Result<(), StoreError>,
) -> Result<Outcome, ImportError> {
    let Commit { intent, skip_invalid, origin, source, disk, validated } = how;
    staging::make_room(connection)?;
    // Without the lock first: what is refused need not hold up anybody, and what is still so under
    // the lock need not be found out there.
    let before = connection.transaction()?;
    let seen = staging::judge::seen(&before)?;
    if validated.as_ref() != Some(&seen) {
        validate_rows(&before, intent, Scope::All)?;
    } else if intent.mode == BulkMode::Update {
        // It is saved by what judging works out on its way.
        staging::judge::fill(&before, intent.mode, Scope::All)?;
    }
    before.commit()?;
    admit(connection, skip_invalid)?;
    disk.ensure_free(written(connection)?)?;

    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if revalidate_changed(&tx, intent, &seen)?
        && let Err(refused) = admit(&tx, skip_invalid)
    {
        // The store is as it was; the verdicts stay.
        tx.commit()?;
        return Err(refused);
    }
    let counts = staging::counts(&tx)?;
    let writer = WriteTx::on_behalf_of(&tx, origin);
    let (outcome, ids) = save(&writer, intent.mode, counts)?;
    tell_audit(&writer, intent.mode, ids, &outcome, source)?;
    record(&writer, &outcome)?;
    tx.commit()?;
    Ok(outcome)
}

/// Judges again what may have changed since it was judged; answers whether there is any.
fn revalidate_changed(
    connection: &Connection,
    intent: Intent,
    seen: &Seen,
) -> Result<bool, StoreError> {
    if staging::judge::seen(connection)? == *seen {
        return Ok(false);
    }
    match staging::judge::changed_since(connection, intent.mode, seen)? {
        Some(codes) => validate_rows(connection, intent, Scope::Codes(&codes))?,
        None => validate_rows(connection, intent, Scope::All)?,
    }
    Ok(true)
}

/// How many bytes the staged rows become, about.
fn written(connection: &Connection) -> Result<u64, StoreError> {
    let staged = |pragma| connection.pragma_query_value(Some("staging"), pragma, |row| row.get(0));
    let (pages, page_size): (u64, u64) = (staged("page_count")?, staged("page_size")?);
    let rows = staging::counts(connection)?.rows;
    Ok(rows.saturating_mul(WRITTEN_PER_ROW).saturating_add(pages.saturating_mul(page_size)))
}

/// One entry for all codes of a file.
fn tell_audit(
    tx: &WriteTx<'_>,
    mode: BulkMode,
    ids: Option<(u32, u32)>,
    outcome: &Outcome,
    source: ImportSource,
) -> Result<(), StoreError> {
    let Some(ids) = ids else { return Ok(()) };
    let (action, objects) = match mode {
        BulkMode::Add => ("created", outcome.created),
        BulkMode::Update => ("changed", outcome.updated),
    };
    let (field, value) = match source {
        ImportSource::File(name) => ("file", Value::from(name)),
        ImportSource::Upload(id) => ("upload_id", id.into()),
    };
    let after = Map::from_iter([(field.to_owned(), value)]);
    audit::record_range(tx, "coupon_code", action, objects, ids, &after)
}

/// Whether the rows may be saved as they were judged.
fn admit(connection: &Connection, skip_invalid: bool) -> Result<(), ImportError> {
    let counts = staging::counts(connection)?;
    if counts.invalid > 0 && (!skip_invalid || counts.valid == 0) {
        return Err(ImportError::Refused(counts));
    }
    if counts.valid == 0 { Err(ImportError::Empty) } else { Ok(()) }
}

/// What came of it, and the lowest and highest id that changed.
type Saved = (Outcome, Option<(u32, u32)>);

fn save(tx: &WriteTx<'_>, mode: BulkMode, counts: Counts) -> Result<Saved, StoreError> {
    let is_change = match mode {
        BulkMode::Add => true,
        BulkMode::Update => apply::plan_update(tx)? > 0,
    };
    // A file that asks for what is there already changes nothing, also not for visitors.
    let sequence = if is_change { Some(tx.next_code_sequence()?) } else { None };
    let applied = match (sequence, mode) {
        (Some(sequence), BulkMode::Add) => apply::add(tx, sequence, counts.valid)?,
        (Some(sequence), BulkMode::Update) => apply::update(tx, sequence)?,
        (None, _) => apply::Applied::default(),
    };
    let outcome = Outcome {
        time_committed: tx.now(),
        created: applied.created,
        updated: applied.updated,
        unchanged: counts.valid - applied.created - applied.updated,
        skipped: counts.invalid,
        sequence,
    };
    Ok((outcome, applied.ids))
}

#[cfg(test)]
mod tests;
