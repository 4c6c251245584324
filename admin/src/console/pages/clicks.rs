//! Reporting – Click: the newest clicks, and the page of a click.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::conversions::ConversionRow;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::further_values::{OtherFields, further_values};
use crate::console::list::{Chip, ListQuery, Paging, encode};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html};
use crate::console::report::{self, Related};
use crate::console::typed_period::{Period, Preset};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/reporting/clicks/stream";
const INVALID_API: &str = "/v1/networks/reporting/invalidclicks";

/// Days of a list without a period in the address.
const DEFAULT_DAYS: i32 = 2;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/clicks", get(show))
        .route("/clicks.csv", get(export))
        .route("/clicks/{transaction_id}", get(show_click))
}

/// A click of the API's answer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ClickRow {
    pub(super) transaction_id: String,
    pub(super) unix_timestamp: i64,
    pub(super) coupon_code: String,
    pub(super) network_coupon_code_id: u32,
    pub(super) relationship: Related,
    /// Name of the offer's URL; empty for the offer's destination.
    offer_url: String,
    source_id: String,
    uid: String,
    sub1: String,
    sub2: String,
    sub3: String,
    sub4: String,
    sub5: String,
    referer: String,
    user_agent: String,
    language: String,
    user_ip: String,
    device_type: String,
    country: String,
    region: String,
    city: String,
    platform: String,
    os_version: String,
    browser: String,
    brand: String,
    error_message: String,
    rule_id: u32,
    rule_name: String,
    is_prefetch: bool,
    is_bot: bool,
    is_duplicate: bool,
    is_sdk_click: bool,
    is_impression: bool,
    has_conversion: bool,
    #[serde(flatten)]
    others: OtherFields,
}

impl ClickRow {
    /// Class and word of the kind of click.
    pub(super) fn kind(&self) -> (&'static str, &'static str) {
        match self {
            ClickRow { is_impression: true, .. } => ("off", "Impression"),
            ClickRow { is_prefetch: true, is_bot: true, .. } => ("off", "Fetched ahead"),
            ClickRow { is_bot: true, .. } => ("off", "Bot"),
            click if !click.error_message.is_empty() => ("bad", "Invalid"),
            ClickRow { is_duplicate: true, .. } => ("wait", "Duplicate"),
            _ => ("good", "Click"),
        }
    }

    /// Why the click does not count; empty for a counted click.
    pub(super) fn reason(&self) -> &'static str {
        match self.kind().1 {
            "Fetched ahead" => "The browser only fetched the page ahead",
            "Bot" => "A program came, by its user agent",
            "Duplicate" => "The same visitor came again within seconds",
            _ => words::click_reason(&self.error_message),
        }
    }

    /// The code with hidden characters made visible.
    pub(super) fn code(&self) -> String {
        format::visible(&self.coupon_code)
    }

    /// The system with its version, as far as it is known.
    fn system(&self) -> String {
        format!("{} {}", self.platform, self.os_version).trim_end().to_owned()
    }

    /// City, region and country, as far as they are known.
    fn place_name(&self) -> String {
        let parts = [&self.city, &self.region, &self.country];
        let known: Vec<String> = parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .map(|part| format::visible(part))
            .collect();
        known.join(", ")
    }

    /// The host of the referring page.
    fn referer_host(&self) -> String {
        let parsed = url::Url::parse(&self.referer).ok();
        parsed.and_then(|url| url.host_str().map(format::visible)).unwrap_or_default()
    }

    /// Names and values of the link's parameters.
    fn subs(&self) -> Vec<(String, String)> {
        let all = self.link_values().into_iter();
        all.map(|(_, name, value)| (name, format::visible(value))).collect()
    }

    /// Parameter, name and value of the parameters that the link gave.
    fn link_values(&self) -> Vec<(&'static str, String, &str)> {
        let usual = [
            ("sub1", "Sub 1", &self.sub1),
            ("sub2", "Sub 2", &self.sub2),
            ("sub3", "Sub 3", &self.sub3),
            ("sub4", "Sub 4", &self.sub4),
            ("sub5", "Sub 5", &self.sub5),
            ("source_id", "Source", &self.source_id),
            ("uid", "Visitor of the partner", &self.uid),
        ];
        let given = usual.into_iter().filter(|(_, _, value)| !value.is_empty());
        let given = given.map(|(parameter, name, value)| (parameter, name.into(), value.as_str()));
        given.chain(further_values(&self.others)).collect()
    }

    /// The address of the explanation of the same visit now.
    fn explain(&self) -> String {
        let query: String = self
            .link_values()
            .into_iter()
            .map(|(parameter, _, value)| format!("{parameter}={}", encode(value)))
            .collect::<Vec<_>>()
            .join("&");
        let agent = encode(&self.user_agent);
        format!(
            "/console/explain?code={}&query={}&user_agent={agent}",
            encode(&self.coupon_code),
            encode(&query)
        )
    }
}

