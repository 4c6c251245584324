//! Offers: the list, the page with a test of the redirect, the form, the access of partners, and
//! where visits go that the offer refuses or forwards.

mod access;
mod caps;
mod destination;
mod edit;
mod fail_traffic;
mod forwarding;
mod forwarding_rule;
mod listing;
mod offer;
mod rules_change;
mod ruleset_text;
mod targeting;
mod targeting_lines;
mod traffic_filters;
mod url;
mod urls;

use axum::Router;
use axum::routing::{get, post};

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

pub(super) static OFFERS: ObjectKind = ObjectKind {
    menu: Menu::Offers,
    heading: "Offers",
    noun: "offer",
    api: "/v1/networks/offers",
    path: "offers",
    plural: "offers",
    id_field: "network_offer_id",
    name_field: "name",
    status_field: "offer_status",
    codes: CodesOf::Field("network_offer_id"),
    offers_filter: "",
    facet: "offer",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/offers", get(listing::show))
        .route("/offers/new", get(edit::show_new).post(edit::create))
        .route("/offers/{id}", get(offer::show))
        .route("/offers/{id}/edit", get(edit::show).post(edit::save))
        .route("/offers/{id}/access", get(access::show).post(access::save))
        .route("/offers/{id}/targeting", get(targeting::show).post(targeting::save))
        .route("/offers/{id}/filters", get(traffic_filters::show).post(traffic_filters::save))
        .route("/offers/{id}/failtraffic", get(fail_traffic::show).post(fail_traffic::save))
        .route("/offers/{id}/failtraffic/order", post(fail_traffic::reorder))
        .route("/offers/{id}/forwarding", get(forwarding::show))
        .route("/offers/{id}/forwarding/order", post(forwarding::reorder))
        .route(
            "/offers/{id}/forwarding/new",
            get(forwarding_rule::show_new).post(forwarding_rule::create),
        )
        .route(
            "/offers/{id}/forwarding/{rule}",
            get(forwarding_rule::show).post(forwarding_rule::save),
        )
        .route("/offers/{id}/forwarding/{rule}/delete", post(forwarding::delete))
        .route("/offers/{id}/urls", get(urls::show))
        .route("/offers/{id}/urls/new", get(url::show_new).post(url::create))
        .route("/offers/{id}/urls/{url}", get(url::show).post(url::save))
        .route("/offers/{id}/urls/{url}/delete", post(url::delete))
        .route("/offers/{id}/caps", get(caps::show).post(caps::save))
        .merge(OFFERS.routes())
}
