//! The list of offers.

use askama::Template;
use axum::extract::State;

use super::OFFERS;
use super::offer::OfferRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;
use crate::console::words;

#[derive(Template)]
#[template(path = "offers/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    offers: Vec<OfferRow>,
    paging: Paging,
    advertisers: Options,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_offer_id").api_query_with(&["advertiser"]);
    let ObjectList { rows: offers, paging } = OFFERS.list(&state, &viewer, &asked).await?;
    let advertisers = Options::load(&state.api, &viewer, Referred::Advertiser).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, OFFERS.menu, OFFERS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, offers, paging, advertisers, may_edit }))
}
