//! Offers: the list, the page with a test of the redirect, the form, and the access of partners.

mod access;
mod destination;
mod edit;
mod listing;
mod offer;
mod targeting;
mod targeting_lines;

use axum::Router;
use axum::routing::get;

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
        .merge(OFFERS.routes())
}
