//! `/v1/networks/trackingdomains`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done};
use super::error::ApiError;
use super::openapi::{ListOf, Patched, listing};
use super::request::{Fields, Id, Json, ListParameters, ListSpec, Removing, Wait};
use super::{AppState, Network, live};
use crate::catalog::TrackingDomain;
use crate::edit::{self, Change, EditError, Editable};
use crate::store::WriteTx;
use crate::store::rows::{self, Kept, Stored};

const LIST: ListSpec = ListSpec {
    filters: TrackingDomain::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Answered = Object<TrackingDomain>;
type Listed = ListOf<Answered>;
type Patch = Patched<TrackingDomain>;

impl Resource for TrackingDomain {
    const SCHEMA: &'static str = "TrackingDomain";
    const PLURAL: &'static str = "tracking_domains";
    const ID_FIELD: &'static str = "network_tracking_domain_id";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
}

/// Lists tracking domains.
#[utoipa::path(get, path = "/trackingdomains", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = state
        .store
        .read(move |connection| rows::list::<TrackingDomain>(connection, &query))
        .await?;
    let rows = listed.rows.into_iter().map(|row| shown(state.network, row)).collect();
    Ok(List::new("tracking_domains", rows, page, listed.total_count).into_response())
}

/// One tracking domain.
#[utoipa::path(get, path = "/trackingdomains/{id}", params(Id), responses((status = 200, body = Answered)))]
async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let found =
        state.store.read(move |connection| rows::find::<TrackingDomain>(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: TrackingDomain::NAME, id })?;
    Ok(shown(state.network, row).answered())
}

/// Creates a tracking domain.
#[utoipa::path(post, path = "/trackingdomains", params(Wait), request_body = TrackingDomain, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<TrackingDomain>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |row| shown(network, row)).await
}

/// Replaces all of a tracking domain.
#[utoipa::path(put, path = "/trackingdomains/{id}", params(Id, Wait), request_body = TrackingDomain, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/trackingdomains/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Answered)))]
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
    let saved = state.store.write(move |tx| edit::change::<TrackingDomain>(tx, id, change)).await?;
    Ok(live::answer(&state, wait, saved, |row| shown(state.network, row)).await)
}

/// Deletes a tracking domain; it is kept, and its id is never used again. Where live coupon codes would
/// stop working with it, 409 says how many, unless `force` is set.
#[utoipa::path(delete, path = "/trackingdomains/{id}", params(Id, Removing), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    Removing { wait, removal }: Removing,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved =
        state.store.write(move |tx| edit::remove::<TrackingDomain>(tx, id, removal)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted tracking domain as it was.
#[utoipa::path(post, path = "/trackingdomains/{id}/restore", params(Id, Wait), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let restore = move |tx: &WriteTx<'_>| edit::restore::<TrackingDomain>(tx, id);
    live::create(&state, wait, restore, move |row| shown(network, row)).await
}

fn shown(network: Network, row: Stored<TrackingDomain>) -> Object<TrackingDomain> {
    Object::new("network_tracking_domain_id", network, row)
}
