//! Home: today beside yesterday, what waits for a person, and the first steps of a new network.

use std::cmp::Reverse;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{conversions, leaks};
use crate::catalog;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::chart::Chart;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::typed_period::Period;
use crate::console::viewer::Viewer;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/", get(show))
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    page: Page,
    steps: Vec<FirstStep>,
    tiles: Vec<Tile>,
    best: Vec<BestList>,
    chart: Chart,
    day: Date,
    waiting: Vec<Waiting>,
}

/// A step of setting up a network.
struct FirstStep {
    text: &'static str,
    path: &'static str,
    is_done: bool,
}

/// A figure of today.
struct Tile {
    label: &'static str,
    today: String,
    /// The same figure of yesterday.
    yesterday: String,
    path: String,
}

/// The best codes, partners or offers of the day.
struct BestList {
    title: &'static str,
    heading: &'static str,
    rows: Vec<BestRow>,
}

struct BestRow {
    name: String,
    path: String,
    clicks: String,
    conversions: String,
    payout: String,
}

/// Work for a person.
struct Waiting {
    text: String,
    path: String,
}

impl HomePage {
    fn is_set_up(&self) -> bool {
        self.steps.iter().all(|step| step.is_done)
    }
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let today = catalog::today(viewer.time_zone());
    let yesterday = today.yesterday().unwrap_or(today);
    let now = figures(&state, &viewer, today, "offer").await?;
    let before = figures(&state, &viewer, yesterday, "offer").await?;
    let steps = first_steps(&state, &viewer, &now, &before).await?;
    let tiles = tiles(&viewer, today, &now.summary, &before.summary);
    let best = vec![
        best(&viewer, "codes", figures(&state, &viewer, today, "coupon_code").await?),
        best(&viewer, "partners", figures(&state, &viewer, today, "affiliate").await?),
        best(&viewer, "offers", now),
    ];
    let waiting = waiting(&state, &viewer, today).await?;
    let chart = chart(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::Home, "Home").with_notice(notice_of(query.pairs()));
    Ok(html(&HomePage { page, steps, tiles, best, chart, day: today, waiting }))
}

/// A report of one day.
#[derive(Debug, Deserialize)]
struct DayReport {
    #[serde(default)]
    table: Vec<ReportRow>,
    #[serde(default)]
    summary: Figures,
}

#[derive(Debug, Deserialize)]
struct ReportRow {
    columns: Vec<ReportColumn>,
    reporting: Figures,
}

#[derive(Debug, Deserialize)]
struct ReportColumn {
    id: String,
    label: String,
}

#[derive(Debug, Default, Deserialize)]
struct Figures {
    #[serde(default)]
    total_click: u64,
    #[serde(default)]
    cv: u64,
    #[serde(default)]
    payout: Value,
    #[serde(default)]
    revenue: Value,
    #[serde(default)]
    profit: Value,
}

async fn figures(
    state: &ConsoleState,
    viewer: &Viewer,
    day: Date,
    column: &str,
) -> Result<DayReport, Refusal> {
    let asked = json!({"from": day.to_string(), "to": day.to_string(),
                       "columns": [{"column": column}]});
    state.api.query(viewer, "/v1/networks/reporting/entity", asked).await
}

fn tiles(viewer: &Viewer, day: Date, now: &Figures, before: &Figures) -> Vec<Tile> {
    let currency = viewer.currency();
    let money = |value: &Value| format::money(value.to_string().trim_matches('"'), currency);
    let list = |page: &str| format!("/console/{page}?from={day}&to={day}");
    let tile = |label, today, yesterday, path| Tile { label, today, yesterday, path };
    let count = |number: u64| format::count(number);
    vec![
        tile("Clicks", count(now.total_click), count(before.total_click), list("clicks")),
        tile("Conversions", count(now.cv), count(before.cv), list("conversions")),
        tile("Payout", money(&now.payout), money(&before.payout), list("flex")),
        tile("Revenue", money(&now.revenue), money(&before.revenue), list("flex")),
        tile("Profit", money(&now.profit), money(&before.profit), list("flex")),
    ]
}

/// Days of the chart.
const CHART_DAYS: i32 = 30;

/// Clicks and conversions by day.
async fn chart(state: &ConsoleState, viewer: &Viewer) -> Result<Chart, Refusal> {
    let period = Period::in_query(&ListQuery::default(), viewer.time_zone(), CHART_DAYS);
    let asked = json!({"from": period.from, "to": period.to, "columns": [{"column": "date"}]});
    let report: DayReport = state.api.query(viewer, "/v1/networks/reporting/entity", asked).await?;
    let days = period.days().iter().map(ToString::to_string).collect();
    Ok(Chart::of_days("Clicks and conversions of the last 30 days", days, |day| {
        let row = report.table.iter().find(|row| row.columns.iter().any(|c| c.label == day))?;
        Some((row.reporting.total_click, row.reporting.cv))
    }))
}

/// Rows of a list of the best at most.
const BEST: usize = 10;

