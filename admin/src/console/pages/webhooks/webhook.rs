//! The page of a webhook, its test, its secret, deletion and restoration.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::json;

use super::deliveries::{DeliveryList, DeliveryRow};
use super::{API, LIST, WebhookList, WebhookRow};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest};
use crate::console::error_page::PageError;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::page::{Notice, Page, PageResult, html, notice_of, saved};
use crate::console::pages::delivery::TestResult;
use crate::console::secret::{self, OneTimeSecret};
use crate::console::viewer::Viewer;

#[derive(Template)]
#[template(path = "webhooks/webhook.html")]
struct WebhookPage {
    page: Page,
    webhook: WebhookRow,
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
    let webhook = match state.api.get(&viewer, &format!("{API}/{id}")).await {
        Ok(webhook) => webhook,
        Err(refusal) => deleted(&state, &viewer, id).await?.ok_or(refusal)?,
    };
    let webhook: WebhookRow = webhook;
    let may_edit = viewer.may(Right::EditCatalog);
    let mut notice = notice_of(query.pairs());
    let (mut deliveries, mut paging, mut dead) = (Vec::new(), Paging::default(), 0);
    if webhook.time_deleted == 0 {
        let path = format!("{API}/{id}/deliveries{}", query.api_query());
        let list: DeliveryList = state.api.get(&viewer, &path).await?;
        (deliveries, paging) = (list.webhook_deliveries, list.paging);
        let path = format!("{API}/{id}/deliveries?filter=state%3Ddead&page_size=1");
        dead = state.api.get::<DeliveryList>(&viewer, &path).await?.paging.total_count;
    } else if may_edit {
        let action = Some((format!("{LIST}/{id}/restore"), "Undo"));
        notice = notice.map(|notice| Notice { action, ..notice });
    }
    let title = format!("{} – Webhooks", webhook.shown_name());
    let page = Page::new(&viewer, Menu::Webhooks, title).with_notice(notice);
    Ok(html(&WebhookPage { page, webhook, deliveries, paging, query, dead, may_edit }))
}

/// A deleted webhook, from where it can be restored.
async fn deleted(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
) -> Result<Option<WebhookRow>, PageError> {
    let path = format!("{API}?filter=network_webhook_id%3D{id}&filter=deleted%3Dtrue");
    let mut list: WebhookList = state.api.get(viewer, &path).await?;
    Ok(list.webhooks.pop())
}

/// The question before a webhook gets a new secret.
#[derive(Template)]
#[template(path = "webhooks/rotate.html")]
struct RotatePage {
    page: Page,
    webhook: WebhookRow,
}

pub(super) async fn ask_secret(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    viewer.require(Right::EditCatalog)?;
    let webhook: WebhookRow = state.api.get(&viewer, &format!("{API}/{id}")).await?;
    let title = format!("New secret of {} – Webhooks", webhook.shown_name());
    Ok(html(&RotatePage { page: Page::new(&viewer, Menu::Webhooks, title), webhook }))
}

pub(super) async fn rotate(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/secret"), json!({}));
    let answer = state.api.send(&viewer, request).await?;
    Ok(show_secret(&viewer, "The webhook has a new secret", &answer))
}

pub(super) fn show_secret(viewer: &Viewer, title: &str, answer: &ApiAnswer) -> Response {
    let back = format!("{LIST}/{}", answer.number("network_webhook_id"));
    let shown = OneTimeSecret {
        title,
        label: "Secret",
        secret: answer.body["secret"].as_str().unwrap_or_default(),
        advice: "The server checks the signature of each event with this secret. If it gets lost or \
                 into wrong hands, make a new secret on the page of the webhook.",
        back: &back,
        back_label: "Webhook",
    };
    secret::show(viewer, Menu::Webhooks, shown)
}

/// The result of a test.
#[derive(Template)]
#[template(path = "webhooks/test.html")]
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
    let title = format!("Test of webhook {id} – Webhooks");
    Ok(html(&TestPage { page: Page::new(&viewer, Menu::Webhooks, title), id, result }))
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
