//! `/v1/networks/reporting`, the reports of the network, `/v1/affiliates/reporting`, the reports of a
//! partner, and `/v1/advertisers/reporting`, those of an advertiser.
//!
//! Handlers parse the request, ask [`crate::reports`], and render the rows. The routes of partners
//! and advertisers stand beside the network's: [`crate::reports::view`] decides about visible rows
//! and columns. Only [`conversion_creation`] and [`conversion_edit`] write.

mod absent_parts;
mod body;
mod clicks;
mod code_leaks;
mod conversion_creation;
mod conversion_edit;
mod conversions;
mod dashboard;
mod entity;
mod error;
mod output;
mod paging;
mod request;
mod rows;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::{EventFeed, FeedSources};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(entity::report))
        .routes(routes!(entity::table))
        .routes(routes!(entity::export))
        .routes(routes!(entity::summary))
        .routes(routes!(dashboard::summary))
        .routes(routes!(clicks::list))
        .routes(routes!(clicks::stream))
        .routes(routes!(clicks::single))
        .routes(routes!(clicks::invalid))
        .routes(routes!(conversions::report))
        .routes(routes!(conversions::events_report))
        .routes(routes!(conversions::stream))
        .routes(routes!(conversions::export))
        .routes(routes!(conversions::single))
        .routes(routes!(conversions::events))
        .routes(routes!(code_leaks::report))
        .routes(routes!(stream::stream))
}

/// Decisions about conversions, and edits.
pub(super) fn edit_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(conversion_creation::create))
        .routes(routes!(conversion_edit::decide))
        .routes(routes!(conversion_edit::edit))
        .routes(routes!(code_leaks::decide))
}

/// The reports of partners.
pub(super) fn partner_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(entity::partner_report))
        .routes(routes!(entity::partner_table))
        .routes(routes!(entity::partner_export))
        .routes(routes!(entity::partner_by_day))
        .routes(routes!(entity::partner_by_offer))
        .routes(routes!(entity::partner_by_sub))
        .routes(routes!(dashboard::partner_summary))
        .routes(routes!(clicks::partner_stream))
        .routes(routes!(clicks::partner_single))
        .routes(routes!(conversions::partner_report))
}

/// The reports of advertisers.
pub(super) fn advertiser_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(entity::advertiser_report))
        .routes(routes!(entity::advertiser_table))
        .routes(routes!(entity::advertiser_export))
        .routes(routes!(entity::advertiser_sums))
        .routes(routes!(entity::advertiser_by_day))
        .routes(routes!(entity::advertiser_by_offer))
        .routes(routes!(dashboard::advertiser_summary, dashboard::advertiser_summary_in_zone))
        .routes(routes!(clicks::advertiser_stream))
        .routes(routes!(clicks::advertiser_single))
        .routes(routes!(conversions::advertiser_report))
        .routes(routes!(conversions::advertiser_stream))
        .routes(routes!(conversions::advertiser_export))
        .routes(routes!(conversions::advertiser_single))
}
