//! `/v1/networks/edges`: the couponds on other machines.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::state::AppState;
use crate::edges::edge_state::{EdgeStatus, registered_edges};
use crate::edges::hub::{HubHandle, HubStatus};
use crate::store::{ReadTx, StoreError, edges, nodes};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// All edges, by node id.
#[derive(Serialize, utoipa::ToSchema)]
struct EdgeList {
    /// Why NATS is not reached, or is not configured.
    nats_error: Option<String>,
    /// Why the published index does not get to edges.
    publication_error: Option<String>,
    edges: Vec<EdgeStatus>,
}

/// Lists the couponds on other machines with their states, also revoked ones.
#[utoipa::path(get, path = "/edges", responses((status = 200, body = EdgeList)))]
async fn list(State(state): State<AppState>) -> Result<Json<EdgeList>, ApiError> {
    let read = |connection: &ReadTx<'_>| {
        let seen: BTreeMap<u16, i64> = nodes::last_seen(connection)?.into_iter().collect();
        Ok::<_, StoreError>((edges::all(connection)?, seen))
    };
    let (rows, last_seen) = state.store.read(read).await?;
    let hub = state.hub.as_ref().map(HubHandle::status);
    let HubStatus { nats_error, publication_error, edges, .. } = hub.unwrap_or_else(|| HubStatus {
        nats_error: Some("no server is configured: set hub.servers and restart".to_owned()),
        ..HubStatus::default()
    });
    let edges = registered_edges(&rows, edges, &last_seen);
    Ok(Json(EdgeList { nats_error, publication_error, edges }))
}
