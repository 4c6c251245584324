//! `/v1/networks/reporting`, the reports of the network, `/v1/affiliates/reporting`, the reports of
//! a partner, and `/v1/networks/status`, the state of the system.
//!
//! Handlers parse the request, ask [`crate::reports`], and render the rows. The routes of partners
//! stand beside the network's: [`crate::reports::view`] decides about visible rows and columns.
//! Only [`conversion_edit`] writes.

mod body;
mod clicks;
mod code_leaks;
mod conversion_edit;
mod conversions;
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

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::geo::{self, GeoDatabase};
use super::state::AppState;
use crate::acme::CertificatesStatus;
use crate::click_ingest::ClickIngestStatus;
use crate::conversions::postback_ingest::PostbackStatus;
use crate::disk::DiskSpace;
use crate::privacy::PrivacyStatus;
use crate::publish::PublicationStatus;
use crate::store::advertisers::{self, AdvertisersWithoutProof};
use crate::store::partner_postbacks::{self, Backlog};
use crate::store::{ReadTx, StoreError};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(entity::report))
        .routes(routes!(entity::table))
        .routes(routes!(entity::export))
        .routes(routes!(clicks::stream))
        .routes(routes!(clicks::single))
        .routes(routes!(clicks::invalid))
        .routes(routes!(conversions::report))
        .routes(routes!(conversions::stream))
        .routes(routes!(conversions::export))
        .routes(routes!(conversions::single))
        .routes(routes!(conversions::events))
        .routes(routes!(code_leaks::report))
        .routes(routes!(status))
        .routes(routes!(stream::stream))
}

/// Decisions about conversions, and edits.
pub(super) fn edit_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
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
        .routes(routes!(clicks::partner_stream))
        .routes(routes!(clicks::partner_single))
        .routes(routes!(conversions::partner_report))
}

#[derive(Serialize, utoipa::ToSchema)]
struct SystemStatus {
    disk: DiskSpace,
    publication: PublicationStatus,
    intake: ClickIngestStatus,
    postbacks: PostbackStatus,
    pixels: Backlog,
    privacy: PrivacyStatus,
    certificates: CertificatesStatus,
    /// Where visitors are.
    geo: Vec<GeoDatabase>,
    advertisers_without_proof: AdvertisersWithoutProof,
}

/// How the disk, publication, the intake of clicks and postbacks, partner postbacks, forgetting,
/// certificates and databases of places stand, and which advertisers believe anybody who sends a
/// postback.
#[utoipa::path(get, path = "/status", responses((status = 200, body = SystemStatus)))]
async fn status(State(state): State<AppState>) -> Result<Json<SystemStatus>, ApiError> {
    let read = |connection: &ReadTx<'_>| {
        Ok::<_, StoreError>((
            partner_postbacks::backlog(connection)?,
            advertisers::without_proof(connection)?,
        ))
    };
    let (pixels, advertisers_without_proof) = state.store.read(read).await?;
    Ok(Json(SystemStatus {
        disk: state.disk.space(),
        publication: state.publisher.status(),
        intake: state.intake.status(),
        postbacks: state.postbacks.status(),
        pixels,
        privacy: state.privacy.status(),
        certificates: state.certificates.status(),
        geo: geo::databases(&state.geo),
        advertisers_without_proof,
    }))
}
