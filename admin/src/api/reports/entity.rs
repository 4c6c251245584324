//! Clicks and conversions counted by breakdowns: `POST …/reporting/entity`, the same under the name
//! `entity/table`, and as a file under `entity/table/export`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::absent_parts::{FACETS, WithAbsentParts};
use super::body::report_body;
use super::output::{not_written, send_file};
use super::paging::{PagingParameters, page_answer};
use super::request::{AdvertiserViewer, PartnerViewer, ReportRequest};
use super::rows::{AdvertiserReporting, NetworkReporting, PartnerReporting};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::catalog::FieldWarning;
use crate::reports::entity::{self, EntityExtent, EntityQuery, EntityRow, EntityTable, Sums};
use crate::reports::view::Viewer;

report_body! {
    /// Period, columns and filters of the report.
    EntityRequest as EntityRequest {
    /// Breakdowns, in this order: `offer`, `affiliate`, `advertiser`,
    /// `coupon_code`, `date`, `hour`, `currency`, and one of `country`, `region`, `city`,
    /// `device_type`, `platform`, `browser`, `source_id` and `sub1` to `sub10`. A region is named as
    /// `US-WA`, a city as `Milton, US-WA`. Partners have no `affiliate`, `advertiser`, `city`,
    /// `platform` and `browser`, advertisers no `advertiser` and `city`. Columns that only Everflow knows, such as `adset`, are ignored with
    /// a warning.
    #[serde(default)]
    columns: Vec<ColumnRequest>,
    /// Money in this currency only. Without it each row has the money of its one currency; where it
    /// has several, money is null, and the column `currency` tells them apart. Clicks and
    /// conversions are counted whatever their currency.
    #[serde(default)]
    #[schema(example = "USD")]
    currency_id: Option<String>,
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
    /// Parts of the request that were ignored, and why places are missing, where columns or filters
    /// name one; left out where nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<FieldWarning>,
    /// Where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    paging: Option<Paging>,
}

/// Sums over all rows.
#[derive(Serialize, utoipa::ToSchema)]
struct EntitySummary<R: utoipa::ToSchema> {
    #[serde(flatten)]
    reporting: R,
    /// A day had more values of a sub, region or city than are counted apart, so rows that meet a
    /// filter may be missing.
    incomplete_results: bool,
    /// Parts of the request that were ignored; left out where nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<FieldWarning>,
}

impl<R: From<Sums> + utoipa::ToSchema> EntitySummary<R> {
    fn new(table: &EntityTable, mut warnings: Vec<FieldWarning>) -> EntitySummary<R> {
        warnings.extend(table.warnings.iter().cloned());
        let incomplete_results = table.is_incomplete;
        EntitySummary { reporting: table.summary().into(), incomplete_results, warnings }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportRow<R> {
    columns: Vec<ReportColumn>,
    reporting: R,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ReportColumn {
    column_type: &'static str,
    /// An id, a text, an hour with its offset, or the Unix time of a day's midnight in UTC.
    id: String,
    label: String,
}

impl WithAbsentParts for EntityRequest {
    fn remove_absent_columns(&mut self, warnings: &mut Vec<FieldWarning>) {
        self.columns.retain(|request| {
            let is_absent = FACETS.contains(&request.column.as_str());
            if is_absent {
                let field = format!("columns.{}", request.column);
                warnings.push(FieldWarning::new(field, "this report has no such column"));
            }
            !is_absent
        });
    }
}

/// Counts clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn report(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn table(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<NetworkReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn export(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    answer::<NetworkReporting>(Viewer::Network, request.prefer_file()).await
}

/// The sums of the report: one row without columns. Columns and pages of the request change nothing.
#[utoipa::path(post, path = "/reporting/entity/summary", params(PagingParameters), request_body = EntityRequest, responses((status = 200, body = EntitySummary<NetworkReporting>)))]
pub(super) async fn summary(request: ReportRequest<EntityRequest>) -> Result<Response, ApiError> {
    summarize::<NetworkReporting>(Viewer::Network, request).await
}

/// Counts your clicks and conversions by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_report(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_table(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_export(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request.prefer_file()).await
}

/// Counts your clicks and conversions by day; columns of the body are ignored.
#[utoipa::path(post, path = "/reporting/daily", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_by_day(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request.by("date")).await
}

/// Counts your clicks and conversions by offer; columns of the body are ignored.
#[utoipa::path(post, path = "/reporting/offer", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_by_offer(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request.by("offer")).await
}

