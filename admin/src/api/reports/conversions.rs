//! Single conversions: `POST …/reporting/conversions`, for network and advertisers also as a stream and
//! as a file, `GET …/conversions/{conversion_id}` and `GET …/events/{transaction_id}`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use coupon_shared::transaction_id::TransactionId;
use serde::Serialize;

use super::absent_parts::WithAbsentParts;
use super::body::report_body;
use super::output::send_file;
use super::paging::{PagingParameters, page_answer};
use super::request::{AdvertiserViewer, PartnerViewer, ReportRequest};
use super::rows::{AdvertiserConversionObject, ConversionObject, PartnerConversionObject};
use crate::api::answer::Paging;
use crate::api::error::ApiError;
use crate::api::state::Network;
use crate::catalog::FieldWarning;
use crate::reports::conversions::{
    self, ConversionExtent, ConversionQuery, ConversionSearch, FoundConversions, ReportedConversion,
};
use crate::reports::view::{View, Viewer};
use crate::store::Store;
use crate::store::audit::FieldChange;
use crate::store::conversions::{ConversionId, HistoryEntry};

report_body! {
    /// Which conversions. The query's filters are by `offer`, `coupon_code`, `status`,
    /// `transaction_id`, `event`; where it is not a partner who asks, by `affiliate` and `order_id`;
    /// and for the network by `advertiser`.
    ConversionRequest as ConversionRequest {
    /// Base conversions.
    #[serde(default = "default_true")]
    #[schema(default = true)]
    show_conversions: bool,
    /// Events.
    #[serde(default = "default_true")]
    #[schema(default = true)]
    show_events: bool,
    /// Only those that were reported again with another amount or currency. For the network
    /// alone.
    #[serde(default)]
    show_only_conflicts: bool,
    /// Only those whose code may have leaked. For the network alone.
    #[serde(default)]
    show_only_suspicious: bool,
    }
}

fn default_true() -> bool {
    true
}

impl WithAbsentParts for ConversionRequest {}

/// An answer with one page of conversions.
macro_rules! conversion_page {
    ($(#[$about:meta])* $name:ident of $object:ident as $schema:ident) => {
        $(#[$about])*
        #[derive(Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            conversions: Vec<$object>,
            paging: Paging,
            /// Parts of the request that were ignored.
            #[serde(skip_serializing_if = "Vec::is_empty")]
            #[schema(required = false)]
            warnings: Vec<FieldWarning>,
        }

        impl $name {
            fn json(
                network: Network,
                found: FoundConversions,
                warnings: Vec<FieldWarning>,
            ) -> Result<Response, ApiError> {
                let paging = found.page.map(page_answer).ok_or_else(ApiError::inside)?;
                let conversions = found.conversions.into_iter();
                let conversions = conversions.map(|row| $object::new(network, row)).collect();
                Ok(Json($name { conversions, paging, warnings }).into_response())
            }
        }
    };
}
conversion_page!(
    /// Conversions, the newest first.
    Report of ConversionObject as ConversionReport
);
conversion_page!(
    /// Your conversions, the newest first.
    PartnerReport of PartnerConversionObject as PartnerConversionReport
);
conversion_page!(
    /// Your conversions, the newest first.
    AdvertiserReport of AdvertiserConversionObject as AdvertiserConversionReport
);

/// An answer with the newest conversions, or with the page that the request names.
macro_rules! conversion_stream {
    ($name:ident of $object:ident as $schema:ident) => {
        /// The newest conversions, and whether there are more.
        #[derive(Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(super) struct $name {
            conversions: Vec<$object>,
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
            fn json(
                network: Network,
                found: FoundConversions,
                warnings: Vec<FieldWarning>,
            ) -> Result<Response, ApiError> {
                let conversions = found.conversions.into_iter();
                let stream = $name {
                    conversions: conversions.map(|row| $object::new(network, row)).collect(),
                    incomplete_results: found.is_incomplete,
                    paging: found.page.map(page_answer),
                    warnings,
                };
                Ok(Json(stream).into_response())
            }
        }
    };
}
conversion_stream!(Stream of ConversionObject as ConversionStream);
conversion_stream!(AdvertiserStream of AdvertiserConversionObject as AdvertiserConversionStream);

