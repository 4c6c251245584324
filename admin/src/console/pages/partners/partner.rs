//! The page of a partner.

use askama::Template;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::PARTNERS;
use super::access::{self, AccessRow};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::Refusal;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::{Dependents, Found};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A partner in an answer of the API.
#[derive(Debug, Deserialize)]
pub(super) struct PartnerRow {
    pub(super) network_affiliate_id: u32,
    pub(super) name: String,
    account_status: String,
    internal_notes: String,
    pub(super) time_created: i64,
    pub(super) time_saved: i64,
}

impl PartnerRow {
    /// Class and word of the status.
    pub(super) fn state(&self) -> (&'static str, String) {
        words::account_state(&self.account_status)
    }
}

/// A user of the partner.
#[derive(Debug, Deserialize)]
struct UserRow {
    network_user_id: u32,
    name: String,
    time_last_sign_in: i64,
}

#[derive(Deserialize)]
struct UserList {
    users: Vec<UserRow>,
}

async fn users(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<Vec<UserRow>, Refusal> {
    let path = format!("/v1/networks/users?filter=network_affiliate_id%3D{id}");
    let list: UserList = state.api.get(viewer, &path).await?;
    Ok(list.users)
}

#[derive(Template)]
#[template(path = "partners/partner.html")]
struct PartnerPage {
    page: Page,
    partner: PartnerRow,
    dependents: Dependents,
    query: ListQuery,
    access: Vec<AccessRow>,
    paging: Paging,
    may_edit: bool,
    may_manage_users: bool,
    /// Empty without [`Right::ManageUsers`].
    users: Vec<UserRow>,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let answer = match PARTNERS.find(&state, &viewer, id, &query, "").await? {
        Found::Present(answer) => answer,
        Found::Deleted(page) => return Ok(page),
    };
    let partner: PartnerRow = serde_json::from_value(answer.body).map_err(PageError::inside)?;
    let dependents = PARTNERS.dependents(&state, &viewer, id).await?;
    let (access, paging) = access::rows(&state, &viewer, id, &query).await?;
    let title = format!("{} – Partners", format::visible(&partner.name));
    let page = Page::new(&viewer, PARTNERS.menu, title).with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    let may_manage_users = viewer.may(Right::ManageUsers);
    let users = if may_manage_users { users(&state, &viewer, id).await? } else { Vec::new() };
    let shown = PartnerPage {
        page,
        partner,
        dependents,
        query,
        access,
        paging,
        may_edit,
        may_manage_users,
        users,
    };
    Ok(html(&shown))
}
