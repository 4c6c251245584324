//! Deliveries of a webhook, sent and waiting, and their replay.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::json;

use super::{API, LIST};
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::list::Paging;
use crate::console::page::{PageResult, saved};
use crate::console::pages::delivery::DeliveryProgress;
use crate::console::viewer::Viewer;

const DELIVERIES_API: &str = "/v1/networks/webhookdeliveries";

/// A delivery as the API answers it.
#[derive(Debug, Deserialize)]
pub(super) struct DeliveryRow {
    #[serde(flatten)]
    pub(super) progress: DeliveryProgress,
    pub(super) network_webhook_delivery_id: u32,
    network_webhook_id: u32,
    pub(super) event_id: String,
    pub(super) event_type: String,
}

#[derive(Deserialize)]
pub(super) struct DeliveryList {
    pub(super) webhook_deliveries: Vec<DeliveryRow>,
    #[serde(default)]
    pub(super) paging: Paging,
}

pub(super) async fn replay(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let delivery: DeliveryRow = state.api.get(&viewer, &format!("{DELIVERIES_API}/{id}")).await?;
    let request = ApiRequest::post(format!("{DELIVERIES_API}/{id}/replay"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{}", delivery.network_webhook_id), "replayed", None))
}

pub(super) async fn replay_dead(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/replay"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{id}"), "replayed", None))
}
