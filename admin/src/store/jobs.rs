//! Jobs: bulk work in slices, its progress, and the values that it replaced.
//!
//! The state of a job only goes along these ways: queued → running → done, stopped or failed; from
//! these three → reverting → reverted. `edit::jobs` and `jobs` decide; this module stores.
//!
//! Finished jobs are kept for [`KEPT_DAYS`], longer while the clock is not trusted. Their number and
//! their kept rows are bounded by [`MAX_JOBS`] and [`MAX_KEPT_ROWS`] whatever the clock says.

use std::str::FromStr;

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::coupon_codes::slice::{Choice, Column, ValuesBefore};
use super::meta::Sequence;
use super::origin::{Actor, Origin};
use super::rows::{Listed, Page, day, word};
use super::{ReadTx, StoreError, WriteTx, removal_clock};
use crate::catalog::CodeChange;
use crate::catalog::words::words;

mod kept_rows;

pub use kept_rows::{KeptRow, keep_row, keep_staged_changes, kept_rows, remove_kept_rows};

/// Least retention of a finished job.
pub const KEPT_DAYS: u32 = 30;
/// Most finished jobs; the oldest go first.
pub const MAX_JOBS: u64 = 1_000;
/// Most kept rows of all jobs; the finished jobs that are oldest lose theirs first.
pub const MAX_KEPT_ROWS: u64 = 20_000_000;
/// Rows of one transaction of the removal.
const REMOVED_AT_ONCE: u64 = 20_000;
/// Rows that are listed with reasons.
const MAX_REASONS: usize = 20;

words! {
    /// Kinds of jobs.
    JobKind {
        /// Changes fields of the chosen codes.
        Change = "change",
        /// Deletes the chosen codes.
        Delete = "delete",
        /// The codes of an upload, saved at once.
        Upload = "upload",
    }
}

words! {
    /// States of a job.
    JobState {
        /// Waits for earlier jobs.
        Queued = "queued",
        /// Changes codes, slice after slice.
        Running = "running",
        /// Stops after the slice in work.
        Stopping = "stopping",
        /// Stopped before its end.
        Stopped = "stopped",
        /// All chosen codes are done.
        Done = "done",
        /// Broken off by an error.
        Failed = "failed",
        /// Gives back what it replaced, slice after slice.
        Reverting = "reverting",
        /// Has given back what it replaced.
        Reverted = "reverted",
    }
}

impl JobState {
    /// Whether work on the job is to come.
    #[must_use]
    pub fn is_unfinished(self) -> bool {
        matches!(
            self,
            JobState::Queued | JobState::Running | JobState::Stopping | JobState::Reverting
        )
    }
}

/// A row that a job did not change or revert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RowReason {
    /// The code's id.
    pub network_coupon_code_id: u32,
    /// The code as typed.
    pub coupon_code: String,
    /// Why.
    pub error: String,
}

/// Rows that were refused: their number, and the first with reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refused {
    /// All of them.
    pub count: u64,
    /// The first.
    pub first: Vec<RowReason>,
}

