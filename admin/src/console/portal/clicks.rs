//! Clicks: the partner's visits, newest first.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::codes::Related;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html};
use crate::console::period::{Days, Preset};
use crate::console::viewer::Viewer;
use crate::console::words;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/clicks", get(show))
}

/// Clicks on the page at most.
const MAX_ROWS: u32 = 200;

/// A visit as partners see it.
#[derive(Debug, Deserialize)]
struct OwnClick {
    unix_timestamp: i64,
    coupon_code: String,
    #[serde(default)]
    sub1: String,
    #[serde(default)]
    device_type: String,
    #[serde(default)]
    has_conversion: bool,
    relationship: Related,
}

impl OwnClick {
    fn offer_name(&self) -> String {
        format::visible(&self.relationship.offer.name)
    }
}

#[derive(Deserialize)]
struct ClickList {
    clicks: Vec<OwnClick>,
    #[serde(default)]
    incomplete_results: bool,
}

#[derive(Template)]
#[template(path = "portal/clicks.html")]
struct ClicksPage {
    page: Page,
    query: ListQuery,
    days: Days,
    presets: Vec<Preset>,
    clicks: Vec<OwnClick>,
    is_cut: bool,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let days = Days::in_query(&query, &viewer);
    let asked = json!({"from": days.from.to_string(), "to": days.to.to_string(),
                       "page": 1, "page_size": MAX_ROWS});
    let path = "/v1/affiliates/reporting/clicks/stream";
    let ClickList { clicks, incomplete_results } = state.api.query(&viewer, path, asked).await?;
    let is_cut = incomplete_results || clicks.len() >= MAX_ROWS as usize;
    let page = Page::new(&viewer, Menu::PortalClicks, "Clicks");
    let presets = Days::presets(&viewer);
    Ok(html(&ClicksPage { page, query, days, presets, clicks, is_cut }))
}
