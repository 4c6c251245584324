//! `/v1/networks/couponcodes/uploads`, and the files that go with it.

mod form;
mod incoming;
mod shapes;

use std::io::ErrorKind;

use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Done, List, done};
use super::error::ApiError;
use super::openapi::{ListOf, listing, parameter};
use super::request::{Id, Json, ListParameters, ListSpec, Wait, parameters, truth, unknown};
use super::{AppState, coupon_codes, download, live};
use crate::catalog::BulkMode;
use crate::edit::Saved;
use crate::export;
use crate::import::{ImportError, ReadError};
use crate::store::StoreError;
use crate::store::coupon_codes::FILTERS;
use crate::store::rows::{Compared, Filterable, Page, Vocabulary};
use crate::store::staging::Intent;
use crate::uploads::{RowVerdict, UploadError};
use shapes::{RowCells, Shown, ShownRow, ShownRows};
use utoipa::PartialSchema;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Of uploads.
const LIST: ListSpec =
    ListSpec { filters: &[], relationships: &[], search: None, is_whole_by_default: false };
/// Of an upload's rows.
const ROWS: ListSpec = ListSpec {
    filters: &[Filterable {
        field: "verdict",
        column: "verdict",
        kind: Compared::Word(Vocabulary::of::<RowVerdict>()),
    }],
    ..LIST
};
/// Of an export: the list's filters, without pages.
const EXPORT: ListSpec = ListSpec {
    filters: FILTERS,
    is_whole_by_default: true,
    relationships: &[],
    ..coupon_codes::LIST
};
const FIRST_PAGE: Page = Page { number: 1, size: 50 };

listing!(Listing, LIST);
listing!(Rows, ROWS);

struct Exported;

impl utoipa::IntoParams for Exported {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = EXPORT.parameters();
        parameters.retain(|parameter| !parameter.name.starts_with("page"));
        parameters
    }
}
type Listed = ListOf<Shown>;

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, remove))
        .routes(routes!(add_row))
        .routes(routes!(change_row, remove_row))
        .routes(routes!(commit))
        .routes(routes!(errors))
        .routes(routes!(template))
        .routes(routes!(export_codes))
}

/// Stages a bulk file; an empty body begins an upload without rows.
#[utoipa::path(post, path = "/couponcodes/uploads", params(UploadParameters), request_body(content((String = "text/csv"), (String = "multipart/form-data"))), responses((status = 200, body = Shown), (status = 503, body = super::error::ErrorBody)))]
async fn create(
    State(state): State<AppState>,
    UploadParameters(intent): UploadParameters,
    request: Request,
) -> Result<Response, ApiError> {
    let staged = incoming::stage(&state.uploads, intent, request).await?;
    live::create(
        &state,
        Wait::Saved,
        move |tx| Ok(Saved { now: staged.register(tx)?, sequence: None }),
        Shown::from,
    )
    .await
}

/// Lists uploads.
#[utoipa::path(get, path = "/couponcodes/uploads", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&LIST)?.query.page.unwrap_or(FIRST_PAGE);
    let listed = state.uploads.list(page).await?;
    let rows: Vec<Shown> = listed.rows.into_iter().map(Shown::from).collect();
    Ok(List::new("uploads", rows, Some(page), listed.total_count).into_response())
}

/// An upload and a page of its rows.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}", params(Id, Rows), responses((status = 200, body = ShownRows)))]
async fn read(
    State(state): State<AppState>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&ROWS)?.query;
    let page = query.page.unwrap_or(FIRST_PAGE);
    let valid = match query.filters.as_slice() {
        [] => None,
        [verdict] => Some(verdict.value == RowVerdict::Valid.as_str().to_owned().into()),
        _ => return Err(ApiError::field("filter", "can be named once here")),
    };
    let (counted, rows) = state.uploads.page(id, valid, page).await?;
    Ok(ShownRows::new(counted, rows, valid, page).answered())
}

/// Adds a row.
#[utoipa::path(post, path = "/couponcodes/uploads/{id}/rows", params(Id), request_body = RowCells, responses((status = 200, body = ShownRow)))]
async fn add_row(
    State(state): State<AppState>,
    Id(id): Id,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = state.uploads.add_row(id, cells.named()?).await?;
    Ok(ShownRow::from(row).answered())
}

