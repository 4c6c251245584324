//! Control Center – Privacy: the erasure of a visitor's personal data.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::confirm::require_recent_password;
use crate::console::error_page::PageError;
use crate::console::form::{Form, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/privacy";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/privacy", get(show))
        .route("/privacy/count", post(count))
        .route("/privacy/erase", post(erase))
        .route("/privacy/erasures/{id}", get(show_erasure))
        .route_layer(from_fn(require_recent_password))
}

/// The kinds of data that an erasure can be asked by: the API's field and its label.
const SELECTORS: [(&str, &str); 3] = [
    ("email", "E-mail address of a buyer"),
    ("ip", "Address on the internet (IP)"),
    ("transaction_id", "Transaction id of a click"),
];

/// The word to type before an erasure.
const CONFIRMATION: &str = "erase";

#[derive(Debug, Deserialize)]
struct Erasure {
    network_erasure_id: u32,
    by: String,
    dry_run: bool,
    stage: String,
    clicks: Option<u64>,
    postbacks: Option<u64>,
    conversions: Option<u64>,
    postbacks_waiting: u64,
    time_created: i64,
    time_done: i64,
    not_erased: Vec<String>,
}

impl Erasure {
    fn is_done(&self) -> bool {
        self.stage == "done"
    }

    /// Class and word of the state.
    fn state(&self) -> (&'static str, &'static str) {
        match self.stage.as_str() {
            "clicks" => ("wait", "Clicks are searched"),
            "rows" if self.postbacks_waiting > 0 => ("wait", "Waits for postbacks to be decided"),
            "rows" => ("wait", "Postbacks and conversions are searched"),
            "file" => ("wait", "The free space of the store is overwritten"),
            _ => ("good", "Done"),
        }
    }

    fn selector(&self) -> &'static str {
        let found = SELECTORS.iter().find(|(word, _)| *word == self.by);
        found.map_or("", |(_, label)| label)
    }

    /// A number of found items, or a dash before the search.
    fn found(&self, count: &Option<u64>) -> String {
        count.map_or_else(|| "–".into(), format::count)
    }
}

#[derive(Template)]
#[template(path = "privacy/privacy.html")]
struct PrivacyPage {
    page: Page,
    form: Form,
    /// What an erasure would blank.
    counted: Option<Erasure>,
    retention: Retention,
}

impl PrivacyPage {
    /// The label of what the form names.
    fn selector(&self) -> &'static str {
        let found = SELECTORS.iter().find(|(word, _)| self.form.is("by", word));
        found.map_or("", |(_, label)| label)
    }
}

#[derive(Deserialize)]
struct Status {
    privacy: Retention,
}

/// Days for which data is kept; 0 is for ever.
#[derive(Debug, Deserialize)]
struct Retention {
    click_retention_days: u32,
    postback_retention_days: u32,
    address_truncation_days: u32,
}

impl Retention {
    fn days(count: &u32) -> String {
        match *count {
            0 => "for ever".into(),
            1 => "for 1 day".into(),
            count => format!("for {count} days"),
        }
    }
}

async fn privacy_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Form,
    counted: Option<Erasure>,
) -> Result<PrivacyPage, PageError> {
    viewer.require(Right::ErasePersonalData)?;
    let Status { privacy: retention } = state.api.get(viewer, "/v1/networks/status").await?;
    let page = Page::new(viewer, Menu::Privacy, "Privacy");
    Ok(PrivacyPage { page, form, counted, retention })
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let form = Form::new(&[("by", "email")]);
    Ok(html(&privacy_page(&state, &viewer, form, None).await?))
}

/// The request for an erasure; the personal data is in bodies only, never in an address.
fn request(submitted: &Submitted, dry_run: bool) -> ApiRequest {
    let by = submitted.value("by");
    let field = SELECTORS.iter().find(|(word, _)| *word == by).map_or("email", |(word, _)| word);
    let body = json!({field: submitted.value("value").trim(), "dry_run": dry_run});
    ApiRequest::post(format!("{API}/erase"), body)
}

/// A refused form; the only input with an error holds the value.
async fn refuse(
    state: &ConsoleState,
    viewer: &Viewer,
    submitted: &Submitted,
    refusal: crate::console::api_client::Refusal,
) -> PageResult {
    if !refusal.is_of_form() {
        return Err(refusal.into());
    }
    let sentence = refusal.fields.first().map_or(refusal.error, |field| field.error.clone());
    let form = Form::wrong(submitted, "value", &format!("The value {sentence}"));
    Ok(refused(&privacy_page(state, viewer, form, None).await?))
}

/// Counts what an erasure would blank, and asks for the confirmation.
async fn count(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    match state.api.send(&viewer, request(&submitted, true)).await {
        Ok(answer) => {
            let counted = read_erasure(answer.body)?;
            let form = Form::typed(&submitted);
            Ok(html(&privacy_page(&state, &viewer, form, Some(counted)).await?))
        }
        Err(refusal) => refuse(&state, &viewer, &submitted, refusal).await,
    }
}

fn read_erasure(body: serde_json::Value) -> Result<Erasure, PageError> {
    serde_json::from_value(body).map_err(|error| {
        tracing::error!(%error, "the console does not understand an erasure");
        let sentence = "The answer could not be read; the log says more.";
        PageError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, sentence)
    })
}

async fn erase(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    if submitted.value("confirmation").trim() != CONFIRMATION {
        let answer = state.api.send(&viewer, request(&submitted, true)).await?;
        let counted = read_erasure(answer.body)?;
        let error = format!("Type the word {CONFIRMATION}, so nothing is erased by mistake.");
        let form = Form::wrong(&submitted, "confirmation", &error);
        return Ok(refused(&privacy_page(&state, &viewer, form, Some(counted)).await?));
    }
    match state.api.send(&viewer, request(&submitted, false)).await {
        Ok(answer) => {
            let id = answer.number("network_erasure_id");
            Ok(Redirect::to(&format!("/console/privacy/erasures/{id}")).into_response())
        }
        Err(refusal) => refuse(&state, &viewer, &submitted, refusal).await,
    }
}

#[derive(Template)]
#[template(path = "privacy/erasure.html")]
struct ErasurePage {
    page: Page,
    erasure: Erasure,
}

async fn show_erasure(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    viewer.require(Right::ErasePersonalData)?;
    let erasure: Erasure = state.api.get(&viewer, &format!("{API}/erasures/{id}")).await?;
    let page = Page::new(&viewer, Menu::Privacy, format!("Erasure {id} – Privacy"));
    Ok(html(&ErasurePage { page, erasure }))
}
