//! Analytics – Code leaks: codes with sales without clicks, the most suspicious first.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;

use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult};
use crate::console::report;
use crate::console::typed_period::{Period, Preset};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/reporting/codeleaks";
const DEFAULT_DAYS: i32 = 30;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/leaks", get(show))
}

/// A code of the API's answer.
#[derive(Debug, Deserialize)]
struct LeakRow {
    coupon_code: String,
    network_affiliate_id: u32,
    affiliate_name: String,
    conversions: u64,
    never_clicked: u64,
    spike: u64,
    held: u64,
    suspicious_payout: Value,
    currency_id: String,
    last_conversion: i64,
}

impl LeakRow {
    fn is_suspicious(&self) -> bool {
        self.never_clicked + self.spike > 0
    }

    /// The parameters of a list with the code's conversions of the period.
    fn selection(&self, period: &Period) -> String {
        let (from, to) = (encode(&period.from), encode(&period.to));
        let filter = encode(&format!("coupon_code={}", self.coupon_code));
        format!("from={from}&to={to}&filter={filter}")
    }
}

#[derive(Default, Deserialize)]
struct Leaks {
    codes: Vec<LeakRow>,
    incomplete_results: bool,
}

#[derive(Template)]
#[template(path = "leaks.html")]
struct LeaksPage {
    page: Page,
    period: Period,
    presets: Vec<Preset>,
    codes: Vec<LeakRow>,
    is_incomplete: bool,
    problem: Option<String>,
    curl: String,
}

/// Number of suspicious codes of the default period.
pub(super) async fn count_suspicious(
    state: &ConsoleState,
    viewer: &Viewer,
) -> Result<u64, Refusal> {
    let period = Period::in_query(&ListQuery::default(), viewer.time_zone(), DEFAULT_DAYS);
    let leaks: Leaks = state.api.get(viewer, &address(&period)).await?;
    Ok(leaks.codes.iter().filter(|code| code.is_suspicious()).count() as u64)
}

/// The API's address of a period's codes.
fn address(period: &Period) -> String {
    format!("{API}?from={}&to={}", encode(&period.from), encode(&period.to))
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    let path = address(&period);
    let (leaks, problem) = report::or_problem(state.api.get(&viewer, &path).await)?;
    let Leaks { codes, incomplete_results: is_incomplete } = leaks;
    let page = LeaksPage {
        page: Page::new(&viewer, Menu::Leaks, "Code leaks"),
        presets: period.presets(&query, &[7, 30, 90]),
        curl: format!("curl -H \"X-Eflow-API-Key: $KEY\" \"$API{path}\""),
        period,
        codes,
        is_incomplete,
        problem,
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}
