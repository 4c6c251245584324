//! The list of uploads.

use askama::Template;
use axum::extract::State;
use serde::Deserialize;

use super::API;
use super::upload::Upload;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;

#[derive(Deserialize)]
struct UploadList {
    uploads: Vec<Upload>,
    paging: Paging,
}

#[derive(Template)]
#[template(path = "uploads/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    uploads: Vec<Upload>,
    paging: Paging,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let path = format!("{API}{}", query.api_query());
    let UploadList { uploads, paging } = state.api.get(&viewer, &path).await?;
    let page = Page::new(&viewer, Menu::CouponCodes, "Uploads – Coupon Codes")
        .with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, uploads, paging, may_edit }))
}