impl Refused {
    /// Adds rows behind the earlier ones.
    pub fn add(&mut self, rows: Vec<RowReason>) {
        self.count += rows.len() as u64;
        let left = MAX_REASONS.saturating_sub(self.first.len());
        self.first.extend(rows.into_iter().take(left));
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Never reused.
    pub id: u32,
    /// The kind.
    pub kind: JobKind,
    /// The state.
    pub state: JobState,
    /// The chosen codes; for an upload no ids.
    pub choice: Choice,
    /// The new values; nothing for deletions and uploads.
    pub change: CodeChange,
    /// Columns that a revert gives back.
    pub columns: Vec<Column>,
    /// The upload.
    pub upload_id: Option<u32>,
    /// Codes with higher ids are left out.
    pub last_id: u32,
    /// Number of chosen codes at the request.
    pub matched: u64,
    /// Changed codes.
    pub changed: u64,
    /// Codes that were already as wanted.
    pub unchanged: u64,
    /// Codes that the rules refused.
    pub skipped: Refused,
    /// Codes that a revert gave their values back.
    pub reverted: u64,
    /// Codes that a revert left as they are.
    pub left: Refused,
    /// Lowest and highest id of the changed codes.
    pub ids: Option<(u32, u32)>,
    /// Codes up to this one, folded, are done.
    pub cursor: String,
    /// The change sequence of the last slice.
    pub sequence: Option<Sequence>,
    /// The change sequence that created codes.
    pub created_sequence: Option<Sequence>,
    /// Number of kept rows.
    pub kept_rows: u64,
    /// Why the job failed; empty otherwise.
    pub problem: String,
    /// Who requested the job.
    pub actor: Actor,
    /// Name of the user or API key at that time.
    pub actor_name: String,
    /// Id of the request.
    pub request_id: String,
    /// Unix seconds.
    pub time_created: i64,
    /// Unix seconds; 0 before.
    pub time_started: i64,
    /// End of the work or of the revert, in Unix seconds; 0 before.
    pub time_finished: i64,
}

impl Job {
    /// Whether the replaced values can be given back.
    #[must_use]
    pub fn is_revertible(&self) -> bool {
        let is_ended = matches!(self.state, JobState::Done | JobState::Stopped | JobState::Failed);
        // A part of the rows can be gone, because their number is bounded.
        let is_whole = self.kept_rows > 0 && self.kept_rows == self.changed;
        is_ended && (is_whole || self.created_sequence.is_some())
    }

    /// Counts a change of a code in the range of ids.
    pub fn include_id(&mut self, id: u32) {
        let (first, last) = self.ids.unwrap_or((id, id));
        self.ids = Some((first.min(id), last.max(id)));
    }
}

/// A job as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The kind.
    pub kind: JobKind,
    /// The chosen codes.
    pub choice: Choice,
    /// The new values.
    pub change: CodeChange,
    /// Columns that a revert gives back.
    pub columns: Vec<Column>,
    /// The upload.
    pub upload_id: Option<u32>,
    /// Codes with higher ids are left out.
    pub last_id: u32,
    /// Number of chosen codes.
    pub matched: u64,
}

const SELECT: &str = "SELECT id, kind, state, choice, change, columns, upload_id, last_id, matched, changed, \
    unchanged, skipped, first_skipped, reverted, left_alone, first_left, first_id, highest_id, cursor, \
    change_seq, created_seq, kept_rows, problem, actor, actor_id, actor_name, request_id, time_created, \
    time_started, time_finished FROM job";

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let (first, last): (u32, u32) = (row.get(16)?, row.get(17)?);
    Ok(Job {
        id: row.get(0)?,
        kind: word(row, 1)?,
        state: word(row, 2)?,
        choice: json(row, 3)?,
        change: json(row, 4)?,
        columns: columns(row, 5)?,
        upload_id: row.get(6)?,
        last_id: row.get(7)?,
        matched: row.get(8)?,
        changed: row.get(9)?,
        unchanged: row.get(10)?,
        skipped: Refused { count: row.get(11)?, first: json(row, 12)? },
        reverted: row.get(13)?,
        left: Refused { count: row.get(14)?, first: json(row, 15)? },
        ids: Some((first, last)).filter(|_| first > 0),
        cursor: row.get(18)?,
        sequence: row.get(19)?,
        created_sequence: row.get(20)?,
        kept_rows: row.get(21)?,
        problem: row.get(22)?,
        actor: Actor::from_stored(row.get_ref(23)?.as_str()?, row.get(24)?),
        actor_name: row.get(25)?,
        request_id: row.get(26)?,
        time_created: row.get(27)?,
        time_started: row.get(28)?,
        time_finished: row.get(29)?,
    })
}

