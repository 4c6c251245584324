//! Partners – Coupon Codes: the list, the page and the form of a code, and its link.

mod change;
mod code;
mod edit;
mod generate;
mod hand_out;
mod listing;

use axum::Router;
use axum::routing::{get, post};

use crate::console::ConsoleState;

pub(super) use code::{CodeRow, rows_of};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/coupon-codes", get(listing::show))
        .route("/coupon-codes.csv", get(listing::export))
        .route("/coupon-codes/change", get(change::show).post(change::create))
        .route("/coupon-codes/new", get(edit::show_new).post(edit::create))
        .route("/coupon-codes/check", get(edit::check))
        .route("/coupon-codes/generate", get(generate::show).post(generate::create))
        .route("/coupon-codes/generated", get(generate::generated))
        .route("/coupon-codes/sheet", get(hand_out::sheet))
        .route("/coupon-codes/links.csv", get(hand_out::links))
        .route("/coupon-codes/{id}", get(code::show))
        .route("/coupon-codes/{id}/edit", get(edit::show).post(edit::save))
        .route("/coupon-codes/{id}/link", get(code::link))
        .route("/coupon-codes/{id}/qr.svg", get(code::qr_svg))
        .route("/coupon-codes/{id}/qr.png", get(code::qr_png))
        .route("/coupon-codes/{id}/delete", post(code::delete))
        .route("/coupon-codes/{id}/restore", post(code::restore))
}
