//! Analytics – Flex report: clicks and conversions counted by up to three breakdowns.

mod drill;
mod picture;
mod question;
mod show;
mod table;

use axum::Router;
use axum::routing::get;

use crate::console::ConsoleState;

const API: &str = "/v1/networks/reporting/entity";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/flex", get(show::show)).route("/flex.csv", get(show::export))
}
