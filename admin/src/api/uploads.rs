//! `/v1/networks/couponcodes/uploads`, and the files that go with it.

mod incoming;
mod shapes;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::answer::{Answer, List, done};
use super::error::ApiError;
use super::request::{Id, Json, ListOffer, ListParameters, Wait, parameters, unknown};
use super::{AppState, coupon_codes, download, live};
use crate::catalog::BulkMode;
use crate::edit::Saved;
use crate::export;
use crate::import::ImportError;
use crate::store::StoreError;
use crate::store::rows::{Compared, Filterable, Operator, Page};
use crate::store::staging::Intent;
use crate::uploads::UploadError;
use shapes::{RowCells, Shown, ShownRow, ShownRows};

/// Of uploads.
const LIST: ListOffer =
    ListOffer { filters: &[], relationships: &[], search: None, is_whole_by_default: false };
/// Of an upload's rows.
const ROWS: ListOffer = ListOffer {
    filters: &[Filterable { field: "verdict", column: "verdict", kind: Compared::Text }],
    ..LIST
};
const FIRST_PAGE: Page = Page { number: 1, size: 50 };

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/couponcodes/uploads", get(list).post(create))
        .route("/couponcodes/uploads/{id}", get(read).delete(remove))
        .route("/couponcodes/uploads/{id}/rows", post(add_row))
        .route(
            "/couponcodes/uploads/{id}/rows/{row}",
            axum::routing::patch(change_row).delete(remove_row),
        )
        .route("/couponcodes/uploads/{id}/commit", post(commit))
        .route("/couponcodes/uploads/{id}/errors.csv", get(errors))
        .route("/couponcodes/template.csv", get(template))
        .route("/couponcodes/export.csv", get(export_codes))
        // Files have a limit of their own.
        .layer(DefaultBodyLimit::disable())
}

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

async fn list(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.of(&LIST)?.query.page.unwrap_or(FIRST_PAGE);
    let listed = state.uploads.list(page).await?;
    let rows: Vec<Shown> = listed.rows.into_iter().map(Shown::from).collect();
    Ok(List::new("uploads", rows, Some(page), listed.total_count).into_response())
}

async fn read(
    State(state): State<AppState>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.of(&ROWS)?.query;
    let page = query.page.unwrap_or(FIRST_PAGE);
    let mut valid = None;
    for filter in query.filters {
        valid = match (filter.operator, &filter.value) {
            (Operator::Equal, rusqlite::types::Value::Text(word)) if word == "valid" => Some(true),
            (Operator::Equal, rusqlite::types::Value::Text(word)) if word == "invalid" => {
                Some(false)
            }
            _ => return Err(ApiError::field("filter", "can be verdict=valid or verdict=invalid")),
        };
    }
    let (counted, rows) = state.uploads.page(id, valid, page).await?;
    Ok(ShownRows::new(counted, rows, valid, page).answered())
}

async fn add_row(
    State(state): State<AppState>,
    Id(id): Id,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = state.uploads.add_row(id, cells.named()?).await?;
    Ok(ShownRow::from(row).answered())
}

async fn change_row(
    State(state): State<AppState>,
    RowPath { upload, row }: RowPath,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = state.uploads.change_row(upload, row, cells.named()?).await?;
    Ok(ShownRow::from(row).answered())
}

async fn remove_row(
    State(state): State<AppState>,
    RowPath { upload, row }: RowPath,
) -> Result<Response, ApiError> {
    Ok(done(state.uploads.remove_row(upload, row).await?).answered())
}

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

async fn remove(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    Ok(done(state.uploads.remove(id).await?).answered())
}

async fn errors(State(state): State<AppState>, Id(id): Id) -> Result<Response, ApiError> {
    let file = state.uploads.errors(id).await?;
    Ok(download::csv(file, "errors.csv").map_err(UploadError::Folder)?)
}

async fn template(TemplateMode(mode): TemplateMode) -> Response {
    let name = match mode {
        BulkMode::Add => "add-coupon-codes.csv",
        BulkMode::Update => "update-coupon-codes.csv",
    };
    download::short_csv(export::template(mode), name)
}

async fn export_codes(
    State(state): State<AppState>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let offer = ListOffer { is_whole_by_default: true, relationships: &[], ..coupon_codes::LIST };
    let query = parameters.of(&offer)?.query;
    if query.page.is_some() {
        return Err(ApiError::field("page", "an export has no pages; it holds all codes"));
    }
    let file = state.uploads.nameless_file().map_err(UploadError::Folder)?;
    let file = state
        .store
        .read(move |connection| match export::write(connection, &query.filters, &file) {
            Ok(_count) => Ok(Ok(file)),
            Err(export::ExportError::Store(error)) => Err(error),
            Err(export::ExportError::Write(error)) => Ok(Err(std::io::Error::other(error))),
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

fn mode_of(value: &str) -> Result<BulkMode, ApiError> {
    value
        .parse()
        .map_err(|error: crate::catalog::UnknownWord| ApiError::field("mode", error.to_string()))
}

fn truth(name: &str, value: &str) -> Result<bool, ApiError> {
    value.parse().map_err(|_| ApiError::field(name, "must be `true` or `false`"))
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
            UploadError::Import(ImportError::Read(_)) => {
                ApiError::new(StatusCode::BAD_REQUEST, "upload.unreadable", message)
            }
            UploadError::Import(ImportError::Refused(_)) => conflict("upload.invalid_rows"),
            UploadError::Import(ImportError::Empty) => conflict("upload.empty"),
            UploadError::Folder(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                StoreError::Full.into()
            }
            UploadError::Folder(error) => {
                tracing::error!(%error, "the folder of uploads cannot be used");
                ApiError::inside()
            }
        }
    }
}
