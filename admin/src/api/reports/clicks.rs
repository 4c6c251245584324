//! Single clicks: `POST …/reporting/clicks/stream` and `GET …/reporting/clicks/{transaction_id}`,
//! and for the network `POST …/reporting/clicks` and `POST …/reporting/invalidclicks`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::absent_parts::WithAbsentParts;
use super::body::report_body;
use super::output::{not_written, send_file};
use super::paging::{PagingParameters, page_answer};
use super::request::{AdvertiserViewer, PartnerViewer, ReportRequest};
use super::rows::{AdvertiserClickObject, ClickObject, PartnerClickObject};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::state::Network;
use crate::catalog::FieldWarning;
use crate::reports::clicks::{ClickKind, ClickReader, FoundClicks, ReportedClick, write_file};
use crate::reports::view::Viewer;

report_body! {
    /// Which clicks.
    StreamRequest as ClickStreamRequest {}
}

impl WithAbsentParts for StreamRequest {}

/// An answer with several clicks.
macro_rules! click_stream {
    ($name:ident of $object:ident as $schema:ident) => {
        /// The newest clicks, and whether there are more.
        #[derive(Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            clicks: Vec<$object>,
            incomplete_results: bool,
            /// Where a page was asked for.
            #[serde(skip_serializing_if = "Option::is_none")]
            paging: Option<Paging>,
            /// Parts of the request that were ignored.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            #[schema(required = false)]
            warnings: Vec<FieldWarning>,
        }

        impl $name {
            fn new(network: Network, found: FoundClicks, warnings: Vec<FieldWarning>) -> $name {
                let clicks = found.clicks.into_iter();
                $name {
                    clicks: clicks.map(|click| $object::new(network, click)).collect(),
                    incomplete_results: found.is_incomplete,
                    paging: found.page.map(page_answer),
                    warnings,
                }
            }
        }
    };
}
click_stream!(Stream of ClickObject as ClickStream);
click_stream!(PartnerStream of PartnerClickObject as PartnerClickStream);
click_stream!(AdvertiserStream of AdvertiserClickObject as AdvertiserClickStream);

/// The newest clicks of at most 14 days, 10,000 at most, or a page of them.
#[utoipa::path(post, path = "/reporting/clicks/stream", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn stream(request: ReportRequest<StreamRequest>) -> Result<Response, ApiError> {
    answer(Viewer::Network, ClickKind::All, request, Stream::new).await
}

/// The same as the stream of clicks.
#[utoipa::path(post, path = "/reporting/clicks", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn list(request: ReportRequest<StreamRequest>) -> Result<Response, ApiError> {
    answer(Viewer::Network, ClickKind::All, request, Stream::new).await
}

/// As the stream of clicks: only those that were not sent on to the offer, each with the reason.
#[utoipa::path(post, path = "/reporting/invalidclicks", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn invalid(request: ReportRequest<StreamRequest>) -> Result<Response, ApiError> {
    answer(Viewer::Network, ClickKind::Invalid, request, Stream::new).await
}

/// The newest of your clicks within at most 14 days, 5,000 at most, or a page of them.
#[utoipa::path(post, path = "/reporting/clicks/stream", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((PartnerStream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_stream(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(viewer, ClickKind::All, request, PartnerStream::new).await
}

/// The newest clicks of your offers within at most 14 days, 5,000 at most, or a page of them.
#[utoipa::path(post, path = "/reporting/clicks/stream", params(PagingParameters), request_body = StreamRequest, responses((status = 200, content((AdvertiserStream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_stream(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<StreamRequest>,
) -> Result<Response, ApiError> {
    answer(viewer, ClickKind::All, request, AdvertiserStream::new).await
}

async fn answer<S: Serialize>(
    viewer: Viewer,
    kind: ClickKind,
    request: ReportRequest<StreamRequest>,
    stream: fn(Network, FoundClicks, Vec<FieldWarning>) -> S,
) -> Result<Response, ApiError> {
    let file = request.file()?;
    let selection = request.body.selection(request.paging);
    let found = request.clicks.search(viewer, kind, selection).await?;
    let Some(file) = file else {
        return Ok(Json(stream(request.network, found, request.warnings)).into_response());
    };
    let is_incomplete = found.is_incomplete;
    // Files are written on a thread that may block.
    let written =
        tokio::task::spawn_blocking(move || write_file(viewer.view(), &found.clicks, file));
    let file = written.await.map_err(|_panicked| ApiError::inside())?.map_err(not_written)?;
    send_file(file, "clicks", is_incomplete)
}

/// One click.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = ClickObject)))]
pub(super) async fn single(
    State(clicks): State<ClickReader>,
    State(network): State<Network>,
    Path(id): Path<String>,
) -> Result<Json<ClickObject>, ApiError> {
    let click: ReportedClick = clicks.find(Viewer::Network, &id).await?;
    Ok(Json(ClickObject::new(network, click)))
}

/// One of your clicks.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = PartnerClickObject)))]
pub(super) async fn partner_single(
    State(clicks): State<ClickReader>,
    State(network): State<Network>,
    PartnerViewer(viewer): PartnerViewer,
    Path(id): Path<String>,
) -> Result<Json<PartnerClickObject>, ApiError> {
    let click: ReportedClick = clicks.find(viewer, &id).await?;
    Ok(Json(PartnerClickObject::new(network, click)))
}

/// One click of your offers.
#[utoipa::path(get, path = "/reporting/clicks/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = AdvertiserClickObject)))]
pub(super) async fn advertiser_single(
    State(clicks): State<ClickReader>,
    State(network): State<Network>,
    AdvertiserViewer(viewer): AdvertiserViewer,
    Path(id): Path<String>,
) -> Result<Json<AdvertiserClickObject>, ApiError> {
    let click: ReportedClick = clicks.find(viewer, &id).await?;
    Ok(Json(AdvertiserClickObject::new(network, click)))
}
