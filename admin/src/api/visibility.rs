//! `/v1/networks/offers/{id}/visibility` and `/v1/networks/affiliates/{id}/offers/visibility`:
//! offers for partners.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, done};
use super::error::ApiError;
use super::live::Edits;
use super::request::{Fields, Id, Json, Wait};
use super::schema::flattened;
use super::state::{AppState, Network};
use crate::catalog::PartnerVisibility;
use crate::edit::visibility::{
    self, OfferEntry, OfferVisibility, PartnerVisibilityPatch, VisibilitySet,
};
use crate::json;
use crate::store::{Store, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace)).routes(routes!(read_partner, patch_partner))
}

/// The visibility of an offer, and the same entries as lists by visibility.
#[derive(Serialize)]
struct OfferVisibilityAnswer {
    network_id: u32,
    network_offer_id: u32,
    #[serde(flatten)]
    visibility: OfferVisibility,
    network_affiliate_visible_ids: Vec<u32>,
    network_affiliate_rejected_ids: Vec<u32>,
    network_affiliate_hidden_ids: Vec<u32>,
    #[serde(skip)]
    revision: u64,
}

flattened!(
    OfferVisibilityAnswer as "OfferVisibility" = OfferVisibility;
    "network_id": u32,
    "network_offer_id": u32,
    "network_affiliate_visible_ids": Vec<u32>,
    "network_affiliate_rejected_ids": Vec<u32>,
    "network_affiliate_hidden_ids": Vec<u32>
);

impl Answer for OfferVisibilityAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

impl OfferVisibilityAnswer {
    fn new(
        network: Network,
        network_offer_id: u32,
        (visibility, revision): (OfferVisibility, u64),
    ) -> Self {
        let ids_with = |status: PartnerVisibility| {
            let entries = visibility.affiliates.iter().filter(|entry| entry.status == status);
            entries.map(|entry| entry.network_affiliate_id).collect()
        };
        OfferVisibilityAnswer {
            network_id: network.id,
            network_offer_id,
            network_affiliate_visible_ids: ids_with(PartnerVisibility::Visible),
            network_affiliate_rejected_ids: ids_with(PartnerVisibility::Rejected),
            network_affiliate_hidden_ids: ids_with(PartnerVisibility::Hidden),
            visibility,
            revision,
        }
    }
}

/// A replacement of an offer's visibility: all entries, or those with one visibility.
enum VisibilityReplacement {
    Whole(OfferVisibility),
    Set(VisibilitySet),
}

impl PartialSchema for VisibilityReplacement {
    fn schema() -> RefOr<Schema> {
        let whole = Ref::from_schema_name(OfferVisibility::name());
        let set = Ref::from_schema_name(VisibilitySet::name());
        OneOfBuilder::new().item(whole).item(set).into()
    }
}

impl ToSchema for VisibilityReplacement {
    fn name() -> Cow<'static, str> {
        "OfferVisibilityReplacement".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((OfferVisibility::name().into_owned(), OfferVisibility::schema()));
        schemas.push((VisibilitySet::name().into_owned(), VisibilitySet::schema()));
        OfferVisibility::schemas(schemas);
        VisibilitySet::schemas(schemas);
    }
}

impl TryFrom<json::Fields> for VisibilityReplacement {
    type Error = ApiError;

    fn try_from(fields: json::Fields) -> Result<VisibilityReplacement, ApiError> {
        let is_set =
            ["set_type", "network_affiliate_ids"].iter().any(|name| fields.contains_key(name));
        let text = fields.to_json().map_err(|_| ApiError::inside())?;
        let invalid = |error| ApiError::fields(vec![error]);
        match is_set {
            true => Ok(VisibilityReplacement::Set(json::parse(&text, "").map_err(invalid)?)),
            false => Ok(VisibilityReplacement::Whole(json::parse(&text, "").map_err(invalid)?)),
        }
    }
}

/// Reads the visibility of an offer for partners.
#[utoipa::path(get, path = "/offers/{id}/visibility", params(Id), responses((status = 200, body = OfferVisibilityAnswer)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let visibility = store.read(move |connection| visibility::read(connection, id)).await?;
    Ok(OfferVisibilityAnswer::new(network, id, visibility).into_answer())
}

/// Replaces the visibility of an offer for partners: all of it, or with `set_type` the partners that
/// have one visibility.
#[utoipa::path(put, path = "/offers/{id}/visibility", params(Id, Wait), request_body = VisibilityReplacement, responses((status = 200, body = OfferVisibilityAnswer)))]
async fn replace(
    State(edits): State<Edits>,
    State(network): State<Network>,
    wait: Wait,
    Id(id): Id,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    let wanted = VisibilityReplacement::try_from(fields)?;
    let work = move |tx: &WriteTx<'_>| match wanted {
        VisibilityReplacement::Whole(wanted) => visibility::replace(tx, id, &wanted),
        VisibilityReplacement::Set(wanted) => visibility::replace_set(tx, id, &wanted),
    };
    edits.change(wait, work, |now| OfferVisibilityAnswer::new(network, id, now)).await
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
