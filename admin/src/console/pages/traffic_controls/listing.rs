//! The list of traffic controls.

use askama::Template;
use axum::extract::State;

use super::TRAFFIC_CONTROLS;
use super::control::ControlRow;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::pages::catalog_object::ObjectList;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "traffic_controls/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    controls: Vec<ControlRow>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let asked = query.or_sorted("-network_traffic_control_id").api_query();
    let ObjectList { rows: controls, paging } =
        TRAFFIC_CONTROLS.list(&state, &viewer, &asked).await?;
    let notice = notice_of(query.pairs());
    let page = Page::new(&viewer, TRAFFIC_CONTROLS.menu, TRAFFIC_CONTROLS.heading);
    let page = page.with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, controls, paging, may_edit }))
}
