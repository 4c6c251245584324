//! Control Center – Webhooks: the servers that get the network's events, and the deliveries to them.

mod deliveries;
mod edit;
mod webhook;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::confirm::require_recent_password;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/webhooks";
const LIST: &str = "/console/webhooks";

pub(super) fn routes() -> Router<ConsoleState> {
    // Whoever changes an address or a secret can read or forge all later events.
    let edits = Router::new()
        .route("/webhooks/new", get(edit::show_new).post(edit::create))
        .route("/webhooks/{id}/edit", get(edit::show).post(edit::save))
        .route("/webhooks/{id}/secret", get(webhook::ask_secret).post(webhook::rotate))
        .route_layer(from_fn(require_recent_password));
    Router::new()
        .route("/webhooks", get(show))
        .route("/webhooks/deliveries/{id}/replay", post(deliveries::replay))
        .route("/webhooks/{id}", get(webhook::show))
        .route("/webhooks/{id}/test", post(webhook::test))
        .route("/webhooks/{id}/replay", post(deliveries::replay_dead))
        .route("/webhooks/{id}/delete", post(webhook::delete))
        .route("/webhooks/{id}/restore", post(webhook::restore))
        .merge(edits)
}

/// A webhook as the API answers it.
#[derive(Debug, Deserialize)]
struct WebhookRow {
    network_webhook_id: u32,
    name: String,
    url: String,
    webhook_status: String,
    events: Vec<String>,
    time_created: i64,
    time_saved: i64,
    #[serde(default)]
    time_deleted: i64,
}

impl WebhookRow {
    /// Class and word of the status.
    fn state(&self) -> (&'static str, &'static str) {
        match (self.time_deleted, self.webhook_status.as_str()) {
            (0, "active") => ("good", "Active"),
            (0, _) => ("off", "Inactive"),
            _ => ("bad", "Deleted"),
        }
    }

    fn is_active(&self) -> bool {
        self.webhook_status == "active"
    }

    fn shown_name(&self) -> String {
        format::visible(&self.name)
    }

    fn address(&self) -> String {
        format::visible(&self.url)
    }

    /// The types of events that the webhook gets.
    fn types(&self) -> String {
        if self.events.is_empty() { "All events".into() } else { self.events.join(", ") }
    }
}

#[derive(Deserialize)]
struct WebhookList {
    webhooks: Vec<WebhookRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "webhooks/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    webhooks: Vec<WebhookRow>,
    paging: Paging,
    may_edit: bool,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let path = format!("{API}{}", query.or_sorted("name").api_query());
    let WebhookList { webhooks, paging } = state.api.get(&viewer, &path).await?;
    let page = Page::new(&viewer, Menu::Webhooks, "Webhooks").with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, webhooks, paging, may_edit }))
}
