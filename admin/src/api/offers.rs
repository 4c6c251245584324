//! `/v1/networks/offers`.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done, label};
use super::error::ApiError;
use super::openapi::{ListOf, Patched, listing};
use super::request::{
    Fields, Id, Json, ListParameters, ListRequest, ListSpec, Relationships, Removing, Wait,
};
use super::{AppState, Network, live};
use crate::catalog::{Offer, empty_macro_warnings};
use crate::edit::{self, Change, EditError, Editable};
use crate::store::WriteTx;
use crate::store::advertisers;
use crate::store::rows::{self, Kept, Stored};

const LIST: ListSpec = ListSpec {
    filters: Offer::FILTERS,
    relationships: &["advertiser"],
    search: Some(rows::NAME),
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Answered = Object<Offer>;
type Listed = ListOf<Answered>;
type Patch = Patched<Offer>;

struct Related;

impl utoipa::IntoParams for Related {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        LIST.relationship_parameter().into_iter().collect()
    }
}

impl Resource for Offer {
    const SCHEMA: &'static str = "Offer";
    const PLURAL: &'static str = "offers";
    const ID_FIELD: &'static str = "network_offer_id";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
}

/// Lists offers.
#[utoipa::path(get, path = "/offers", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let ListRequest { query, relationships } = parameters.parse(&LIST)?;
    let (page, network) = (query.page, state.network);
    let (rows, total_count) = state
        .store
        .read(move |connection| {
            let listed = rows::list::<Offer>(connection, &query)?;
            Ok::<_, ApiError>((
                related(connection, network, listed.rows, &relationships)?,
                listed.total_count,
            ))
        })
        .await?;
    Ok(List::new("offers", rows, page, total_count).into_response())
}

/// One offer.
#[utoipa::path(get, path = "/offers/{id}", params(Id, Related), responses((status = 200, body = Answered)))]
async fn read(
    State(state): State<AppState>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let relationships = parameters.relationships(LIST.relationships)?;
    let network = state.network;
    let mut found = state
        .store
        .read(move |connection| {
            let found = rows::find::<Offer>(connection, id)?.into_iter().collect();
            related(connection, network, found, &relationships)
        })
        .await?;
    let offer = found.pop().ok_or(EditError::NotFound { what: Offer::NAME, id })?;
    Ok(offer.answered())
}

/// Creates an offer.
#[utoipa::path(post, path = "/offers", params(Wait), request_body = Offer, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<Offer>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, &object);
    live::create(&state, wait, create, move |row| with_warnings(network, row)).await
}

/// Replaces all of an offer; the status `deleted` deletes it.
#[utoipa::path(put, path = "/offers/{id}", params(Id, Removing), request_body = Offer, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    removing: Removing,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, removing, id, Change::Replace(fields)).await
}

/// Changes what the body names; the status `deleted` deletes the offer.
#[utoipa::path(patch, path = "/offers/{id}", params(Id, Removing), request_body = Patch, responses((status = 200, body = Answered)))]
async fn patch(
    state: State<AppState>,
    removing: Removing,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, removing, id, Change::Patch(fields)).await
}

async fn change(
    State(state): State<AppState>,
    Removing { wait, removal }: Removing,
    Id(id): Id,
    change: Change,
) -> Result<Response, ApiError> {
    let change = move |tx: &WriteTx<'_>| edit::change_or_remove::<Offer>(tx, id, change, removal);
    let saved = state.store.write(change).await?;
    Ok(live::answer(&state, wait, saved, |row| with_warnings(state.network, row)).await)
}

/// Deletes an offer; it is kept, and its id is never used again. Where live coupon codes would
/// stop working with it, 409 says how many, unless `force` is set.
#[utoipa::path(delete, path = "/offers/{id}", params(Id, Removing), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    Removing { wait, removal }: Removing,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::remove::<Offer>(tx, id, removal)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted offer as it was.
#[utoipa::path(post, path = "/offers/{id}/restore", params(Id, Wait), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let restore = move |tx: &WriteTx<'_>| edit::restore::<Offer>(tx, id);
    live::create(&state, wait, restore, move |row| with_warnings(network, row)).await
}

fn shown(network: Network, row: Stored<Offer>) -> Object<Offer> {
    Object::new("network_offer_id", network, row)
}

/// After a save: with what the advertiser's page will not get.
fn with_warnings(network: Network, row: Stored<Offer>) -> Object<Offer> {
    let warnings = empty_macro_warnings(&row.object.destination_url);
    shown(network, row).with_warnings(warnings)
}

fn related(
    connection: &Connection,
    network: Network,
    offers: Vec<Stored<Offer>>,
    wanted: &Relationships,
) -> Result<Vec<Object<Offer>>, ApiError> {
    let ids: Vec<u32> = offers.iter().map(|offer| offer.object.network_advertiser_id).collect();
    let labels = if wanted.has("advertiser") {
        advertisers::labels(connection, &ids)?
    } else {
        HashMap::new()
    };
    let rows = offers.into_iter().zip(ids).map(|(offer, id)| {
        let mut object = shown(network, offer);
        if let Some(found) = labels.get(&id) {
            object.relate(
                "advertiser",
                label("network_advertiser_id", "account_status", network, id, found),
            );
        }
        object
    });
    Ok(rows.collect())
}
