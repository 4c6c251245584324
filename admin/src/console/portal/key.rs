//! API key: how a partner's own programs ask for codes and figures.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::confirm::require_recent_password;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, notice_of, saved};
use crate::console::secret;
use crate::console::viewer::Viewer;

const API: &str = "/v1/affiliates/apikey";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/key", get(show).post(create))
        .route("/key/revoke", post(revoke))
        .route_layer(from_fn(require_recent_password))
}

/// The key without its secret.
#[derive(Debug, Deserialize)]
struct OwnKey {
    hint: String,
    time_saved: i64,
}

#[derive(Debug, Deserialize)]
struct KeyAnswer {
    api_key: Option<OwnKey>,
}

#[derive(Template)]
#[template(path = "portal/key.html")]
struct KeyPage {
    page: Page,
    key: Option<OwnKey>,
    /// The secret, right after it was made.
    secret: Option<String>,
}

async fn key_page(state: &ConsoleState, viewer: &Viewer, secret: Option<String>) -> PageResult {
    let answer: KeyAnswer = state.api.get(viewer, API).await?;
    let page = Page::new(viewer, Menu::PortalKey, "API key");
    Ok(html(&KeyPage { page, key: answer.api_key, secret }))
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let answer: KeyAnswer = state.api.get(&viewer, API).await?;
    let page = Page::new(&viewer, Menu::PortalKey, "API key").with_notice(notice_of(query.pairs()));
    Ok(html(&KeyPage { page, key: answer.api_key, secret: None }))
}

/// Makes the key, or gives it another secret, and shows the secret this once.
async fn create(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let answer = state.api.send(&viewer, ApiRequest::post(API, json!({}))).await?;
    let made = answer.body["api_key_secret"].as_str().unwrap_or_default().to_owned();
    Ok(secret::uncompressed(key_page(&state, &viewer, Some(made)).await?))
}

async fn revoke(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    state.api.send(&viewer, ApiRequest::delete(API)).await?;
    Ok(saved("/portal/key", "revoked", None))
}
