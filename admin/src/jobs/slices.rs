//! One slice of a job in its transaction: rows, replaced values, progress and the end of the job.

use serde_json::{Map, Value};

use crate::edit::audit;
use crate::edit::coupon_codes::{EditedSlice, RowEdit, edit_slice};
use crate::store::coupon_codes::Chosen;
use crate::store::coupon_codes::slice::{
    ChosenSlice, row_to_edit, rows_chosen, rows_last_changed_by,
};
use crate::store::jobs::{
    self, Job, JobKind, JobState, KeptRow, RowReason, keep_row, kept_rows, remove_kept_rows,
};
use crate::store::{StoreError, WriteTx};

/// The result of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SliceDone {
    /// Rows looked at.
    pub(super) rows: usize,
    /// The state of a job that has ended.
    pub(super) ended: Option<JobState>,
}

/// The conditions of a job. They were checked when the job was requested; another program's reading
/// of them ends the job as failed.
pub(super) fn chosen(job: &Job) -> Result<Chosen, StoreError> {
    job.choice.chosen().map_err(|error| {
        tracing::error!(job = job.id, %error, "the choice of a job cannot be read");
        StoreError::Aborted
    })
}

/// Does the planned slice of a job, or the next slice of its revert, or ends the job. The state is
/// read here, so a stop that came after the plan holds.
pub(super) fn advance(
    tx: &WriteTx<'_>,
    id: u32,
    planned: Option<ChosenSlice>,
    most: usize,
) -> Result<SliceDone, StoreError> {
    let Some(mut job) = jobs::find(tx, id)? else { return Ok(SliceDone { rows: 0, ended: None }) };
    let rows = match (job.state, planned) {
        (JobState::Queued | JobState::Running, Some(planned)) => run(tx, &mut job, planned)?,
        (JobState::Stopping, _) => {
            end(tx, &mut job, JobState::Stopped)?;
            0
        }
        (JobState::Reverting, _) => revert(tx, &mut job, most)?,
        _ => 0,
    };
    jobs::save(tx, &job)?;
    let ended = Some(job.state).filter(|state| !state.is_unfinished());
    Ok(SliceDone { rows, ended })
}

/// Ends a job whose slice fails again and again.
pub(super) fn fail(tx: &WriteTx<'_>, id: u32, problem: &str) -> Result<(), StoreError> {
    let Some(mut job) = jobs::find(tx, id)? else { return Ok(()) };
    problem.clone_into(&mut job.problem);
    end(tx, &mut job, JobState::Failed)?;
    jobs::save(tx, &job)
}

fn run(tx: &WriteTx<'_>, job: &mut Job, planned: ChosenSlice) -> Result<usize, StoreError> {
    if job.state == JobState::Queued {
        job.state = JobState::Running;
        job.time_started = tx.now();
    }
    let Some(through) = planned.through else {
        end(tx, job, JobState::Done)?;
        return Ok(0);
    };
    // Edits since the plan may have taken rows out of the choice.
    let rows = rows_chosen(tx, &chosen(job)?, &planned.ids)?;
    let looked_at = planned.ids.len();
    let edits = rows.into_iter().map(|row| {
        let edit = match job.kind {
            JobKind::Delete => RowEdit::Delete,
            JobKind::Change | JobKind::Upload => {
                RowEdit::Change(job.change.applied(row.edit.clone()))
            }
        };
        (row, edit)
    });
    let edited = edit_slice(tx, edits, &job.columns)?;
    keep(tx, job, &edited)?;
    job.unchanged += edited.unchanged;
    job.skipped.add(edited.refused);
    job.cursor = through;
    Ok(looked_at)
}

