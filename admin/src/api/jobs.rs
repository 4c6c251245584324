//! `/v1/networks/couponcodes/jobs` and `/v1/networks/jobs`: bulk work on coupon codes.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, List, ListOf};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, Json, ListParameters, ListSpec, MAX_FILTERS, Wait, too_many_filters};
use super::schema::{Row, listing};
use super::state::AppState;
use crate::catalog::{CodeChange, CouponStatus, OptionalDay};
use crate::disk::Disk;
use crate::edit::jobs as edit;
use crate::edit::jobs::{JobRequest, JobWork};
use crate::edit::{EditError, Saved};
use crate::jobs::JobsHandle;
use crate::store::coupon_codes::slice::Choice;
use crate::store::coupon_codes::{self, Chosen};
use crate::store::jobs::{self, Job, JobKind, JobState, RowReason};
use crate::store::rows::{Page, Query};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

/// Disk space for a changed code: its replaced values, and pages in the write-ahead log.
const BYTES_PER_CODE: u64 = 100;

/// The list of jobs.
const LIST: ListSpec = ListSpec {
    filters: &[],
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};
const FIRST_PAGE: Page = Page { number: 1, size: 50 };

listing!(Listing, LIST);

type Listed = ListOf<JobAnswer>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(stop))
        .routes(routes!(revert))
}

/// The chosen codes, by ids or by the list's filters, and their new values or their deletion.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct JobBody {
    /// These codes; all must exist.
    network_coupon_code_ids: Option<Vec<u32>>,
    /// As in the list, such as `network_offer_id=3`; all filters must match.
    #[serde(default)]
    filter: Vec<String>,
    /// As in the list: a part of the code.
    #[serde(default)]
    search: String,
    /// As in the list: the beginning of the code.
    #[serde(default)]
    prefix: String,
    /// The new status.
    coupon_status: Option<CouponStatus>,
    /// The new offer.
    network_offer_id: Option<u32>,
    /// The new partner; 0 for none.
    network_affiliate_id: Option<u32>,
    /// The new first day; empty for none.
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
    start_date: Option<OptionalDay>,
    /// The new last day; empty for none.
    #[schema(value_type = Option<String>, pattern = "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
    end_date: Option<OptionalDay>,
    /// Deletes the codes, instead of new values.
    #[serde(default)]
    delete: bool,
    /// The number of codes that was confirmed. With another number now, nothing is done.
    expected_count: Option<u64>,
}

impl JobBody {
    fn choice(&self) -> Result<Choice, ApiError> {
        let JobBody { network_coupon_code_ids, filter, search, prefix, .. } = self;
        let has_filters = !(filter.is_empty() && search.is_empty() && prefix.is_empty());
        match (network_coupon_code_ids, has_filters) {
            (Some(ids), false) if !ids.is_empty() => {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                Ok(Choice::Ids(ids))
            }
            (None, true) if filter.len() > MAX_FILTERS => Err(too_many_filters()),
            (None, true) => Ok(Choice::Filtered {
                filter: filter.clone(),
                search: search.clone(),
                prefix: prefix.clone(),
            }),
            _ => Err(ApiError::field(
                "network_coupon_code_ids",
                "send either these, or filter, search and prefix; network_coupon_code_id>0 means all codes",
            )),
        }
    }

    fn work(&self) -> Result<JobWork, ApiError> {
        let change = CodeChange {
            coupon_status: self.coupon_status,
            network_offer_id: self.network_offer_id,
            network_affiliate_id: self.network_affiliate_id,
            start_date: self.start_date,
            end_date: self.end_date,
        };
        match (change.is_empty(), self.delete) {
            (false, false) => Ok(JobWork::Change(change)),
            (true, true) => Ok(JobWork::Delete),
            _ => {
                Err(ApiError::field("delete", "send either delete: true, or new values of fields"))
            }
        }
    }
}

/// A job. It goes on by itself, also after a restart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
struct JobAnswer {
    network_job_id: u32,
    kind: JobKind,
    state: JobState,
    /// Whether the job can be stopped.
    is_stoppable: bool,
    /// Whether the replaced values can be given back.
    is_revertible: bool,
    /// The chosen codes.
    choice: JobChoice,
    /// The new values.
    change: CodeChange,
    /// The upload; 0 for other jobs.
    upload_id: u32,
    /// The number of chosen codes at the request.
    matched_count: u64,
    changed_count: u64,
    /// Codes that were already as wanted.
    unchanged_count: u64,
    /// Codes that the rules refused.
    skipped_count: u64,
    /// Codes that a revert gave their values back.
    reverted_count: u64,
    /// Codes that a revert left as they are.
    left_count: u64,
    /// The first refused codes, at most 20.
    skipped: Vec<RowReason>,
    /// The first codes that a revert left as they are, at most 20.
    left: Vec<RowReason>,
    /// Why the job failed, or waits; empty otherwise.
    problem: String,
    /// The user or API key that requested the job.
    requested_by: String,
    request_id: String,
    time_created: i64,
    /// 0 until the job begins.
    time_started: i64,
    /// 0 until the job ends.
    time_finished: i64,
}

/// A choice of codes. An upload has none.
#[derive(Debug, Default, Serialize, ToSchema)]
struct JobChoice {
    /// The number of ids.
    ids_count: u64,
    filter: Vec<String>,
    search: String,
    prefix: String,
}

