//! Bulk Add and Bulk Update: the columns of a file, a template, and the upload itself.

use askama::Template;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde_json::json;

use super::{API, columns, rows_page};
use crate::access::Right;
use crate::catalog::BulkMode;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, Submitted};
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, with_style};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A column of a file.
struct Column {
    name: &'static str,
    about: &'static str,
    is_needed: bool,
}

const fn needed(name: &'static str, about: &'static str) -> Column {
    Column { name, about, is_needed: true }
}

const fn free(name: &'static str, about: &'static str) -> Column {
    Column { name, about, is_needed: false }
}

const OF_ADD: &[Column] = &[
    needed("offer_id", "Number of the offer."),
    needed(
        "affiliate_id",
        "Number of the partner. Blank: the code has no partner and no link yet.",
    ),
    needed("coupon_code", "3 to 64 letters and digits. Upper and lower case are the same code."),
    needed("status", "active or paused."),
    free("start_date", "First day, such as 2026-12-31. Blank: at once."),
    free("end_date", "Last day. Blank: without end."),
    free("description", "The partner sees it beside the code."),
    free("is_description_plain_text", "no for a description in HTML, else yes or blank."),
    free("internal_notes", "Notes that the partner never sees. The head may also say notes."),
    free("conversion_only", "yes for a code without a link, which may have other characters."),
];

const OF_UPDATE: &[Column] = &[
    needed("coupon_code", "The code to change."),
    free(
        "coupon_code_id",
        "Number of the code. Needed where several offers have the code: the file of the list has it.",
    ),
    free("offer_id", "Number of the new offer."),
    free("affiliate_id", "Number of the new partner."),
    free("status", "active or paused."),
    free("start_date", "First day, such as 2026-12-31."),
    free("end_date", "Last day."),
    free("description", "The partner sees it beside the code."),
    free("is_description_plain_text", "no for a description in HTML, yes for plain text."),
    free("internal_notes", "Notes that the partner never sees. The head may also say notes."),
];

/// Forms of days, each with the name that a choice shows. The year first is always understood.
pub(super) const DATE_FORMATS: [(&str, &str); 5] = [
    ("", "The year first, 2026-12-31"),
    ("dd/mm/yyyy", "Day first, 31/12/2026"),
    ("mm/dd/yyyy", "Month first, 12/31/2026"),
    ("dd.mm.yyyy", "Day first, 31.12.2026"),
    ("dd-mm-yyyy", "Day first, 31-12-2026"),
];

#[derive(Template)]
#[template(path = "uploads/bulk.html")]
struct BulkPage {
    page: Page,
    mode: BulkMode,
    form: Form,
}

impl BulkPage {
    fn new(viewer: &Viewer, mode: BulkMode, form: Form) -> BulkPage {
        let title = format!("{} – Coupon Codes", title(mode));
        BulkPage { page: Page::new(viewer, Menu::CouponCodes, title), mode, form }
    }

    fn title(&self) -> &'static str {
        title(self.mode)
    }

    fn is_add(&self) -> bool {
        self.mode == BulkMode::Add
    }

    /// Forms of days, each with an example.
    fn date_formats(&self) -> [(&'static str, &'static str); 5] {
        DATE_FORMATS
    }

    fn columns(&self) -> &'static [Column] {
        if self.is_add() { OF_ADD } else { OF_UPDATE }
    }

    /// The address that takes the file.
    fn action(&self) -> &'static str {
        if self.is_add() {
            "/console/coupon-codes/bulk-add"
        } else {
            "/console/coupon-codes/bulk-update"
        }
    }
}

fn title(mode: BulkMode) -> &'static str {
    match mode {
        BulkMode::Add => "Bulk Add",
        BulkMode::Update => "Bulk Update",
    }
}

pub(super) async fn show_add(viewer: Viewer) -> PageResult {
    show(&viewer, BulkMode::Add)
}

pub(super) async fn show_update(viewer: Viewer) -> PageResult {
    show(&viewer, BulkMode::Update)
}