/// Changes cells of a row.
#[utoipa::path(patch, path = "/couponcodes/uploads/{id}/rows/{row}", params(RowPath), request_body = RowCells, responses((status = 200, body = ShownRow)))]
async fn change_row(
    State(state): State<AppState>,
    RowPath { upload, row }: RowPath,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = state.uploads.change_row(upload, row, cells.named()?).await?;
    Ok(ShownRow::from(row).answered())
}

/// Deletes a row.
#[utoipa::path(delete, path = "/couponcodes/uploads/{id}/rows/{row}", params(RowPath), responses((status = 200, body = Done)))]
async fn remove_row(
    State(state): State<AppState>,
    RowPath { upload, row }: RowPath,
) -> Result<Response, ApiError> {
    Ok(done(state.uploads.remove_row(upload, row).await?).answered())
}

/// Makes the rows codes: all of them, or none.
#[utoipa::path(post, path = "/couponcodes/uploads/{id}/commit", params(Id, CommitParameters), responses((status = 200, body = Shown)))]
async fn commit(
    State(state): State<AppState>,
    Id(id): Id,
    CommitParameters { skip_invalid, wait }: CommitParameters,
) -> Result<Response, ApiError> {
    let (upload, counts) = state.uploads.commit(id, skip_invalid).await?;
    let sequence = upload.outcome.and_then(|outcome| outcome.sequence);
    let saved = Saved { now: (upload, counts), sequence };
    Ok(live::answer(&state, wait, saved, Shown::from).await)
}

/// Throws an upload away.
#[utoipa::path(delete, path = "/couponcodes/uploads/{id}", params(Id), responses((status = 200, body = Done)))]
async fn remove(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    Ok(done(state.uploads.remove(id).await?).answered())
}

/// What is wrong with the rows, as a file.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}/errors.csv", params(Id), responses((status = 200, body = String, content_type = "text/csv; charset=utf-8")))]
async fn errors(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let file = state.uploads.errors(id).await?;
    Ok(download::csv(file, "errors.csv").map_err(UploadError::Folder)?)
}

/// An example of a bulk file.
#[utoipa::path(get, path = "/couponcodes/template.csv", params(TemplateMode), responses((status = 200, body = String, content_type = "text/csv; charset=utf-8")))]
async fn template(TemplateMode(mode): TemplateMode) -> Response {
    let name = match mode {
        BulkMode::Add => "add-coupon-codes.csv",
        BulkMode::Update => "update-coupon-codes.csv",
    };
    download::short_csv(export::template(mode), name)
}

/// All codes that meet the filters, as a file that can be uploaded again.
#[utoipa::path(get, path = "/couponcodes/export.csv", params(Exported), responses((status = 200, body = String, content_type = "text/csv; charset=utf-8")))]
async fn export_codes(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&EXPORT)?.query;
    if query.page.is_some() {
        return Err(ApiError::field("page", "an export has no pages; it holds all codes"));
    }
    let file = state.uploads.nameless_file().map_err(UploadError::Folder)?;
    let file = state
        .store
        .read(move |connection| match export::write(connection, &query.filters, &file) {
            Ok(_count) => Ok(Ok(file)),
            Err(export::ExportError::Store(error)) => Err(error),
            Err(export::ExportError::Write(error)) => Ok(Err(error)),
        })
        .await
        .map_err(|error: StoreError| error)?;
    let file = file.map_err(UploadError::Folder)?;
    Ok(download::csv(file, "coupon-codes.csv").map_err(UploadError::Folder)?)
}

/// `mode` and `allow_reissue`.
struct UploadParameters(Intent);

impl<S: Sync> FromRequestParts<S> for UploadParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut mode, mut allow_reissue) = (None, false);
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => mode = Some(mode_of(&value)?),
                "allow_reissue" => allow_reissue = truth(&name, &value)?,
                _ => return Err(unknown(&name, "mode, allow_reissue")),
            }
        }
        let mode = mode.ok_or_else(|| ApiError::field("mode", "must be `add` or `update`"))?;
        Ok(UploadParameters(Intent { mode, allow_reissue }))
    }
}

