//! Single clicks as the network sees them: `POST /v1/networks/reporting/clicks/stream`, the same of
//! invalid ones, and `GET …/clicks/{transaction_id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::click_row::{self, Shown, ShownStream};
use super::facet::Facet;
use super::filters::{Filters, Query};
use super::period::{Period, When};
use super::sheet::{self, Format, Output};
use crate::api::error::ApiError;
use crate::api::{Network, request};

pub(super) mod search;

use search::{Kind, Scope, Source};

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = ClickStreamRequest)]
pub(super) struct StreamRequest {
    #[serde(flatten)]
    when: When,
    #[serde(default)]
    query: Query,
    /// `Accept: text/csv` does the same.
    #[serde(default)]
    pub(super) format: Option<Format>,
}

impl StreamRequest {
    fn check(
        &self,
        network_zone: &str,
        max_days: u64,
        facets: &[Facet],
    ) -> Result<(Period, Filters), ApiError> {
        let period = self.when.period(network_zone).map_err(ApiError::fields)?;
        if period.is_longer_than_days(max_days) {
            let error = format!("is more than {max_days} days after from; ask for less at once");
            return Err(ApiError::field("to", error));
        }
        Ok((period, self.query.filters(facets).map_err(ApiError::fields)?))
    }
}

/// The newest clicks of at most 14 days, 10,000 at most.
#[utoipa::path(post, path = "/reporting/clicks/stream", request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(super) async fn stream(
    State(from): State<Source>,
    State(network): State<Network>,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(from, network, output, request, Kind::All).await
}

/// As the stream of clicks: only those that were not sent on to the offer, each with the reason.
#[utoipa::path(post, path = "/reporting/invalidclicks", request_body = StreamRequest, responses((status = 200, content((ShownStream = "application/json"), (String = "text/csv")))))]
pub(super) async fn invalid(
    State(from): State<Source>,
    State(network): State<Network>,
    output: Output,
    request::Json(request): request::Json<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(from, network, output, request, Kind::Invalid).await
}

async fn answer(
    from: Source,
    network: Network,
    output: Output,
    request: StreamRequest,
    kind: Kind,
) -> Result<Response, ApiError> {
    let file = output.or(request.format).file()?;
    let (clicks, incomplete_results) = from.search(request, Scope::network(kind)).await?;
    let rendered = from.store.read(move |connection| {
        let clicks = click_row::render(connection, network, clicks)?;
        match file {
            None => Ok(Json(ShownStream { clicks, incomplete_results }).into_response()),
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
