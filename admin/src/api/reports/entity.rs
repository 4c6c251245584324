//! Clicks and conversions counted by breakdowns: `POST …/reporting/entity`, the same under the name
//! `entity/table`, and as a file under `entity/table/export`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::body::report_body;
use super::output::{not_written, send_csv};
use super::paging::{PagingParameters, page_answer};
use super::request::{PartnerViewer, ReportRequest};
use super::rows::{NetworkReporting, PartnerReporting};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::catalog::FieldError;
use crate::reports::entity::{self, EntityExtent, EntityQuery, EntityRow, EntityTable, Sums};
use crate::reports::view::Viewer;

report_body! {
    /// Period, columns and filters of the report.
    EntityRequest as EntityRequest {
    /// Breakdowns, in this order: `offer`, `affiliate`, `advertiser`,
    /// `coupon_code`, `date`, `hour`, `currency`, and one of `country`, `region`, `city`,
    /// `device_type`, `platform`, `browser`, `source_id` and `sub1` to `sub5`. A region is named as
    /// `US-WA`, a city as `Milton, US-WA`. Partners have no `affiliate`, `advertiser`, `city`,
    /// `platform` and `browser`.
    columns: Vec<ColumnRequest>,
    /// Money in this currency only. Without it each row has the money of its one currency; where it
    /// has several, money is null, and the column `currency` tells them apart. Clicks and
    /// conversions are counted whatever their currency.
    #[serde(default)]
    #[schema(example = "USD")]
    currency_id: Option<String>,
    /// Known from Everflow, not from here: refused instead of being ignored, unless it is empty.
    #[serde(default)]
    usm_columns: Vec<serde_json::Value>,
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ColumnRequest {
    #[schema(example = "coupon_code")]
    column: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct EntityReport<R: utoipa::ToSchema> {
    table: Vec<ReportRow<R>>,
    /// Sums over all rows, also if the table is incomplete or one page of several.
    summary: R,
    /// Currencies with money.
    currencies: Vec<String>,
    /// There are more rows than the 10,000 that are answered without pages, or a day of a partner
    /// had more values of a sub, region or city than the 10,000 that are counted apart; further ones
    /// are `(other)`.
    incomplete_results: bool,
    /// Why places are missing, where columns or filters name one; left out where nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
    /// Where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportRow<R> {
    columns: Vec<ReportColumn>,
    reporting: R,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportColumn {
    column_type: &'static str,
    id: String,
    label: String,
}

/// Counts clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn report(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn table(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn export(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request.prefer_csv()).await
}

/// Counts your clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn partner_report(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn partner_table(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv")))))]
pub(super) async fn partner_export(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request.prefer_csv()).await
}

async fn answer<R: From<Sums> + Serialize + utoipa::ToSchema>(
    viewer: Viewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    let file = request.file()?;
    let ReportRequest { body, paging, store, .. } = request;
    let query = body.query(paging);
    let answered = store.read(move |connection| match file {
        None => {
            let table = entity::count(connection, viewer, &query, EntityExtent::Answer)?;
            Ok(Json(EntityReport::<R>::new(&table)).into_response())
        }
        Some(file) => {
            let table = entity::count(connection, viewer, &query, EntityExtent::File)?;
            let file = table.write_csv(file).map_err(not_written)?;
            send_csv(file, "report.csv", table.is_incomplete)
        }
    });
    answered.await
}

impl EntityRequest {
    fn query(&self, parameters: PagingParameters) -> EntityQuery {
        let usm_columns = (!self.usm_columns.is_empty()).then(|| FieldError {
            field: "usm_columns".into(),
            error: "cannot be used here; leave it out".into(),
        });
        EntityQuery {
            selection: self.selection(parameters),
            breakdowns: self.columns.iter().map(|request| request.column.clone()).collect(),
            currency: self.currency_id.clone(),
            refused: usm_columns.into_iter().collect(),
        }
    }
}

impl<R: From<Sums> + utoipa::ToSchema> EntityReport<R> {
    fn new(table: &EntityTable) -> EntityReport<R> {
        EntityReport {
            table: table.rows().map(ReportRow::new).collect(),
            summary: table.summary().into(),
            currencies: table.currencies_with_money.clone(),
            incomplete_results: table.is_incomplete,
            warnings: table.warnings.clone(),
            paging: table.page.map(page_answer),
        }
    }
}

impl<R: From<Sums>> ReportRow<R> {
    fn new(row: EntityRow<'_>) -> ReportRow<R> {
        let columns = row.breakdown_values().map(|value| ReportColumn {
            column_type: value.breakdown.name(),
            id: value.id,
            label: value.label,
        });
        ReportRow { columns: columns.collect(), reporting: row.sums().into() }
    }
}
