//! Bulk files: all rows of a CSV file create or change coupon codes, or none does.
//!
//! Uploads and the command line process a file in the same steps. [`load`] reads the file, checks
//! each row by itself, and stages the rows in a database beside the store. [`validate_rows`] checks
//! the rows against each other and the store. [`commit`] validates again if the store has changed,
//! and writes all rows in one transaction under one change sequence. A process killed at any moment
//! leaves all rows saved or none.
//!
//! Locks: reading and validating block nobody, because they write beside the store. A commit holds
//! the store's write lock while it writes, some 24 s for a million rows into ten million. Edits
//! wait for the lock as long as `store` says, and then fail with a time to retry. Under the lock,
//! rows are validated again as far as the store has changed, so concurrent imports are validated as
//! if run in sequence.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde_json::{Map, Value};

use crate::catalog::words::words;
use crate::catalog::{BulkMode, CodeChange, FieldError};
use crate::disk::{Disk, LowDiskSpace};
use crate::edit::audit;
use crate::store::coupon_codes::slice::Choice;
use crate::store::jobs::{self, Job, JobKind, JobState, NewJob};
use crate::store::meta::Sequence;
use crate::store::origin::Origin;
use crate::store::staging::cross_row_checks::{Scope, Seen};
use crate::store::staging::{self, Counts, FaultKind, Intent, apply};
use crate::store::uploads::Outcome;
use crate::store::{DedicatedConnection, ReadTx, StagingTx, StoreError, WriteTx};

mod encoding;
mod header;
mod layout;
mod lines;
mod preview;
mod read_error;
mod rows;
mod table;
mod workbook;
mod workbook_bounds;
mod wrong_row;

pub mod edit;
pub mod errors;
mod validation;

pub use validation::validate_rows;

pub use header::{FileColumn, needed};
pub use layout::{ColumnChoice, ColumnRef, FieldValue, Layout, Separator, field_place};
pub use preview::{Preview, PreviewRow, doubtful_encoding, preview};
pub use read_error::{HeaderProblem, ReadError};
pub use workbook::WorkbookError;

use rows::{FileRow, Rows};
use wrong_row::{Row, WrongRow};

/// Disk space of a saved row, without its texts: the row, its index entries and the values that it
/// replaces, once in the write-ahead log and once in the database. 710 bytes were measured.
const WRITTEN_PER_ROW: u64 = 800;

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Rows are invalid; the staged file lists the errors.
    #[error("{} of {} row(s) are wrong; nothing was saved", .0.invalid, .0.rows)]
    Refused(Counts),
    /// The file has no rows to save.
    #[error("there is no row to save")]
    Empty,
    /// The rows would not leave the disk's reserve free.
    #[error(transparent)]
    LowDiskSpace(#[from] LowDiskSpace),
}

/// Reads a file into new staged tables; returns the number of rows. `progress` receives the bytes
/// read.
///
/// # Errors
/// When the file cannot be read or the rows cannot be staged.
pub fn load(
    connection: &mut DedicatedConnection,
    file: impl Read,
    intent: Intent,
    layout: &Layout,
    progress: &mut dyn FnMut(u64),
) -> Result<u32, ImportError> {
    staging::create(connection, intent)?;
    let mut rows = Rows::open(intent.mode, layout, file)?;
    let tx = connection.begin_staging()?;
    let mut number = 0;
    while let Some(FileRow { line, row, extra }) = rows.next_row()? {
        number += 1;
        if number % 4096 == 0 {
            progress(rows.bytes_read());
        }
        put(&tx, number, Some(line), &row)?;
        for (position, cell) in &extra {
            staging::put_extra(&tx, number, *position, cell)?;
        }
    }
    progress(rows.bytes_read());
    for (position, name) in rows.extra_columns() {
        staging::put_extra_column(&tx, position, name)?;
    }
    for warning in rows.warnings() {
        staging::add_warning(&tx, warning)?;
    }
    staging::numbers_taken(&tx, number)?;
    tx.commit()?;
    staging::finish(connection)?;
    Ok(number)
}

/// Creates staged tables without rows.
pub fn load_nothing(connection: &DedicatedConnection, intent: Intent) -> Result<(), StoreError> {
    staging::create(connection, intent)?;
    staging::finish(connection)
}

fn put(
    connection: &StagingTx<'_>,
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

/// The origin of the rows, for the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A file of the command line.
    File(String),
    /// An upload.
    Upload(u32),
}

