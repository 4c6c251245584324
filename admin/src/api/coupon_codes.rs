//! `/v1/networks/couponcodes`.

mod generate;
mod status;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use serde::Serialize;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, Object, Resource, done, label};
use super::error::ApiError;
use super::openapi::{ListOf, Patched, flattened, listing};
use super::request::{
    Fields, Id, Json, ListParameters, ListRequest, ListSpec, Reissuing, Relationships, Wait,
};
use super::{AppState, Network, live};
use crate::catalog::{self, CouponCodeEdit, LinkState, TrackingLink, tracking_link};
use crate::edit::{Change, EditError, coupon_codes as edit};
use crate::json::Each;
use crate::store::coupon_codes::{self, CodeRow};
use crate::store::rows::{Compared, Filterable, Stored};
use crate::store::{StoreError, WriteTx, affiliates, offers};

pub(super) const LIST: ListSpec = ListSpec {
    filters: coupon_codes::LIST_FILTERS,
    relationships: &["offer", "affiliate"],
    search: Some(Filterable { field: "coupon_code", column: "folded", kind: Compared::Code }),
    is_whole_by_default: false,
};

flattened!(Shown as "CouponCodeAnswer" = CouponCodeEdit; "tracking_link": String, "tracking_link_unavailable_reason": LinkState);
listing!(Listing, LIST);
type Answered = Object<Shown>;
type Listed = ListOf<Answered>;
type Patch = Patched<CouponCodeEdit>;

struct Related;

impl utoipa::IntoParams for Related {
    fn into_params(
        _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        LIST.relationship_parameter().into_iter().collect()
    }
}

impl Resource for Shown {
    const SCHEMA: &'static str = "CouponCode";
    const PLURAL: &'static str = "coupon_codes";
    const ID_FIELD: &'static str = "network_coupon_code_id";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(create_bulk))
        .routes(routes!(status::set_status))
        .routes(routes!(generate::generate))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(restore))
}

/// The object, and its link.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    code: CouponCodeEdit,
    tracking_link: String,
    tracking_link_unavailable_reason: LinkState,
}

/// Lists coupon codes.
#[utoipa::path(get, path = "/couponcodes", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let ListRequest { query, relationships } = parameters.parse(&LIST)?;
    let (page, network) = (query.page, state.network);
    let (rows, total_count) = state
        .store
        .read(move |connection| {
            let listed = coupon_codes::list(connection, &query)?;
            Ok::<_, StoreError>((
                related(connection, network, listed.rows, &relationships)?,
                listed.total_count,
            ))
        })
        .await?;
    Ok(List::new("coupon_codes", rows, page, total_count).into_response())
}

/// One coupon code.
#[utoipa::path(get, path = "/couponcodes/{id}", params(Id, Related), responses((status = 200, body = Answered)))]
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
            let found = coupon_codes::find(connection, id)?.into_iter().collect();
            related(connection, network, found, &relationships)
        })
        .await?;
    let code = found.pop().ok_or(EditError::NotFound { what: "coupon code", id })?;
    Ok(code.answered())
}

/// Creates a coupon code.
#[utoipa::path(post, path = "/couponcodes", params(Wait), request_body = CouponCodeEdit, responses((status = 200, body = Answered)))]
async fn create(
    State(state): State<AppState>,
    wait: Wait,
    Json(object): Json<CouponCodeEdit>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create(tx, object);
    live::create(&state, wait, create, move |row| shown(network, row)).await
}

/// Creates all codes of an array, or none.
#[utoipa::path(post, path = "/couponcodes/bulk", params(Wait), request_body = Vec<CouponCodeEdit>, responses((status = 200, body = Listed)))]
async fn create_bulk(
    State(state): State<AppState>,
    wait: Wait,
    Json(array): Json<Each<CouponCodeEdit>>,
) -> Result<Response, ApiError> {
    let network = state.network;
    let create = move |tx: &WriteTx<'_>| edit::create_bulk(tx, array);
    let render = move |rows: Vec<CodeRow>| {
        let total_count = rows.len() as u64;
        List::new(
            "coupon_codes",
            rows.into_iter().map(|row| shown(network, row)).collect(),
            None,
            total_count,
        )
    };
    live::create(&state, wait, create, render).await
}

/// Replaces all of a coupon code.
#[utoipa::path(put, path = "/couponcodes/{id}", params(Id, Wait), request_body = CouponCodeEdit, responses((status = 200, body = Answered)))]
async fn replace(
    state: State<AppState>,
    wait: Wait,
    id: Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(state, wait, id, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/couponcodes/{id}", params(Id, Wait), request_body = Patch, responses((status = 200, body = Answered)))]
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

/// Deletes a coupon code; it is kept, and its id is never used again.
#[utoipa::path(delete, path = "/couponcodes/{id}", params(Id, Wait), responses((status = 200, body = Done)))]
async fn remove(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::remove(tx, id)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}

/// Restores a deleted coupon code as it was, if it can stand beside the codes there are now.
#[utoipa::path(post, path = "/couponcodes/{id}/restore", params(Id, Reissuing), responses((status = 200, body = Answered)))]
async fn restore(
    State(state): State<AppState>,
    Reissuing { wait, allow_reissue }: Reissuing,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let network = state.network;
    let restore = move |tx: &WriteTx<'_>| edit::restore(tx, id, allow_reissue);
    live::create(&state, wait, restore, move |row| shown(network, row)).await
}

fn shown(network: Network, row: CodeRow) -> Object<Shown> {
    let Stored { id, object: mut code, times } = row.stored;
    let link = tracking_link(TrackingLink {
        base_url: row.base_url.as_deref(),
        code: &code.coupon_code,
        offer_id: code.network_offer_id,
        is_on_several_offers: row.is_on_several_offers,
        state: row.link_state,
    });
    code.description =
        catalog::sanitized_description(&code.description, code.is_description_plain_text)
            .into_owned();
    let shown =
        Shown { code, tracking_link: link, tracking_link_unavailable_reason: row.link_state };
    Object::new("network_coupon_code_id", network, Stored { id, object: shown, times })
}

fn related(
    connection: &Connection,
    network: Network,
    rows: Vec<CodeRow>,
    wanted: &Relationships,
) -> Result<Vec<Object<Shown>>, StoreError> {
    let offer_ids: Vec<u32> = rows.iter().map(|row| row.stored.object.network_offer_id).collect();
    let partner_ids: Vec<u32> =
        rows.iter().filter_map(|row| row.stored.object.network_affiliate_id).collect();
    let offers =
        if wanted.has("offer") { offers::labels(connection, &offer_ids)? } else { HashMap::new() };
    let partners = if wanted.has("affiliate") {
        affiliates::labels(connection, &partner_ids)?
    } else {
        HashMap::new()
    };
    let objects = rows.into_iter().map(|row| {
        let (offer_id, partner_id) =
            (row.stored.object.network_offer_id, row.stored.object.network_affiliate_id);
        let mut object = shown(network, row);
        if let Some(found) = offers.get(&offer_id) {
            object.relate(
                "offer",
                label("network_offer_id", "offer_status", network, offer_id, found),
            );
        }
        if let Some((id, found)) =
            partner_id.and_then(|id| partners.get(&id).map(|found| (id, found)))
        {
            object.relate(
                "affiliate",
                label("network_affiliate_id", "account_status", network, id, found),
            );
        }
        object
    });
    Ok(objects.collect())
}