fn json<T: DeserializeOwned>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(at)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

fn columns(row: &Row<'_>, at: usize) -> rusqlite::Result<Vec<Column>> {
    let names = row.get_ref(at)?.as_str()?.split(',').filter(|name| !name.is_empty());
    names
        .map(|name| {
            Column::from_str(name).map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error))
            })
        })
        .collect()
}

fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)).into())
}

/// Inserts a job at the end of the queue.
pub fn insert(tx: &WriteTx<'_>, job: &NewJob) -> Result<Job, StoreError> {
    let Origin { actor, request_id, .. } = tx.origin();
    let sql = "INSERT INTO job (kind, state, turn, choice, change, columns, upload_id, last_id, matched, actor, \
               actor_id, actor_name, request_id, time_created) \
               VALUES (?1, 'queued', (SELECT ifnull(max(turn), 0) + 1 FROM job), ?2, ?3, ?4, ?5, ?6, ?7, ?8, \
               ifnull(?9, 0), coalesce((SELECT name FROM api_key WHERE id = ?10), \
               (SELECT name FROM user WHERE id = ?11), ''), ?12, ?13) RETURNING id";
    let columns: Vec<&str> = job.columns.iter().map(|column| column.as_str()).collect();
    let id = tx.prepare_cached(sql)?.query_row(
        (
            job.kind.as_str(),
            to_json(&job.choice)?,
            to_json(&job.change)?,
            columns.join(","),
            job.upload_id,
            job.last_id,
            job.matched,
            actor.as_str(),
            actor.api_key_id().or(actor.user_id()),
            actor.api_key_id(),
            actor.user_id(),
            request_id,
            tx.now(),
        ),
        |row| row.get(0),
    )?;
    find(tx, id)?.ok_or(StoreError::Aborted)
}

