//! The list of codes, its export, and the change of many statuses.

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::{IntoResponse as _, Redirect};
use serde::Deserialize;
use serde_json::json;

use super::code::CodeRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::Submitted;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging, encode};
use crate::console::options::{Options, Referred};
use crate::console::page::{Notice, Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;
use crate::console::words;

pub(super) const API: &str = "/v1/networks/couponcodes";

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
    codes: Vec<CodeRow>,
    paging: Paging,
    offers: Options,
    partners: Options,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_coupon_code_id");
    let path = format!("{API}{}", asked.api_query_with(&["offer", "affiliate"]));
    let list: CodeList = state.api.get(&viewer, &path).await?;
    let offers = Options::load(&state.api, &viewer, Referred::Offer).await?;
    let partners = Options::load(&state.api, &viewer, Referred::Partner).await?;
    let notice = notice_of(query.pairs()).or_else(|| status_notice(&query));
    let page = Page::new(&viewer, Menu::CouponCodes, "Coupon Codes").with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    let CodeList { coupon_codes: codes, paging } = list;
    Ok(html(&ListPage { page, query, codes, paging, offers, partners, may_edit }))
}

/// The notice after a change of many statuses, with a button that changes them back.
fn status_notice(query: &ListQuery) -> Option<Notice> {
    let changed: u64 = query.value("changed").parse().ok()?;
    let status = match query.value("became") {
        "active" => "Active",
        "paused" => "Paused",
        _ => return None,
    };
    let sentence = format!("{} codes set to {status}.", format::count(changed));
    Some(Notice { kind: "good", sentence, action: None })
}

/// All codes that the list's filters select, as CSV.
pub(super) async fn export(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = format!("{API}/export.csv{}", query.selection());
    let request = Request::get(path).body(Body::empty()).map_err(|_| PageError::not_found())?;
    Ok(state.api.forward(&viewer, request).await)
}

/// Sets the status of the ticked codes, or of all that the list's filters select.
pub(super) async fn set_status(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let status = submitted.value("coupon_status");
    let selection = ListQuery::parse("/console/coupon-codes", submitted.value("selection"));
    let body = if submitted.has("all") {
        let filters = selection.filters();
        // Without a filter, all codes are meant; the API wants that to be said.
        let filters =
            if selection.is_narrowed() { filters } else { vec!["network_coupon_code_id>0"] };
        json!({"coupon_status": status, "filter": filters, "search": selection.value("search")})
    } else {
        let ids: Vec<u32> =
            submitted.values("id").iter().filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() {
            let sentence =
                "No code was ticked. Go back, tick the codes, and choose the action again.";
            return Err(PageError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, sentence));
        }
        json!({"coupon_status": status, "network_coupon_code_ids": ids})
    };
    let request = ApiRequest::patch(format!("{API}/status?wait=live"), body);
    let answer = state.api.send(&viewer, request).await?;
    let changed = answer.number("changed_count");
    let back = selection.with("changed", &changed.to_string());
    Ok(Redirect::to(&format!("{back}&became={}", encode(status))).into_response())
}
