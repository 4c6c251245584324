//! `/v1/networks/offers`.
use axum::extract::FromRef;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Object, Resource, label, labels};
use super::cap_relationships::{REMAINING, USED, relate_caps};
use super::crud::{self, CatalogResource};
use super::offer_urls::related_urls;
use super::request::{ListSpec, Relationships, RemovalOptions, RuleOptions, RuleRemovalOptions};
use super::ruleset_data::{MissingFacts, RulesetData};
use super::schema::field;
use super::state::{AppState, Network};
use crate::catalog::Offer;
use crate::edit::EditError;
use crate::publish::PublisherHandle;
use crate::store::caps::CapOwner;
use crate::store::rows::{self, Entity, Stored};
use crate::store::{ReadTx, StoreError, advertisers, offers, rulesets, settings};

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

/// Searches, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    let table =
        crud::table::<Offer>("/offerstable", "Lists offers by a body with searches and filters.");
    OpenApiRouter::new().routes(table)
}

impl Resource for Offer {
    const SCHEMA: &'static str = "Offer";
    const PLURAL: &'static str = "offers";
    const ID_FIELD: &'static str = "network_offer_id";

    fn read_only_fields(&self) -> Map<String, Value> {
        let limits_time = self.limits_time_to_conversion();
        Map::from_iter([("is_session_tracking_enabled".to_owned(), limits_time.into())])
    }

    fn read_only_schema() -> utoipa::openapi::Object {
        field::<bool>(Default::default(), "is_session_tracking_enabled")
    }

    fn relationship(&self, network: Network, id: u32) -> Map<String, Value> {
        let entries = self.payout_revenue.iter().map(|entry| {
            let mut entry = json!(entry);
            entry["network_id"] = network.id.into();
            entry["network_offer_id"] = id.into();
            entry
        });
        let entries: Vec<Value> = entries.collect();
        let payout_revenue = json!({"total": entries.len(), "entries": entries});
        Map::from_iter([("payout_revenue".to_owned(), payout_revenue), labels(&self.kept)])
    }
}

/// The parts outside the store that an offer is checked with.
#[derive(Clone)]
pub(crate) struct OfferRules {
    data: RulesetData,
    publisher: PublisherHandle,
}

impl FromRef<AppState> for OfferRules {
    fn from_ref(state: &AppState) -> OfferRules {
        OfferRules { data: RulesetData::from_ref(state), publisher: state.publisher.clone() }
    }
}

impl CatalogResource for Offer {
    type Rules = OfferRules;
    type CreateOptions = RuleOptions;
    // The status `deleted` in a change deletes the offer.
    type ChangeOptions = RuleRemovalOptions;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: Offer::FILTERS,
        relationships: &[
            "advertiser",
            "ruleset",
            "targeting",
            "internal_redirects",
            "redirects",
            "urls",
            REMAINING,
            USED,
        ],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn check_saved(
        rules: &OfferRules,
        before: Option<&Offer>,
        now: &Offer,
    ) -> Result<(), EditError> {
        match now.has_rules() && before.is_none_or(|before| before != now) {
            true => rules.publisher.require_rules(),
            false => Ok(()),
        }
    }

    fn check_data(
        rules: &OfferRules,
        before: Option<&Offer>,
        now: &Offer,
    ) -> Result<(), EditError> {
        // An unchanged ruleset may have lost its database; the offer can still be paused.
        let rulesets = |offer: &Offer| {
            let redirects =
                offer.internal_redirects.iter().map(|redirect| redirect.ruleset.clone());
            redirects.chain([offer.ruleset.clone()]).collect::<Vec<_>>()
        };
        let known = before.map(rulesets).unwrap_or_default();
        let mut missing = MissingFacts::default();
        if !known.contains(&now.ruleset) {
            rules.data.check(&mut missing, "ruleset", &now.ruleset);
        }
        for (index, redirect) in now.internal_redirects.iter().enumerate() {
            if !known.contains(&redirect.ruleset) {
                let path = format!("internal_redirects[{index}].ruleset");
                rules.data.check(&mut missing, &path, &redirect.ruleset);
            }
        }
        missing.finish()
    }

    fn warnings(&self) -> Vec<String> {
        Offer::warnings(self)
    }

    fn remarks(connection: &ReadTx<'_>, row: &Stored<Offer>) -> Result<Vec<String>, StoreError> {
        fail_traffic_remarks(connection, &row.object)
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
        for name in ["internal_redirects", "redirects"].into_iter().filter(|name| wanted.has(name))
        {
            for offer in offers.iter_mut() {
                let entries = &offer.content().internal_redirects;
                let related = json!({"total": entries.len(), "entries": entries});
                offer.relate(name, related);
            }
        }
        if wanted.has("urls") {
            for offer in offers.iter_mut() {
                let urls = related_urls(connection, network, offer.id())?;
                offer.relate("urls", urls);
            }
        }
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

/// Remarks about the destinations of an offer's fail traffic.
fn fail_traffic_remarks(connection: &ReadTx<'_>, offer: &Offer) -> Result<Vec<String>, StoreError> {
    let mut remarks = Vec::new();
    if !offer.is_fail_traffic_enabled {
        return Ok(remarks);
    }
    let routing = offer.redirect_internal_routing_type;
    if routing.ends_at_global_url() {
        let network = settings::read(connection)?.settings;
        if !network.is_global_fail_traffic_enabled {
            remarks.push(format!(
                "redirect_internal_routing_type: {} needs a global_fail_traffic_url in the \
                 settings; without one, refused visitors get the fallback",
                routing.as_str()
            ));
        }
    }
    let redirects = &offer.internal_redirects;
    let ids: Vec<u32> =
        redirects.iter().map(|redirect| redirect.redirect_network_offer_id).collect();
    let labels = offers::labels(connection, &ids)?;
    for (index, id) in ids.iter().enumerate() {
        if let Some((_, status)) = labels.get(id).filter(|(_, status)| status != "active") {
            remarks.push(format!(
                "internal_redirects[{index}].redirect_network_offer_id: offer {id} is {status}, so \
                 it takes no visitors"
            ));
        }
    }
    Ok(remarks)
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
