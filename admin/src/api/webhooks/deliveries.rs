//! `/v1/networks/webhookdeliveries`: messages to webhooks, sent and pending.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::WebhookResource;
use crate::api::answer::{Answer, List, ListOf};
use crate::api::crud;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Id, Json, ListParameters, ListSpec, Wait};
use crate::api::schema::{Row, listing};
use crate::edit::EditError;
use crate::edit::webhooks as edit;
use crate::store::outbox;
use crate::store::rows::{Listed, Query};
use crate::store::webhooks::{
    DELIVERY_FILTERS, DELIVERY_WEBHOOK, ReplayedDeliveries, WebhookDelivery, WebhookOutbox,
};
use crate::store::{Store, WriteTx};
use crate::webhooks::Webhooks;

const LIST: ListSpec = ListSpec {
    filters: DELIVERY_FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};

listing!(Listing, LIST);
type DeliveryList = ListOf<WebhookDelivery>;

impl Row for WebhookDelivery {
    const PLURAL: &'static str = "webhook_deliveries";
}

/// Lists the deliveries of all webhooks, sent and pending, newest first.
#[utoipa::path(get, path = "/webhookdeliveries", params(Listing), responses((status = 200, body = DeliveryList)))]
pub(super) async fn list(
    State(store): State<Store>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list(&store, parameters.parse(&LIST)?.query).await
}

/// Lists the deliveries of one webhook, sent and pending, newest first.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", params(Id, Listing), responses((status = 200, body = DeliveryList)))]
pub(super) async fn list_for_webhook(
    State(store): State<Store>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut query = parameters.parse(&LIST)?.query;
    crud::find::<WebhookResource>(&store, id).await?;
    query.filters.push(DELIVERY_WEBHOOK.equals(i64::from(id)));
    answer_list(&store, query).await
}

async fn answer_list(store: &Store, query: Query) -> Result<Response, ApiError> {
    let page = query.page;
    let listed: Listed<WebhookDelivery> = store
        .read(move |connection| outbox::deliveries::<WebhookOutbox>(connection, &query))
        .await?;
    Ok(List::new(WebhookDelivery::PLURAL, listed.rows, page, listed.total_count).into_response())
}

/// One delivery.
#[utoipa::path(get, path = "/webhookdeliveries/{id}", params(Id), responses((status = 200, body = WebhookDelivery)))]
pub(super) async fn read(
    State(store): State<Store>,
    Id(id): Id,
) -> Result<JsonAnswer<WebhookDelivery>, ApiError> {
    let found =
        store.read(move |connection| outbox::delivery::<WebhookOutbox>(connection, id)).await?;
    let found: WebhookDelivery = found.ok_or(EditError::NotFound { what: "delivery", id })?;
    Ok(JsonAnswer(found))
}

/// The dead deliveries to send again.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookReplayRequest {
    /// Those that were queued at this time or later, in Unix seconds; 0: all.
    #[serde(default)]
    #[schema(minimum = 0)]
    since: u32,
}

/// The result of a replay.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct WebhookReplay {
    result: bool,
    /// The number of deliveries to send again.
    replayed: u64,
}

impl Answer for WebhookReplay {}

/// Sends a delivery again with the same id and body, in any state.
#[utoipa::path(post, path = "/webhookdeliveries/{id}/replay", params(Id, Wait), responses((status = 200, body = WebhookReplay)))]
pub(super) async fn replay(
    State(edits): State<Edits>,
    State(sender): State<Webhooks>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    send_again(&edits, &sender, wait, ReplayedDeliveries::One(id)).await
}

/// Sends the dead deliveries of a webhook again, all or those since a time.
#[utoipa::path(post, path = "/webhooks/{id}/replay", params(Id, Wait), request_body = WebhookReplayRequest, responses((status = 200, body = WebhookReplay)))]
pub(super) async fn replay_dead(
    State(edits): State<Edits>,
    State(sender): State<Webhooks>,
    wait: Wait,
    Id(webhook_id): Id,
    Json(request): Json<WebhookReplayRequest>,
) -> Result<Response, ApiError> {
    let since = i64::from(request.since);
    send_again(&edits, &sender, wait, ReplayedDeliveries::DeadSince { webhook_id, since }).await
}

async fn send_again(
    edits: &Edits,
    sender: &Webhooks,
    wait: Wait,
    which: ReplayedDeliveries,
) -> Result<Response, ApiError> {
    let replay = move |tx: &WriteTx<'_>| edit::replay(tx, which);
    let render = |replayed| WebhookReplay { result: true, replayed };
    let answer = edits.create(wait, replay, render).await?;
    sender.wake();
    Ok(answer)
}