/// The rows with the most sales and clicks of a report by `objects`.
fn best(viewer: &Viewer, objects: &'static str, mut report: DayReport) -> BestList {
    let (title, heading, filter) = match objects {
        "codes" => ("Best codes today", "Code", "coupon_code"),
        "partners" => ("Best partners today", "Partner", "affiliate"),
        _ => ("Best offers today", "Offer", "offer"),
    };
    let counts = |row: &ReportRow| (row.reporting.cv, row.reporting.total_click);
    report.table.retain(|row| counts(row) != (0, 0));
    report.table.sort_by_key(|row| Reverse(counts(row)));
    let row = |row: &ReportRow| {
        let column = row.columns.first()?;
        Some(BestRow {
            name: format::visible(&column.label),
            path: format!("/console/flex?filter={filter}%3D{}", encode(&column.id)),
            clicks: format::count(row.reporting.total_click),
            conversions: format::count(row.reporting.cv),
            payout: format::money(
                row.reporting.payout.to_string().trim_matches('"'),
                viewer.currency(),
            ),
        })
    };
    BestList { title, heading, rows: report.table.iter().take(BEST).filter_map(row).collect() }
}

/// Number of rows of a list of the API, which may have a query.
pub(super) async fn count(
    state: &ConsoleState,
    viewer: &Viewer,
    list: &str,
) -> Result<u64, Refusal> {
    let mark = if list.contains('?') { '&' } else { '?' };
    let path = format!("/v1/networks/{list}{mark}page_size=1");
    let answer: Value = state.api.get(viewer, &path).await?;
    Ok(answer["paging"]["total_count"].as_u64().unwrap_or_default())
}

async fn first_steps(
    state: &ConsoleState,
    viewer: &Viewer,
    now: &DayReport,
    before: &DayReport,
) -> Result<Vec<FirstStep>, Refusal> {
    let mut steps = Vec::new();
    for (text, list, path) in [
        ("Add a tracking domain, the host of all links", "trackingdomains", "/console/domains/new"),
        ("Add an advertiser, whose shop reports sales", "advertisers", "/console/advertisers/new"),
        ("Add an offer with its destination", "offers", "/console/offers/new"),
        ("Add a partner", "affiliates", "/console/partners/new"),
        ("Add a coupon code", "couponcodes", "/console/coupon-codes/new"),
    ] {
        let is_done = count(state, viewer, list).await? > 0;
        steps.push(FirstStep { text, path, is_done });
    }
    let has_click = now.summary.total_click + before.summary.total_click > 0;
    let has_sale = now.summary.cv + before.summary.cv > 0;
    steps.push(FirstStep {
        text: "Open a link of the code in another tab: the click appears here",
        path: "/console/coupon-codes",
        is_done: has_click || has_sale,
    });
    steps.push(FirstStep {
        text: "Report a sale: the page of the advertiser shows how",
        path: "/console/advertisers",
        is_done: has_sale,
    });
    Ok(steps)
}

/// Days before its end at which a code is mentioned.
const ENDS_SOON_DAYS: i32 = 7;

async fn waiting(
    state: &ConsoleState,
    viewer: &Viewer,
    today: Date,
) -> Result<Vec<Waiting>, Refusal> {
    let soon = today.checked_add(ENDS_SOON_DAYS.days()).unwrap_or(today);
    let yesterday = today.yesterday().unwrap_or(today);
    let ending = format!(
        "?filter=coupon_status%3Dactive&filter=end_date%3E{yesterday}&filter=end_date%3C{soon}"
    );
    let unassigned = "?filter=network_affiliate_id%3D0";
    let dead = "?filter=state%3Ddead";
    let found = [
        (
            count(state, viewer, &format!("couponcodes{unassigned}")).await?,
            ["code has no partner", "codes have no partner"],
            format!("coupon-codes{unassigned}"),
        ),
        (
            count(state, viewer, &format!("couponcodes{ending}")).await?,
            ["code ends within a week", "codes end within a week"],
            format!("coupon-codes{ending}"),
        ),
        (
            staged_uploads(state, viewer).await?,
            ["upload waits for its commit", "uploads wait for their commit"],
            "coupon-codes/uploads".into(),
        ),
        (
            conversions::count_pending(state, viewer).await?,
            ["conversion waits for a decision", "conversions wait for a decision"],
            "conversions?filter=status%3Dpending".into(),
        ),
        (
            leaks::count_suspicious(state, viewer).await?,
            ["code may have leaked", "codes may have leaked"],
            "leaks".into(),
        ),
        (
            count(state, viewer, &format!("pixeldeliveries{dead}")).await?,
            ["partner postback was not delivered", "partner postbacks were not delivered"],
            format!("partner-postbacks/deliveries{dead}"),
        ),
    ];
    let found = found.into_iter().filter(|(count, ..)| *count > 0);
    Ok(found
        .map(|(count, [one, several], page)| Waiting {
            text: format!("{} {}", format::count(count), if count == 1 { one } else { several }),
            path: format!("/console/{page}"),
        })
        .collect())
}

async fn staged_uploads(state: &ConsoleState, viewer: &Viewer) -> Result<u64, Refusal> {
    let path = "/v1/networks/couponcodes/uploads?page_size=200";
    let answer: Value = state.api.get(viewer, path).await?;
    let uploads = answer["uploads"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(uploads.iter().filter(|upload| upload["status"] == "staged").count() as u64)
}
