//! Offer groups: the list, the page of a group with the use of its caps, and the form.

mod edit;
mod group;
mod listing;

use axum::Router;
use axum::routing::get;

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

pub(super) static OFFER_GROUPS: ObjectKind = ObjectKind {
    menu: Menu::OfferGroups,
    heading: "Offer groups",
    noun: "offer group",
    api: "/v1/networks/offergroups",
    path: "offer-groups",
    plural: "offer_groups",
    id_field: "network_offer_group_id",
    name_field: "name",
    status_field: "",
    codes: CodesOf::None,
    offers_filter: "network_offer_group_id",
    facet: "",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/offer-groups", get(listing::show))
        .route("/offer-groups/new", get(edit::show_new).post(edit::create))
        .route("/offer-groups/{id}", get(group::show))
        .route("/offer-groups/{id}/edit", get(edit::show).post(edit::save))
        .merge(OFFER_GROUPS.routes())
}
