//! `/v1/networks/offerurls`: the URLs that offers have beside their destination.

use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Object, Resource, label};
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, Relationships, Wait};
use super::state::{AppState, Network};
use crate::catalog::{OfferUrl, empty_macro_warnings};
use crate::store::rows::{self, Entity};
use crate::store::{ReadTx, StoreError, offer_urls, offers};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<OfferUrl>("/offerurls", "Lists the URLs of offers."))
        .routes(crud::create::<OfferUrl>(
            "/offerurls",
            "Creates a URL of an offer.\n\
             \n\
             A link with `uid` and the id of the URL leads there instead of to the offer's destination: \
             `https://go.example.com/WINTER25/?uid=3`. The code, the offer and all of their rules decide \
             as without it. Where the URL is not for the visit's partner, not of the visit's offer, or \
             not active, the visit goes to the offer's destination.",
        ))
        .routes(crud::read::<OfferUrl>("/offerurls/{id}", "One URL of an offer."))
        .routes(crud::replace::<OfferUrl>(
            "/offerurls/{id}",
            "Replaces all of a URL; the status `deleted` deletes it.",
        ))
        .routes(crud::patch::<OfferUrl>(
            "/offerurls/{id}",
            "Changes what the body names; the status `deleted` deletes the URL.",
        ))
        .routes(crud::delete::<OfferUrl>(
            "/offerurls/{id}",
            "Deletes a URL; its id is never used again. Links with the id lead to the offer's \
             destination from then on. 409 while forwarding rules or fail traffic lead to the URL.",
        ))
        .routes(crud::restore::<OfferUrl>(
            "/offerurls/{id}/restore",
            "Restores a deleted URL as it was.",
        ))
}

impl Resource for OfferUrl {
    const SCHEMA: &'static str = "OfferUrl";
    const PLURAL: &'static str = "urls";
    const ID_FIELD: &'static str = "network_offer_url_id";
}

impl CatalogResource for OfferUrl {
    type Rules = NoRules;
    type CreateOptions = Wait;
    // The status `deleted` in a change deletes the URL.
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: OfferUrl::FILTERS,
        relationships: &["offer"],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn warnings(&self) -> Vec<String> {
        empty_macro_warnings(&self.destination_url)
    }

    fn add_relationships(
        connection: &ReadTx<'_>,
        network: Network,
        urls: &mut [Object<OfferUrl>],
        wanted: &Relationships,
    ) -> Result<(), StoreError> {
        if !wanted.has("offer") {
            return Ok(());
        }
        let ids: Vec<u32> = urls.iter().map(|url| url.content().network_offer_id).collect();
        let labels = offers::labels(connection, &ids)?;
        for (url, id) in urls.iter_mut().zip(ids) {
            if let Some(found) = labels.get(&id) {
                url.relate("offer", label("network_offer_id", "offer_status", network, id, found));
            }
        }
        Ok(())
    }
}

/// The URLs of an offer as its relationship `urls`.
pub(super) fn related_urls(
    connection: &ReadTx<'_>,
    network: Network,
    offer_id: u32,
) -> Result<Value, StoreError> {
    let urls = offer_urls::of_offer(connection, offer_id)?;
    let entries: Vec<Object<OfferUrl>> =
        urls.into_iter().map(|url| Object::new(network, url)).collect();
    Ok(json!({"total": entries.len(), "entries": entries}))
}
