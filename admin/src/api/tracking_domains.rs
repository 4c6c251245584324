//! `/v1/networks/trackingdomains`.

use utoipa_axum::router::OpenApiRouter;

use super::answer::Resource;
use super::crud::{self, CatalogResource, NoRules};
use super::request::{ListSpec, RemovalOptions, Wait};
use super::state::AppState;
use crate::catalog::TrackingDomain;
use crate::store::rows::Entity;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(crud::list::<TrackingDomain>("/trackingdomains", "Lists tracking domains."))
        .routes(crud::create::<TrackingDomain>("/trackingdomains", "Creates a tracking domain."))
        .routes(crud::read::<TrackingDomain>("/trackingdomains/{id}", "One tracking domain."))
        .routes(crud::replace::<TrackingDomain>(
            "/trackingdomains/{id}",
            "Replaces all of a tracking domain.",
        ))
        .routes(crud::patch::<TrackingDomain>(
            "/trackingdomains/{id}",
            "Changes what the body names.",
        ))
        .routes(crud::delete::<TrackingDomain>(
            "/trackingdomains/{id}",
            "Deletes a tracking domain; it is kept, and its id is never used again. Where live coupon codes would\n\
             stop working with it, 409 says how many, unless `force` is set.",
        ))
        .routes(crud::restore::<TrackingDomain>(
            "/trackingdomains/{id}/restore",
            "Restores a deleted tracking domain as it was.",
        ))
}

impl Resource for TrackingDomain {
    const SCHEMA: &'static str = "TrackingDomain";
    const PLURAL: &'static str = "tracking_domains";
    const ID_FIELD: &'static str = "network_tracking_domain_id";
}

impl CatalogResource for TrackingDomain {
    type Rules = NoRules;
    type ChangeOptions = Wait;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: TrackingDomain::FILTERS,
        relationships: &[],
        search: None,
        is_whole_by_default: false,
    };
}
