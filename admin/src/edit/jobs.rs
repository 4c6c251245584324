//! Requests about jobs: creation, stop and revert. The work itself is in `jobs`.

use serde_json::{Map, Value, json};

use super::coupon_codes::check_ids;
use super::{EditError, Saved, audit, check_reference};
use crate::catalog::{Affiliate, CodeChange, Offer};
use crate::store::WriteTx;
use crate::store::coupon_codes::slice::{Choice, Column, highest_id};
use crate::store::jobs::{self, Job, JobKind, JobState, NewJob};

/// The name in error texts and in the audit.
const NAME: &str = "job";

/// Most jobs whose work is to come.
const MAX_UNFINISHED: u64 = 100;

/// The work of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobWork {
    /// New values for fields of the codes.
    Change(CodeChange),
    /// The deletion of the codes.
    Delete,
}

/// A requested job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRequest {
    /// The chosen codes.
    pub choice: Choice,
    /// The work.
    pub work: JobWork,
    /// Number of chosen codes.
    pub matched: u64,
    /// Number of chosen codes that the user confirmed.
    pub expected: Option<u64>,
}

/// Queues a job.
///
/// # Errors
/// When an id, offer or partner does not exist, another number of codes was confirmed, or too many
/// jobs wait.
pub fn create(tx: &WriteTx<'_>, request: JobRequest) -> Result<Saved<Job>, EditError> {
    let JobRequest { choice, work, matched, expected } = request;
    if let Choice::Ids(ids) = &choice {
        check_ids(tx, ids)?;
    }
    if let Some(expected) = expected.filter(|expected| *expected != matched) {
        let message = format!(
            "{matched} codes match now, not {expected}; send expected_count: {matched} to confirm"
        );
        return Err(EditError::conflict("job.count_changed", "expected_count", message));
    }
    let (kind, change) = match work {
        JobWork::Change(change) => (JobKind::Change, change),
        JobWork::Delete => (JobKind::Delete, CodeChange::default()),
    };
    check_change(tx, &change)?;
    if jobs::count_unfinished(tx)? >= MAX_UNFINISHED {
        let message = format!("{MAX_UNFINISHED} jobs wait already; try again when some are done");
        return Err(EditError::Conflict { code: "job.too_many", message, fields: Vec::new() });
    }
    let columns = columns_of(&change);
    let last_id = highest_id(tx)?;
    let new = NewJob { kind, choice, change, columns, upload_id: None, last_id, matched };
    let job = jobs::insert(tx, &new)?;
    let mut after = Map::from_iter([("coupon_codes".to_owned(), Value::from(matched))]);
    after.insert("kind".into(), json!(kind));
    if let Ok(Value::Object(fields)) = serde_json::to_value(&job.change) {
        after.extend(fields);
    }
    audit::record_range(tx, NAME, "requested", 1, (job.id, job.id), &after)?;
    Ok(Saved { now: job, sequence: None })
}

fn check_change(tx: &WriteTx<'_>, change: &CodeChange) -> Result<(), EditError> {
    change.check().map_err(|error| EditError::Invalid(vec![error]))?;
    if let Some(id) = change.network_offer_id {
        check_reference::<Offer>(tx, "network_offer_id", id)?;
    }
    if let Some(id) = change.network_affiliate_id.filter(|id| *id != 0) {
        check_reference::<Affiliate>(tx, "network_affiliate_id", id)?;
    }
    Ok(())
}

fn columns_of(change: &CodeChange) -> Vec<Column> {
    let CodeChange { coupon_status, network_offer_id, network_affiliate_id, start_date, end_date } =
        change;
    [
        (Column::OfferId, network_offer_id.is_some()),
        (Column::AffiliateId, network_affiliate_id.is_some()),
        (Column::Status, coupon_status.is_some()),
        (Column::StartDate, start_date.is_some()),
        (Column::EndDate, end_date.is_some()),
    ]
    .into_iter()
    .filter(|(_, is_changed)| *is_changed)
    .map(|(column, _)| column)
    .collect()
}

/// Stops a job after the slice in work.
///
/// # Errors
/// When the job does not exist, or its work has ended.
pub fn stop(tx: &WriteTx<'_>, id: u32) -> Result<Saved<Job>, EditError> {
    let mut job = existing(tx, id)?;
    match job.state {
        JobState::Queued => {
            job.state = JobState::Stopped;
            job.time_finished = tx.now();
        }
        JobState::Running => job.state = JobState::Stopping,
        JobState::Stopping => return Ok(Saved { now: job, sequence: None }),
        JobState::Reverting => {
            let message = format!("job {id} is being reverted, which cannot be stopped");
            return Err(EditError::conflict("job.not_running", "state", message));
        }
        JobState::Stopped | JobState::Done | JobState::Failed | JobState::Reverted => {
            let message = format!("the work of job {id} has ended, so there is nothing to stop");
            return Err(EditError::conflict("job.not_running", "state", message));
        }
    }
    jobs::save(tx, &job)?;
    audit::record_action(tx, NAME, "stopped", id)?;
    Ok(Saved { now: job, sequence: None })
}

/// Begins to give back what a job replaced.
///
/// # Errors
/// When the job does not exist, has not ended, changed nothing, or was reverted.
pub fn revert(tx: &WriteTx<'_>, id: u32) -> Result<Saved<Job>, EditError> {
    let mut job = existing(tx, id)?;
    if !job.is_revertible() {
        let why = match job.state {
            JobState::Queued | JobState::Running | JobState::Stopping => {
                "has not ended; stop it first"
            }
            JobState::Reverting | JobState::Reverted => "is reverted already",
            _ if job.changed == 0 => "changed no code",
            _ => "is too long ago: its earlier values are removed",
        };
        let message = format!("job {id} {why}");
        return Err(EditError::conflict("job.not_revertible", "state", message));
    }
    job.state = JobState::Reverting;
    jobs::save(tx, &job)?;
    jobs::take_new_turn(tx, id)?;
    audit::record_action(tx, NAME, "reverted", id)?;
    Ok(Saved { now: job, sequence: None })
}

fn existing(tx: &WriteTx<'_>, id: u32) -> Result<Job, EditError> {
    jobs::find(tx, id)?.ok_or(EditError::NotFound { what: NAME, id })
}
