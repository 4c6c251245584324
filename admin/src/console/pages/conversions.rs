//! Reporting – Conversion: the list, the page of a conversion, and decisions.

mod conversion;
mod decide;
mod edit;
mod listing;

use axum::Router;
use axum::routing::{get, post};

use crate::console::ConsoleState;

pub(super) use conversion::{ConversionRow, DecisionStep};
pub(super) use listing::count_pending;

const API: &str = "/v1/networks/reporting/conversions";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/conversions", get(listing::show))
        .route("/conversions.csv", get(listing::export))
        .route("/conversions/decide", post(decide::decide_ticked))
        .route("/conversions/{id}", get(conversion::show))
        .route("/conversions/{id}/decide", post(decide::decide))
        .route("/conversions/{id}/edit", get(edit::show).post(edit::save))
}
