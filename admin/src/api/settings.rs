//! `/v1/networks/settings`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::error::ApiError;
use super::openapi::{Patched, flattened};
use super::request::{Fields, Json, Wait};
use super::{AppState, Network, live};
use crate::catalog::Settings;
use crate::edit::{self, Change};
use crate::store::settings::{self, SettingsRow};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace, patch))
}

type Patch = Patched<Settings>;

#[derive(Serialize)]
struct Shown {
    network_id: u32,
    #[serde(flatten)]
    settings: Settings,
    time_saved: i64,
    #[serde(skip)]
    revision: u64,
}

flattened!(Shown as "Settings" = Settings; "network_id": u32, "time_saved": i64);

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// The network's settings.
#[utoipa::path(get, path = "/settings", responses((status = 200, body = Shown)))]
async fn read(State(state): State<AppState>) -> Result<Response, ApiError> {
    let found = state.store.read(settings::read).await?;
    Ok(shown(state.network, found).answered())
}

/// Replaces the network's settings; every field must be named.
#[utoipa::path(put, path = "/settings", params(Wait), request_body = Settings, responses((status = 200, body = Shown)))]
async fn replace(
    State(state): State<AppState>,
    wait: Wait,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(&state, wait, Change::Replace(fields)).await
}

/// Changes what the body names.
#[utoipa::path(patch, path = "/settings", params(Wait), request_body = Patch, responses((status = 200, body = Shown)))]
async fn patch(
    State(state): State<AppState>,
    wait: Wait,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(&state, wait, Change::Patch(fields)).await
}

async fn change(state: &AppState, wait: Wait, change: Change) -> Result<Response, ApiError> {
    let saved = state.store.write(move |tx| edit::settings::change(tx, change)).await?;
    Ok(live::answer(state, wait, saved, |now| shown(state.network, now)).await)
}

fn shown(network: Network, row: SettingsRow) -> Shown {
    let SettingsRow { settings, time_saved, revision } = row;
    Shown { network_id: network.id, settings, time_saved, revision }
}
