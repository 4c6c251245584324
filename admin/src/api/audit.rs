//! `/v1/networks/audit`: the audit of changes, newest first.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::error::ApiError;
use super::request::{ListParameters, ListSpec};
use super::schema::{Row, listing};
use super::state::AppState;
use crate::store::{Store, audit};

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

/// Lists changes with author and time, newest first.
#[utoipa::path(get, path = "/audit", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = store.read(move |connection| audit::list(connection, &query)).await?;
    Ok(List::new("audit", listed.rows, page, listed.total_count).into_response())
}
