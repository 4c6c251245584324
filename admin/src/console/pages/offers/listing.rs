//! The list of offers.

use askama::Template;
use axum::extract::State;

use super::OFFERS;
use super::offer::OfferRow;
use crate::access::Right;
use crate::catalog::ListName;
use crate::console::ConsoleState;
use crate::console::arrangement::{Arrangement, Column};
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;
use crate::console::words;

const COLUMNS: &[Column] = &[
    Column::new("network_offer_id", "Id").sorted_by("network_offer_id"),
    Column::new("offer_status", "Status").sorted_by("offer_status"),
    Column::new("network_advertiser_id", "Advertiser").sorted_by("network_advertiser_id"),
    Column::new("destination_url", "Destination"),
    Column::new("visibility", "Partners").sorted_by("visibility"),
    Column::new("payout", "Payout"),
    Column::new("revenue", "Revenue"),
    Column::new("time_saved", "Saved").sorted_by("time_saved"),
];

#[derive(Template)]
#[template(path = "offers/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    arrangement: Arrangement,
    offers: Vec<OfferRow>,
    paging: Paging,
    advertisers: Options,
    may_edit: bool,
    api_request: String,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let arrangement = Arrangement::load(&state, &viewer, ListName::Offers, COLUMNS, &query).await?;
    if let Some(view) = arrangement.opening(&query) {
        return Ok(view);
    }
    let query = query.of_list(arrangement.opens_with_view());
    let asked = query.or_sorted("-network_offer_id");
    let api_request = asked.as_curl(OFFERS.api);
    let asked = asked.api_query_with(&["advertiser"]);
    let ObjectList { rows: offers, paging } = OFFERS.list(&state, &viewer, &asked).await?;
    let advertisers = Options::load(&state.api, &viewer, Referred::Advertiser).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, OFFERS.menu, OFFERS.heading).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage {
        page,
        query,
        arrangement,
        offers,
        paging,
        advertisers,
        may_edit,
        api_request,
    }))
}
