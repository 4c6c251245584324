//! Single clicks as the network sees them: `POST /v1/networks/reporting/clicks/stream`, the same of
//! invalid ones, and `GET …/clicks/{transaction_id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};

use super::body::report_body;
use super::click_row::{self, Shown, ShownStream};
use super::facet::Facet;
use super::filters::Filters;
use super::paging::PagingParameters;
use super::period::Period;
use super::sheet::{self, Output};
use crate::api::error::ApiError;
use crate::api::{Network, request};
use crate::store::rows::Page;

pub(super) mod search;
mod verdict;

use search::{Found, Kind, Scope, Source};

report_body! {
    /// Which clicks.
    StreamRequest as ClickStreamRequest {}
}

/// A request that can be answered.
struct Checked {
    period: Period,
    filters: Filters,
    page: Option<Page>,
}

impl StreamRequest {
    fn check(
        &self,
        network_zone: &str,
        max_days: u64,
        facets: &[Facet],
        parameters: PagingParameters,
    ) -> Result<Checked, ApiError> {
        let period = self.when().period(network_zone).map_err(ApiError::fields)?;
        if period.is_longer_than_days(max_days) {
            let error = format!("is more than {max_days} days after from; ask for less at once");
            return Err(ApiError::field("to", error));
        }
        let paged = self.paged().after(parameters);
        let order = paged.newest_first("unix_timestamp");
        order.map_err(|error| ApiError::field("order", error))?;
        let page = paged.page().map_err(ApiError::fields)?;
        let filters = self.query.filters(facets).map_err(ApiError::fields)?;
        Ok(Checked { period, filters, page })
    }
}

/// The newest clicks of at most 14 days, 10,000 at most, or a page of them.
#[utoipa::path(post, path = "/reporting/clicks/stream", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(super) async fn stream(
    State(from): State<Source>,
    State(network): State<Network>,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(from, network, output, request, parameters, Kind::All).await
}

/// As the stream of clicks: only those that were not sent on to the offer, each with the reason.
#[utoipa::path(post, path = "/reporting/invalidclicks", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(super) async fn invalid(
    State(from): State<Source>,
    State(network): State<Network>,
    parameters: PagingParameters,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(from, network, output, request, parameters, Kind::Invalid).await
}

async fn answer(
    from: Source,
    network: Network,
    output: Output,
    request: StreamRequest,
    parameters: PagingParameters,
    kind: Kind,
) -> Result<Response, ApiError> {
    let file = output.or(request.format).file()?;
    let found = from.search(request, parameters, Scope::network(kind)).await?;
    let Found { clicks, incomplete_results, paging } = found;
    let rendered = from.store.read(move |connection| {
        let clicks = click_row::render(connection, network, clicks)?;
        match file {
            None => Ok(Json(ShownStream { clicks, incomplete_results, paging }).into_response()),
            Some(file) => {
                sheet::csv(file, "clicks.csv", &click_row::columns(), &clicks, incomplete_results)
            }
        }
    });
    rendered.await
}

/// One click.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = Shown)))]
pub(super) async fn single(
    State(from): State<Source>,
    State(network): State<Network>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let click = from.find(&id).await?;
    let shown = from.store.read(move |c| click_row::render(c, network, vec![click]));
    shown.await?.pop().map(Json).ok_or_else(ApiError::inside)
}
