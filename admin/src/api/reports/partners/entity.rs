//! A partner's own clicks and sales, counted: `POST /v1/affiliates/reporting/entity`.

use axum::extract::State;
use axum::response::Response;

use super::partner_of;
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::reports::entity::{self, EntityReport, EntityRequest, Scope};
use crate::api::reports::measures::PartnerReporting;
use crate::api::reports::paging::PagingParameters;
use crate::api::reports::sheet::{Format, Output};
use crate::api::request;
use crate::store::Store;

/// Counts your clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn report(
    State(store): State<Store>,
    caller: Authenticated,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    entity::answer::<PartnerReporting>(store, scope, parameters, output, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn table(
    State(store): State<Store>,
    caller: Authenticated,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    entity::answer::<PartnerReporting>(store, scope, parameters, output, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(in crate::api::reports) async fn export(
    State(store): State<Store>,
    caller: Authenticated,
    parameters: PagingParameters,
    output: Output,
    request: request::Json<EntityRequest>,
) -> Result<Response, ApiError> {
    let scope = Scope::partner(partner_of(caller)?);
    let output = output.or(Some(Format::Csv));
    entity::answer::<PartnerReporting>(store, scope, parameters, output, request).await
}
