//! `/v1/networks/affiliates`: partners.

use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;

use super::answer::{Resource, labels};
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, RemovalOptions, Wait};
use super::state::{AppState, Network};
use crate::catalog::Affiliate;
use crate::store::rows::{self, Entity};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<Affiliate>("/affiliates", "Lists affiliates."))
        .routes(crud::create::<Affiliate>("/affiliates", "Creates an affiliate."))
        .routes(crud::read::<Affiliate>("/affiliates/{id}", "One affiliate."))
        .routes(crud::replace::<Affiliate>("/affiliates/{id}", "Replaces all of an affiliate."))
        .routes(crud::patch::<Affiliate>("/affiliates/{id}", "Changes what the body names."))
        .routes(crud::delete::<Affiliate>(
            "/affiliates/{id}",
            "Deletes an affiliate; it is kept, and its id is never used again. Where live coupon codes would\n\
             stop working with it, 409 says how many, unless `force` is set.",
        ))
        .routes(crud::restore::<Affiliate>(
            "/affiliates/{id}/restore",
            "Restores a deleted affiliate as it was.",
        ))
}

/// Searches, which need no right to edit.
pub(super) fn query_routes() -> OpenApiRouter<AppState> {
    let table = crud::table::<Affiliate>(
        "/affiliatestable",
        "Lists affiliates by a body with searches and filters.",
    );
    OpenApiRouter::new().routes(table)
}

impl Resource for Affiliate {
    const SCHEMA: &'static str = "Affiliate";
    const PLURAL: &'static str = "affiliates";
    const ID_FIELD: &'static str = "network_affiliate_id";

    fn relationship(&self, _network: Network, _id: u32) -> Map<String, Value> {
        Map::from_iter([labels(&self.kept)])
    }
}

impl CatalogResource for Affiliate {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: Affiliate::FILTERS,
        relationships: &[],
        search: Some(rows::NAME),
        is_whole_by_default: false,
        has_cursors: false,
    };

    fn clear_secrets(&mut self) {
        self.kept.remove("billing");
    }

    fn warnings(&self) -> Vec<String> {
        Affiliate::warnings(self).into_iter().collect()
    }
}
