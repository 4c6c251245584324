//! `/v1/networks/advertisers`. Only admin keys see an advertiser's secrets.

use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Resource, labels};
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, Wait};
use super::state::{AppState, Network};
use crate::catalog::{Advertiser, TrustRule};
use crate::store::rows::{self, Entity};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<Advertiser>("/advertisers", "Lists advertisers."))
        .routes(crud::create::<Advertiser>("/advertisers", "Creates an advertiser."))
        .routes(crud::read::<Advertiser>("/advertisers/{id}", "One advertiser."))
        .routes(crud::replace::<Advertiser>("/advertisers/{id}", "Replaces all of an advertiser."))
        .routes(crud::patch::<Advertiser>("/advertisers/{id}", "Changes what the body names."))
        .routes(crud::delete::<Advertiser>(
            "/advertisers/{id}",
            "Deletes an advertiser; it is kept, and its id is never used again.",
        ))
        .routes(crud::restore::<Advertiser>(
            "/advertisers/{id}/restore",
            "Restores a deleted advertiser as it was.",
        ))
}

/// Searches, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    let table = crud::table::<Advertiser>(
        "/advertiserstable",
        "Lists advertisers by a body with searches and filters.",
    );
    OpenApiRouter::new().routes(table)
}

impl Resource for Advertiser {
    const SCHEMA: &'static str = "Advertiser";
    const PLURAL: &'static str = "advertisers";
    const ID_FIELD: &'static str = "network_advertiser_id";

    fn relationship(&self, _network: Network, _id: u32) -> Map<String, Value> {
        Map::from_iter([labels(&self.kept)])
    }

    fn read_only_fields(&self) -> Map<String, Value> {
        Map::from_iter([("trust_rules".to_owned(), json!(self.trust_rules()))])
    }

    fn read_only_schema() -> utoipa::openapi::Object {
        let rules = ArrayBuilder::new().items(TrustRule::schema());
        let about = "The proofs that postbacks need; without one, anybody can report conversions";
        let rules = rules.description(Some(about));
        ObjectBuilder::new().property("trust_rules", rules).required("trust_rules").build()
    }
}

impl CatalogResource for Advertiser {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = Wait;

    const LIST: ListSpec = ListSpec {
        filters: Advertiser::FILTERS,
        relationships: &[],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn clear_secrets(&mut self) {
        self.verification_token.clear();
        self.signing_key.clear();
        self.kept.remove("billing");
    }

    fn warnings(&self) -> Vec<String> {
        Advertiser::warnings(self).into_iter().collect()
    }
}
