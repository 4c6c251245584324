//! The web console of the network's staff (`/console`) and the portal of partners (`/portal`).
//!
//! The pages are clients of the API: they call its router in this process, as the signed-in user.
//! So a page cannot do or show more than the API allows its user, a form's fields are the API's
//! fields, and a list's query is the query that the API takes. The console has no rule of its own
//! and no access to the store, apart from accounts, with their sessions, preferences and views.
//!
//! Pages are rendered on the server and work without scripts. Scripts only add comfort.

mod api_client;
mod appearance;
mod arrangement;
mod assets;
mod browser;
mod chart;
mod compress;
mod confirm;
mod cookies;
mod error_page;
mod form;
mod format;
mod frame;
mod further_values;
mod guard;
mod history;
mod list;
mod options;
mod page;
mod period;
mod qr;
mod report;
mod secret;
mod sign_in;
mod switch_labels;
mod typed_period;
mod viewer;
mod words;

mod pages;
mod portal;
mod profile;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use ipnet::IpNet;

use crate::accounts::LinkToken;
use crate::config::ConsoleConfig;
use crate::publish::PublisherHandle;
use crate::store::Store;
use api_client::ApiClient;

/// Everything that the console needs beside a request.
#[derive(Clone)]
pub(crate) struct ConsoleState {
    store: Store,
    api: ApiClient,
    config: Arc<ConsoleConfig>,
    publisher: PublisherHandle,
    /// Proxies that are trusted with client addresses.
    trusted_proxies: Arc<[IpNet]>,
}

impl FromRef<ConsoleState> for Store {
    fn from_ref(state: &ConsoleState) -> Store {
        state.store.clone()
    }
}

/// Puts the console in front of the API: paths that the console does not know go to `api`.
pub(crate) fn router(
    config: ConsoleConfig,
    trusted_proxies: &[IpNet],
    store: Store,
    publisher: PublisherHandle,
    api: Router,
) -> Router {
    let state = ConsoleState {
        store,
        api: ApiClient::new(api.clone()),
        config: Arc::new(config),
        publisher,
        trusted_proxies: trusted_proxies.into(),
    };
    let staff = pages::routes().route_layer(from_fn_with_state(state.clone(), guard::staff));
    let partners = portal::routes().route_layer(from_fn_with_state(state.clone(), guard::partners));
    let open = sign_in::routes().route("/", get(sign_in::start));
    let pages = Router::new()
        .nest("/console", staff)
        .nest("/portal", partners)
        .merge(open)
        .layer(from_fn(compress::pages))
        .layer(from_fn(error_page::render_bare))
        .layer(from_fn_with_state(state.clone(), guard::protect));
    pages
        .merge(assets::routes())
        .layer(from_fn(guard::harden))
        .with_state(state)
        .fallback_service(api)
}

/// The address of a one-time link. `kind` is the first part of its path.
pub(crate) fn link_address(
    config: &ConsoleConfig,
    listener: SocketAddr,
    kind: &str,
    token: &LinkToken,
) -> String {
    let own = format!("http://{listener}");
    let base = if config.public_url.is_empty() { &own } else { &config.public_url };
    format!("{}/{kind}/{}", base.trim_end_matches('/'), token.reveal())
}
