//! `/v1/networks/advertisers`. Their secrets are answered to admin keys only.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done};
use super::auth::Authenticated;
use super::error::ApiError;
use super::openapi::{ListOf, Patched, listing};
use super::request::{Fields, Id, Json, ListParameters, ListSpec, Wait};
use super::{AppState, Network, live};
use crate::catalog::Advertiser;
use crate::edit::{self, Change, EditError, Editable, Removal};
use crate::keys::{Caller, Role};
use crate::store::WriteTx;
use crate::store::rows::{self, Kept, Stored};

const LIST: ListSpec = ListSpec {
    filters: Advertiser::FILTERS,
    relationships: &[],
    search: Some(rows::NAME),
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Answered = Object<Advertiser>;
type Listed = ListOf<Answered>;
type Patch = Patched<Advertiser>;

impl Resource for Advertiser {
    const SCHEMA: &'static str = "Advertiser";
    const PLURAL: &'static str = "advertisers";
    const ID_FIELD: &'static str = "network_advertiser_id";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
}

/// Lists advertisers.
#[utoipa::path(get, path = "/advertisers", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed =
        state.store.read(move |connection| rows::list::<Advertiser>(connection, &query)).await?;
    let rows =
        listed.rows.into_iter().map(|row| shown(state.network, for_eyes_of(caller, row))).collect();
    Ok(List::new("advertisers", rows, page, listed.total_count).into_response())
}

/// One advertiser.
#[utoipa::path(get, path = "/advertisers/{id}", params(Id), responses((status = 200, body = Answered)))]
async fn read(
    State(state): State<AppState>,
    Authenticated(caller): Authenticated,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let found =
        state.store.read(move |connection| rows::find::<Advertiser>(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: Advertiser::NAME, id })?;
    Ok(shown(state.network, for_eyes_of(caller, row)).answered())
}

/// Creates an advertiser.
#[utoipa::path(post, path = "/advertisers", params(Wait), request_body = Advertiser, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<Advertiser>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |row| shown(network, row)).await
}

/// Replaces all of an advertiser.
#[utoipa::path(put, path = "/advertisers/{id}", params(Id, Wait), request_body = Advertiser, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/advertisers/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Answered)))]
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
    let saved = state.store.write(move |tx| edit::change::<Advertiser>(tx, id, change)).await?;
    Ok(live::answer(&state, wait, saved, |row| shown(state.network, row)).await)
}

/// Deletes an advertiser; it is kept, and its id is never used again.
#[utoipa::path(delete, path = "/advertisers/{id}", params(Id, Wait), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved =
        state.store.write(move |tx| edit::remove::<Advertiser>(tx, id, Removal::Checked)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted advertiser as it was.
#[utoipa::path(post, path = "/advertisers/{id}/restore", params(Id, Wait), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let restore = move |tx: &WriteTx<'_>| edit::restore::<Advertiser>(tx, id);
    live::create(&state, wait, restore, move |row| shown(network, row)).await
}

fn shown(network: Network, row: Stored<Advertiser>) -> Object<Advertiser> {
    Object::new("network_advertiser_id", network, row)
}

fn for_eyes_of(caller: Caller, mut row: Stored<Advertiser>) -> Stored<Advertiser> {
    if caller.role != Role::Admin {
        row.object.verification_token.clear();
        row.object.signing_key.clear();
    }
    row
}