fn show(viewer: &Viewer, mode: BulkMode) -> PageResult {
    if !viewer.may(Right::EditCatalog) {
        return Err(PageError::forbidden());
    }
    Ok(html(&BulkPage::new(viewer, mode, Form::default())))
}

/// A file with the heads of the columns.
pub(super) async fn template(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = format!("/v1/networks/couponcodes/template.csv{}", query.api_query());
    let path = with_style(&path, &query);
    let request = Request::get(path).body(Body::empty()).map_err(|_| PageError::not_found())?;
    Ok(state.api.forward(&viewer, request).await)
}

pub(super) async fn add(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
    request: Request,
) -> PageResult {
    receive(&state, &viewer, BulkMode::Add, &query, request).await
}

pub(super) async fn update(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
    request: Request,
) -> PageResult {
    receive(&state, &viewer, BulkMode::Update, &query, request).await
}

/// Passes the browser's form on as it arrives, so a large file is never whole in memory.
async fn receive(
    state: &ConsoleState,
    viewer: &Viewer,
    mode: BulkMode,
    query: &ListQuery,
    request: Request,
) -> PageResult {
    let (parts, body) = request.into_parts();
    let reissue = query.value("allow_reissue") == "true";
    let path = format!("{API}?mode={}&allow_reissue={reissue}&keep_unclear=true", mode.as_str());
    let mut forwarded = Request::post(path);
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        forwarded = forwarded.header(CONTENT_TYPE, kind);
    }
    let forwarded = forwarded.body(body).map_err(|_| PageError::not_found())?;
    let answer = match state.api.answer(viewer, forwarded).await {
        Ok(answer) if answer.body["status"] == "unread" => {
            return Ok(lead_to(&parts.headers, &columns::page_after(&answer)));
        }
        Ok(answer) if answer.number("rows") == 0 => {
            discard_empty(state, viewer, &answer).await?;
            return Ok(refuse(&parts.headers, viewer, mode, NO_ROWS));
        }
        Ok(answer) => answer,
        Err(refusal) if is_of_file(&refusal) => {
            return Ok(refuse(&parts.headers, viewer, mode, &sentence(&refusal)));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    Ok(lead_to(&parts.headers, &rows_page(&answer)))
}

const NO_ROWS: &str = "The file has no rows, or none was chosen. Choose a file with a row below \
                       its heads.";

/// The API keeps an upload without rows, since rows can be typed; nobody asked for one here.
async fn discard_empty(
    state: &ConsoleState,
    viewer: &Viewer,
    answer: &ApiAnswer,
) -> Result<(), Refusal> {
    let path = format!("{API}/{}", answer.number("upload_id"));
    state.api.send(viewer, ApiRequest::delete(path)).await.map(drop)
}

/// Whether another file, or the same one later, can be taken.
fn is_of_file(refusal: &Refusal) -> bool {
    refusal.status != StatusCode::FORBIDDEN && refusal.status != StatusCode::INTERNAL_SERVER_ERROR
}

/// A sentence about the file keeps the names of the columns, which are the file's words.
pub(super) fn sentence(refusal: &Refusal) -> String {
    if refusal.code == "upload.unreadable" {
        return words::capitalised(&refusal.error.replace('`', "\""));
    }
    words::sentence(refusal)
}

/// Scripts that show the progress of an upload ask for JSON.
fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).is_some_and(|accepted| accepted == "application/json")
}

fn refuse(headers: &HeaderMap, viewer: &Viewer, mode: BulkMode, error: &str) -> Response {
    if wants_json(headers) {
        let body = Json(json!({"error": error}));
        return (StatusCode::UNPROCESSABLE_ENTITY, body).into_response();
    }
    let form = Form::wrong(&Submitted::default(), "file", error);
    refused(&BulkPage::new(viewer, mode, form))
}

fn lead_to(headers: &HeaderMap, path: &str) -> Response {
    if wants_json(headers) {
        return Json(json!({"path": path})).into_response();
    }
    Redirect::to(path).into_response()
}
