//! `/v1/networks/offers`.
use std::sync::Arc;

use coupon_geo::GeoWatcher;
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Object, Resource, label};
use super::cap_relationships::{REMAINING, USED, relate_caps};
use super::crud::{self, CatalogResource};
use super::request::{ListSpec, Relationships, RemovalOptions};
use super::state::{AppState, Network};
use crate::catalog::{FieldError, Offer};
use crate::edit::EditError;
use crate::store::caps::CapOwner;
use crate::store::rows::{self, Entity};
use crate::store::{ReadTx, StoreError, advertisers, rulesets};

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
    type Rules = Arc<GeoWatcher>;
    // The status `deleted` in a change deletes the offer.
    type ChangeOptions = RemovalOptions;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: Offer::FILTERS,
        relationships: &["advertiser", "ruleset", "targeting", REMAINING, USED],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn check_saved(
        geo: &Arc<GeoWatcher>,
        before: Option<&Offer>,
        now: &Offer,
    ) -> Result<(), EditError> {
        // An unchanged ruleset may have lost its database; the offer can still be paused.
        if before.is_some_and(|before| before.ruleset == now.ruleset) {
            return Ok(());
        }
        let known = geo.databases().current().parts();
        now.ruleset.check_data(known).map_err(|fields| {
            let path = |field: FieldError| FieldError {
                field: format!("ruleset.{}", field.field),
                ..field
            };
            EditError::Invalid(fields.into_iter().map(path).collect())
        })
    }

    fn warnings(&self) -> Vec<String> {
        Offer::warnings(self)
    }

    fn add_relationships(
        connection: &ReadTx<'_>,
        network: Network,
        offers: &mut [Object<Offer>],
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        for name in ["ruleset", "targeting"].into_iter().filter(|name| wanted.has(name)) {
            for offer in offers.iter_mut() {
                let ruleset = related_ruleset(connection, network, offer)?;
                offer.relate(name, ruleset);
            }
        }
        relate_caps(connection, offers, wanted, CapOwner::Offer)?;
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

/// The ruleset in Everflow's place, with its id and times. An offer that never had one has id 0.
fn related_ruleset(
    connection: &ReadTx<'_>,
    network: Network,
    offer: &Object<Offer>,
) -> Result<serde_json::Value, StoreError> {
    let stored = rulesets::find(connection, offer.id())?;
    let (id, time_created, time_saved) =
        stored.map_or((0, 0, 0), |stored| (stored.id, stored.time_created, stored.time_saved));
    let mut ruleset = serde_json::to_value(&offer.content().ruleset).unwrap_or_default();
    ruleset["network_ruleset_id"] = id.into();
    ruleset["network_id"] = network.id.into();
    ruleset["time_created"] = time_created.into();
    ruleset["time_saved"] = time_saved.into();
    Ok(ruleset)
}
