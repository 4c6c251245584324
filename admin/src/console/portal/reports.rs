//! Reports: the partner's clicks, conversions and payout by a dimension.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::FieldWarning;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html};
use crate::console::period::{Days, Preset};
use crate::console::report;
use crate::console::viewer::Viewer;

const API: &str = "/v1/affiliates/reporting/entity";

/// Dimensions of a partner's report, with their labels.
const DIMENSIONS: &[(&str, &str)] = &[
    ("coupon_code", "Coupon code"),
    ("offer", "Offer"),
    ("date", "Day"),
    ("sub1", "Sub 1"),
    ("sub2", "Sub 2"),
    ("device_type", "Device"),
    ("country", "Country"),
    ("region", "Region"),
];

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/reports", get(show)).route("/reports.csv", get(export))
}

/// A report as the API answers it.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    pub(super) table: Vec<ReportRow>,
    pub(super) summary: Figures,
    #[serde(default)]
    pub(super) incomplete_results: bool,
    #[serde(default)]
    pub(super) warnings: Vec<FieldWarning>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportRow {
    columns: Vec<ReportColumn>,
    pub(super) reporting: Figures,
}

#[derive(Debug, Deserialize)]
struct ReportColumn {
    label: String,
}

impl ReportRow {
    pub(super) fn label(&self) -> String {
        let label = self.columns.first().map(|column| format::visible(&column.label));
        label.filter(|label| !label.is_empty()).unwrap_or_else(|| "–".into())
    }
}

/// The figures that a partner sees.
#[derive(Debug, Deserialize)]
pub(super) struct Figures {
    pub(super) total_click: u64,
    pub(super) cv: u64,
    /// Null where amounts of several currencies would be added.
    payout: Value,
    currency_id: Option<String>,
}

impl Figures {
    pub(super) fn payout(&self) -> String {
        if self.payout.is_null() {
            return "several currencies".into();
        }
        format::amount(&self.payout, self.currency_id.as_deref().unwrap_or_default())
    }
}

/// The report of a period by one dimension.
pub(super) async fn report(
    state: &ConsoleState,
    viewer: &Viewer,
    days: Days,
    by: &str,
) -> Result<Report, Refusal> {
    state.api.query(viewer, API, asked(days, by)).await
}

fn asked(days: Days, by: &str) -> Value {
    let (from, to) = (days.from.to_string(), days.to.to_string());
    // Days read best in their order, all else by what it earned.
    let order = if by == "date" { "date" } else { "-payout" };
    json!({"from": from, "to": to, "columns": [{"column": by}], "order": order})
}

#[derive(Template)]
#[template(path = "portal/reports.html")]
struct ReportsPage {
    page: Page,
    query: ListQuery,
    days: Days,
    presets: Vec<Preset>,
    by: &'static str,
    heading: &'static str,
    report: Report,
}

impl ReportsPage {
    fn dimensions(&self) -> &'static [(&'static str, &'static str)] {
        DIMENSIONS
    }

    fn is_by(&self, name: &str) -> bool {
        self.by == name
    }
}

/// The dimension in the address, or the first.
fn dimension(query: &ListQuery) -> (&'static str, &'static str) {
    let found = DIMENSIONS.iter().find(|(name, _)| *name == query.value("by"));
    *found.unwrap_or(&DIMENSIONS[0])
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let days = Days::in_query(&query, &viewer);
    let (by, heading) = dimension(&query);
    let report = report(&state, &viewer, days, by).await?;
    let page = Page::new(&viewer, Menu::PortalReports, "Reports");
    let presets = Days::presets(&viewer);
    Ok(html(&ReportsPage { page, query, days, presets, by, heading, report }))
}

async fn export(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let asked = asked(Days::in_query(&query, &viewer), dimension(&query).0);
    report::export(&state, &viewer, &format!("{API}/table/export"), &query, &asked).await
}
