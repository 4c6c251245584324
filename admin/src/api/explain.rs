//! `POST /v1/networks/explain`: explains the answer to a visit, without recording the visit.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use coupon_geo::GeoWatcher;
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::request::Json;
use super::state::AppState;
use crate::explain::{Explanation, Knowledge, SimulatedVisit, explain};
use crate::publish::{FolderError, PublisherHandle};
use crate::store::Store;
use crate::visit_state::VisitStateHandle;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(explain_visit))
}

/// Explains the answer to a visit step by step, without recording the visit.
#[utoipa::path(post, path = "/explain", request_body = SimulatedVisit, responses((status = 200, body = Explanation), (status = 409, body = super::error::ErrorBody)))]
async fn explain_visit(
    State(store): State<Store>,
    State(publisher): State<PublisherHandle>,
    State(geo): State<Arc<GeoWatcher>>,
    State(visit_state): State<VisitStateHandle>,
    Json(visit): Json<SimulatedVisit>,
) -> Result<axum::Json<Explanation>, ApiError> {
    let link = visit.clone();
    let base_url = store.read(move |connection| link.base_url(connection)).await?;
    let work = tokio::task::spawn_blocking(move || {
        let index = publisher.open_index()?;
        let (databases, now) = (geo.databases().current(), Timestamp::now().as_second());
        let state = visit_state.last();
        let knowledge = Knowledge { databases: &databases, state: state.as_deref() };
        Ok(explain(&index, knowledge, &visit, base_url.as_deref(), now))
    });
    match work.await {
        Ok(Ok(explanation)) => Ok(axum::Json(explanation)),
        Ok(Err(error)) => Err(not_readable(&error)),
        Err(_panicked) => Err(ApiError::inside()),
    }
}

fn not_readable(error: &FolderError) -> ApiError {
    if error.is_missing() {
        let message = "nothing is published yet; try again in a second";
        return ApiError::new(StatusCode::CONFLICT, "index.none", message);
    }
    tracing::error!(%error, "reading the published index failed");
    ApiError::inside()
}
