//! Home: the partner's figures of today, 7 and 30 days, the best codes, what is left of caps, and codes
//! that end soon.

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Number;

use super::codes::{OfferName, OwnCode, own_codes};
use super::reports::{Figures, ReportRow, report};
use crate::catalog::{self, CapMetric, CapPeriod, cap_field};
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::chart::Chart;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, html};
use crate::console::period::Days;
use crate::console::viewer::Viewer;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/", get(show))
}

/// Figures of one period.
struct PeriodFigures {
    label: &'static str,
    path: String,
    figures: Figures,
}

/// A cap with what is left of its limits.
#[derive(Deserialize)]
struct OwnCap {
    network_custom_cap_setting_id: u32,
    coupon_code: String,
    caps: BTreeMap<String, Number>,
    relationship: RelatedToCap,
}

#[derive(Deserialize)]
struct RelatedToCap {
    offer: OfferName,
    remaining_caps: BTreeMap<String, Number>,
}

#[derive(Deserialize)]
struct CapList {
    caps: Vec<OwnCap>,
}

impl OwnCap {
    /// The traffic that the cap limits.
    fn subject(&self) -> String {
        let offer = format::visible(&self.relationship.offer.name);
        match (self.network_custom_cap_setting_id, self.coupon_code.as_str()) {
            (0, _) => format!("{offer}, all partners together"),
            (_, "") => offer,
            (_, code) => format!("{offer}, code {code}"),
        }
    }

    /// A sentence for each limit.
    fn limits(&self) -> Vec<String> {
        let pairs = CapMetric::ALL
            .into_iter()
            .flat_map(|metric| CapPeriod::ALL.into_iter().map(move |period| (metric, period)));
        let sentence = |(metric, period)| {
            let field = cap_field(metric, period);
            let (limit, left) = (
                self.caps.get(&field)?,
                self.relationship.remaining_caps.get(&format!("remaining_{field}"))?,
            );
            let [left, limit] = [left, limit].map(|number| format::decimal(&number.to_string()));
            let what = match metric {
                CapMetric::Conversion => "conversions",
                CapMetric::Payout => "payout",
                CapMetric::Revenue => return None,
                CapMetric::Click => "unique clicks",
            };
            let when = match period {
                CapPeriod::Daily => "today",
                CapPeriod::Weekly => "this week",
                CapPeriod::Monthly => "this month",
                CapPeriod::Global => "in all",
            };
            Some(format!("{left} of {limit} {what} left {when}"))
        };
        pairs.filter_map(sentence).collect()
    }
}

/// A code that came, or whose last day is near.
struct CodeNews {
    code: String,
    sentence: String,
}

#[derive(Template)]
#[template(path = "portal/home.html")]
struct HomePage {
    page: Page,
    periods: Vec<PeriodFigures>,
    best: Vec<ReportRow>,
    news: Vec<CodeNews>,
    caps: Vec<OwnCap>,
    chart: Chart,
    has_codes: bool,
}

const CAPS: &str = "/v1/affiliates/caps";
/// Caps on the page at most.
const MAX_CAPS: usize = 20;
/// Best codes on the page at most.
const BEST: usize = 5;
/// Days after its creation and before its end at which a code is mentioned.
const NEWS_DAYS: i32 = 7;
/// News on the page at most.
const MAX_NEWS: usize = 10;
/// Days of the chart.
const CHART_DAYS: i32 = 30;

async fn show(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let today = catalog::today(viewer.time_zone());
    let mut periods = Vec::new();
    let mut best = Vec::new();
    for (label, count) in [("Today", 1), ("7 days", 7), ("30 days", 30)] {
        let days = Days::last(today, count);
        let found = report(&state, &viewer, days, "coupon_code").await?;
        let path = format!("/portal/reports?from={}&to={}", days.from, days.to);
        periods.push(PeriodFigures { label, path, figures: found.summary });
        best = found.table;
    }
    best.truncate(BEST);
    let codes = own_codes(&state, &viewer).await?;
    let chart = chart(&state, &viewer, today).await?;
    let CapList { mut caps } = state.api.get(&viewer, CAPS).await?;
    caps.truncate(MAX_CAPS);
    let page = Page::new(&viewer, Menu::PortalHome, "Home");
    let has_codes = !codes.is_empty();
    let news = news(&codes, today, viewer.time_zone());
    Ok(html(&HomePage { page, periods, best, news, caps, chart, has_codes }))
}

/// Clicks and conversions by day.
async fn chart(state: &ConsoleState, viewer: &Viewer, today: Date) -> Result<Chart, Refusal> {
    let days = Days::last(today, CHART_DAYS);
    let found = report(state, viewer, days, "date").await?;
    let names = days.from.series(1.day()).take_while(|day| *day <= days.to);
    let names = names.map(|day| day.to_string()).collect();
    Ok(Chart::of_days("Clicks and conversions of the last 30 days", names, |day| {
        let row = found.table.iter().find(|row| row.label() == day)?;
        Some((row.reporting.total_click, row.reporting.cv))
    }))
}

/// New codes and codes that end soon.
fn news(codes: &[OwnCode], today: Date, time_zone: &str) -> Vec<CodeNews> {
    let soon = today.checked_add(NEWS_DAYS.days()).unwrap_or(today);
    let recently = today.checked_sub(NEWS_DAYS.days()).unwrap_or(today).to_string();
    let news = |code: &OwnCode| {
        let ends = code.end_date.parse::<Date>();
        // A time begins with its day.
        let created = format::time(code.time_created, time_zone);
        let sentence = match ends {
            Ok(end) if end >= today && end <= soon => format!("works until {end}"),
            _ if created >= recently => format!("is new: it came on {created}"),
            _ => return None,
        };
        Some(CodeNews { code: code.coupon_code.clone(), sentence })
    };
    codes.iter().filter_map(news).take(MAX_NEWS).collect()
}
