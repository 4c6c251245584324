//! `/v1/networks/audit`: who changed what and when, the newest first.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::answer::List;
use super::error::ApiError;
use super::openapi::{ListOf, Row, listing};
use super::request::{ListParameters, ListSpec};
use crate::store::audit;

const LIST: ListSpec = ListSpec {
    filters: audit::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
};

listing!(Listing, LIST);
type Listed = ListOf<audit::Recorded>;

impl Row for audit::Recorded {
    const PLURAL: &'static str = "audit";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Who changed what, the newest first.
#[utoipa::path(get, path = "/audit", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = state.store.read(move |connection| audit::list(connection, &query)).await?;
    Ok(List::new("audit", listed.rows, page, listed.total_count).into_response())
}
