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

/// Sets the cells of one column in all rows with the same error.
pub(super) async fn set_column(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let (column, error) = (submitted.value("column"), submitted.value("error"));
    let path = format!("{API}/{id}/rows?column={}&error={}", encode(column), encode(error));
    let cells = json!({column: submitted.value("value")});
    state.api.send(&viewer, ApiRequest::patch(path, cells)).await?;
    Ok(back(id, &submitted, "rows-set"))
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
    let query = ListQuery::parse(&page_of(id), submitted.value("back")).own_query();
    let mark = if query.is_empty() { "" } else { "?" };
    saved(&format!("{}{mark}{query}", page_of(id)), notice, None)
}
