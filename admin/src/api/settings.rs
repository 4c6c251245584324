//! `/v1/networks/settings`.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::answer::Answer;
use super::error::ApiError;
use super::request::{Fields, Json, Wait};
use super::{AppState, Network, live};
use crate::catalog::Settings;
use crate::edit::{self, Change};
use crate::store::settings::{self, SettingsRow};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/settings", get(read).put(replace))
}

#[derive(Serialize)]
struct Shown {
    network_id: u32,
    #[serde(flatten)]
    settings: Settings,
    time_saved: i64,
    #[serde(skip)]
    revision: u64,
}

impl Answer for Shown {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

async fn read(State(state): State<AppState>) -> Result<Response, ApiError> {
    let found = state.store.read(settings::read).await?;
    Ok(shown(state.network, found).answered())
}

async fn replace(
    State(state): State<AppState>,
    wait: Wait,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    let saved =
        state.store.write(move |tx| edit::settings::replace(tx, Change::Replace(fields))).await?;
    Ok(live::answer(&state, wait, saved, |now| shown(state.network, now)).await)
}

fn shown(network: Network, row: SettingsRow) -> Shown {
    let SettingsRow { settings, time_saved, revision } = row;
    Shown { network_id: network.id, settings, time_saved, revision }
}
