//! The HTTP API. This page is the table of contents; each resource has a file named like its URL.
//!
//! Every route below `/v1` stands behind one of the layers of [`auth`]: [`auth::edit`] lets
//! read-only keys read, [`auth::read`] is for requests that only read whatever their method, and
//! [`auth::partner`] for partners. A route without a key does not exist.

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::archive::Archive;
use crate::click_ingest::ClickIngestHandle;
use crate::conversions::postback_ingest::PostbackHandle;
use crate::disk::Disk;
use crate::partner_postbacks::PartnerPostbacks;
use crate::privacy::PrivacyHandle;
use crate::publish::PublisherHandle;
use crate::store::Store;
use crate::uploads::Uploads;

mod answer;
mod auth;
mod bodies;
mod conditions;
mod download;
mod error;
mod limits;
mod live;
mod openapi;
mod request;
mod request_id;

mod advertisers;
mod affiliates;
mod api_keys;
mod audit;
mod bot_list;
mod coupon_codes;
mod explain;
mod offers;
mod partner_coupon_codes;
mod partner_pixels;
mod pixels;
mod postbacks;
mod privacy;
mod reports;
mod settings;
mod tracking_domains;
mod uploads;
mod visibility;

pub use auth::{AuthConfig, Peer};
pub use bodies::Bodies;

/// What the handlers share. Each takes the part it needs.
#[derive(Clone)]
pub struct AppState {
    /// The truth.
    pub store: Store,
    /// What bulk work may take of the disk.
    pub disk: Disk,
    /// Who we are in answers.
    pub network: Network,
    /// Who comes in, and how often.
    pub auth: AuthConfig,
    /// What one request may bring.
    pub bodies: Bodies,
    /// Makes edits live.
    pub publisher: PublisherHandle,
    /// The clicks.
    pub archive: Archive,
    /// How their intake stands.
    pub intake: ClickIngestHandle,
    /// What is forgotten.
    pub privacy: PrivacyHandle,
    /// How the intake of postbacks stands.
    pub postbacks: PostbackHandle,
    /// Bulk files.
    pub uploads: Uploads,
    /// Partner postbacks.
    pub pixels: PartnerPostbacks,
}

/// The network's number in answers.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// As configured.
    pub id: u32,
}

impl FromRef<AppState> for Store {
    fn from_ref(state: &AppState) -> Store {
        state.store.clone()
    }
}

impl FromRef<AppState> for Disk {
    fn from_ref(state: &AppState) -> Disk {
        state.disk.clone()
    }
}

impl FromRef<AppState> for Network {
    fn from_ref(state: &AppState) -> Network {
        state.network
    }
}

/// What admin keys edit and read-only keys read.
fn edited() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(settings::routes())
        .merge(tracking_domains::routes())
        .merge(advertisers::routes())
        .merge(offers::routes())
        .merge(affiliates::routes())
        .merge(visibility::routes())
        .merge(coupon_codes::routes())
        .merge(uploads::routes())
        .merge(pixels::routes())
        .merge(postbacks::routes())
        .merge(api_keys::routes())
        .merge(audit::routes())
        .merge(reports::edit_routes())
        .merge(privacy::routes())
        .merge(bot_list::routes())
}

/// What both kinds of key may ask.
fn read() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(reports::routes()).merge(explain::routes())
}

/// What partners see.
fn partners() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(partner_coupon_codes::routes())
        .merge(partner_pixels::routes())
        .merge(reports::partner_routes())
}

/// The description of all routes, as served at `/openapi.json`.
#[must_use]
pub fn description() -> OpenApi {
    let routes = OpenApiRouter::new()
        .nest("/v1/networks", edited().merge(read()))
        .nest("/v1/affiliates", partners());
    openapi::complete(routes.into_openapi())
}

/// All routes.
pub fn router(state: AppState) -> Router {
    let edited = edited().route_layer(from_fn_with_state(state.clone(), auth::edit));
    let read = read().route_layer(from_fn_with_state(state.clone(), auth::read));
    let partners = partners().route_layer(from_fn_with_state(state.clone(), auth::partner));
    Router::new()
        .nest("/v1/networks", edited.merge(read).into())
        .nest("/v1/affiliates", partners.into())
        .merge(openapi::routes(&description()))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(map_response(answer::harden))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(request_id::name))
        .with_state(state)
}
