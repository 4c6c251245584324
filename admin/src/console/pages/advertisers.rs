//! Advertisers: the list, the page with instructions for postbacks, and the form.

mod advertiser;
mod edit;
mod instructions;
mod listing;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::get;

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::confirm::require_recent_password;
use crate::console::frame::Menu;

pub(super) static ADVERTISERS: ObjectKind = ObjectKind {
    menu: Menu::Advertisers,
    heading: "Advertisers",
    noun: "advertiser",
    api: "/v1/networks/advertisers",
    path: "advertisers",
    plural: "advertisers",
    id_field: "network_advertiser_id",
    name_field: "name",
    status_field: "account_status",
    codes: CodesOf::None,
    offers_filter: "network_advertiser_id",
    facet: "advertiser",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/advertisers/new", get(edit::show_new).post(edit::create))
        .route("/advertisers/{id}/edit", get(edit::show).post(edit::save))
        // Trust rules decide whose sales are paid.
        .route_layer(from_fn(require_recent_password))
        .route("/advertisers", get(listing::show))
        .route("/advertisers/{id}", get(advertiser::show))
        .merge(ADVERTISERS.routes())
}
