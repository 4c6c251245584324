//! `/v1/networks/audit`: who changed what and when, the newest first.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::AppState;
use super::answer::List;
use super::error::ApiError;
use super::request::{ListOffer, ListParameters};
use crate::store::audit;

const LIST: ListOffer = ListOffer {
    filters: audit::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/audit", get(list))
}

async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.of(&LIST)?.query;
    let page = query.page;
    let listed = state.store.read(move |connection| audit::list(connection, &query)).await?;
    Ok(List::new("audit", listed.rows, page, listed.total_count).into_response())
}
