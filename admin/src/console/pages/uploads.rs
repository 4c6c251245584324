//! Partners – Coupon Codes – Bulk Add, Bulk Update and Uploads: a file becomes staged rows, which
//! are mended and saved.

mod bulk;
mod columns;
mod grid;
mod listing;
mod rows;
mod upload;

use axum::Router;
use axum::routing::{get, post};

use crate::console::ConsoleState;
use crate::console::api_client::ApiAnswer;

/// The API's path of uploads.
const API: &str = "/v1/networks/couponcodes/uploads";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/coupon-codes/bulk-add", get(bulk::show_add).post(bulk::add))
        .route("/coupon-codes/bulk-update", get(bulk::show_update).post(bulk::update))
        .route("/coupon-codes/template.csv", get(bulk::template))
        .route("/coupon-codes/uploads", get(listing::show))
        .route("/coupon-codes/uploads/{id}", get(grid::show))
        .route("/coupon-codes/uploads/{id}/columns", get(columns::show).post(columns::read))
        .route("/coupon-codes/uploads/{id}/errors.csv", get(grid::errors))
        .route("/coupon-codes/uploads/{id}/wrong-rows.csv", get(grid::wrong_rows))
        .route("/coupon-codes/uploads/{id}/commit", post(grid::commit))
        .route("/coupon-codes/uploads/{id}/discard", post(grid::discard))
        .route("/coupon-codes/uploads/{id}/rows", post(rows::add))
        .route("/coupon-codes/uploads/{id}/set", post(rows::change_column))
        .route("/coupon-codes/uploads/{id}/delete-rows", post(rows::delete_group))
        .route("/coupon-codes/uploads/{id}/rows/{row}", post(rows::save))
        .route("/coupon-codes/uploads/{id}/rows/{row}/delete", post(rows::delete))
}

/// The address of the page that shows the rows just read: the wrong ones first.
fn rows_page(answer: &ApiAnswer) -> String {
    let id = u32::try_from(answer.number("upload_id")).unwrap_or_default();
    let wrong = if answer.number("invalid") > 0 { "?filter=verdict%3Dinvalid" } else { "" };
    format!("{}{wrong}", page_of(id))
}

/// The address of an upload's page.
fn page_of(id: u32) -> String {
    format!("/console/coupon-codes/uploads/{id}")
}
