//! `/v1/networks/couponcodes/uploads`, and exports and templates as files.

mod byte_source;
mod form;
mod incoming;
mod parameters;
mod preview;
mod shapes;

use std::io::ErrorKind;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{Answer, Done, List, ListOf, done};
use super::coupon_codes::list_spec;
use super::download;
use super::error::ApiError;
use super::live::Edits;
use super::request::{Id, Json, ListParameters, ListSpec, Wait};
use super::schema::{listing, parameter};
use super::state::AppState;
use crate::catalog::BulkMode;
use crate::edit::Saved;
use crate::export::{self, ExportDetails};
use crate::import::{ImportError, ReadError};
use crate::store::coupon_codes::FILTERS;
use crate::store::rows::{Compared, Filter, Filterable, Operator, Page, Vocabulary};
use crate::store::staging::RowChoice;
use crate::store::{Store, StoreError, WriteTx};
use crate::uploads::{RowVerdict, UploadError, Uploads};
use parameters::{
    CommitParameters, FileParameters, GroupParameters, LayoutParameters, RowPath,
    TemplateParameters, UploadParameters,
};
use preview::FilePreview;
use shapes::{ChangedRows, ErrorGroups, RowCells, Upload, UploadPage, UploadRow};

/// The list of uploads.
const LIST: ListSpec = ListSpec {
    filters: &[],
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};
/// The list of an upload's rows.
const ROWS: ListSpec = ListSpec { filters: &[VERDICT, COLUMN, ERROR], ..LIST };
const VERDICT: Filterable = Filterable::without_column(
    "verdict",
    Compared::Word(Vocabulary::from_word_set::<RowVerdict>()),
);
/// The column of an error, and its sentence.
const COLUMN: Filterable = Filterable::without_column("column", Compared::Text);
const ERROR: Filterable = Filterable::without_column("error", Compared::Text);
/// The parameters of an export: the list's filters, without pages.
const EXPORT: ListSpec = ListSpec {
    filters: FILTERS,
    is_whole_by_default: true,
    has_cursors: false,
    relationships: &[],
    ..list_spec::LIST
};
/// Parameters for columns beside the fields of a code.
const NAMES: &str = "names";
const LINKS: &str = "links";
const FIRST_PAGE: Page = Page { number: 1, size: 50 };

listing!(Listing, LIST);
listing!(Rows, ROWS);

type Listed = ListOf<Upload>;

struct ExportParameters;

impl utoipa::IntoParams for ExportParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = EXPORT.parameters();
        parameters.retain(|parameter| !parameter.name.starts_with("page"));
        let flag = |name, about| parameter(name, ParameterIn::Query, about, bool::schema());
        parameters
            .push(flag(NAMES, "With the names of offer and partner; an upload leaves them out"));
        parameters.push(flag(LINKS, "With the tracking links; an upload leaves them out"));
        parameters.extend(download::file_parameters());
        parameters
    }
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, remove))
        .routes(routes!(preview_file))
        .routes(routes!(read_file))
        .routes(routes!(add_row, change_rows, remove_rows))
        .routes(routes!(change_row, remove_row))
        .routes(routes!(commit))
        .routes(routes!(error_groups))
        .routes(routes!(errors))
        .routes(routes!(invalid_rows))
        .routes(routes!(template))
        .routes(routes!(export_codes))
}

/// Stages a bulk file; an empty body begins an upload without rows.
#[utoipa::path(post, path = "/couponcodes/uploads", params(UploadParameters), request_body(content((String = "text/csv"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), (String = "multipart/form-data"))), responses((status = 200, body = Upload), (status = 503, body = super::error::ErrorBody)))]
async fn create(
    State(edits): State<Edits>,
    State(uploads): State<Uploads>,
    parameters: UploadParameters,
    request: Request,
) -> Result<Response, ApiError> {
    let (staged, layout) = incoming::stage(&uploads, parameters, request).await?;
    let register = move |tx: &WriteTx<'_>| Ok(Saved { now: staged.register(tx)?, sequence: None });
    let render = move |counted| Upload::from(counted).with_layout(layout);
    edits.create(Wait::Saved, register, render).await
}

/// Lists uploads.
#[utoipa::path(get, path = "/couponcodes/uploads", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(uploads): State<Uploads>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let page = parameters.parse(&LIST)?.query.page.unwrap_or(FIRST_PAGE);
    let listed = uploads.list(page).await?;
    let upload = |counted| Upload::from(counted).with_saving(&uploads);
    let rows: Vec<Upload> = listed.rows.into_iter().map(upload).collect();
    Ok(List::new("uploads", rows, Some(page), listed.total_count).into_response())
}

/// The beginning of a file that is not read yet, as the parameters would read it.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}/preview", params(Id, LayoutParameters), responses((status = 200, body = FilePreview), (status = 409, body = super::error::ErrorBody)))]
async fn preview_file(
    State(uploads): State<Uploads>,
    Id(id): Id,
    LayoutParameters(layout): LayoutParameters,
) -> Result<Response, ApiError> {
    Ok(FilePreview::from(uploads.preview(id, layout).await?).into_answer())
}

