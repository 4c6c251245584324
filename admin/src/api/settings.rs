//! `/v1/networks/settings`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::Answer;
use super::error::ApiError;
use super::live::Edits;
use super::request::{Fields, Json, Wait};
use super::schema::{Patched, flattened};
use super::state::{AppState, Network};
use crate::catalog::{Settings, time_zones};
use crate::edit::{self, Change, EditError};
use crate::publish::PublisherHandle;
use crate::store::settings::{self, SettingsRow};
use crate::store::{ReadTx, Store, StoreError, WriteTx};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(read, replace, patch))
}

/// The network's time zone and currency, for partners and advertisers.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ReportingSettings {
    /// An IANA name.
    timezone: String,
    /// Everflow's number of the time zone; 0 if the zone has no number.
    timezone_id: u32,
    /// The same as `timezone_id`.
    reporting_timezone_id: u32,
    /// ISO 4217.
    currency_id: String,
    /// The same as `currency_id`.
    default_currency_id: String,
}

impl ReportingSettings {
    pub(super) fn read(connection: &ReadTx<'_>) -> Result<ReportingSettings, StoreError> {
        let Settings { time_zone, currency, .. } = settings::read(connection)?.settings;
        let timezone_id = time_zones::number(&time_zone).unwrap_or(0);
        Ok(ReportingSettings {
            timezone: time_zone,
            timezone_id,
            reporting_timezone_id: timezone_id,
            currency_id: currency.clone(),
            default_currency_id: currency,
        })
    }
}

type Patch = Patched<Settings>;

#[derive(Serialize)]
struct SettingsAnswer {
    network_id: u32,
    #[serde(flatten)]
    settings: Settings,
    time_saved: i64,
    #[serde(skip)]
    revision: u64,
}

flattened!(SettingsAnswer as "Settings" = Settings; "network_id": u32, "time_saved": i64);

impl Answer for SettingsAnswer {
    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}

/// Reads the network's settings.
#[utoipa::path(get, path = "/settings", responses((status = 200, body = SettingsAnswer)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Response, ApiError> {
    let found = store.read(settings::read).await?;
    Ok(SettingsAnswer::new(network, found).into_answer())
}

/// Replaces the network's settings; the body must name every field.
#[utoipa::path(put, path = "/settings", params(Wait), request_body = Settings, responses((status = 200, body = SettingsAnswer)))]
async fn replace(
    edits: State<Edits>,
    network: State<Network>,
    publisher: State<PublisherHandle>,
    wait: Wait,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(edits, network, publisher, wait, Change::Replace(fields)).await
}

/// Changes the named settings.
#[utoipa::path(patch, path = "/settings", params(Wait), request_body = Patch, responses((status = 200, body = SettingsAnswer)))]
async fn patch(
    edits: State<Edits>,
    network: State<Network>,
    publisher: State<PublisherHandle>,
    wait: Wait,
    Json(fields): Fields,
) -> Result<Response, ApiError> {
    change(edits, network, publisher, wait, Change::Patch(fields)).await
}

async fn change(
    State(edits): State<Edits>,
    State(network): State<Network>,
    State(publisher): State<PublisherHandle>,
    wait: Wait,
    change: Change,
) -> Result<Response, ApiError> {
    let work = move |tx: &WriteTx<'_>| {
        let before = settings::read(tx)?.settings.ip_blocklist;
        let saved = edit::settings::change(tx, change)?;
        let now = &saved.now.settings.ip_blocklist;
        if !now.is_empty() && *now != before {
            publisher.require_rules()?;
        }
        Ok::<_, EditError>(saved)
    };
    edits.change(wait, work, |row| SettingsAnswer::new(network, row)).await
}

impl SettingsAnswer {
    fn new(network: Network, row: SettingsRow) -> SettingsAnswer {
        let SettingsRow { settings, time_saved, revision } = row;
        SettingsAnswer { network_id: network.id, settings, time_saved, revision }
    }
}
