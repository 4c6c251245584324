//! `/v1/networks/offers/{id}/visibility` and `/v1/networks/affiliates/{id}/offers/visibility`: who
//! may run what.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, done};
use super::error::ApiError;
use super::openapi::flattened;
use super::request::{Id, Json, Wait};
use super::{AppState, live};
use crate::edit::visibility::{self, OfferVisibility, PartnerVisibilityPatch};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace)).routes(routes!(patch_partner))
}

#[derive(Serialize)]
struct Shown {
    network_offer_id: u32,
    #[serde(flatten)]
    visibility: OfferVisibility,
    #[serde(skip)]
    revision: u64,
}

flattened!(Shown as "OfferVisibility" = OfferVisibility; "network_offer_id": u32);

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

fn shown(network_offer_id: u32, (visibility, revision): (OfferVisibility, u64)) -> Shown {
    Shown { network_offer_id, visibility, revision }
}

/// Which partners may run an offer.
#[utoipa::path(get, path = "/offers/{id}/visibility", params(Id), responses((status = 200, body = Shown)))]
async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let visibility = state.store.read(move |connection| visibility::read(connection, id)).await?;
    Ok(shown(id, visibility).answered())
}

/// Says which partners may run an offer.
#[utoipa::path(put, path = "/offers/{id}/visibility", params(Id, Wait), request_body = OfferVisibility, responses((status = 200, body = Shown)))]
async fn replace(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<OfferVisibility>,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| visibility::replace(tx, id, &wanted)).await?;
    let render = |visibility| shown(id, visibility);
    Ok(live::answer(&state, wait, saved, render).await)
}

/// Says which offers a partner may run.
#[utoipa::path(patch, path = "/affiliates/{id}/offers/visibility", params(Id, Wait), request_body = PartnerVisibilityPatch, responses((status = 200, body = Done)))]
async fn patch_partner(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<PartnerVisibilityPatch>,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| visibility::patch_partner(tx, id, &wanted)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}
