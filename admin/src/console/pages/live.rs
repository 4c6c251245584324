//! Analytics – Live: clicks and sales as they come.

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, Request, Uri};
use axum::routing::get;
use serde::Deserialize;

use super::clicks::{ClickList, ClickRow};
use super::conversions::ConversionRow;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{Chip, ListQuery};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult};
use crate::console::report::{self, Link};
use crate::console::typed_period::Period;
use crate::console::viewer::Viewer;

/// The most rows of each kind.
const MAX_ROWS: u32 = 100;
/// Today and yesterday, so the list is not empty after midnight.
const DAYS: i32 = 2;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/live", get(show)).route("/live/stream", get(stream))
}

/// The API's stream of clicks and sales, for the script of the page.
async fn stream(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    headers: HeaderMap,
) -> PageResult {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = Uri::from_static("/v1/networks/stream");
    request.headers_mut().extend(headers.get(ACCEPT).map(|kinds| (ACCEPT, kinds.clone())));
    let response = state.api.forward(&viewer, request).await;
    if response.status().is_success() {
        return Ok(response);
    }
    let sentence = "This address is for the page Live, in at most two tabs.";
    Err(PageError::new(response.status(), sentence))
}

#[derive(Default, Deserialize)]
struct ConversionList {
    conversions: Vec<ConversionRow>,
}

/// A click or a conversion.
struct Event {
    time: i64,
    what: &'static str,
    /// Class and word of the verdict.
    verdict: (&'static str, String),
    code: String,
    offer: Option<Link>,
    partner: Option<Link>,
    /// What was sold; empty for a click.
    sale: String,
    path: String,
}

impl From<ClickRow> for Event {
    fn from(click: ClickRow) -> Event {
        let (kind, word) = click.kind();
        Event {
            time: click.unix_timestamp,
            what: "Click",
            verdict: (kind, word.to_owned()),
            code: click.code(),
            offer: click.relationship.offer(),
            partner: click.relationship.partner(),
            sale: String::new(),
            path: format!("/console/clicks/{}", click.transaction_id),
        }
    }
}

impl From<ConversionRow> for Event {
    fn from(row: ConversionRow) -> Event {
        Event {
            time: row.conversion_unix_timestamp,
            what: "Sale",
            verdict: row.state(),
            code: format::visible(&row.coupon_code),
            offer: row.relationship.offer(),
            partner: row.relationship.partner(),
            sale: row.sale_text(),
            path: format!("/console/conversions/{}", row.conversion_id),
        }
    }
}

#[derive(Template)]
#[template(path = "live.html")]
struct LivePage {
    page: Page,
    query: ListQuery,
    chips: Vec<Chip>,
    events: Vec<Event>,
    offers: Options,
    partners: Options,
    problem: Option<String>,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DAYS);
    let body = report::body(&query, &period);
    let ask = |list: &str| format!("/v1/networks/reporting/{list}?page=1&page_size={MAX_ROWS}");
    let clicks = state.api.query(&viewer, &ask("clicks/stream"), body.clone()).await;
    let (ClickList { clicks, .. }, problem) = report::or_problem(clicks)?;
    let conversions = state.api.query(&viewer, &ask("conversions"), body).await;
    let (ConversionList { conversions }, wrong) = report::or_problem(conversions)?;
    let mut events: Vec<Event> = clicks
        .into_iter()
        .map(Event::from)
        .chain(conversions.into_iter().map(Event::from))
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(event.time));
    let page = LivePage {
        page: Page::new(&viewer, Menu::Live, "Live"),
        chips: report::chips(&state.api, &viewer, &query).await?,
        offers: Options::load(&state.api, &viewer, Referred::Offer).await?,
        partners: Options::load(&state.api, &viewer, Referred::Partner).await?,
        query,
        events,
        problem: problem.or(wrong),
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}
