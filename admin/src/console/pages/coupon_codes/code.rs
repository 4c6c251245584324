//! The page of a code, its link and its QR code, deletion and restoration.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::listing::API;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::history::HistoryRow;
use crate::console::list::ListQuery;
use crate::console::page::{Notice, Page, PageResult, html, notice_of, saved};
use crate::console::qr::QrPicture;
use crate::console::viewer::Viewer;
use crate::console::words;

/// A code as the API answers it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CodeRow {
    pub(crate) network_coupon_code_id: u32,
    pub(crate) coupon_code: String,
    pub(crate) coupon_status: String,
    pub(crate) network_offer_id: u32,
    #[serde(default)]
    pub(crate) network_affiliate_id: u32,
    pub(crate) start_date: String,
    pub(crate) end_date: String,
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) is_description_plain_text: bool,
    #[serde(default)]
    pub(crate) internal_notes: String,
    pub(crate) tracking_link: String,
    #[serde(default)]
    pub(crate) tracking_link_unavailable_reason: String,
    pub(crate) time_created: i64,
    pub(crate) time_saved: i64,
    #[serde(default)]
    pub(crate) relationship: Related,
}

/// Names of related objects.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Related {
    pub(crate) offer: Option<Named>,
    pub(crate) affiliate: Option<Named>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

impl CodeRow {
    /// Class and word of the state: what a visitor meets now.
    pub(crate) fn state(&self) -> (&'static str, &'static str) {
        words::code_state(&self.tracking_link_unavailable_reason)
    }

    pub(crate) fn has_link(&self) -> bool {
        !self.tracking_link.is_empty()
    }

    /// Why there is no link.
    pub(crate) fn no_link(&self) -> &'static str {
        words::no_link(&self.tracking_link_unavailable_reason)
    }

    /// How to make the link lead to its offer; empty if it does.
    pub(crate) fn remedy(&self) -> &'static str {
        words::remedy(&self.tracking_link_unavailable_reason)
    }

    pub(crate) fn offer_name(&self) -> String {
        let name = self.relationship.offer.as_ref().map(|offer| offer.name.as_str());
        name.map_or_else(|| format!("Offer {}", self.network_offer_id), format::visible)
    }

    /// The partner's name, or a dash for an unassigned code.
    pub(crate) fn partner_name(&self) -> String {
        let name = self.relationship.affiliate.as_ref().map(|partner| partner.name.as_str());
        match self.network_affiliate_id {
            0 => "-".into(),
            id => name.map_or_else(|| format!("Partner {id}"), format::visible),
        }
    }
}

#[derive(Template)]
#[template(path = "coupon_codes/code.html")]
struct CodePage {
    page: Page,
    code: CodeRow,
    history: Vec<HistoryRow>,
    siblings: Vec<CodeRow>,
    may_edit: bool,
}

#[derive(Deserialize)]
struct AuditList {
    audit: Vec<HistoryRow>,
}

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<CodeRow>,
}

/// Entries of a code's history on its page.
const HISTORY_ROWS: u32 = 20;

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let code = match find(&state, &viewer, id).await {
        Ok(code) => code,
        Err(error) => return deleted(&state, &viewer, id, &query).await?.ok_or(error),
    };
    let audit = format!(
        "/v1/networks/audit?filter=object%3Dcoupon_code&filter=first_id%3D{id}\
         &filter=last_id%3D{id}&page_size={HISTORY_ROWS}"
    );
    let history: AuditList = state.api.get(&viewer, &audit).await?;
    let same = rows_of(&state, &viewer, &code.coupon_code).await?;
    let others = same.into_iter();
    let siblings = others.filter(|other| other.network_coupon_code_id != id).collect();
    let title = format!("{} – Coupon Codes", code.coupon_code);
    let page = Page::new(&viewer, Menu::CouponCodes, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&CodePage { page, code, history: history.audit, siblings, may_edit }))
}

#[derive(Template)]
#[template(path = "coupon_codes/deleted.html")]
struct DeletedPage {
    page: Page,
    code: CodeRow,
    may_edit: bool,
}

/// The page of a deleted code, from where it can be restored.
async fn deleted(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    query: &ListQuery,
) -> Result<Option<axum::response::Response>, PageError> {
    let path = format!(
        "{API}?filter=network_coupon_code_id%3D{id}&filter=deleted%3Dtrue&relationship=offer"
    );
    let mut list: CodeList = state.api.get(viewer, &path).await?;
    let Some(code) = list.coupon_codes.pop() else { return Ok(None) };
    let notice = notice_of(query.pairs()).map(|notice| Notice {
        action: Some((format!("/console/coupon-codes/{id}/restore"), "Undo")),
        ..notice
    });
    let title = format!("{} (deleted) – Coupon Codes", code.coupon_code);
    let page = Page::new(viewer, Menu::CouponCodes, title).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(Some(html(&DeletedPage { page, code, may_edit })))
}

/// The rows of a code on all its offers.
pub(in crate::console::pages) async fn rows_of(
    state: &ConsoleState,
    viewer: &Viewer,
    code: &str,
) -> Result<Vec<CodeRow>, Refusal> {
    let path = format!(
        "{API}?filter=coupon_code%3D{}&relationship=offer&relationship=affiliate",
        crate::console::list::encode(code)
    );
    let list: CodeList = state.api.get(viewer, &path).await?;
    Ok(list.coupon_codes)
}

pub(super) async fn find(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<CodeRow, PageError> {
    let path = format!("{API}/{id}?relationship=offer&relationship=affiliate");
    Ok(state.api.get(viewer, &path).await?)
}

#[derive(Template)]
#[template(path = "coupon_codes/link.html")]
struct LinkPage {
    page: Page,
    code: CodeRow,
}

/// The link of a code on a page of its own, for browsers without pop-ups.
pub(super) async fn link(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let code = find(&state, &viewer, id).await?;
    let title = format!("Link of {} – Coupon Codes", code.coupon_code);
    Ok(html(&LinkPage { page: Page::new(&viewer, Menu::CouponCodes, title), code }))
}

pub(super) async fn qr_svg(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(qr(&state, &viewer, id).await?.svg_answer())
}

pub(super) async fn qr_png(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    qr(&state, &viewer, id).await?.png_answer()
}

/// The QR code of a code's link.
async fn qr(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<QrPicture, PageError> {
    let code = find(state, viewer, id).await?;
    let link = Some(&code.tracking_link).filter(|link| !link.is_empty());
    let picture = link.and_then(|link| QrPicture::new(link));
    picture.ok_or_else(|| PageError::new(StatusCode::NOT_FOUND, code.remedy()))
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::delete(format!("{API}/{id}?wait=live"));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&format!("/console/coupon-codes/{id}"), "deleted", answer.is_live))
}

pub(super) async fn restore(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/restore?wait=live"), serde_json::json!({}));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&format!("/console/coupon-codes/{id}"), "restored", answer.is_live))
}
