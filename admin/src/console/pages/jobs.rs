//! Control Center – Jobs: bulk work on coupon codes, its progress, its end and its revert.

mod job;

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

pub(super) use job::{Job, codes};

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of, saved};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/jobs";

/// Pauses between looks for the end of a job: two seconds together. After that its page shows the
/// progress.
const PAUSES_MS: [u64; 7] = [20, 40, 80, 160, 300, 600, 800];

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/jobs", get(show_list))
        .route("/jobs/{id}", get(show))
        .route("/jobs/{id}/stop", post(stop))
        .route("/jobs/{id}/revert", post(revert))
}

/// The address of a job's page.
pub(super) fn page_of(id: u32) -> String {
    format!("/console/jobs/{id}")
}

#[derive(Deserialize)]
struct JobList {
    jobs: Vec<Job>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "jobs/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    jobs: Vec<Job>,
    paging: Paging,
}

async fn show_list(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = format!("{API}{}", query.api_query());
    let JobList { jobs, paging } = state.api.get(&viewer, &path).await?;
    let page = Page::new(&viewer, Menu::Jobs, "Jobs");
    Ok(html(&ListPage { page, query, jobs, paging }))
}

#[derive(Template)]
#[template(path = "jobs/job.html")]
struct JobPage {
    page: Page,
    query: ListQuery,
    job: Job,
    may_edit: bool,
}

impl JobPage {
    fn api_path(&self) -> String {
        format!("{API}/{}", self.job.network_job_id)
    }
}

async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let job = find(&state, &viewer, id).await?;
    let title = format!("Job {id}: {}", job.title());
    let page = Page::new(&viewer, Menu::Jobs, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&JobPage { page, query, job, may_edit }))
}

async fn stop(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    state.api.send(&viewer, ApiRequest::post(format!("{API}/{id}/stop"), json!({}))).await?;
    wait_for_end(&state, &viewer, id).await?;
    Ok(Redirect::to(&page_of(id)).into_response())
}

/// Reverts a job. A query `back` names the list of codes to go back to, as Undo does.
async fn revert(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    state.api.send(&viewer, ApiRequest::post(format!("{API}/{id}/revert"), json!({}))).await?;
    let (job, is_live) = wait_for_end(&state, &viewer, id).await?;
    let has_back = query.pairs().iter().any(|(name, _)| name == "back");
    if has_back && job.is_reverted() && job.left_count == 0 {
        let list = ListQuery::parse("/console/coupon-codes", query.value("back"));
        return Ok(saved(&list.with("job", &id.to_string()), "job", is_live));
    }
    Ok(Redirect::to(&page_of(id)).into_response())
}

pub(super) async fn find(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<Job, Refusal> {
    state.api.get(viewer, &format!("{API}/{id}")).await
}

/// Waits up to two seconds for the end of a job; then also for the daemon, which is to serve the
/// changes.
pub(super) async fn wait_for_end(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<(Job, Option<bool>), Refusal> {
    for pause in PAUSES_MS {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let job = find(state, viewer, id).await?;
        if !job.is_unfinished() {
            let request = ApiRequest::new(axum::http::Method::GET, format!("{API}/{id}?wait=live"));
            let answer = state.api.send(viewer, request).await?;
            return Ok((job, answer.is_live));
        }
    }
    Ok((find(state, viewer, id).await?, None))
}
