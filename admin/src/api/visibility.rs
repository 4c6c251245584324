//! `/v1/networks/offers/{id}/visibility` and `/v1/networks/affiliates/{id}/offers/visibility`:
//! offers for partners.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, done};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, Json, Wait};
use super::schema::flattened;
use super::state::AppState;
use crate::edit::visibility::{self, OfferEntry, OfferVisibility, PartnerVisibilityPatch};
use crate::store::{Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace)).routes(routes!(read_partner, patch_partner))
}

#[derive(Serialize)]
struct OfferVisibilityAnswer {
    network_offer_id: u32,
    #[serde(flatten)]
    visibility: OfferVisibility,
    #[serde(skip)]
    revision: u64,
}

flattened!(OfferVisibilityAnswer as "OfferVisibility" = OfferVisibility; "network_offer_id": u32);

impl Answer for OfferVisibilityAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

impl OfferVisibilityAnswer {
    fn new(network_offer_id: u32, (visibility, revision): (OfferVisibility, u64)) -> Self {
        OfferVisibilityAnswer { network_offer_id, visibility, revision }
    }
}

/// Reads the visibility of an offer for partners.
#[utoipa::path(get, path = "/offers/{id}/visibility", params(Id), responses((status = 200, body = OfferVisibilityAnswer)))]
async fn read(State(store): State<Store>, Id(id): Id) -> Result<Response, ApiError> {
    let visibility = store.read(move |connection| visibility::read(connection, id)).await?;
    Ok(OfferVisibilityAnswer::new(id, visibility).into_answer())
}

/// Replaces the visibility of an offer for partners.
#[utoipa::path(put, path = "/offers/{id}/visibility", params(Id, Wait), request_body = OfferVisibility, responses((status = 200, body = OfferVisibilityAnswer)))]
async fn replace(
    State(edits): State<Edits>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<OfferVisibility>,
) -> Result<Response, ApiError> {
    let work = move |tx: &WriteTx<'_>| visibility::replace(tx, id, &wanted);
    edits.change(wait, work, |visibility| OfferVisibilityAnswer::new(id, visibility)).await
}

/// The entries of one partner.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = PartnerVisibilityEntries)]
struct PartnerVisibilityAnswer {
    network_affiliate_id: u32,
    /// Offers with an entry for the partner; all others are visible as they say for all partners.
    offers: Vec<OfferEntry>,
    #[serde(skip)]
    revision: u64,
}

impl Answer for PartnerVisibilityAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// Reads the visibility of offers for one partner.
#[utoipa::path(get, path = "/affiliates/{id}/offers/visibility", params(Id), responses((status = 200, body = PartnerVisibilityAnswer)))]
async fn read_partner(State(store): State<Store>, Id(id): Id) -> Result<Response, ApiError> {
    let (offers, revision) =
        store.read(move |connection| visibility::of_partner(connection, id)).await?;
    Ok(PartnerVisibilityAnswer { network_affiliate_id: id, offers, revision }.into_answer())
}

/// Sets the visibility of offers for one partner.
#[utoipa::path(patch, path = "/affiliates/{id}/offers/visibility", params(Id, Wait), request_body = PartnerVisibilityPatch, responses((status = 200, body = Done)))]
async fn patch_partner(
    State(edits): State<Edits>,
    wait: Wait,
    Id(id): Id,
    Json(wanted): Json<PartnerVisibilityPatch>,
) -> Result<Response, ApiError> {
    edits.change(wait, move |tx| visibility::patch_partner(tx, id, &wanted), done).await
}
