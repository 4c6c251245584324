//! Network – SmartSwitch: rules that watch the quality of traffic, and their runs.

mod edit;
mod listing;
mod rule;

use axum::Router;
use axum::routing::{get, post};

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

static RULES: ObjectKind = ObjectKind {
    menu: Menu::SmartSwitch,
    heading: "SmartSwitch",
    noun: "SmartSwitch rule",
    api: "/v1/networks/smartswitchrules",
    path: "smart-switch",
    plural: "smart_switch_rules",
    id_field: "network_smart_switch_rule_id",
    name_field: "name",
    status_field: "rule_status",
    codes: CodesOf::None,
    offers_filter: "",
    facet: "",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/smart-switch", get(listing::show))
        .route("/smart-switch/new", get(edit::show_new).post(edit::create))
        .route("/smart-switch/{id}", get(rule::show))
        .route("/smart-switch/{id}/edit", get(edit::show).post(edit::save))
        .route("/smart-switch/{id}/preview", get(rule::preview))
        .route("/smart-switch/{id}/run", post(rule::run))
        .merge(RULES.routes())
}