/// Counts your clicks and conversions by `sub1`; columns of the body are ignored. Other subs are
/// columns of `reporting/entity`.
#[utoipa::path(post, path = "/reporting/sub", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<PartnerReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_by_sub(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<PartnerReporting>(viewer, request.by("sub1")).await
}

/// Counts the clicks and conversions of your offers by the columns.
#[utoipa::path(post, path = "/reporting/entity", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<AdvertiserReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_report(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<AdvertiserReporting>(viewer, request).await
}

/// The same under another name.
#[utoipa::path(post, path = "/reporting/entity/table", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<AdvertiserReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_table(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<AdvertiserReporting>(viewer, request).await
}

/// The same as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/entity/table/export", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<AdvertiserReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_export(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<AdvertiserReporting>(viewer, request.prefer_file()).await
}

/// Counts the clicks and conversions of your offers by day; columns of the body are ignored.
#[utoipa::path(post, path = "/reporting/daily", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<AdvertiserReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_by_day(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<AdvertiserReporting>(viewer, request.by("date")).await
}

/// Counts the clicks and conversions of your offers by offer; columns of the body are ignored.
#[utoipa::path(post, path = "/reporting/offer", params(PagingParameters), request_body = EntityRequest, responses((status = 200, content((EntityReport<AdvertiserReporting> = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_by_offer(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    answer::<AdvertiserReporting>(viewer, request.by("offer")).await
}

/// The sums of the report: one row without columns. Columns and pages of the request change nothing.
#[utoipa::path(post, path = "/reporting/entity/summary", params(PagingParameters), request_body = EntityRequest, responses((status = 200, body = EntitySummary<AdvertiserReporting>)))]
pub(super) async fn advertiser_sums(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    summarize::<AdvertiserReporting>(viewer, request).await
}

async fn summarize<R: From<Sums> + Serialize + utoipa::ToSchema>(
    viewer: Viewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    let ReportRequest { mut body, warnings, store, .. } = request;
    // Any breakdown has the same sums; days take one family of rollups only.
    body.columns = vec![ColumnRequest { column: "date".into() }];
    (body.page, body.page_size, body.order) = (None, None, None);
    let query = body.query(PagingParameters::default());
    let counted = store.read(move |connection| {
        let table = entity::count(connection, viewer, &query, EntityExtent::File)?;
        let summary = EntitySummary::<R>::new(&table, warnings);
        Ok::<_, ApiError>(Json(summary).into_response())
    });
    counted.await
}

impl ReportRequest<EntityRequest> {
    /// The same request with this column only.
    fn by(mut self, column: &str) -> ReportRequest<EntityRequest> {
        self.body.columns = vec![ColumnRequest { column: column.to_owned() }];
        self
    }
}

async fn answer<R: From<Sums> + Serialize + utoipa::ToSchema>(
    viewer: Viewer,
    request: ReportRequest<EntityRequest>,
) -> Result<Response, ApiError> {
    let file = request.file()?;
    let ReportRequest { body, paging, warnings, store, .. } = request;
    let query = body.query(paging);
    let answered = store.read(move |connection| match file {
        None => {
            let table = entity::count(connection, viewer, &query, EntityExtent::Answer)?;
            Ok(Json(EntityReport::<R>::new(&table, warnings)).into_response())
        }
        Some(file) => {
            let table = entity::count(connection, viewer, &query, EntityExtent::File)?;
            let file = table.write_file(file).map_err(not_written)?;
            send_file(file, "report", table.is_incomplete)
        }
    });
    answered.await
}

impl EntityRequest {
    fn query(&self, parameters: PagingParameters) -> EntityQuery {
        EntityQuery {
            selection: self.selection(parameters),
            breakdowns: self.columns.iter().map(|request| request.column.clone()).collect(),
            currency: self.currency_id.clone().filter(|currency| !currency.is_empty()),
        }
    }
}

impl<R: From<Sums> + utoipa::ToSchema> EntityReport<R> {
    fn new(table: &EntityTable, mut warnings: Vec<FieldWarning>) -> EntityReport<R> {
        warnings.extend(table.warnings.iter().cloned());
        EntityReport {
            table: table.rows().map(ReportRow::new).collect(),
            summary: table.summary().into(),
            currencies: table.currencies_with_money.clone(),
            incomplete_results: table.is_incomplete,
            warnings,
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
