//! `/v1/networks/trackingdomains`.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Object, Resource};
use super::crud::{self, CatalogResource, NoRules};
use super::error::ApiError;
use super::request::{Id, ListSpec, RemovalOptions, Wait};
use super::schema::field;
use super::state::{AppState, Network};
use crate::acme::AcmeHandle;
use crate::catalog::{CertificateState, TrackingDomain};
use crate::edit::domains::request_certificate;
use crate::store::Store;
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
        .routes(routes!(renew))
}

type DomainAnswer = Object<TrackingDomain>;

/// Orders a certificate for a tracking domain now, instead of at the next attempt or renewal.
/// Answers at once; `certificate_state` tells the result later.
#[utoipa::path(post, path = "/trackingdomains/{id}/certificate/renew", params(Id), responses((status = 200, body = DomainAnswer)))]
async fn renew(
    State(store): State<Store>,
    State(network): State<Network>,
    State(certificates): State<AcmeHandle>,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let domain = store.write(move |tx| request_certificate(tx, id)).await?;
    certificates.wake();
    Ok(DomainAnswer::new(network, domain).into_answer())
}

impl Resource for TrackingDomain {
    const SCHEMA: &'static str = "TrackingDomain";
    const PLURAL: &'static str = "tracking_domains";
    const ID_FIELD: &'static str = "network_tracking_domain_id";

    fn read_only_fields(&self) -> Map<String, Value> {
        // A state of plain texts and numbers always becomes JSON.
        let state = serde_json::to_value(&self.certificate_state).unwrap_or_default();
        Map::from_iter([("certificate_state".to_owned(), state)])
    }

    fn read_only_schema() -> utoipa::openapi::Object {
        field::<CertificateState>(Default::default(), "certificate_state")
    }
}

impl CatalogResource for TrackingDomain {
    type Rules = NoRules;
    type CreateOptions = Wait;
    type ChangeOptions = Wait;
    type DeleteOptions = RemovalOptions;

    const LIST: ListSpec = ListSpec {
        filters: TrackingDomain::FILTERS,
        relationships: &[],
        search: None,
        is_whole_by_default: false,
        has_cursors: false,
    };
}