/// All conversions of one click.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversionEvents)]
pub(super) struct Events {
    events: Vec<ConversionObject>,
}

/// With all that happened to it.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ConversionWithHistory {
    #[serde(flatten)]
    conversion: ConversionObject,
    /// Why it cannot be approved; empty where it can, unless another one of the same sale stands in
    /// the way.
    approval_obstacle: &'static str,
    /// The first first.
    history: Vec<HistoryObject>,
}

/// An event in the history of a conversion.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ConversionHistoryEntry)]
struct HistoryObject {
    time_created: i64,
    /// `created`, `status`, `adjusted`, `refund` or `conflict`. `adjusted` by a postback: it told
    /// the amount that was missing.
    action: &'static str,
    /// `api_key`, `user`, `command_line` or `program`.
    actor: String,
    network_api_key_id: u32,
    api_key_name: String,
    network_user_id: u32,
    user_name: String,
    /// The postback that did it; empty where none did.
    postback_id: String,
    changes: Vec<FieldChange>,
}

impl ConversionWithHistory {
    pub(super) fn new(
        network: Network,
        conversion: ReportedConversion,
        history: Vec<HistoryEntry>,
    ) -> ConversionWithHistory {
        ConversionWithHistory {
            approval_obstacle: conversion.approval_obstacle(),
            conversion: ConversionObject::new(network, conversion),
            history: history.into_iter().map(HistoryObject::from).collect(),
        }
    }
}

impl From<HistoryEntry> for HistoryObject {
    fn from(entry: HistoryEntry) -> HistoryObject {
        HistoryObject {
            time_created: entry.time_created,
            action: entry.action.as_str(),
            actor: entry.actor,
            network_api_key_id: entry.api_key_id,
            api_key_name: entry.api_key_name,
            network_user_id: entry.user_id,
            user_name: entry.user_name,
            postback_id: entry.postback_id.map(|id| id.to_string()).unwrap_or_default(),
            changes: entry.changes,
        }
    }
}

/// One page of conversions, the newest first; as a file all of them, unless a page is named.
#[utoipa::path(post, path = "/reporting/conversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Report = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn report(
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(Viewer::Network, request, ConversionExtent::Page, Report::json).await
}

/// One page of events, which follow a base conversion, the newest first; as a file all of them. The
/// body's `show_conversions` is not heeded.
#[utoipa::path(post, path = "/reporting/postconversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Report = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn events_report(
    mut request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    (request.body.show_conversions, request.body.show_events) = (false, true);
    answer(Viewer::Network, request, ConversionExtent::Page, Report::json).await
}

/// The newest conversions, 10,000 at most; as a file all of them.
#[utoipa::path(post, path = "/reporting/conversions/stream", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn stream(
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(Viewer::Network, request, ConversionExtent::Newest, Stream::json).await
}

/// Conversions as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/conversions/export", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((Stream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn export(
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(Viewer::Network, request.prefer_file(), ConversionExtent::Newest, Stream::json).await
}

/// One page of your conversions, the newest first; as a file all of them, unless a page is named.
#[utoipa::path(post, path = "/reporting/conversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((PartnerReport = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn partner_report(
    PartnerViewer(viewer): PartnerViewer,
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(viewer, request, ConversionExtent::Page, PartnerReport::json).await
}

/// One page of the conversions of your offers, the newest first; as a file all of them, unless a page
/// is named.
#[utoipa::path(post, path = "/reporting/conversions", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((AdvertiserReport = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_report(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(viewer, request, ConversionExtent::Page, AdvertiserReport::json).await
}

/// The newest conversions of your offers, 10,000 at most; as a file all of them.
#[utoipa::path(post, path = "/reporting/conversions/stream", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((AdvertiserStream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_stream(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    answer(viewer, request, ConversionExtent::Newest, AdvertiserStream::json).await
}

