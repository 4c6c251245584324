//! The list of offer groups.

use askama::Template;
use axum::extract::State;

use super::OFFER_GROUPS;
use super::group::GroupRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "offer_groups/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    groups: Vec<GroupRow>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_offer_group_id").api_query();
    let ObjectList { rows: groups, paging } = OFFER_GROUPS.list(&state, &viewer, &asked).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, OFFER_GROUPS.menu, OFFER_GROUPS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, groups, paging, may_edit }))
}
