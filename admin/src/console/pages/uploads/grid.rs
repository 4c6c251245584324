//! The page of an upload: its rows in a grid, and what becomes of them.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Method, Request};
use axum::response::{IntoResponse as _, Redirect};

use super::upload::{self, ErrorGroup, ErrorGroups, GridRow, Upload, UploadRows};
use super::{API, page_of};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::Submitted;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging, with_style};
use crate::console::page::{Notice, Page, PageResult, html, notice_of, saved};
use crate::console::pages::jobs::{self, Job};
use crate::console::viewer::Viewer;
use crate::console::words;

/// How long an answer waits for a commit. After that the page tells that saving goes on.
const COMMIT_WAIT: Duration = Duration::from_secs(2);

/// Errors on the page; the file of the errors has all.
const MAX_ERRORS: usize = 12;

/// The filter for wrong rows.
const WRONG: &str = "verdict=invalid";

#[derive(Template)]
#[template(path = "uploads/grid.html")]
struct GridPage {
    page: Page,
    query: ListQuery,
    upload: Upload,
    rows: Vec<GridRow>,
    paging: Paging,
    /// The most frequent errors of the rows.
    errors: Vec<ErrorGroup>,
    /// The job of a saved upload, as long as it is kept.
    job: Option<Job>,
    may_edit: bool,
    /// Whether the viewer may change the rows now.
    is_editable: bool,
}

/// A choice of the rows to show.
struct RowView {
    word: &'static str,
    rows: u64,
    path: String,
    is_shown: bool,
}

impl GridPage {
    fn views(&self) -> Vec<RowView> {
        let Upload { rows, valid, invalid, .. } = self.upload;
        let view = |(word, rows, filter): (&'static str, u64, &str)| RowView {
            word,
            rows,
            path: self.query.with("filter", filter),
            is_shown: self.query.value("filter") == filter,
        };
        [("All", rows, ""), ("Wrong", invalid, WRONG), ("Right", valid, "verdict=valid")]
            .map(view)
            .into()
    }

    /// The error whose rows the page shows.
    fn group(&self) -> Option<String> {
        let (column, error) = (self.query.filter("column"), self.query.filter("error"));
        let group = ErrorGroup::sentence_of(column, error);
        (!error.is_empty()).then_some(group)
    }

    /// The address of the rows with an error.
    fn group_path(&self, group: &ErrorGroup) -> String {
        let [column, error] = group.filters();
        self.query.with_all(&[("filter", &column), ("filter", &error)])
    }

    /// The address of the wrong rows, one on each page.
    fn one_by_one(&self) -> String {
        self.query.with_all(&[("filter", WRONG), ("page_size", "1")])
    }

    fn is_one_by_one(&self) -> bool {
        self.query.value("page_size") == "1"
    }

    /// The columns of the grid with their labels.
    fn labelled_columns(&self) -> Vec<(&'static str, String)> {
        let columns = self.upload.columns().into_iter();
        columns.map(|column| (column, words::label(column))).collect()
    }

    fn as_curl(&self) -> String {
        self.query.as_curl(&format!("{API}/{}", self.upload.upload_id))
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let path = format!("{API}/{id}{}", query.api_query());
    let answer: UploadRows = state.api.get(&viewer, &path).await?;
    let rows = answer.grid();
    let UploadRows { upload, paging, .. } = answer;
    if upload.is_unread() && viewer.may(Right::EditCatalog) {
        return Ok(Redirect::to(&format!("{}/columns", page_of(id))).into_response());
    }
    if rows.is_empty() && paging.page > 1 {
        // The last row of the last page was mended or deleted.
        return Ok(Redirect::to(&query.at_page(paging.last())).into_response());
    }
    let title = format!("Upload {id} – Coupon Codes");
    let notice = row_notice(&query).or_else(|| notice_of(query.pairs()));
    let page = Page::new(&viewer, Menu::CouponCodes, title).with_notice(notice);
    let job_id = upload.committed.as_ref().map(|outcome| outcome.network_job_id);
    let job = match job_id.filter(|id| *id != 0) {
        Some(id) => Some(jobs::find(&state, &viewer, id).await?),
        None => None,
    };
    let may_edit = viewer.may(Right::EditCatalog);
    let is_editable = upload.is_staged() && may_edit;
    let errors = if upload.is_staged() && upload.invalid > 0 {
        let path = format!("{API}/{id}/errors");
        state.api.get::<ErrorGroups>(&viewer, &path).await?.most_frequent(MAX_ERRORS)
    } else {
        Vec::new()
    };
    Ok(html(&GridPage { page, query, upload, rows, paging, errors, job, may_edit, is_editable }))
}

/// The sentence about the rows that were just changed.
fn row_notice(query: &ListQuery) -> Option<Notice> {
    let (kind, sentence) = match query.value("notice") {
        "rows-set" => {
            return counted(query, "changed, and all rows are checked again");
        }
        "rows-deleted" => return counted(query, "deleted from this upload"),
        "nothing-to-replace" => ("bad", "Nothing was changed. Type the text to replace."),
        "row-right" => ("good", "The row is right now."),
        "row-wrong" => ("bad", "The row is saved here, but still wrong. Its cells say why."),
        "row-deleted" => ("good", "The row is deleted from this upload."),
        "rows-wrong" => (
            "bad",
            "Nothing was saved: codes changed in the meantime, so rows became wrong. They are \
             below.",
        ),
        _ => return None,
    };
    Some(Notice { kind, sentence: sentence.into(), action: None })
}

/// The sentence about several rows that were just changed.
fn counted(query: &ListQuery, what: &str) -> Option<Notice> {
    let rows = query.value("changed").parse::<u64>().unwrap_or_default();
    let sentence = match rows {
        1 => format!("1 row is {what}."),
        rows => format!("{} rows are {what}.", format::count(rows)),
    };
    Some(Notice { kind: "good", sentence, action: None })
}

/// All errors of the rows, as CSV.
pub(super) async fn errors(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    forward_file(&state, &viewer, &format!("{API}/{id}/errors.csv"), &query).await
}

/// The wrong rows with their reasons, as CSV.
pub(super) async fn wrong_rows(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    forward_file(&state, &viewer, &format!("{API}/{id}/invalid_rows.csv"), &query).await
}

async fn forward_file(
    state: &ConsoleState,
    viewer: &Viewer,
    path: &str,
    query: &ListQuery,
) -> PageResult {
    let request = Request::get(with_style(path, query)).body(Body::empty());
    Ok(state.api.forward(viewer, request.map_err(|_| PageError::not_found())?).await)
}

/// Saves the rows: all, or the right ones alone.
pub(super) async fn commit(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let skip = submitted.value("skip_invalid") == "true";
    let path = format!("{API}/{id}/commit?wait=live&skip_invalid={skip}");
    let commit = state.api.send(&viewer, ApiRequest::new(Method::POST, path));
    let answer = match tokio::time::timeout(COMMIT_WAIT, commit).await {
        // The commit goes on without its request.
        Err(_elapsed) => return Ok(Redirect::to(&page_of(id)).into_response()),
        Ok(Err(refusal)) if refusal.code == "upload.invalid_rows" => {
            let path = format!("{}?filter=verdict%3Dinvalid", page_of(id));
            return Ok(saved(&path, "rows-wrong", None));
        }
        Ok(answer) => answer?,
    };
    Ok(saved(&page_of(id), "committed", answer.is_live))
}

pub(super) async fn discard(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    state.api.send(&viewer, ApiRequest::delete(format!("{API}/{id}"))).await?;
    Ok(saved("/console/coupon-codes/uploads", "discarded", None))
}