/// Stores the state and the progress of a job.
pub fn save(tx: &WriteTx<'_>, job: &Job) -> Result<(), StoreError> {
    let sql = "UPDATE job SET state = ?2, changed = ?3, unchanged = ?4, skipped = ?5, first_skipped = ?6, \
               reverted = ?7, left_alone = ?8, first_left = ?9, first_id = ?10, highest_id = ?11, cursor = ?12, \
               change_seq = ?13, created_seq = ?14, kept_rows = ?15, problem = ?16, time_started = ?17, \
               time_finished = ?18 WHERE id = ?1";
    let (first, last) = job.ids.unwrap_or_default();
    let number = |number: u64| Value::Integer(number.cast_signed());
    let values: [Value; 18] = [
        job.id.into(),
        job.state.as_str().to_owned().into(),
        number(job.changed),
        number(job.unchanged),
        number(job.skipped.count),
        to_json(&job.skipped.first)?.into(),
        number(job.reverted),
        number(job.left.count),
        to_json(&job.left.first)?.into(),
        first.into(),
        last.into(),
        job.cursor.clone().into(),
        job.sequence.map(u64::cast_signed).into(),
        job.created_sequence.map(u64::cast_signed).into(),
        number(job.kept_rows),
        job.problem.clone().into(),
        job.time_started.into(),
        job.time_finished.into(),
    ];
    tx.prepare_cached(sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Puts a job at the end of the queue.
pub fn take_new_turn(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = "UPDATE job SET turn = (SELECT max(turn) + 1 FROM job) WHERE id = ?1";
    tx.prepare_cached(sql)?.execute([id])?;
    Ok(())
}

/// Finds a job by id.
pub fn find(connection: &ReadTx<'_>, id: u32) -> Result<Option<Job>, StoreError> {
    let sql = format!("{SELECT} WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read).optional()?)
}

/// One page of the jobs, newest first; without the chosen ids, of which a job can have 100,000.
pub fn list(connection: &ReadTx<'_>, page: Page) -> Result<Listed<Job>, StoreError> {
    let total_count =
        connection.prepare_cached("SELECT count(*) FROM job")?.query_row([], |row| row.get(0))?;
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    let select = SELECT.replacen(
        "choice",
        "iif(json_type(choice, '$.ids') IS NULL, choice, json_set(choice, '$.ids', json('[]')))",
        1,
    );
    let sql = format!("{select} ORDER BY id DESC LIMIT {} OFFSET {offset}", page.size);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, total_count))
}

/// The job whose turn it is.
pub fn next_unfinished(connection: &ReadTx<'_>) -> Result<Option<Job>, StoreError> {
    let sql = format!(
        "{SELECT} WHERE state IN ('queued', 'running', 'stopping', 'reverting') ORDER BY turn LIMIT 1"
    );
    Ok(connection.prepare_cached(&sql)?.query_row([], read).optional()?)
}

/// Number of jobs whose work is to come.
pub fn count_unfinished(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql =
        "SELECT count(*) FROM job WHERE state IN ('queued', 'running', 'stopping', 'reverting')";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Removes a part of an old or surplus job; `false` if nothing is to be removed.
pub fn remove_some(tx: &WriteTx<'_>) -> Result<bool, StoreError> {
    if let Some(id) = due_for_removal(tx)? {
        if remove_kept_rows(tx, id, REMOVED_AT_ONCE)? == 0 {
            tx.prepare_cached("DELETE FROM job WHERE id = ?1")?.execute([id])?;
        }
        return Ok(true);
    }
    let Some(id) = first_with_surplus_rows(tx)? else { return Ok(false) };
    let removed = remove_kept_rows(tx, id, REMOVED_AT_ONCE)?;
    let sql = "UPDATE job SET kept_rows = kept_rows - ?2 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, removed))?;
    Ok(true)
}

const FINISHED: &str = "state NOT IN ('queued', 'running', 'stopping', 'reverting')";

fn due_for_removal(tx: &WriteTx<'_>) -> Result<Option<u32>, StoreError> {
    let surplus =
        format!("SELECT id FROM job WHERE {FINISHED} ORDER BY id DESC LIMIT 1 OFFSET {MAX_JOBS}");
    let surplus = tx.prepare_cached(&surplus)?.query_row([], |row| row.get(0)).optional()?;
    if surplus.is_some() {
        return Ok(surplus);
    }
    let Some(now) = removal_clock::removal_time(tx)? else { return Ok(None) };
    let before = i64::try_from(now.days_before(KEPT_DAYS) / 1000).unwrap_or(0);
    let old =
        format!("SELECT id FROM job WHERE {FINISHED} AND time_finished < ?1 ORDER BY id LIMIT 1");
    Ok(tx.prepare_cached(&old)?.query_row([before], |row| row.get(0)).optional()?)
}

fn first_with_surplus_rows(tx: &WriteTx<'_>) -> Result<Option<u32>, StoreError> {
    let all = tx
        .prepare_cached("SELECT ifnull(sum(kept_rows), 0) FROM job")?
        .query_row([], |row| row.get::<_, u64>(0))?;
    if all <= MAX_KEPT_ROWS {
        return Ok(None);
    }
    let sql = format!("SELECT id FROM job WHERE {FINISHED} AND kept_rows > 0 ORDER BY id LIMIT 1");
    Ok(tx.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()?)
}

fn read_values(row: &Row<'_>, at: usize) -> rusqlite::Result<ValuesBefore> {
    let status: Option<String> = row.get(at + 2)?;
    Ok(ValuesBefore {
        offer_id: row.get(at)?,
        affiliate_id: row.get(at + 1)?,
        status: status.map(|_| word(row, at + 2)).transpose()?,
        start_date: day(row, at + 3)?,
        end_date: day(row, at + 4)?,
        description: row.get(at + 5)?,
        is_description_plain_text: row.get(at + 6)?,
        internal_notes: row.get(at + 7)?,
    })
}