/// The conversions of your offers as a file: `format` is csv where it is not said.
#[utoipa::path(post, path = "/reporting/conversions/export", params(PagingParameters), request_body = ConversionRequest, responses((status = 200, content((AdvertiserStream = "application/json"), (String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub(super) async fn advertiser_export(
    AdvertiserViewer(viewer): AdvertiserViewer,
    request: ReportRequest<ConversionRequest>,
) -> Result<Response, ApiError> {
    let request = request.prefer_file();
    answer(viewer, request, ConversionExtent::Newest, AdvertiserStream::json).await
}

async fn answer(
    viewer: Viewer,
    request: ReportRequest<ConversionRequest>,
    extent: ConversionExtent,
    json: fn(Network, FoundConversions, Vec<FieldWarning>) -> Result<Response, ApiError>,
) -> Result<Response, ApiError> {
    let file = request.file()?;
    let ReportRequest { body, paging, warnings, store, network, .. } = request;
    let query = body.query(paging);
    let answered = store.read(move |connection| {
        let search = ConversionSearch::new(connection, viewer, &query)?;
        match file {
            Some(file) => send_file(search.write_file(connection, file)?, "conversions", false),
            None => json(network, search.find(connection, extent)?, warnings),
        }
    });
    answered.await
}

impl ConversionRequest {
    fn query(&self, parameters: PagingParameters) -> ConversionQuery {
        ConversionQuery {
            selection: self.selection(parameters),
            show_conversions: self.show_conversions,
            show_events: self.show_events,
            show_only_conflicts: self.show_only_conflicts,
            show_only_suspicious: self.show_only_suspicious,
        }
    }
}

/// One conversion, how it was decided and what happened to it.
#[utoipa::path(get, path = "/reporting/conversions/{conversion_id}", params(("conversion_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = ConversionWithHistory)))]
pub(super) async fn single(
    State(store): State<Store>,
    State(network): State<Network>,
    Path(id): Path<String>,
) -> Result<Json<ConversionWithHistory>, ApiError> {
    let id = parse_id(&id)?;
    let found = store.read(move |connection| conversions::find(connection, View::Network, id));
    let (conversion, history) = found.await?;
    Ok(Json(ConversionWithHistory::new(network, conversion, history)))
}

/// One conversion of your offers.
#[utoipa::path(get, path = "/reporting/conversions/{conversion_id}", params(("conversion_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = AdvertiserConversionObject)))]
pub(super) async fn advertiser_single(
    State(store): State<Store>,
    State(network): State<Network>,
    AdvertiserViewer(viewer): AdvertiserViewer,
    Path(id): Path<String>,
) -> Result<Json<AdvertiserConversionObject>, ApiError> {
    let id = parse_id(&id)?;
    let found = store.read(move |connection| conversions::find_visible(connection, viewer, id));
    Ok(Json(AdvertiserConversionObject::new(network, found.await?)))
}

pub(super) fn parse_id(id: &str) -> Result<ConversionId, ApiError> {
    id.parse().map_err(|error| ApiError::field("conversion_id", format!("{error}")))
}

/// The conversion of a click and its events, the newest first.
#[utoipa::path(get, path = "/reporting/events/{transaction_id}", params(("transaction_id" = String, Path, pattern = "^[0-9a-f]{32}$", example = "0192f0c1d2e3f405a6b7c8d9eaf00112")), responses((status = 200, body = Events)))]
pub(super) async fn events(
    State(store): State<Store>,
    State(network): State<Network>,
    Path(transaction_id): Path<String>,
) -> Result<Json<Events>, ApiError> {
    let id: TransactionId = transaction_id
        .parse()
        .map_err(|error| ApiError::field("transaction_id", format!("{error}")))?;
    let found = store.read(move |connection| conversions::of_click(connection, View::Network, id));
    let events = found.await?.into_iter();
    let events = events.map(|row| ConversionObject::new(network, row)).collect();
    Ok(Json(Events { events }))
}
