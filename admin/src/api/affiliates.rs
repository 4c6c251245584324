//! `/v1/networks/affiliates`: partners.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::{Answer, List, Object, done};
use super::error::ApiError;
use super::request::{Fields, Id, Json, ListOffer, ListParameters, Wait};
use super::{AppState, Network, live};
use crate::catalog::Affiliate;
use crate::edit::{self, Change, EditError, Editable};
use crate::store::WriteTx;
use crate::store::rows::{self, Kept, Stored};

const LIST: ListOffer = ListOffer {
    filters: Affiliate::FILTERS,
    relationships: &[],
    search: Some(rows::NAME),
    is_whole_by_default: false,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/affiliates", get(list).post(create))
        .route("/affiliates/{id}", get(read).put(replace).patch(patch).delete(remove))
}

async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.of(&LIST)?.query;
    let page = query.page;
    let listed =
        state.store.read(move |connection| rows::list::<Affiliate>(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(|row| shown(state.network, row)).collect();
    Ok(List::new("affiliates", rows, page, listed.total_count).into_response())
}

async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let found = state.store.read(move |connection| rows::find::<Affiliate>(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: Affiliate::NAME, id })?;
    Ok(shown(state.network, row).answered())
}

async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<Affiliate>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |row| shown(network, row)).await
}

async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

async fn patch(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Patch(fields)).await
}

async fn change(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
    change: Change,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::change::<Affiliate>(tx, id, change)).await?;
    Ok(live::answer(&state, wait, saved, |row| shown(state.network, row)).await)
}

async fn remove(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::remove::<Affiliate>(tx, id)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

fn shown(network: Network, row: Stored<Affiliate>) -> Object<Affiliate> {
    Object::new("network_affiliate_id", network, row)
}
