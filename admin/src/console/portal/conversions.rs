//! Conversions: the partner's sales with their payout.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Number, json};

use super::codes::Related;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html};
use crate::console::period::{Days, Preset};
use crate::console::viewer::Viewer;
use crate::console::words;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/conversions", get(show))
}

/// A sale as partners see it.
#[derive(Debug, Deserialize)]
struct OwnConversion {
    conversion_unix_timestamp: i64,
    status: String,
    coupon_code: String,
    payout: Number,
    #[serde(default)]
    currency_id: String,
    #[serde(default)]
    sub1: String,
    relationship: Related,
}

impl OwnConversion {
    fn payout(&self) -> String {
        format::money(&self.payout.to_string(), &self.currency_id)
    }

    fn offer_name(&self) -> String {
        format::visible(&self.relationship.offer.name)
    }
}

#[derive(Deserialize)]
struct ConversionList {
    conversions: Vec<OwnConversion>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "portal/conversions.html")]
struct ConversionsPage {
    page: Page,
    query: ListQuery,
    days: Days,
    presets: Vec<Preset>,
    conversions: Vec<OwnConversion>,
    paging: Paging,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let days = Days::in_query(&query, &viewer);
    let number: u32 = query.value("page").parse().unwrap_or(1).max(1);
    let asked = json!({"from": days.from.to_string(), "to": days.to.to_string(),
                       "page": number, "page_size": 50});
    let path = "/v1/affiliates/reporting/conversions";
    let ConversionList { conversions, paging } = state.api.query(&viewer, path, asked).await?;
    let page = Page::new(&viewer, Menu::PortalConversions, "Conversions");
    let presets = Days::presets(&viewer);
    Ok(html(&ConversionsPage { page, query, days, presets, conversions, paging }))
}
