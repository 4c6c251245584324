//! The list of codes and its export.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use serde::Deserialize;

use super::code::CodeRow;
use crate::access::Right;
use crate::catalog::ListName;
use crate::console::ConsoleState;
use crate::console::arrangement::{Arrangement, Column};
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging, encode, with_style};
use crate::console::options::{Options, Referred};
use crate::console::page::{Notice, Page, PageResult, html, notice_of};
use crate::console::pages::jobs;
use crate::console::viewer::Viewer;
use crate::console::words;

pub(super) const API: &str = "/v1/networks/couponcodes";

const COLUMNS: &[Column] = &[
    Column::new("coupon_status", "Status").sorted_by("coupon_status"),
    Column::new("state", "State"),
    Column::new("network_offer_id", "Offer").sorted_by("network_offer_id"),
    Column::new("network_affiliate_id", "Partner").sorted_by("network_affiliate_id"),
    Column::new("start_date", "Start").sorted_by("start_date"),
    Column::new("end_date", "End").sorted_by("end_date"),
    Column::new("tracking_link", "Link"),
    Column::new("network_coupon_code_id", "Id").sorted_by("network_coupon_code_id").on_choice(),
    Column::new("internal_notes", "Notes").on_choice(),
    Column::new("time_created", "Created").sorted_by("time_created").on_choice(),
    Column::new("time_saved", "Saved").sorted_by("time_saved").on_choice(),
];

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<CodeRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "coupon_codes/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    arrangement: Arrangement,
    codes: Vec<CodeRow>,
    paging: Paging,
    offers: Options,
    partners: Options,
    may_edit: bool,
    api_request: String,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let arrangement =
        Arrangement::load(&state, &viewer, ListName::CouponCodes, COLUMNS, &query).await?;
    if let Some(view) = arrangement.opening(&query) {
        return Ok(view);
    }
    let query = query.of_list(arrangement.opens_with_view());
    let asked = in_order(&query).or_from_start();
    let api_request = asked.as_curl(API);
    let path = format!("{API}{}", asked.api_query_with(&["offer", "affiliate"]));
    let list: CodeList = state.api.get(&viewer, &path).await?;
    let offers = Options::load(&state.api, &viewer, Referred::Offer).await?;
    let partners = Options::load(&state.api, &viewer, Referred::Partner).await?;
    let notice = match notice_of(query.pairs()) {
        None => job_notice(&state, &viewer, &query).await,
        notice => notice,
    };
    let page = Page::new(&viewer, Menu::CouponCodes, "Coupon Codes").with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    let CodeList { coupon_codes: codes, paging } = list;
    let shown = ListPage {
        page,
        query,
        arrangement,
        codes,
        paging,
        offers,
        partners,
        may_edit,
        api_request,
    };
    Ok(html(&shown))
}

/// The newest codes come first. A search for a part of the code goes through the codes in their own
/// order, and so finds the first ones before it has looked at all.
fn in_order(query: &ListQuery) -> ListQuery {
    let is_search = !query.value("search").is_empty();
    query.or_sorted(if is_search { "coupon_code" } else { "-network_coupon_code_id" })
}

/// The notice after a job on codes of the list, with a button that gives back what the job replaced.
async fn job_notice(state: &ConsoleState, viewer: &Viewer, query: &ListQuery) -> Option<Notice> {
    let id = query.value("job").parse().ok()?;
    // A job that is gone needs no notice.
    let job = jobs::find(state, viewer, id).await.ok()?;
    let (kind, end) = match query.value("live") {
        "yes" => ("good", ", and live."),
        "no" => ("warning", ". coupond does not serve it yet; Control Center, Status says why."),
        _ => ("good", "."),
    };
    let undo = || {
        let back = encode(&query.own_query());
        (format!("/console/jobs/{id}/revert?back={back}"), "Undo")
    };
    let may_undo = job.can_be_undone() && viewer.may(Right::EditCatalog);
    Some(Notice { kind, sentence: job.outcome() + end, action: may_undo.then(undo) })
}

/// All codes that the list's filters select, as CSV.
pub(super) async fn export(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = with_style(&format!("{API}/export.csv{}", query.selection()), &query);
    let request = Request::get(path).body(Body::empty()).map_err(|_| PageError::not_found())?;
    Ok(state.api.forward(&viewer, request).await)
}