/// Reads the rows of a file that is not read yet.
#[utoipa::path(post, path = "/couponcodes/uploads/{id}/read", params(Id, LayoutParameters), responses((status = 200, body = Upload)))]
async fn read_file(
    State(uploads): State<Uploads>,
    Id(id): Id,
    LayoutParameters(layout): LayoutParameters,
) -> Result<Response, ApiError> {
    Ok(Upload::from(uploads.read(id, layout).await?).into_answer())
}

/// An upload with a page of its rows.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}", params(Id, Rows), responses((status = 200, body = UploadPage)))]
async fn read(
    State(uploads): State<Uploads>,
    Id(id): Id,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&ROWS)?.query;
    let page = query.page.unwrap_or(FIRST_PAGE);
    let choice = row_choice(&query.filters)?;
    let (counted, rows) = uploads.page(id, choice, page).await?;
    let upload = Upload::from(counted).with_saving(&uploads);
    Ok(UploadPage::new(upload, rows, page).into_answer())
}

/// The rows that the filters choose.
fn row_choice(filters: &[Filter]) -> Result<RowChoice, ApiError> {
    if filters.iter().any(|filter| filter.operator != Operator::Equal) {
        return Err(ApiError::field("filter", "can only compare with = here"));
    }
    let value = |field: &Filterable| {
        let mut named = filters.iter().filter_map(|filter| filter.text_of(field));
        let first = named.next();
        match named.next() {
            Some(_) => Err(ApiError::field("filter", "can name a field once here")),
            None => Ok(first),
        }
    };
    let (verdict, column, error) = (value(&VERDICT)?, value(&COLUMN)?, value(&ERROR)?);
    match verdict.as_deref() {
        None if column.is_none() && error.is_none() => Ok(RowChoice::All),
        Some(valid) if valid == RowVerdict::Valid.as_str() => Ok(RowChoice::Valid),
        _ => Ok(RowChoice::Invalid { column, error }),
    }
}

/// Adds a row.
#[utoipa::path(post, path = "/couponcodes/uploads/{id}/rows", params(Id), request_body = RowCells, responses((status = 200, body = UploadRow)))]
async fn add_row(
    State(uploads): State<Uploads>,
    Id(id): Id,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = uploads.add_row(id, cells.named()?).await?;
    Ok(UploadRow::from(row).into_answer())
}

/// Changes cells of a row.
#[utoipa::path(patch, path = "/couponcodes/uploads/{id}/rows/{row}", params(RowPath), request_body = RowCells, responses((status = 200, body = UploadRow)))]
async fn change_row(
    State(uploads): State<Uploads>,
    RowPath { upload, row }: RowPath,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let row = uploads.change_row(upload, row, cells.named()?).await?;
    Ok(UploadRow::from(row).into_answer())
}

/// Changes cells of all rows, or of all rows with the same error.
#[utoipa::path(patch, path = "/couponcodes/uploads/{id}/rows", params(Id, GroupParameters), request_body = RowCells, responses((status = 200, body = ChangedRows)))]
async fn change_rows(
    State(uploads): State<Uploads>,
    Id(id): Id,
    GroupParameters(error): GroupParameters,
    Json(cells): Json<RowCells>,
) -> Result<Response, ApiError> {
    let changed = uploads.change_rows(id, error, cells.named()?).await?;
    Ok(ChangedRows::from(changed).into_answer())
}

/// Deletes all rows with the same error.
#[utoipa::path(delete, path = "/couponcodes/uploads/{id}/rows", params(Id, GroupParameters), responses((status = 200, body = ChangedRows)))]
async fn remove_rows(
    State(uploads): State<Uploads>,
    Id(id): Id,
    group: GroupParameters,
) -> Result<Response, ApiError> {
    let removed = uploads.remove_group(id, group.needed()?).await?;
    Ok(ChangedRows::from(removed).into_answer())
}

/// Deletes a row.
#[utoipa::path(delete, path = "/couponcodes/uploads/{id}/rows/{row}", params(RowPath), responses((status = 200, body = Done)))]
async fn remove_row(
    State(uploads): State<Uploads>,
    RowPath { upload, row }: RowPath,
) -> Result<Response, ApiError> {
    Ok(done(uploads.remove_row(upload, row).await?).into_answer())
}

/// Applies the rows to the codes: all rows, or none.
#[utoipa::path(post, path = "/couponcodes/uploads/{id}/commit", params(Id, CommitParameters), responses((status = 200, body = Upload)))]
async fn commit(
    State(edits): State<Edits>,
    State(uploads): State<Uploads>,
    Id(id): Id,
    CommitParameters { skip_invalid, wait }: CommitParameters,
) -> Result<Response, ApiError> {
    let (upload, summary) = uploads.commit(id, skip_invalid).await?;
    let sequence = upload.outcome.and_then(|outcome| outcome.sequence);
    let saved = Saved { now: (upload, summary), sequence };
    Ok(edits.answer(wait, saved, Upload::from).await)
}

