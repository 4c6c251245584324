//! The list of advertisers.

use askama::Template;
use axum::extract::State;

use super::ADVERTISERS;
use super::advertiser::AdvertiserRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;
use crate::console::words;

#[derive(Template)]
#[template(path = "advertisers/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    advertisers: Vec<AdvertiserRow>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_advertiser_id").api_query();
    let ObjectList { rows: advertisers, paging } =
        ADVERTISERS.list(&state, &viewer, &asked).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, ADVERTISERS.menu, ADVERTISERS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, advertisers, paging, may_edit }))
}
