//! The HTTP API. This page is the table of contents; each resource has a file with the name of its
//! URL, which holds its route table.
//!
//! The layer of [`auth`] guards every route below `/v1`: each group of routes names the rights that
//! reading and editing take. Below `/v1` there is no route without a key or a signed-in user, but the
//! time zones, which clients of Everflow read without their key and which are the same everywhere.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

mod answer;
mod auth;
mod bodies;
mod cap_relationships;
mod conditions;
mod crud;
mod download;
mod edges;
mod error;
mod geo;
mod limits;
mod live;
mod misdirected;
mod openapi;
mod request;
mod request_id;
mod route_latency;
mod schema;
mod state;
mod streams;
mod system_status;

mod advertiser_offers;
mod advertisers;
mod affiliates;
mod api_keys;
mod audit;
mod blocked_values;
mod bot_list;
mod bulk_edits;
mod coupon_codes;
mod custom_caps;
mod events;
mod explain;
mod forwarding_rules;
mod jobs;
mod meta;
mod network;
mod offer_copies;
mod offer_groups;
mod offer_urls;
mod offers;
mod partner_api_key;
mod partner_blocked_values;
mod partner_caps;
mod partner_coupon_codes;
mod partner_offers;
mod partner_pixels;
mod partner_traffic;
mod pixels;
mod postbacks;
mod privacy;
mod reports;
mod ruleset_data;
mod settings;
mod smart_switch;
mod tracking_domains;
mod tracking_links;
mod traffic_controls;
mod uploads;
mod users;
mod visibility;
mod webhooks;

pub use auth::{AuthConfig, Peer, SignedIn};
pub use bodies::Bodies;
pub use events::EventStreams;
pub use misdirected::{OverTls, ServerName};
pub use reports::{EventFeed, FeedSources};
pub use route_latency::RouteLatencies;
pub use state::{AppState, Network};
pub(crate) use system_status::SystemStatus;

use crate::access::Right;
use crate::publish::PublisherHandle;
use auth::{Access, AuthLayer};
use error::ApiError;

/// Routes of the network, by the rights that they take.
fn network() -> [(Access, OpenApiRouter<AppState>); 10] {
    let catalog = OpenApiRouter::new()
        .merge(tracking_domains::routes())
        .merge(advertisers::routes())
        .merge(offers::routes())
        .merge(offer_urls::routes())
        .merge(affiliates::routes())
        .merge(visibility::routes())
        .merge(bulk_edits::routes())
        .merge(coupon_codes::routes())
        .merge(uploads::routes())
        .merge(jobs::routes())
        .merge(pixels::routes())
        .merge(webhooks::routes());
    // Nothing on these is edited.
    let records = OpenApiRouter::new()
        .merge(network::routes())
        .merge(tracking_links::code_routes())
        .merge(postbacks::routes())
        .merge(audit::routes())
        .merge(events::routes());
    let queries = OpenApiRouter::new()
        .merge(offers::query_routes())
        .merge(affiliates::query_routes())
        .merge(advertisers::query_routes())
        .merge(pixels::query_routes())
        .merge(coupon_codes::query_routes())
        .merge(tracking_links::query_routes())
        .merge(reports::routes())
        .merge(explain::routes())
        .merge(system_status::routes())
        .merge(edges::routes())
        .merge(custom_caps::query_routes())
        .merge(traffic_controls::query_routes());
    [
        (Access::edited_by(Right::EditCatalog), catalog),
        (Access::edited_by(Right::DecideConversions), reports::edit_routes()),
        (Access::edited_by(Right::EditSettings), settings::routes()),
        (Access::edited_by(Right::EditBotList), bot_list::routes()),
        (Access::edited_by(Right::ErasePersonalData), privacy::routes()),
        (Access::edited_by(Right::ManageKeys), api_keys::routes()),
        (Access::only_with(Right::ManageUsers), users::routes()),
        // A copy is made by GET, too, as Everflow's clients ask for it.
        (Access::only_with(Right::EditCatalog), offer_copies::routes()),
        (Access::edited_by(Right::View), records),
        (Access::QUERIES, queries),
    ]
}

