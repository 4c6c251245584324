//! Requests for reports, and their senders.

use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::absent_parts::{self, WithAbsentParts};
use super::body::ReportBody;
use super::output::{Format, file_for};
use super::paging::PagingParameters;
use crate::api::auth::Authenticated;
use crate::api::error::ApiError;
use crate::api::request;
use crate::api::state::{AppState, Network};
use crate::catalog::FieldWarning;
use crate::json;
use crate::reports::clicks::ClickReader;
use crate::reports::view::Viewer;
use crate::store::Store;
use crate::table_file::TableWriter;
use crate::uploads::Uploads;

/// A request for a report, with the state needed for an answer.
pub(super) struct ReportRequest<B> {
    pub(super) body: B,
    pub(super) paging: PagingParameters,
    /// Parts of the body that were ignored.
    pub(super) warnings: Vec<FieldWarning>,
    pub(super) store: Store,
    pub(super) clicks: ClickReader,
    pub(super) network: Network,
    uploads: Uploads,
    accepted: Format,
}

impl<B: DeserializeOwned + WithAbsentParts> FromRequest<AppState> for ReportRequest<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let paging = PagingParameters::from_request_parts(&mut parts, state).await?;
        let accepted = Format::accepted(&parts);
        let request = Request::from_parts(parts, body);
        let request::Json(fields) = request::Fields::from_request(request, state).await?;
        let (fields, mut warnings) = absent_parts::remove_absent_fields(fields);
        let text = fields.to_json().map_err(|_| ApiError::inside())?;
        let mut body: B = json::parse(&text, "").map_err(|error| ApiError::fields(vec![error]))?;
        body.remove_absent_parts(&mut warnings);
        absent_parts::refuse_if_strict(paging.is_strict(), &warnings)?;
        Ok(ReportRequest {
            body,
            paging,
            warnings,
            store: state.store.clone(),
            clicks: ClickReader::from_ref(state),
            network: state.network,
            uploads: state.uploads.clone(),
            accepted,
        })
    }
}

impl<B: ReportBody> ReportRequest<B> {
    /// The same request, with a file as its answer unless the body names JSON.
    pub(super) fn prefer_file(self) -> ReportRequest<B> {
        let is_workbook = self.accepted == Format::Xlsx;
        ReportRequest { accepted: if is_workbook { Format::Xlsx } else { Format::Csv }, ..self }
    }

    /// An empty file where the answer is a file.
    pub(super) fn file(&self) -> Result<Option<TableWriter>, ApiError> {
        let format = self.paging.format().or(self.body.format()).unwrap_or(self.accepted);
        file_for(format, self.paging.has_mark(), &self.uploads)
    }
}

impl FromRef<AppState> for ClickReader {
    fn from_ref(state: &AppState) -> ClickReader {
        ClickReader::new(state.store.clone(), state.archive.clone(), state.geo.clone())
    }
}

/// The partner of the request's API key. A key of the network is refused, so a mistake in the
/// routes cannot show all rows to a partner.
pub(super) struct PartnerViewer(pub(super) Viewer);

impl<S: Sync> FromRequestParts<S> for PartnerViewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let id = caller.affiliate_id.ok_or_else(ApiError::inside)?;
        Ok(PartnerViewer(Viewer::Partner(id)))
    }
}

/// The advertiser of the request's API key. Any other key is refused, as by [`PartnerViewer`].
pub(super) struct AdvertiserViewer(pub(super) Viewer);

impl<S: Sync> FromRequestParts<S> for AdvertiserViewer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let id = caller.advertiser_id.ok_or_else(ApiError::inside)?;
        Ok(AdvertiserViewer(Viewer::Advertiser(id)))
    }
}
