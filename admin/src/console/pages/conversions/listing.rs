//! The list of conversions and the export.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{API, ConversionRow};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{Chip, ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Notice, Page, PageResult, notice_of};
use crate::console::report;
use crate::console::typed_period::{Period, Preset};
use crate::console::viewer::Viewer;

/// Days of a list without a period in the address.
const DEFAULT_DAYS: i32 = 30;

#[derive(Default, Deserialize)]
struct ConversionList {
    conversions: Vec<ConversionRow>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "conversions/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    period: Period,
    presets: Vec<Preset>,
    chips: Vec<Chip>,
    conversions: Vec<ConversionRow>,
    paging: Paging,
    offers: Options,
    partners: Options,
    may_decide: bool,
    problem: Option<String>,
    curl: String,
}

/// Number of conversions of the default period that wait for a decision.
pub(in crate::console::pages) async fn count_pending(
    state: &ConsoleState,
    viewer: &Viewer,
) -> Result<u64, Refusal> {
    let pending = ListQuery::parse("", "filter=status%3Dpending");
    let period = Period::in_query(&pending, viewer.time_zone(), DEFAULT_DAYS);
    let asked = body(&pending, &period);
    let list: ConversionList =
        state.api.query(viewer, &format!("{API}?page_size=1"), asked).await?;
    Ok(list.paging.total_count)
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    list_page(&state, &viewer, query, None).await
}

/// The list, with the sentence of a refused decision.
pub(super) async fn list_page(
    state: &ConsoleState,
    viewer: &Viewer,
    query: ListQuery,
    problem: Option<String>,
) -> PageResult {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    let asked = body(&query, &period);
    let curl = report::as_curl(API, &asked);
    let number = report::page_number(&query);
    let path = format!("{API}?page={number}&page_size={}", report::PAGE_SIZE);
    let (list, wrong) = report::or_problem(state.api.query(viewer, &path, asked).await)?;
    let ConversionList { conversions, paging } = list;
    let problem = problem.or(wrong);
    let notice = notice_of(query.pairs()).or_else(|| decision_notice(&query));
    let page = Page::new(viewer, Menu::Conversions, "Conversions").with_notice(notice);
    let page = ListPage {
        presets: period.presets(&query, &[7, 30]),
        chips: report::chips(&state.api, viewer, &query).await?,
        offers: Options::load(&state.api, viewer, Referred::Offer).await?,
        partners: Options::load(&state.api, viewer, Referred::Partner).await?,
        may_decide: viewer.may(Right::DecideConversions),
        page,
        query,
        period,
        conversions,
        paging,
        problem,
        curl,
    };
    Ok(report::rendered(&page, page.problem.as_ref()))
}

fn body(query: &ListQuery, period: &Period) -> Value {
    let mut body = report::body(query, period);
    for name in ["show_only_suspicious", "show_only_conflicts"] {
        if !query.value(name).is_empty() {
            body[name] = json!(true);
        }
    }
    body
}

/// The notice after a decision about several conversions.
fn decision_notice(query: &ListQuery) -> Option<Notice> {
    let changed: u64 = query.value("changed").parse().ok()?;
    let done = match query.value("became") {
        "approved" => "approved",
        "rejected" => "rejected",
        _ => return None,
    };
    let sentence = match changed {
        0 => format!("All ticked conversions were {done} already."),
        1 => format!("1 conversion {done}."),
        several => format!("{} conversions {done}.", format::count(several)),
    };
    Some(Notice { kind: "good", sentence, action: None })
}

/// The conversions of the list's filters as CSV.
pub(super) async fn export(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> Result<axum::response::Response, PageError> {
    let period = Period::in_query(&query, viewer.time_zone(), DEFAULT_DAYS);
    report::export(&state, &viewer, &format!("{API}/export"), &query, &body(&query, &period)).await
}
