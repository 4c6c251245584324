//! Network – Traffic controls: visits that are refused for what their link or visitor brings.

mod control;
mod edit;
mod listing;

use axum::Router;
use axum::routing::get;

use super::catalog_object::{CodesOf, ObjectKind};
use crate::console::ConsoleState;
use crate::console::frame::Menu;

static TRAFFIC_CONTROLS: ObjectKind = ObjectKind {
    menu: Menu::TrafficControls,
    heading: "Traffic controls",
    noun: "traffic control",
    api: "/v1/networks/trafficcontrols",
    path: "traffic-controls",
    plural: "traffic_controls",
    id_field: "network_traffic_control_id",
    name_field: "name",
    status_field: "status",
    codes: CodesOf::None,
    offers_filter: "",
    facet: "",
};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/traffic-controls", get(listing::show))
        .route("/traffic-controls/new", get(edit::show_new).post(edit::create))
        .route("/traffic-controls/{id}", get(control::show))
        .route("/traffic-controls/{id}/edit", get(edit::show).post(edit::save))
        .merge(TRAFFIC_CONTROLS.routes())
}
