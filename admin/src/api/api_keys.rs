//! `/v1/networks/apikeys`. A secret is answered once: when it is made, and when it is rotated.
//! Changes hold from the next request on.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, done};
use super::error::ApiError;
use super::openapi::{ListOf, Patched, Row, flattened, listing};
use super::request::{Fields, Id, Json, ListParameters, ListSpec, Wait};
use super::{AppState, Network, live};
use crate::edit::api_keys::{self as edit, ApiKeyEdit};
use crate::edit::{Change, EditError};
use crate::keys::{Role, Secret};
use crate::store::WriteTx;
use crate::store::api_keys::{self, KeyRow};
use crate::store::rows::Times;

const LIST: ListSpec = ListSpec {
    filters: api_keys::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
};

flattened!(Shown as "ApiKey" = ApiKeyEdit, Times; "network_api_key_id": u32, "network_id": u32, "hint": String);
listing!(Listing, LIST);
type Listed = ListOf<Shown>;
type Patch = Patched<ApiKeyEdit>;

impl Row for Shown {
    const PLURAL: &'static str = "api_keys";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(rotate))
}

#[derive(Clone, Serialize)]
struct Shown {
    network_api_key_id: u32,
    network_id: u32,
    name: String,
    role: Role,
    network_affiliate_id: u32,
    hint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(flatten)]
    times: Times,
}

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.times.revision)
    }

    /// A secret is kept nowhere, so a repetition tells of the key only; rotate it for another.
    fn without_secrets(&self) -> Option<Shown> {
        Some(Shown { api_key: None, ..self.clone() })
    }
}

/// Lists API keys.
#[utoipa::path(get, path = "/apikeys", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = state.store.read(move |connection| api_keys::list(connection, &query)).await?;
    let rows = listed.rows.into_iter().map(|row| shown(state.network, row)).collect();
    Ok(List::new("api_keys", rows, page, listed.total_count).into_response())
}

/// One API key.
#[utoipa::path(get, path = "/apikeys/{id}", params(Id), responses((status = 200, body = Shown)))]
async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let found = state.store.read(move |connection| api_keys::find(connection, id)).await?;
    let row = found.ok_or(EditError::NotFound { what: "API key", id })?;
    Ok(shown(state.network, row).answered())
}

/// Creates an API key.
#[utoipa::path(post, path = "/apikeys", params(Wait), request_body = ApiKeyEdit, responses((status = 200, body = Shown)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<ApiKeyEdit>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |made| with_secret(network, made)).await
}

/// Gives a key a new secret; the old one stops working.
#[utoipa::path(post, path = "/apikeys/{id}/rotate", params(Id, Wait), responses((status = 200, body = Shown)))]
async fn rotate(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let rotate = move |tx: &WriteTx<'_>| edit::rotate(tx, id);
    live::create(&state, wait, rotate, move |made| with_secret(network, made)).await
}

/// Replaces all of an API key.
#[utoipa::path(put, path = "/apikeys/{id}", params(Id, Wait), request_body = ApiKeyEdit, responses((status = 200, body = Shown)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/apikeys/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Shown)))]
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
    let saved = state.store.write(move |tx| edit::change(tx, id, change)).await?;
    Ok(live::answer(&state, wait, saved, |row| shown(state.network, row)).await)
}

/// Deletes an API key; its id is never used again.
#[utoipa::path(delete, path = "/apikeys/{id}", params(Id, Wait), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::remove(tx, id)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

fn shown(network: Network, row: KeyRow) -> Shown {
    Shown {
        network_api_key_id: row.id,
        network_id: network.id,
        name: row.name,
        role: row.role,
        network_affiliate_id: row.affiliate_id.unwrap_or(0),
        hint: row.hint,
        api_key: None,
        times: row.times,
    }
}

fn with_secret(network: Network, (row, secret): (KeyRow, Secret)) -> Shown {
    Shown { api_key: Some(secret.reveal().to_owned()), ..shown(network, row) }
}
