//! The page of a custom cap.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::CAPS;
use super::limits::{self, LimitUse};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::Found;
use crate::console::viewer::Viewer;

/// A custom cap in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct CapRow {
    pub(super) network_custom_cap_setting_id: u32,
    pub(super) name: String,
    pub(super) network_offer_id: u32,
    pub(super) network_affiliate_id: u32,
    pub(super) network_coupon_code_id: u32,
    pub(super) is_soft_cap: bool,
    pub(super) time_created: i64,
    pub(super) time_saved: i64,
}

impl CapRow {
    pub(super) fn kind(&self) -> &'static str {
        if self.is_soft_cap { "Only alerts" } else { "Refuses" }
    }
}

/// The names of offers and partners.
pub(super) struct Names {
    pub(super) offers: Options,
    pub(super) partners: Options,
}

impl Names {
    pub(super) async fn load(state: &ConsoleState, viewer: &Viewer) -> Result<Names, Refusal> {
        Ok(Names {
            offers: Options::load(&state.api, viewer, Referred::Offer).await?,
            partners: Options::load(&state.api, viewer, Referred::Partner).await?,
        })
    }

    pub(super) fn offer(&self, id: &u32) -> String {
        format::visible(&self.offers.label_of(&id.to_string()))
    }

    pub(super) fn partner(&self, id: &u32) -> String {
        format::visible(&self.partners.label_of(&id.to_string()))
    }
}

#[derive(Template)]
#[template(path = "caps/cap.html")]
struct CapPage {
    page: Page,
    cap: CapRow,
    uses: Vec<LimitUse>,
    names: Names,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let relationship = format!("?{}", limits::USED);
    let answer = match CAPS.find(&state, &viewer, id, &query, &relationship).await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let uses = limits::uses(&answer.body);
    let cap: CapRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let names = Names::load(&state, &viewer).await?;
    let title = format!("{} – Caps", format::visible(&cap.name));
    let page = Page::new(&viewer, CAPS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&CapPage { page, cap, uses, names, may_edit }))
}
