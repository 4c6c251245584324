//! `/v1/networks/offers`.
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Object, Resource, label};
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, Relationships, RemovalOptions};
use super::state::{AppState, Network};
use crate::catalog::Offer;
use crate::store::rows::{self, Entity};
use crate::store::{ReadTx, StoreError, advertisers};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<Offer>("/offers", "Lists offers."))
        .routes(crud::create::<Offer>("/offers", "Creates an offer."))
        .routes(crud::read::<Offer>("/offers/{id}", "One offer."))
        .routes(crud::replace::<Offer>(
            "/offers/{id}",
            "Replaces all of an offer; the status `deleted` deletes it.",
        ))
        .routes(crud::patch::<Offer>(
            "/offers/{id}",
            "Changes what the body names; the status `deleted` deletes the offer.",
        ))
        .routes(crud::delete::<Offer>(
            "/offers/{id}",
            "Deletes an offer; it is kept, and its id is never used again. Where live coupon codes would\n\
             stop working with it, 409 says how many, unless `force` is set.",
        ))
        .routes(crud::restore::<Offer>(
            "/offers/{id}/restore",
            "Restores a deleted offer as it was.",
        ))
}

impl Resource for Offer {
    const SCHEMA: &'static str = "Offer";
    const PLURAL: &'static str = "offers";
    const ID_FIELD: &'static str = "network_offer_id";
}

impl CatalogResource for Offer {
    type Rules = NoRules;
    // The status `deleted` in a change deletes the offer.
    type ChangeOptions = RemovalOptions;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: Offer::FILTERS,
        relationships: &["advertiser"],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn warnings(&self) -> Vec<String> {
        Offer::warnings(self)
    }

    fn add_relationships(
        connection: &ReadTx<'_>,
        network: Network,
        offers: &mut [Object<Offer>],
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        if !wanted.has("advertiser") {
            return Ok(());
        }
        let ids: Vec<u32> =
            offers.iter().map(|offer| offer.content().network_advertiser_id).collect();
        let labels = advertisers::labels(connection, &ids)?;
        for (offer, id) in offers.iter_mut().zip(ids) {
            if let Some(found) = labels.get(&id) {
                let advertiser =
                    label("network_advertiser_id", "account_status", network, id, found);
                offer.relate("advertiser", advertiser);
            }
        }
        Ok(())
    }
}
