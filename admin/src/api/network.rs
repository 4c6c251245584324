//! `/v1/networks`: the network itself, and its tracking domains in Everflow's shape.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::crud;
use super::error::ApiError;
use super::request::Id;
use super::state::{AppState, Network};
use crate::catalog::{TrackingDomain, time_zones};
use crate::store::rows::{self, Query, Stored};
use crate::store::settings::{self, SettingsRow};
use crate::store::{ReadTx, Store, StoreError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read))
        .routes(routes!(list_domains))
        .routes(routes!(read_domain))
}

/// The network under Everflow's names. `/v1/networks/settings` has all settings.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NetworkInfo)]
struct NetworkAnswer {
    network_id: u32,
    /// `Network` and the id: networks have no names here.
    #[schema(example = "Network 1")]
    name: String,
    /// The same as `name`.
    displayed_name: String,
    /// Always `active`.
    account_status: &'static str,
    /// Always `active`.
    status: &'static str,
    /// An IANA name.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// Everflow's number of the time zone; 0 if the zone has no number.
    timezone_id: u32,
    /// The same as `timezone_id`.
    reporting_timezone_id: u32,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// The same as `currency`.
    currency_id: String,
    /// The same as `currency`.
    default_currency_id: String,
    /// 0 if there is no tracking domain.
    network_tracking_domain_id: u32,
    /// Last change of the settings, in Unix seconds.
    time_saved: i64,
}

impl NetworkAnswer {
    fn new(network: Network, row: SettingsRow) -> NetworkAnswer {
        let SettingsRow { settings, time_saved, .. } = row;
        let name = format!("Network {}", network.id);
        let timezone_id = time_zones::number(&settings.time_zone).unwrap_or(0);
        NetworkAnswer {
            network_id: network.id,
            name: name.clone(),
            displayed_name: name,
            account_status: "active",
            status: "active",
            timezone: settings.time_zone,
            timezone_id,
            reporting_timezone_id: timezone_id,
            currency: settings.currency.clone(),
            currency_id: settings.currency.clone(),
            default_currency_id: settings.currency,
            network_tracking_domain_id: settings.default_tracking_domain_id.unwrap_or(0),
            time_saved,
        }
    }
}

/// Reads the network: its id, time zone and currency. Query parameters are ignored.
#[utoipa::path(get, path = "/", responses((status = 200, body = NetworkAnswer)))]
async fn read(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Json<NetworkAnswer>, ApiError> {
    Ok(Json(NetworkAnswer::new(network, store.read(settings::read).await?)))
}

/// A tracking domain under Everflow's names. `/v1/networks/trackingdomains` has all fields.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DomainOfLinks)]
struct DomainAnswer {
    network_tracking_domain_id: u32,
    network_id: u32,
    /// The host, with its port if that is not the usual one.
    #[schema(example = "go.example.com")]
    url: String,
    is_primary_domain: bool,
    /// Always `active`.
    domain_status: &'static str,
    /// Whether links begin with `https`.
    is_ssl_enabled: bool,
    /// Target of visits that cannot be redirected; empty: the network's fallback URL.
    url_redirect: String,
    time_created: i64,
    time_saved: i64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DomainsOfLinks)]
struct DomainList {
    domains: Vec<DomainAnswer>,
}

impl DomainAnswer {
    fn new(network: Network, stored: Stored<TrackingDomain>) -> DomainAnswer {
        let Stored { id, object: domain, times } = stored;
        let (scheme, host) = domain.base_url.split_once("://").unwrap_or_default();
        DomainAnswer {
            network_tracking_domain_id: id,
            network_id: network.id,
            url: host.to_owned(),
            is_primary_domain: domain.is_default,
            domain_status: "active",
            is_ssl_enabled: scheme == "https",
            url_redirect: domain.fallback_url,
            time_created: times.time_created,
            time_saved: times.time_saved,
        }
    }
}

/// Lists all tracking domains in Everflow's shape, without pages. Query parameters are ignored.
#[utoipa::path(get, path = "/domains/tracking", responses((status = 200, body = DomainList)))]
async fn list_domains(
    State(store): State<Store>,
    State(network): State<Network>,
) -> Result<Json<DomainList>, ApiError> {
    let list = |connection: &ReadTx<'_>| {
        let listed = rows::list::<TrackingDomain>(connection, &Query::default())?;
        Ok::<_, StoreError>(listed.rows)
    };
    let rows = store.read(list).await?.into_iter();
    Ok(Json(DomainList { domains: rows.map(|row| DomainAnswer::new(network, row)).collect() }))
}

/// One tracking domain in Everflow's shape.
#[utoipa::path(get, path = "/domains/tracking/{id}", params(Id), responses((status = 200, body = DomainAnswer)))]
async fn read_domain(
    State(store): State<Store>,
    State(network): State<Network>,
    Id(id): Id,
) -> Result<Json<DomainAnswer>, ApiError> {
    let row = crud::find::<TrackingDomain>(&store, id).await?;
    Ok(Json(DomainAnswer::new(network, row.stored)))
}