/// Keeps the replaced values, and counts the rows.
fn keep(tx: &WriteTx<'_>, job: &mut Job, edited: &EditedSlice) -> Result<(), StoreError> {
    let Some(sequence) = edited.sequence else { return Ok(()) };
    for (id, before) in &edited.edited {
        keep_row(tx, job.id, *id, before, &job.columns, sequence)?;
        job.include_id(*id);
    }
    let rows = edited.edited.len() as u64;
    job.changed += rows;
    job.kept_rows += rows;
    job.sequence = Some(sequence);
    Ok(())
}

fn revert(tx: &WriteTx<'_>, job: &mut Job, most: usize) -> Result<usize, StoreError> {
    let rows = match job.created_sequence {
        Some(sequence) => delete_created(tx, job, sequence, most)?,
        None => give_back(tx, job, most)?,
    };
    if rows == 0 {
        end(tx, job, JobState::Reverted)?;
    }
    Ok(rows)
}

/// Deletes codes that the job created and that have not changed since.
fn delete_created(
    tx: &WriteTx<'_>,
    job: &mut Job,
    created: u64,
    most: usize,
) -> Result<usize, StoreError> {
    let rows = rows_last_changed_by(tx, created, most)?;
    let looked_at = rows.len();
    let edited = edit_slice(tx, rows.into_iter().map(|row| (row, RowEdit::Delete)), &[])?;
    count_reverted(job, &edited);
    if looked_at == 0 {
        // Another change has given these rows another sequence.
        job.left.count = job.changed - job.reverted;
    }
    Ok(looked_at)
}

/// Gives rows their values back, unless they have changed since.
fn give_back(tx: &WriteTx<'_>, job: &mut Job, most: usize) -> Result<usize, StoreError> {
    let kept = kept_rows(tx, job.id, most)?;
    let looked_at = kept.len();
    let mut edits = Vec::with_capacity(looked_at);
    for KeptRow { code_id, sequence, before, .. } in kept {
        let Some(row) = row_to_edit(tx, code_id)? else { return Err(StoreError::Aborted) };
        if row.change_seq != sequence {
            job.left.add(vec![RowReason {
                network_coupon_code_id: code_id,
                coupon_code: row.edit.coupon_code,
                error: "was changed after the job".into(),
            }]);
            continue;
        }
        let edit = if job.kind == JobKind::Delete {
            RowEdit::Restore
        } else {
            let mut edit = row.edit.clone();
            before.restore(&job.columns, &mut edit);
            RowEdit::Change(edit)
        };
        edits.push((row, edit));
    }
    let edited = edit_slice(tx, edits, &job.columns)?;
    count_reverted(job, &edited);
    job.left.add(edited.refused);
    job.kept_rows -= remove_kept_rows(tx, job.id, looked_at as u64)?;
    Ok(looked_at)
}

fn count_reverted(job: &mut Job, edited: &EditedSlice) {
    job.reverted += edited.edited.len() as u64;
    job.sequence = edited.sequence.or(job.sequence);
}

/// Ends the work or the revert, with one entry in the audit for all codes.
fn end(tx: &WriteTx<'_>, job: &mut Job, state: JobState) -> Result<(), StoreError> {
    job.state = state;
    job.time_finished = tx.now();
    let (action, codes) = match (state, job.kind) {
        (JobState::Reverted, JobKind::Delete) => ("restored", job.reverted),
        (JobState::Reverted, JobKind::Upload) if job.created_sequence.is_some() => {
            ("deleted", job.reverted)
        }
        (JobState::Reverted, _) => ("changed", job.reverted),
        (_, JobKind::Delete) => ("deleted", job.changed),
        (_, _) => ("changed", job.changed),
    };
    let Some(ids) = job.ids.filter(|_| codes > 0) else { return Ok(()) };
    let mut after = Map::from_iter([("network_job_id".to_owned(), Value::from(job.id))]);
    if state != JobState::Reverted
        && let Ok(Value::Object(fields)) = serde_json::to_value(&job.change)
    {
        after.extend(fields);
    }
    audit::record_range(tx, "coupon_code", action, codes, ids, &after)
}
