//! The list of partners.

use askama::Template;
use axum::extract::State;

use super::PARTNERS;
use super::partner::PartnerRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;
use crate::console::words;

#[derive(Template)]
#[template(path = "partners/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    partners: Vec<PartnerRow>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_affiliate_id").api_query();
    let ObjectList { rows: partners, paging } = PARTNERS.list(&state, &viewer, &asked).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, PARTNERS.menu, PARTNERS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, partners, paging, may_edit }))
}