impl JobChoice {
    /// All ids of a choice match, so `matched` counts them where the ids themselves are left out.
    fn new(choice: Choice, matched: u64) -> JobChoice {
        match choice {
            Choice::Ids(_) => JobChoice { ids_count: matched, ..JobChoice::default() },
            Choice::Filtered { filter, search, prefix } => {
                JobChoice { ids_count: 0, filter, search, prefix }
            }
        }
    }
}

impl From<Job> for JobAnswer {
    fn from(job: Job) -> JobAnswer {
        JobAnswer {
            network_job_id: job.id,
            kind: job.kind,
            state: job.state,
            is_stoppable: matches!(job.state, JobState::Queued | JobState::Running),
            is_revertible: job.is_revertible(),
            choice: JobChoice::new(job.choice, job.matched),
            change: job.change,
            upload_id: job.upload_id.unwrap_or(0),
            matched_count: job.matched,
            changed_count: job.changed,
            unchanged_count: job.unchanged,
            skipped_count: job.skipped.count,
            reverted_count: job.reverted,
            left_count: job.left.count,
            skipped: job.skipped.first,
            left: job.left.first,
            problem: job.problem,
            requested_by: job.actor_name,
            request_id: job.request_id,
            time_created: job.time_created,
            time_started: job.time_started,
            time_finished: job.time_finished,
        }
    }
}

impl JobAnswer {
    /// Shows why an unfinished job waits.
    fn with_problem(mut self, jobs: &JobsHandle) -> JobAnswer {
        if self.state.is_unfinished() {
            self.problem = jobs.problem().unwrap_or_default();
        }
        self
    }
}

impl Row for JobAnswer {
    const PLURAL: &'static str = "jobs";
}

impl Answer for JobAnswer {}

/// Begins to change or delete the chosen codes, in slices beside other edits. Codes that the rules
/// refuse are left out and counted.
#[utoipa::path(post, path = "/couponcodes/jobs", request_body = JobBody, responses((status = 202, body = JobAnswer)))]
async fn create(
    State(store): State<Store>,
    State(edits): State<Edits>,
    State(disk): State<Disk>,
    State(jobs): State<JobsHandle>,
    Json(body): Json<JobBody>,
) -> Result<Response, ApiError> {
    let (choice, work) = (body.choice()?, body.work()?);
    let chosen = choice.chosen().map_err(|error| ApiError::field("filter", error.to_string()))?;
    // Counted outside of the write transaction, because a rare filter passes many rows.
    let matched = store.read(move |connection| count(connection, chosen)).await?;
    disk.ensure_free(matched.saturating_mul(BYTES_PER_CODE))?;
    let request = JobRequest { choice, work, matched, expected: body.expected_count };
    let create = move |tx: &WriteTx<'_>| edit::create(tx, request);
    let mut response = edits.create(Wait::Saved, create, JobAnswer::from).await?;
    jobs.wake();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

fn count(connection: &ReadTx<'_>, chosen: Chosen) -> Result<u64, StoreError> {
    match chosen {
        Chosen::Ids(ids) => Ok(ids.len() as u64),
        Chosen::Filtered(filters) => {
            let page = Some(Page { number: 1, size: 1 });
            let query = Query { filters, page, ..Query::default() };
            Ok(coupon_codes::list(connection, &query)?.total_count)
        }
    }
}

/// Lists jobs, newest first. They are kept for 30 days.
#[utoipa::path(get, path = "/jobs", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    State(handle): State<JobsHandle>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&LIST)?.query.page.unwrap_or(FIRST_PAGE);
    let listed = store.read(move |connection| jobs::list(connection, page)).await?;
    let rows = listed.rows.into_iter().map(|job| JobAnswer::from(job).with_problem(&handle));
    Ok(List::new("jobs", rows.collect(), Some(page), listed.total_count).into_response())
}

/// A job with its progress; with `wait=live` when the daemon serves its changes up to now.
#[utoipa::path(get, path = "/jobs/{id}", params(Id, Wait), responses((status = 200, body = JobAnswer)))]
async fn read(
    State(store): State<Store>,
    State(edits): State<Edits>,
    State(handle): State<JobsHandle>,
    Id(id): Id,
    wait: Wait,
) -> Result<Response, ApiError> {
    let found = store.read(move |connection| jobs::find(connection, id)).await?;
    let job = found.ok_or(EditError::NotFound { what: "job", id })?;
    let saved = Saved { sequence: job.sequence, now: job };
    Ok(edits.answer(wait, saved, |job| JobAnswer::from(job).with_problem(&handle)).await)
}

/// Stops a job after the slice in work. What is changed stays, and can be reverted.
#[utoipa::path(post, path = "/jobs/{id}/stop", params(Id), responses((status = 202, body = JobAnswer)))]
async fn stop(
    State(edits): State<Edits>,
    State(jobs): State<JobsHandle>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    accept(&edits, &jobs, move |tx| edit::stop(tx, id)).await
}

/// Gives the codes of a job, or of an upload, their earlier values back. Codes that were edited
/// since are left as they are and counted; new codes are deleted.
#[utoipa::path(post, path = "/jobs/{id}/revert", params(Id), responses((status = 202, body = JobAnswer)))]
async fn revert(
    State(edits): State<Edits>,
    State(jobs): State<JobsHandle>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    accept(&edits, &jobs, move |tx| edit::revert(tx, id)).await
}

async fn accept(
    edits: &Edits,
    jobs: &JobsHandle,
    work: impl FnOnce(&WriteTx<'_>) -> Result<Saved<Job>, EditError> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut response = edits.create(Wait::Saved, work, JobAnswer::from).await?;
    jobs.wake();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
