//! The page of an offer group.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::OFFER_GROUPS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::caps::limits::{self, LimitUse};
use crate::console::pages::catalog_object::{Dependents, Found};
use crate::console::viewer::Viewer;

/// An offer group in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct GroupRow {
    pub(super) network_offer_group_id: u32,
    pub(super) name: String,
    pub(super) network_advertiser_id: u32,
    offer_group_status: String,
    pub(super) time_created: i64,
    pub(super) time_saved: i64,
}

impl GroupRow {
    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, &'static str) {
        if self.offer_group_status == "active" { ("good", "Active") } else { ("off", "Inactive") }
    }
}

#[derive(Template)]
#[template(path = "offer_groups/group.html")]
struct GroupPage {
    page: Page,
    group: GroupRow,
    advertiser: String,
    dependents: Dependents,
    uses: Vec<LimitUse>,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let relationship = format!("?{}", limits::USED);
    let answer = match OFFER_GROUPS.find(&state, &viewer, id, &query, &relationship).await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let uses = limits::uses(&answer.body);
    let group: GroupRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let advertisers = Options::load(&state.api, &viewer, Referred::Advertiser).await?;
    let advertiser =
        format::visible(&advertisers.label_of(&group.network_advertiser_id.to_string()));
    let dependents = OFFER_GROUPS.dependents(&state, &viewer, id).await?;
    let title = format!("{} – Offer groups", format::visible(&group.name));
    let page = Page::new(&viewer, OFFER_GROUPS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&GroupPage { page, group, advertiser, dependents, uses, may_edit }))
}
