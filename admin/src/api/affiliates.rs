//! `/v1/networks/affiliates`: partners.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done};
use super::error::ApiError;
use super::openapi::{ListOf, Patched, listing};
use super::request::{Fields, Id, Json, ListParameters, ListSpec, Removing, Wait};
use super::{AppState, Network, live};
use crate::catalog::Affiliate;
use crate::edit::{self, Change, EditError, Editable};
use crate::store::WriteTx;
use crate::store::rows::{self, Kept, Stored};

const LIST: ListSpec = ListSpec {
    filters: Affiliate::FILTERS,
    relationships: &[],
    search: Some(rows::NAME),
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Answered = Object<Affiliate>;
type Listed = ListOf<Answered>;
type Patch = Patched<Affiliate>;

impl Resource for Affiliate {
    const SCHEMA: &'static str = "Affiliate";
    const PLURAL: &'static str = "affiliates";
    const ID_FIELD: &'static str = "network_affiliate_id";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
}

/// Lists affiliates.
#[utoipa::path(get, path = "/affiliates", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed =
        state.store.read(move |connection| rows::list::<Affiliate>(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(|row| shown(state.network, row)).collect();
    Ok(List::new("affiliates", rows, page, listed.total_count).into_response())
}

/// One affiliate.
#[utoipa::path(get, path = "/affiliates/{id}", params(Id), responses((status = 200, body = Answered)))]
async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let found = state.store.read(move |connection| rows::find::<Affiliate>(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: Affiliate::NAME, id })?;
    Ok(shown(state.network, row).answered())
}

/// Creates an affiliate.
#[utoipa::path(post, path = "/affiliates", params(Wait), request_body = Affiliate, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<Affiliate>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |row| shown(network, row)).await
}

/// Replaces all of an affiliate.
#[utoipa::path(put, path = "/affiliates/{id}", params(Id, Wait), request_body = Affiliate, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/affiliates/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Answered)))]
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

/// Deletes an affiliate; it is kept, and its id is never used again. Where live coupon codes would
/// stop working with it, 409 says how many, unless `force` is set.
#[utoipa::path(delete, path = "/affiliates/{id}", params(Id, Removing), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    Removing { wait, removal }: Removing,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::remove::<Affiliate>(tx, id, removal)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted affiliate as it was.
#[utoipa::path(post, path = "/affiliates/{id}/restore", params(Id, Wait), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let restore = move |tx: &WriteTx<'_>| edit::restore::<Affiliate>(tx, id);
    live::create(&state, wait, restore, move |row| shown(network, row)).await
}

fn shown(network: Network, row: Stored<Affiliate>) -> Object<Affiliate> {
    Object::new("network_affiliate_id", network, row)
}
