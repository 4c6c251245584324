//! Changes of the rows of an upload: of one row, or of one column in all rows with an error.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{API, page_of};
use crate::catalog::COLUMNS;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest};
use crate::console::form::Submitted;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{PageResult, saved};
use crate::console::viewer::Viewer;

pub(super) async fn add(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/rows"), cells(&submitted));
    let answer = state.api.send(&viewer, request).await?;
    Ok(back(id, &submitted, verdict(&answer)))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, row)): Path<(u32, u32)>,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::patch(format!("{API}/{id}/rows/{row}"), cells(&submitted));
    let answer = state.api.send(&viewer, request).await?;
    Ok(back(id, &submitted, verdict(&answer)))
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, row)): Path<(u32, u32)>,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::delete(format!("{API}/{id}/rows/{row}"));
    state.api.send(&viewer, request).await?;
    Ok(back(id, &submitted, "row-deleted"))
}

/// Changes the cells of one column, in all rows or in those with the same error.
pub(super) async fn change_column(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let column = match submitted.value("target") {
        "" => submitted.value("column"),
        target => target,
    };
    let (value, by) = (submitted.value("value"), submitted.value("by"));
    let edit = match submitted.value("edit") {
        "replace" if value.is_empty() => return Ok(back(id, &submitted, "nothing-to-replace")),
        "replace" => json!({"replace": value, "by": by}),
        "trim" => json!({"trim": true}),
        "blank" => json!(""),
        _ => json!(value),
    };
    let path = format!("{API}/{id}/rows{}", group(&submitted));
    let request = ApiRequest::patch(path, json!({column: edit}));
    let answer = state.api.send(&viewer, request).await?;
    Ok(back_counted(id, &submitted, "rows-set", answer.number("changed_rows")))
}

/// Deletes all rows with the same error.
pub(super) async fn delete_group(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{API}/{id}/rows{}", group(&submitted));
    let answer = state.api.send(&viewer, ApiRequest::delete(path)).await?;
    Ok(back_counted(id, &submitted, "rows-deleted", answer.number("changed_rows")))
}

/// The query that names the error of the rows; empty for the form that means all rows.
fn group(submitted: &Submitted) -> String {
    if submitted.has("target") {
        return String::new();
    }
    // A form without an error is refused by the API, so it cannot change all rows by mistake.
    let (column, error) = (submitted.value("column"), submitted.value("error"));
    format!("?column={}&error={}", encode(column), encode(error))
}

/// The cells of a form; columns that the form does not have keep their cells.
fn cells(submitted: &Submitted) -> Value {
    let sent = COLUMNS.iter().filter(|column| submitted.has(column));
    let cells = sent.map(|column| ((*column).to_owned(), submitted.value(column).into()));
    Value::Object(Map::from_iter(cells))
}

/// The notice about a changed row.
fn verdict(answer: &ApiAnswer) -> &'static str {
    if answer.body["verdict"] == "valid" { "row-right" } else { "row-wrong" }
}

/// Leads back to the part of the list from where the form came.
fn back(id: u32, submitted: &Submitted, notice: &str) -> Response {
    saved(&list_of(id, submitted.value("back")), notice, None)
}

/// Leads back with the number of changed rows. The group of an error that is mended is left.
fn back_counted(id: u32, submitted: &Submitted, notice: &str, rows: u64) -> Response {
    let query = ListQuery::parse(&page_of(id), submitted.value("back"));
    let is_group = !query.filter("error").is_empty();
    let back = if is_group { "filter=verdict%3Dinvalid" } else { submitted.value("back") };
    let path = list_of(id, back);
    let mark = if path.contains('?') { '&' } else { '?' };
    saved(&format!("{path}{mark}changed={rows}"), notice, None)
}

fn list_of(id: u32, query: &str) -> String {
    let query = ListQuery::parse(&page_of(id), query).own_query();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{mark}{query}", page_of(id))
}