impl utoipa::IntoParams for UploadParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Codes that once belonged to another partner are issued anew";
        let mut mode =
            parameter("mode", ParameterIn::Query, "What the rows do", BulkMode::schema());
        mode.required = Required::True;
        vec![mode, parameter("allow_reissue", ParameterIn::Query, about, bool::schema())]
    }
}

/// `mode`, which is `add` unless it is named.
struct TemplateMode(BulkMode);

impl<S: Sync> FromRequestParts<S> for TemplateMode {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut mode = BulkMode::Add;
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => mode = mode_of(&value)?,
                _ => return Err(unknown(&name, "mode")),
            }
        }
        Ok(TemplateMode(mode))
    }
}

impl utoipa::IntoParams for TemplateMode {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(
            "mode",
            ParameterIn::Query,
            "`add` where it is not said",
            BulkMode::schema(),
        )]
    }
}

/// `skip_invalid` and `wait`.
struct CommitParameters {
    skip_invalid: bool,
    wait: Wait,
}

impl<S: Sync> FromRequestParts<S> for CommitParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut found = CommitParameters { skip_invalid: false, wait: Wait::Saved };
        for (name, value) in parameters(parts) {
            match (name.as_str(), value.as_str()) {
                ("skip_invalid", _) => found.skip_invalid = truth(&name, &value)?,
                ("wait", "live") => found.wait = Wait::Live,
                ("wait", _) => return Err(ApiError::field("wait", "can only be `live`")),
                _ => return Err(unknown(&name, "skip_invalid, wait")),
            }
        }
        Ok(found)
    }
}

impl utoipa::IntoParams for CommitParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Commit the valid rows and leave the others out";
        let skip = parameter("skip_invalid", ParameterIn::Query, about, bool::schema());
        [vec![skip], Wait::into_params(place)].concat()
    }
}

/// An upload's row. What is no number is nothing that is there.
struct RowPath {
    upload: u32,
    row: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for RowPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let nothing = || ApiError::not_found("there is no such row");
        let path = Path::<(u32, u32)>::from_request_parts(parts, state).await;
        let Path((upload, row)) = path.map_err(|_not_numbers| nothing())?;
        Ok(RowPath { upload, row })
    }
}

impl utoipa::IntoParams for RowPath {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let row = parameter("row", ParameterIn::Path, "The row's number", u32::schema());
        [Id::into_params(place), vec![row]].concat()
    }
}

fn mode_of(value: &str) -> Result<BulkMode, ApiError> {
    value
        .parse()
        .map_err(|error: crate::catalog::UnknownWord| ApiError::field("mode", error.to_string()))
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> ApiError {
        let message = error.to_string();
        let conflict = |code| ApiError::new(StatusCode::CONFLICT, code, &message);
        match error {
            UploadError::NotFound { .. } | UploadError::NoRow { .. } => {
                ApiError::not_found(message)
            }
            UploadError::Committed { .. } => conflict("upload.committed"),
            UploadError::Incoming => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "upload.too_many_at_once", message)
            }
            UploadError::Columns(fields) => ApiError::fields(fields),
            UploadError::Refused { first, .. } => {
                conflict("upload.invalid_rows").with_fields(first)
            }
            UploadError::Import(ImportError::Store(error)) => error.into(),
            UploadError::Import(ImportError::Read(ReadError::Broken { source, .. }))
                if source.kind() == ErrorKind::StorageFull =>
            {
                tracing::warn!(error = %source, "bulk work was broken off");
                ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk.low", source.to_string())
            }
            UploadError::Import(ImportError::Read(_)) => {
                ApiError::new(StatusCode::BAD_REQUEST, "upload.unreadable", message)
            }
            UploadError::Import(ImportError::LowDiskSpace(error)) => error.into(),
            UploadError::Import(ImportError::Refused(_)) => conflict("upload.invalid_rows"),
            UploadError::Import(ImportError::Empty) => conflict("upload.empty"),
            UploadError::Folder(error) if error.kind() == ErrorKind::StorageFull => {
                StoreError::Full.into()
            }
            UploadError::Folder(error) => {
                tracing::error!(%error, "the folder of uploads cannot be used");
                ApiError::inside()
            }
        }
    }
}
