//! The HTTP API. This page is the table of contents; each resource has a file with the name of its
//! URL, which holds its route table.
//!
//! One of the layers of [`auth`] guards every route below `/v1`: [`auth::edit`] lets read-only keys
//! read, [`auth::read`] is for requests that only read regardless of their method, and
//! [`auth::partner`] is for partners. Below `/v1` there is no route without a key.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

mod answer;
mod auth;
mod bodies;
mod conditions;
mod crud;
mod download;
mod error;
mod limits;
mod live;
mod misdirected;
mod openapi;
mod request;
mod request_id;
mod schema;
mod state;

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
pub use misdirected::ServerName;
pub use state::{AppState, Network};

/// Routes on which admin keys edit and read-only keys read.
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

/// Queries, for admin and read-only keys.
fn read() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(reports::routes()).merge(explain::routes())
}

/// Routes for partners' keys.
fn partners() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(partner_coupon_codes::routes())
        .merge(partner_pixels::routes())
        .merge(reports::partner_routes())
}

/// The OpenAPI description of all routes, as served at `/openapi.json`.
#[must_use]
pub fn description() -> OpenApi {
    let routes = OpenApiRouter::new()
        .nest("/v1/networks", edited().merge(read()))
        .nest("/v1/affiliates", partners());
    openapi::complete(routes.into_openapi())
}

/// Builds the router of the API.
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
        .layer(from_fn(misdirected::refuse))
        .layer(map_response(answer::harden))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(request_id::name))
        .with_state(state)
}
