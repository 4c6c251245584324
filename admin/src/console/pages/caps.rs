//! Caps: the list of custom caps, the page of one with its use, and the form. The inputs of limits
//! are the same for offers and offer groups.

mod cap;
mod edit;
pub(super) mod limits;
mod listing;

use axum::Router;
use axum::routing::get;

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

pub(super) static CAPS: ObjectKind = ObjectKind {
    menu: Menu::Caps,
    heading: "Caps",
    noun: "cap",
    api: "/v1/networks/custom/caps",
    path: "caps",
    plural: "custom_cap_settings",
    id_field: "network_custom_cap_setting_id",
    name_field: "name",
    status_field: "",
    codes: CodesOf::None,
    offers_filter: "",
    facet: "",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/caps", get(listing::show))
        .route("/caps/new", get(edit::show_new).post(edit::create))
        .route("/caps/{id}", get(cap::show))
        .route("/caps/{id}/edit", get(edit::show).post(edit::save))
        .merge(CAPS.routes())
}
