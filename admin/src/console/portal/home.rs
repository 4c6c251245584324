//! Home: the partner's figures of today, 7 and 30 days, the best codes, and codes that end soon.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::codes::{OwnCode, own_codes};
use super::reports::{Figures, ReportRow, report};
use crate::catalog;
use crate::console::ConsoleState;
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

/// A code whose last day is near.
struct EndingCode {
    code: String,
    last_day: String,
}

#[derive(Template)]
#[template(path = "portal/home.html")]
struct HomePage {
    page: Page,
    periods: Vec<PeriodFigures>,
    best: Vec<ReportRow>,
    ending: Vec<EndingCode>,
    has_codes: bool,
}

/// Best codes on the page at most.
const BEST: usize = 5;
/// Days before its end at which a code is mentioned.
const ENDS_SOON_DAYS: i32 = 7;

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
    let page = Page::new(&viewer, Menu::PortalHome, "Home");
    let (has_codes, ending) = (!codes.is_empty(), ending_codes(&codes, today));
    Ok(html(&HomePage { page, periods, best, ending, has_codes }))
}

fn ending_codes(codes: &[OwnCode], today: Date) -> Vec<EndingCode> {
    let soon = today.checked_add(ENDS_SOON_DAYS.days()).unwrap_or(today);
    let ends_soon = |code: &&OwnCode| {
        let end = code.end_date.parse::<Date>();
        end.is_ok_and(|end| end >= today && end <= soon)
    };
    let ending = codes
        .iter()
        .filter(ends_soon)
        .map(|code| EndingCode { code: code.coupon_code.clone(), last_day: code.end_date.clone() });
    ending.collect()
}
