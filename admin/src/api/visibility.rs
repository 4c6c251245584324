//! `/v1/networks/offers/{id}/visibility` and `/v1/networks/affiliates/{id}/offers/visibility`: who
//! may run what.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, patch};
use serde::Serialize;

use super::answer::{Answer, done};
use super::error::ApiError;
use super::request::{Id, Json, Wait};
use super::{AppState, live};
use crate::edit::visibility::{self, OfferVisibility, PartnerVisibilityPatch};

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/offers/{id}/visibility", get(read).put(replace))
        .route("/affiliates/{id}/offers/visibility", patch(patch_partner))
}

#[derive(Serialize)]
struct Shown {
    network_offer_id: u32,
    #[serde(flatten)]
    visibility: OfferVisibility,
    #[serde(skip)]
    revision: u64,
}

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

fn shown(network_offer_id: u32, (visibility, revision): (OfferVisibility, u64)) -> Shown {
    Shown { network_offer_id, visibility, revision }
}

async fn read(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let visibility = state.store.read(move |connection| visibility::read(connection, id)).await?;
    Ok(shown(id, visibility).answered())
}

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

async fn patch_partner(
    State(state): State<AppState>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<PartnerVisibilityPatch>,
) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| visibility::patch_partner(tx, id, &wanted)).await?;
    Ok(live::answer(&state, wait, saved, done).await)
}
