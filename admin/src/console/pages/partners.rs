//! Partners: the list, the page with the access to each offer, and the form.

mod access;
mod edit;
mod listing;
mod partner;

use axum::Router;
use axum::routing::{get, post};

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

pub(super) static PARTNERS: ObjectKind = ObjectKind {
    menu: Menu::Partners,
    heading: "Partners",
    noun: "partner",
    api: "/v1/networks/affiliates",
    path: "partners",
    plural: "affiliates",
    id_field: "network_affiliate_id",
    name_field: "name",
    status_field: "account_status",
    codes: CodesOf::Field("network_affiliate_id"),
    offers_filter: "",
    facet: "affiliate",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/partners", get(listing::show))
        .route("/partners/new", get(edit::show_new).post(edit::create))
        .route("/partners/{id}", get(partner::show))
        .route("/partners/{id}/edit", get(edit::show).post(edit::save))
        .route("/partners/{id}/access", post(access::save))
        .merge(PARTNERS.routes())
}