/// Routes of objects that are rules of visits, with the right that their edits take.
fn rules() -> (Access, OpenApiRouter<AppState>) {
    let routes = OpenApiRouter::new()
        .merge(offer_groups::routes())
        .merge(custom_caps::routes())
        .merge(forwarding_rules::routes())
        .merge(traffic_controls::routes())
        .merge(smart_switch::routes())
        .merge(blocked_values::routes());
    (Access::edited_by(Right::EditCatalog), routes)
}

/// Refuses new rules and changed ones while the daemon would refuse a catalog with rules. Rules can
/// be deleted all the time.
async fn refuse_for_old_daemons(
    State(publisher): State<PublisherHandle>,
    request: Request,
    next: Next,
) -> Response {
    let is_edit = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    match publisher.require_rules().map_err(ApiError::from) {
        Err(error) if is_edit => error.into_response(),
        _ => next.run(request).await,
    }
}

/// Routes of partners.
fn partners() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(partner_coupon_codes::routes())
        .merge(partner_offers::routes())
        .merge(partner_blocked_values::routes())
        .merge(partner_caps::routes())
        .merge(partner_api_key::routes())
        .merge(partner_pixels::routes())
        .merge(partner_traffic::routes())
        .merge(reports::partner_routes())
}

/// Routes of advertisers; none of them edits.
fn advertiser_portal() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().merge(advertiser_offers::routes()).merge(reports::advertiser_routes())
}

fn merged(groups: impl IntoIterator<Item = OpenApiRouter<AppState>>) -> OpenApiRouter<AppState> {
    groups.into_iter().fold(OpenApiRouter::new(), OpenApiRouter::merge)
}

/// Puts the layer before a group of routes.
fn guarded(
    state: &AppState,
    access: Access,
    routes: OpenApiRouter<AppState>,
) -> OpenApiRouter<AppState> {
    let guard = move |State(layer): State<AuthLayer>, request: Request, next: Next| {
        auth::guard(access, layer, request, next)
    };
    routes.route_layer(from_fn_with_state(state.clone(), guard))
}

/// Routes that need no key.
fn open(state: &AppState) -> OpenApiRouter<AppState> {
    let guard = move |State(layer): State<AuthLayer>, request: Request, next: Next| {
        auth::guard_keys(Access::META, layer, request, next)
    };
    meta::open_routes().route_layer(from_fn_with_state(state.clone(), guard))
}

/// The OpenAPI description of all routes, as served at `/openapi.json`.
#[must_use]
pub fn description() -> OpenApi {
    let routes = OpenApiRouter::new()
        .nest("/v1/networks", merged(network().map(|(_, routes)| routes)).merge(rules().1))
        .nest("/v1/affiliates", partners())
        .nest("/v1/advertisers", advertiser_portal());
    openapi::complete(
        routes.nest("/v1/meta", meta::routes().merge(meta::open_routes())).into_openapi(),
    )
}

/// Builds the router of the API.
pub fn router(state: AppState) -> Router {
    let network = network().map(|(access, routes)| guarded(&state, access, routes));
    let (access, rules) = rules();
    let rules =
        rules.route_layer(from_fn_with_state(state.publisher.clone(), refuse_for_old_daemons));
    let rules = guarded(&state, access, rules);
    let partners = guarded(&state, Access::PARTNER, partners());
    let advertisers = guarded(&state, Access::ADVERTISER, advertiser_portal());
    let meta = guarded(&state, Access::META, meta::routes()).merge(open(&state));
    Router::new()
        .nest("/v1/networks", merged(network).merge(rules).into())
        .nest("/v1/affiliates", partners.into())
        .nest("/v1/advertisers", advertisers.into())
        .nest("/v1/meta", meta.into())
        .merge(openapi::routes(&description()))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(from_fn(misdirected::refuse))
        .layer(map_response(answer::harden))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn_with_state(state.latencies.clone(), route_latency::measure))
        .layer(from_fn(request_id::name))
        .with_state(state)
}