/// Deletes an upload.
#[utoipa::path(delete, path = "/couponcodes/uploads/{id}", params(Id), responses((status = 200, body = Done)))]
async fn remove(State(uploads): State<Uploads>, Id(id): Id) -> Result<Response, ApiError> {
    Ok(done(uploads.remove(id).await?).into_answer())
}

/// The errors of the rows, at most 100, each with the number of its rows.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}/errors", params(Id), responses((status = 200, body = ErrorGroups), (status = 409, body = super::error::ErrorBody)))]
async fn error_groups(State(uploads): State<Uploads>, Id(id): Id) -> Result<Response, ApiError> {
    Ok(ErrorGroups::from(uploads.fault_groups(id).await?).into_answer())
}

/// The errors of the rows, as a file.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}/errors.csv", params(Id, FileParameters), responses((status = 200, content((String = "text/csv; charset=utf-8"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))), (status = 409, body = super::error::ErrorBody)))]
async fn errors(
    State(uploads): State<Uploads>,
    Id(id): Id,
    FileParameters(style): FileParameters,
) -> Result<Response, ApiError> {
    let file = uploads.errors(id, false, style).await?;
    Ok(download::send(file, "errors").map_err(UploadError::Folder)?)
}

/// The rows with errors and the reasons, as a file that can be mended and uploaded.
#[utoipa::path(get, path = "/couponcodes/uploads/{id}/invalid_rows.csv", params(Id, FileParameters), responses((status = 200, content((String = "text/csv; charset=utf-8"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))), (status = 409, body = super::error::ErrorBody)))]
async fn invalid_rows(
    State(uploads): State<Uploads>,
    Id(id): Id,
    FileParameters(style): FileParameters,
) -> Result<Response, ApiError> {
    let file = uploads.errors(id, true, style).await?;
    Ok(download::send(file, "wrong-rows").map_err(UploadError::Folder)?)
}

/// An example of a bulk file.
#[utoipa::path(get, path = "/couponcodes/template.csv", params(TemplateParameters), responses((status = 200, content((String = "text/csv; charset=utf-8"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
async fn template(
    State(uploads): State<Uploads>,
    TemplateParameters { mode, style }: TemplateParameters,
) -> Result<Response, ApiError> {
    let name = match mode {
        BulkMode::Add => "add-coupon-codes",
        BulkMode::Update => "update-coupon-codes",
    };
    let file = uploads.template(mode, style).await?;
    Ok(download::send(file, name).map_err(UploadError::Folder)?)
}

/// Exports all codes that match the filters, as a file for a later upload.
#[utoipa::path(get, path = "/couponcodes/export.csv", params(ExportParameters), responses((status = 200, content((String = "text/csv; charset=utf-8"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
async fn export_codes(
    State(store): State<Store>,
    State(uploads): State<Uploads>,
    mut parameters: ListParameters,
) -> Result<Response, ApiError> {
    let style = download::take_style(&mut parameters)?;
    let names = parameters.take_flag(NAMES)?;
    let links = parameters.take_flag(LINKS)?;
    let details = ExportDetails { names, links };
    let query = parameters.parse(&EXPORT)?.query;
    if query.page.is_some() {
        return Err(ApiError::field("page", "an export has no pages; it holds all codes"));
    }
    let mut file = uploads.table_file(style).map_err(UploadError::Folder)?;
    let file = store
        .read(move |connection| {
            match export::write(connection, &query.filters, details, &mut file) {
                Ok(_count) => Ok(file.finish()),
                Err(export::ExportError::Store(error)) => Err(error),
                Err(export::ExportError::Write(error)) => Ok(Err(error)),
            }
        })
        .await
        .map_err(|error: StoreError| error)?;
    let file = file.map_err(UploadError::Folder)?;
    Ok(download::send(file, "coupon-codes").map_err(UploadError::Folder)?)
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> ApiError {
        let message = error.to_string();
        let conflict = |code| ApiError::new(StatusCode::CONFLICT, code, &message);
        match error {
            UploadError::NotFound { .. }
            | UploadError::NoRow { .. }
            | UploadError::NoError { .. } => ApiError::not_found(message),
            UploadError::Unread { .. } => conflict("upload.unread"),
            UploadError::AlreadyRead { .. } => conflict("upload.read"),
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
                tracing::warn!(error = %source, "upload aborted: the disk is full");
                ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "disk.low", source.to_string())
            }
            UploadError::Import(ImportError::Read(_)) => {
                ApiError::new(StatusCode::BAD_REQUEST, "upload.unreadable", message)
            }
            UploadError::Import(ImportError::LowDiskSpace(error)) => error.into(),
            UploadError::Import(ImportError::Refused(_)) => conflict("upload.invalid_rows"),
            UploadError::Import(ImportError::Empty) => conflict("upload.empty"),
            UploadError::Folder(error) => download::not_written(&error),
        }
    }
}
