//! Single conversions as the network sees them: `POST /v1/networks/reporting/conversions`, the same
//! as a stream and as a file, `GET …/conversions/{conversion_id}` and `GET …/events/{transaction_id}`.

pub(super) mod search;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coupon_shared::transaction_id::TransactionId;
use serde::Serialize;

use super::conversion_row::{self, Shown, Whole};
use super::paging::PagingParameters;
use super::sheet::{Format, Output, Sheet};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::{Network, request};
use crate::store::Store;
use crate::store::conversions::{self, ConversionId, Filters};
use search::{ConversionRequest, Extent, Found, Scope};

/// Conversions, the newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversionReport)]
pub(super) struct Report {
    conversions: Vec<Shown>,
    paging: Paging,
}

/// The newest conversions, and whether there are more.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversionStream)]
pub(super) struct Stream {
    conversions: Vec<Shown>,
    incomplete_results: bool,
}

/// All conversions of one click.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversionEvents)]
pub(super) struct Events {
    events: Vec<Shown>,
}

/// One page of conversions, the newest first; as a file all of them, unless a page is named.
#[utoipa::path(post, path = "/reporting/conversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Report = "application/json"), (String = "text/csv")))))]
pub(super) async fn report(
    State(store): State<Store>,
    State(network): State<Network>,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(store, network, parameters, output, request, Extent::Page).await
}

/// The newest conversions, 10,000 at most; as a file all of them.
#[utoipa::path(post, path = "/reporting/conversions/stream", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv")))))]
pub(super) async fn stream(
    State(store): State<Store>,
    State(network): State<Network>,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(store, network, parameters, output, request, Extent::Newest).await
}

/// Conversions as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/conversions/export", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv")))))]
pub(super) async fn export(
    State(store): State<Store>,
    State(network): State<Network>,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<ConversionRequest>,
) -> Result<Response, ApiError> {
    let output = output.or(Some(Format::Csv));
    answer(store, network, parameters, output, request, Extent::Newest).await
}

async fn answer(
    store: Store,
    network: Network,
    parameters: PagingParameters,
    output: Output,
    request: ConversionRequest,
    extent: Extent,
) -> Result<Response, ApiError> {
    let file = output.or(request.format).file()?;
    let answered = store.read(move |connection| {
        let asked = request.check(connection, Scope::NETWORK, parameters)?;
        if let Some(file) = file {
            let columns = conversion_row::columns();
            let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
            let mut sheet = Sheet::begin(file, "conversions.csv", &header)?;
            asked.each_batch(connection, |rows| {
                for row in conversion_row::render(connection, network, rows)? {
                    sheet.line(columns.iter().map(|(_, cell)| cell(&row)))?;
                }
                Ok(())
            })?;
            return sheet.finish(false);
        }
        let Found { rows, paging, is_incomplete } = asked.find(connection, extent)?;
        let conversions = conversion_row::render(connection, network, rows)?;
        Ok(match paging {
            Some(paging) => Json(Report { conversions, paging }).into_response(),
            None => Json(Stream { conversions, incomplete_results: is_incomplete }).into_response(),
        })
    });
    answered.await
}

/// One conversion, how it was decided and what happened to it.
#[utoipa::path(get, path = "/reporting/conversions/{conversion_id}", params(("conversion_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = Whole)))]
pub(super) async fn single(
    State(store): State<Store>,
    State(network): State<Network>,
    Path(id): Path<String>,
) -> Result<Json<Whole>, ApiError> {
    let id: ConversionId =
        id.parse().map_err(|error| ApiError::field("conversion_id", format!("{error}")))?;
    let found = store.read(move |connection| {
        let row = conversions::get(connection, id)?.ok_or_else(|| not_found(id))?;
        let history = conversions::history(connection, row.number)?;
        let shown = conversion_row::render(connection, network, vec![row])?.pop();
        Ok(Whole::new(shown.ok_or_else(ApiError::inside)?, history))
    });
    found.await.map(Json)
}

pub(super) fn not_found(id: ConversionId) -> ApiError {
    let message = format!("there is no conversion {id}");
    ApiError::new(StatusCode::NOT_FOUND, "conversion.not_found", message)
}

/// The conversion of a click and its events, the newest first.
#[utoipa::path(get, path = "/reporting/events/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = Events)))]
pub(super) async fn events(
    State(store): State<Store>,
    State(network): State<Network>,
    Path(transaction_id): Path<String>,
) -> Result<Json<Events>, ApiError> {
    let id: TransactionId = transaction_id
        .parse()
        .map_err(|error| ApiError::field("transaction_id", format!("{error}")))?;
    let filters = Filters { transaction_id: Some(id.to_string()), ..Filters::default() };
    let found = store.read(move |connection| {
        let rows = search::newest(connection, &filters)?.0;
        Ok::<_, ApiError>(conversion_row::render(connection, network, rows)?)
    });
    Ok(Json(Events { events: found.await? }))
}