/// Options of a commit.
#[derive(Debug)]
pub struct Commit {
    /// Mode and options of the file.
    pub intent: Intent,
    /// Skip invalid rows instead of refusing the file.
    pub skip_invalid: bool,
    /// Actor and origin for the audit.
    pub origin: Arc<Origin>,
    /// The origin of the rows.
    pub source: ImportSource,
    /// The store's disk.
    pub disk: Disk,
    /// The store's state at the last validation, if the rows did not change since.
    pub validated: Option<Seen>,
    /// Shows the phase and the written rows while the commit runs.
    pub progress: Arc<CommitProgress>,
}

/// Reads a file into a temporary staged database and saves the rows. After a refusal, the
/// connection's staged tables hold the errors.
///
/// # Errors
/// When the file cannot be read, rows are invalid, or the store fails. Nothing is saved then.
pub fn import(
    connection: &mut DedicatedConnection,
    file: impl Read,
    layout: &Layout,
    how: Commit,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, ImportError> {
    staging::attach(connection, None)?;
    load(connection, file, how.intent, layout, &mut |bytes| progress(Progress::Read(bytes)))?;
    progress(Progress::Saving);
    commit(connection, how, |_, _| Ok(()))
}

words! {
    /// Phases of a commit.
    CommitPhase {
        /// Waits for another commit.
        Waiting = "waiting",
        /// Checks the rows against the store.
        Checking = "checking",
        /// Writes the rows, under the store's write lock.
        Writing = "writing",
        /// Prepares the published index, and makes the rows durable.
        Publishing = "publishing",
    }
}

/// The phase of a running commit, and the rows that it has written.
#[derive(Debug, Default)]
pub struct CommitProgress {
    phase: AtomicUsize,
    rows: AtomicU64,
}

impl CommitProgress {
    const PHASES: [CommitPhase; 4] = [
        CommitPhase::Waiting,
        CommitPhase::Checking,
        CommitPhase::Writing,
        CommitPhase::Publishing,
    ];

    fn enter(&self, phase: CommitPhase) {
        let number = Self::PHASES.iter().position(|known| *known == phase).unwrap_or(0);
        self.phase.store(number, Ordering::Relaxed);
    }

    fn add_row(&self) {
        self.rows.fetch_add(1, Ordering::Relaxed);
    }

    /// The phase.
    #[must_use]
    pub fn phase(&self) -> CommitPhase {
        let number = self.phase.load(Ordering::Relaxed);
        Self::PHASES.get(number).copied().unwrap_or(CommitPhase::Waiting)
    }

    /// Number of written rows; a row that moves to another offer is written twice.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

/// Progress of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the file read so far.
    Read(u64),
    /// All rows are read; validation and writing follow.
    Saving,
}

/// Validates the staged rows, unless the last validation still holds, and saves all of them, or
/// with `skip_invalid` the valid ones. `record` adds further writes to the same transaction.
///
/// # Errors
/// When rows are invalid or missing, or the store fails. Nothing is saved then.
pub fn commit(
    connection: &mut DedicatedConnection,
    how: Commit,
    record: impl FnOnce(&WriteTx<'_>, &Outcome) -> Result<(), StoreError>,
) -> Result<Outcome, ImportError> {
    let Commit { intent, skip_invalid, origin, source, disk, validated, progress } = how;
    progress.enter(CommitPhase::Checking);
    staging::make_room(connection)?;
    // First without the write lock: a refused file then blocks nobody, and validation under the
    // lock is limited to later changes.
    let before = connection.begin_staging()?;
    let seen = staging::cross_row_checks::seen(&before)?;
    if validated.as_ref() != Some(&seen) {
        validate_rows(&before, intent, Scope::All)?;
    } else if intent.mode == BulkMode::Update {
        // Saving an update uses the tables that validation fills.
        staging::cross_row_checks::fill(&before, intent.mode, Scope::All)?;
    }
    let admitted = admit(&before, skip_invalid);
    let bytes = estimated_bytes(&before)?;
    // Also if rows are invalid: the report of the errors is read from the staged file.
    before.commit()?;
    admitted?;
    disk.ensure_free(bytes)?;

    let counter = Arc::clone(&progress);
    connection.count_code_writes(move || counter.add_row())?;
    let tx = connection.begin_write_as(origin)?;
    if revalidate_changed(&tx.staging(), intent, &seen)?
        && let Err(refused) = admit(&tx, skip_invalid)
    {
        // The store is unchanged; the transaction keeps the errors of the staged rows.
        tx.commit()?;
        return Err(refused);
    }
    let counts = staging::counts(&tx)?;
    progress.enter(CommitPhase::Writing);
    let (outcome, ids) = save(&tx, intent.mode, counts, &source)?;
    progress.enter(CommitPhase::Publishing);
    record_audit(&tx, intent.mode, ids, &outcome, source)?;
    record(&tx, &outcome)?;
    tx.commit()?;
    Ok(outcome)
}

/// Validates again the rows that changes of the store may concern; returns whether there are any.
fn revalidate_changed(
    connection: &StagingTx<'_>,
    intent: Intent,
    seen: &Seen,
) -> Result<bool, StoreError> {
    if staging::cross_row_checks::seen(connection)? == *seen {
        return Ok(false);
    }
    match staging::cross_row_checks::changed_since(connection, intent.mode, seen)? {
        Some(codes) => validate_rows(connection, intent, Scope::Codes(&codes))?,
        None => validate_rows(connection, intent, Scope::All)?,
    }
    Ok(true)
}

/// Estimates the disk space of the saved rows, in bytes.
fn estimated_bytes(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let rows = staging::counts(connection)?.rows;
    Ok(rows.saturating_mul(WRITTEN_PER_ROW).saturating_add(staging::staged_bytes(connection)?))
}

/// Writes one audit entry for all codes of a file.
fn record_audit(
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

/// Checks whether the validated rows may be saved.
fn admit(connection: &ReadTx<'_>, skip_invalid: bool) -> Result<(), ImportError> {
    let counts = staging::counts(connection)?;
    if counts.invalid > 0 && (!skip_invalid || counts.valid == 0) {
        return Err(ImportError::Refused(counts));
    }
    if counts.valid == 0 { Err(ImportError::Empty) } else { Ok(()) }
}

/// The outcome, and the lowest and highest changed id.
type Saved = (Outcome, Option<(u32, u32)>);

fn save(
    tx: &WriteTx<'_>,
    mode: BulkMode,
    counts: Counts,
    source: &ImportSource,
) -> Result<Saved, StoreError> {
    let is_change = match mode {
        BulkMode::Add => true,
        BulkMode::Update => apply::plan_update(tx)? > 0,
    };
    // An update that changes nothing takes no change sequence, so nothing is published.
    let sequence = if is_change { Some(tx.next_code_sequence()?) } else { None };
    // Before the rows, because the job keeps the values that they replace.
    let job = match (source, sequence) {
        (ImportSource::Upload(id), Some(sequence)) => {
            Some(begin_job(tx, *id, mode, counts, sequence)?)
        }
        _ => None,
    };
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
        job_id: job.as_ref().map(|job| job.id),
    };
    if let Some(job) = job {
        end_job(tx, job, &outcome, applied.ids)?;
    }
    Ok((outcome, applied.ids))
}

/// Records the upload as a job, so that it can be reverted. New codes need no kept rows: they alone
/// have the change sequence of the upload.
fn begin_job(
    tx: &WriteTx<'_>,
    upload_id: u32,
    mode: BulkMode,
    counts: Counts,
    sequence: Sequence,
) -> Result<Job, StoreError> {
    let columns = match mode {
        BulkMode::Add => Vec::new(),
        BulkMode::Update => apply::set_columns(tx)?,
    };
    let mut job = jobs::insert(
        tx,
        &NewJob {
            kind: JobKind::Upload,
            choice: Choice::Ids(Vec::new()),
            change: CodeChange::default(),
            columns,
            upload_id: Some(upload_id),
            last_id: 0,
            matched: counts.rows,
        },
    )?;
    match mode {
        BulkMode::Add => job.created_sequence = Some(sequence),
        BulkMode::Update => {
            job.kept_rows = jobs::keep_staged_changes(tx, job.id, &job.columns, sequence)?;
        }
    }
    job.sequence = Some(sequence);
    Ok(job)
}

fn end_job(
    tx: &WriteTx<'_>,
    mut job: Job,
    outcome: &Outcome,
    ids: Option<(u32, u32)>,
) -> Result<(), StoreError> {
    job.state = JobState::Done;
    job.changed = outcome.created + outcome.updated;
    job.unchanged = outcome.unchanged;
    job.skipped.count = outcome.skipped;
    job.ids = ids;
    (job.time_started, job.time_finished) = (tx.now(), tx.now());
    jobs::save(tx, &job)
}

#[cfg(test)]
mod tests;
