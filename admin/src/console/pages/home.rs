//! Home: today beside yesterday, what waits for a person, and the first steps of a new network.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::chart::{Chart, Figure, Series};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
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
    best: Vec<BestCode>,
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

struct BestCode {
    code: String,
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
    let best = best_codes(&state, &viewer, today).await?;
    let waiting = waiting(&state, &viewer).await?;
    let chart = chart(&state, &viewer).await?;
    let tiles = tiles(&viewer, today, &now.summary, &before.summary);
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
    let places: Vec<String> = period.days().iter().map(ToString::to_string).collect();
    let series = |name: &str, count: fn(&Figures) -> u64| {
        let on_day = |day: &String| {
            let row = report.table.iter().find(|row| row.columns.iter().any(|c| c.label == *day));
            let count = row.map_or(0, |row| count(&row.reporting));
            Figure { value: count as f64, text: format::count(count) }
        };
        Series { name: name.to_owned(), figures: places.iter().map(on_day).collect() }
    };
    let series = vec![series("Clicks", |day| day.total_click), series("Conversions", |day| day.cv)];
    let title = format!("Clicks and conversions of the last {CHART_DAYS} days");
    Ok(Chart { title, places_name: "Day", places, series, is_line: true })
}

/// Codes on the page at most.
const BEST: usize = 10;

async fn best_codes(
    state: &ConsoleState,
    viewer: &Viewer,
    day: Date,
) -> Result<Vec<BestCode>, Refusal> {
    let mut report = figures(state, viewer, day, "coupon_code").await?;
    report
        .table
        .sort_by_key(|row| std::cmp::Reverse((row.reporting.cv, row.reporting.total_click)));
    let currency = viewer.currency();
    let best = report.table.iter().take(BEST).map(|row| BestCode {
        code: row.columns.first().map(|column| format::visible(&column.label)).unwrap_or_default(),
        clicks: format::count(row.reporting.total_click),
        conversions: format::count(row.reporting.cv),
        payout: format::money(row.reporting.payout.to_string().trim_matches('"'), currency),
    });
    Ok(best.collect())
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

async fn waiting(state: &ConsoleState, viewer: &Viewer) -> Result<Vec<Waiting>, Refusal> {
    let unassigned = count(state, viewer, "couponcodes?filter=network_affiliate_id%3D0").await?;
    let mut waiting = Vec::new();
    if unassigned > 0 {
        waiting.push(Waiting {
            text: format!("{} codes have no partner", format::count(unassigned)),
            path: "/console/coupon-codes?filter=network_affiliate_id%3D0".into(),
        });
    }
    Ok(waiting)
}
