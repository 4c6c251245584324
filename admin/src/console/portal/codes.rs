//! Coupon Codes: the partner's active codes with links to copy, and a sheet to print.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use serde::Deserialize;

use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, html};
use crate::console::qr::QrPicture;
use crate::console::viewer::Viewer;

const API: &str = "/v1/affiliates/couponcodes";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/codes", get(show))
        .route("/codes/sheet", get(sheet))
        .route("/codes/{id}/qr.svg", get(qr_svg))
        .route("/codes/{id}/qr.png", get(qr_png))
}

/// A code as partners see it.
#[derive(Debug, Deserialize)]
pub(super) struct OwnCode {
    network_coupon_code_id: u32,
    pub(super) network_offer_id: u32,
    pub(super) coupon_code: String,
    tracking_link: String,
    start_date: String,
    pub(super) end_date: String,
    pub(super) time_created: i64,
    description: String,
    is_description_plain_text: bool,
    relationship: Related,
}

#[derive(Debug, Deserialize)]
pub(super) struct Related {
    pub(super) offer: OfferName,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfferName {
    pub(super) name: String,
}

impl OwnCode {
    pub(super) fn offer_name(&self) -> String {
        format::visible(&self.relationship.offer.name)
    }

    fn has_link(&self) -> bool {
        !self.tracking_link.is_empty()
    }

    /// A sentence to paste into a post.
    fn share_text(&self) -> String {
        let code = &self.coupon_code;
        match self.has_link() {
            true => format!("Use my code {code} at {}: {}", self.offer_name(), self.tracking_link),
            false => format!("Use my code {code} at {}.", self.offer_name()),
        }
    }

    /// The days on which the code works, as a sentence; empty for always.
    fn days(&self) -> String {
        match (self.start_date.as_str(), self.end_date.as_str()) {
            ("", "") => String::new(),
            (start, "") => format!("From {start}"),
            ("", end) => format!("Until {end}"),
            (start, end) => format!("From {start} until {end}"),
        }
    }
}

#[derive(Deserialize)]
struct CodeList {
    coupon_codes: Vec<OwnCode>,
}

#[derive(Template)]
#[template(path = "portal/codes.html")]
struct CodesPage {
    page: Page,
    codes: Vec<OwnCode>,
}

pub(super) async fn own_codes(
    state: &ConsoleState,
    viewer: &Viewer,
) -> Result<Vec<OwnCode>, PageError> {
    let list: CodeList = state.api.get(viewer, API).await?;
    Ok(list.coupon_codes)
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let codes = own_codes(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::PortalCodes, "Coupon Codes");
    Ok(html(&CodesPage { page, codes }))
}

#[derive(Template)]
#[template(path = "portal/sheet.html")]
struct SheetPage {
    page: Page,
    codes: Vec<OwnCode>,
}

/// The codes with links as cards for print.
async fn sheet(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let mut codes = own_codes(&state, &viewer).await?;
    codes.retain(OwnCode::has_link);
    let page = Page::new(&viewer, Menu::PortalCodes, "Sheet to print");
    Ok(html(&SheetPage { page, codes }))
}

async fn qr_svg(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(qr(&state, &viewer, id).await?.svg_answer())
}

async fn qr_png(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    qr(&state, &viewer, id).await?.png_answer()
}

/// The QR code of an own code; the id of another partner's code is unknown here.
async fn qr(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<QrPicture, PageError> {
    let codes = own_codes(state, viewer).await?;
    let code = codes.iter().find(|code| code.network_coupon_code_id == id);
    let link = code.filter(|code| code.has_link()).map(|code| code.tracking_link.as_str());
    link.and_then(QrPicture::new).ok_or_else(PageError::not_found)
}