#[derive(Default, Deserialize)]
pub(super) struct ClickList {
    pub(super) clicks: Vec<ClickRow>,
    incomplete_results: bool,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "clicks/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    period: Period,
    presets: Vec<Preset>,
    chips: Vec<Chip>,
    clicks: Vec<ClickRow>,
    paging: Paging,
    older: Option<String>,
    is_incomplete: bool,
    offers: Options,
    partners: Options,
    problem: Option<String>,
    curl: String,
}

impl ListPage {
    /// The words of the link to the file.
    fn file_text(&self) -> String {
        let which = if self.is_incomplete { "the newest" } else { "all" };
        format!("CSV of {which} {} that match", format::count(self.paging.total_count))
    }
}

fn api(query: &ListQuery) -> &'static str {
    if query.value("kind") == "invalid" { INVALID_API } else { API }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    let asked = report::body(&query, &period);
    let curl = report::as_curl(api(&query), &asked);
    let number = report::page_number(&query);
    let path = format!("{}?page={number}&page_size={}", api(&query), report::PAGE_SIZE);
    let (list, problem) = report::or_problem(state.api.query(&viewer, &path, asked).await)?;
    let older = older(&query, &list, viewer.time_zone());
    let ClickList { clicks, incomplete_results: is_incomplete, paging } = list;
    let page = ListPage {
        page: Page::new(&viewer, Menu::Clicks, "Clicks"),
        presets: period.presets(&query, &[7, 14]),
        chips: report::chips(&state.api, &viewer, &query).await?,
        offers: Options::load(&state.api, &viewer, Referred::Offer).await?,
        partners: Options::load(&state.api, &viewer, Referred::Partner).await?,
        query,
        period,
        clicks,
        paging,
        older,
        is_incomplete,
        problem,
        curl,
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

/// The address of older clicks. The API has a last page for each period; behind that page, the
/// period ends at the oldest click, and clicks of the same second are shown again.
fn older(query: &ListQuery, list: &ClickList, time_zone: &str) -> Option<String> {
    let oldest = list.clicks.last()?;
    if list.paging.page < list.paging.last() {
        return Some(query.at_page(list.paging.page + 1));
    }
    let until = format::time_with_seconds(oldest.unix_timestamp, time_zone);
    list.incomplete_results.then(|| query.with_all(&[("to", &until), ("page", "")]))
}

/// The clicks of the list's filters as CSV. The API cuts very long files.
async fn export(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    let mut asked = report::body(&query, &period);
    asked["format"] = json!("csv");
    report::export(&state, &viewer, api(&query), &query, &asked).await
}

#[derive(Template)]
#[template(path = "clicks/click.html")]
struct ClickPage {
    page: Page,
    click: ClickRow,
    conversions: Vec<ConversionRow>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<ConversionRow>,
}

async fn show_click(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
) -> PageResult {
    let id = encode(&id);
    let path = format!("/v1/networks/reporting/clicks/{id}");
    let click: ClickRow = state.api.get(&viewer, &path).await?;
    let path = format!("/v1/networks/reporting/events/{id}");
    let Events { events: conversions } = state.api.get(&viewer, &path).await?;
    let time = format::time(click.unix_timestamp, viewer.time_zone());
    let page = Page::new(&viewer, Menu::Clicks, format!("{} of {time}", click.kind().1));
    Ok(html(&ClickPage { page, click, conversions }))
}
