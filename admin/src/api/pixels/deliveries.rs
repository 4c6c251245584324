//! `/v1/networks/pixeldeliveries`: requests to partners' servers, sent and pending.

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::answer::{Answer, List, ListOf};
use crate::api::crud;
use crate::api::error::ApiError;
use crate::api::live::Edits;
use crate::api::request::{Id, ListParameters, ListSpec, Wait};
use crate::api::schema::{Row, listing};
use crate::catalog::Pixel;
use crate::edit::EditError;
use crate::edit::pixels::{self as edit, Replay};
use crate::partner_postbacks::PartnerPostbacks;
use crate::store::outbox;
use crate::store::partner_postbacks::{
    DELIVERY_FILTERS, DELIVERY_PIXEL, DELIVERY_SEARCH, Delivery, PostbackOutbox,
};
use crate::store::rows::{Listed, Query};
use crate::store::{Store, WriteTx};

const LIST: ListSpec = ListSpec {
    filters: DELIVERY_FILTERS,
    relationships: &[],
    search: Some(DELIVERY_SEARCH),
    is_whole_by_default: false,
    has_cursors: false,
};

listing!(Listing, LIST);
type DeliveryList = ListOf<Delivery>;

impl Row for Delivery {
    const PLURAL: &'static str = "pixel_deliveries";
}

/// Lists the deliveries of all partner postbacks, sent and pending, newest first.
#[utoipa::path(get, path = "/pixeldeliveries", params(Listing), responses((status = 200, body = DeliveryList)))]
pub(super) async fn list(
    State(store): State<Store>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    answer_list(&store, parameters.parse(&LIST)?.query).await
}

/// Lists the deliveries of one partner postback, sent and pending, newest first.
#[utoipa::path(get, path = "/pixels/{id}/deliveries", params(Id, Listing), responses((status = 200, body = DeliveryList)))]
pub(super) async fn list_for_pixel(
    State(store): State<Store>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let mut query = parameters.parse(&LIST)?.query;
    crud::find::<Pixel>(&store, id).await?;
    query.filters.push(DELIVERY_PIXEL.equals(i64::from(id)));
    answer_list(&store, query).await
}

async fn answer_list(store: &Store, query: Query) -> Result<Response, ApiError> {
    let page = query.page;
    let listed: Listed<Delivery> = store
        .read(move |connection| outbox::deliveries::<PostbackOutbox>(connection, &query))
        .await?;
    Ok(List::new("pixel_deliveries", listed.rows, page, listed.total_count).into_response())
}

/// One delivery.
#[utoipa::path(get, path = "/pixeldeliveries/{id}", params(Id), responses((status = 200, body = Delivery)))]
pub(super) async fn read(
    State(store): State<Store>,
    Id(id): Id,
) -> Result<JsonAnswer<Delivery>, ApiError> {
    let found =
        store.read(move |connection| outbox::delivery::<PostbackOutbox>(connection, id)).await?;
    let found: Delivery = found.ok_or(EditError::NotFound { what: "delivery", id })?;
    Ok(JsonAnswer(found))
}

/// The result of a replay.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct PixelReplay {
    result: bool,
    /// The number of deliveries to send again.
    replayed: u64,
}

impl Answer for PixelReplay {}

/// Sends a delivery again with the same URL, in any state.
#[utoipa::path(post, path = "/pixeldeliveries/{id}/replay", params(Id, Wait), responses((status = 200, body = PixelReplay)))]
pub(super) async fn replay(
    State(edits): State<Edits>,
    State(postbacks): State<PartnerPostbacks>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    send_again(&edits, &postbacks, wait, Replay::Delivery(id)).await
}

/// Sends all dead deliveries of a partner postback again.
#[utoipa::path(post, path = "/pixels/{id}/replay", params(Id, Wait), responses((status = 200, body = PixelReplay)))]
pub(super) async fn replay_dead(
    State(edits): State<Edits>,
    State(postbacks): State<PartnerPostbacks>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    send_again(&edits, &postbacks, wait, Replay::DeadOf(id)).await
}

async fn send_again(
    edits: &Edits,
    postbacks: &PartnerPostbacks,
    wait: Wait,
    which: Replay,
) -> Result<Response, ApiError> {
    let replay = move |tx: &WriteTx<'_>| edit::replay(tx, which);
    let render = |replayed| PixelReplay { result: true, replayed };
    let answer = edits.create(wait, replay, render).await?;
    postbacks.wake();
    Ok(answer)
}
