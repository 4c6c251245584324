//! The page of a partner postback, its test, deletion and restoration.

use askama::Template;
use axum::extract::{Path, State};
use serde_json::json;

use super::deliveries::{DeliveryList, DeliveryRow};
use super::{API, LIST, Names, PostbackList, PostbackRow};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Notice, Page, PageResult, html, notice_of, saved};
use crate::console::pages::delivery::TestResult;
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "partner_postbacks/postback.html")]
struct PostbackPage {
    page: Page,
    postback: PostbackRow,
    names: Names,
    deliveries: Vec<DeliveryRow>,
    paging: Paging,
    query: ListQuery,
    dead: u64,
    may_edit: bool,
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let postback = match state.api.get(&viewer, &format!("{API}/{id}")).await {
        Ok(postback) => postback,
        Err(refusal) => deleted(&state, &viewer, id).await?.ok_or(refusal)?,
    };
    let postback: PostbackRow = postback;
    let mut notice = notice_of(query.pairs());
    let (mut deliveries, mut paging, mut dead) = (Vec::new(), Paging::default(), 0);
    if postback.time_deleted == 0 {
        let path = format!("{API}/{id}/deliveries{}", query.api_query());
        let list: DeliveryList = state.api.get(&viewer, &path).await?;
        (deliveries, paging) = (list.pixel_deliveries, list.paging);
        let path = format!("{API}/{id}/deliveries?filter=state%3Ddead&page_size=1");
        dead = state.api.get::<DeliveryList>(&viewer, &path).await?.paging.total_count;
    } else if viewer.may(Right::EditCatalog) {
        let action = Some((format!("{LIST}/{id}/restore"), "Undo"));
        notice = notice.map(|notice| Notice { action, ..notice });
    }
    let names = Names::load(&state, &viewer).await?;
    let title = format!("Postback {id} – Partner postbacks");
    let page = Page::new(&viewer, Menu::PartnerPostbacks, title).with_notice(notice);
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&PostbackPage { page, postback, names, deliveries, paging, query, dead, may_edit }))
}

/// A deleted postback, from where it can be restored.
async fn deleted(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<Option<PostbackRow>, PageError> {
    let path = format!("{API}?filter=network_pixel_id%3D{id}&filter=deleted%3Dtrue");
    let mut list: PostbackList = state.api.get(viewer, &path).await?;
    Ok(list.pixels.pop())
}

/// The result of a test.
#[derive(Template)]
#[template(path = "partner_postbacks/test.html")]
struct TestPage {
    page: Page,
    id: u32,
    result: TestResult,
}

pub(super) async fn test(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let result = state.api.query(&viewer, &format!("{API}/{id}/test"), json!({})).await?;
    let title = format!("Test of postback {id} – Partner postbacks");
    let page = Page::new(&viewer, Menu::PartnerPostbacks, title);
    Ok(html(&TestPage { page, id, result }))
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    state.api.send(&viewer, ApiRequest::delete(format!("{API}/{id}"))).await?;
    Ok(saved(&format!("{LIST}/{id}"), "deleted", None))
}

pub(super) async fn restore(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/restore"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{id}"), "restored", None))
}
