//! Partners – Coupon Codes – Bulk Add, Bulk Update and Uploads: a file becomes staged rows, which
//! are mended and saved.

mod bulk;
mod grid;
mod listing;
mod rows;
mod upload;

use axum::Router;
use axum::routing::{get, post};

use crate::console::ConsoleState;

/// The API's path of uploads.
const API: &str = "/v1/networks/couponcodes/uploads";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/coupon-codes/bulk-add", get(bulk::show_add).post(bulk::add))
        .route("/coupon-codes/bulk-update", get(bulk::show_update).post(bulk::update))
        .route("/coupon-codes/template.csv", get(bulk::template))
        .route("/coupon-codes/uploads", get(listing::show))
        .route("/coupon-codes/uploads/{id}", get(grid::show))
        .route("/coupon-codes/uploads/{id}/errors.csv", get(grid::errors))
        .route("/coupon-codes/uploads/{id}/commit", post(grid::commit))
        .route("/coupon-codes/uploads/{id}/discard", post(grid::discard))
        .route("/coupon-codes/uploads/{id}/rows", post(rows::add))
        .route("/coupon-codes/uploads/{id}/set", post(rows::set_column))
        .route("/coupon-codes/uploads/{id}/rows/{row}", post(rows::save))
        .route("/coupon-codes/uploads/{id}/rows/{row}/delete", post(rows::delete))
}

/// The address of an upload's page.
fn page_of(id: u32) -> String {
    format!("/console/coupon-codes/uploads/{id}")
}
