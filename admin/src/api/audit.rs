//! `/v1/networks/audit`: the audit of changes, newest first, also as a file.

use std::io;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::{List, ListOf};
use super::download;
use super::error::ApiError;
use super::request::{ListParameters, ListSpec};
use super::schema::{Row, listing};
use super::state::AppState;
use crate::store::audit::Recorded;
use crate::store::rows::Filter;
use crate::store::{ReadTx, Store, StoreError, audit};
use crate::table_file::{CellWriter, TableFile, TableWriter};
use crate::uploads::{UploadError, Uploads};

const LIST: ListSpec = ListSpec {
    filters: audit::FILTERS,
    relationships: &[],
    search: None,
    is_whole_by_default: false,
    has_cursors: false,
};
/// The parameters of an export: the list's filters, without pages.
const EXPORT: ListSpec = ListSpec { is_whole_by_default: true, ..LIST };

listing!(Listing, LIST);
type Listed = ListOf<Recorded>;

struct ExportParameters;

impl utoipa::IntoParams for ExportParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = EXPORT.parameters();
        parameters.retain(|parameter| !parameter.name.starts_with("page"));
        parameters.extend(download::file_parameters());
        parameters
    }
}

impl Row for Recorded {
    const PLURAL: &'static str = "audit";
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// Lists changes with author and time, newest first.
#[utoipa::path(get, path = "/audit", params(Listing), responses((status = 200, body = Listed)))]
async fn list(
    State(store): State<Store>,
    parameters: ListParameters,
) -> Result<Response, ApiError> {
    let query = parameters.parse(&LIST)?.query;
    let page = query.page;
    let listed = store.read(move |connection| audit::list(connection, &query)).await?;
    Ok(List::new("audit", listed.rows, page, listed.total_count).into_response())
}

/// All changes that match the filters, as a file; the changed fields are JSON in one column.
#[utoipa::path(get, path = "/audit/export.csv", params(ExportParameters), responses((status = 200, content((String = "text/csv; charset=utf-8"), (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
async fn export(
    State(store): State<Store>,
    State(uploads): State<Uploads>,
    mut parameters: ListParameters,
) -> Result<Response, ApiError> {
    let style = download::take_style(&mut parameters)?;
    let query = parameters.parse(&EXPORT)?.query;
    if query.page.is_some() {
        return Err(ApiError::field("page", "an export has no pages; it holds all entries"));
    }
    let file = uploads.table_file(style).map_err(UploadError::Folder)?;
    let written = store
        .read(move |connection| Ok::<_, StoreError>(write(connection, &query.filters, file)))
        .await?;
    let file = match written {
        Ok(file) => file,
        Err(WriteError::Store(error)) => return Err(error.into()),
        Err(WriteError::File(error)) => return Err(UploadError::Folder(error).into()),
    };
    Ok(download::send(file, "audit").map_err(UploadError::Folder)?)
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] io::Error),
}

const COLUMNS: [&str; 15] = [
    "network_audit_id",
    "time_created",
    "time_utc",
    "actor",
    "network_api_key_id",
    "api_key_name",
    "network_user_id",
    "user_name",
    "request_id",
    "object",
    "action",
    "objects",
    "first_id",
    "last_id",
    "changes",
];

fn write(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    mut out: TableWriter,
) -> Result<TableFile, WriteError> {
    out.header(COLUMNS)?;
    audit::each(connection, filters, |entry| write_entry(&mut out, &entry))?;
    Ok(out.finish()?)
}

fn write_entry(out: &mut TableWriter, entry: &Recorded) -> Result<(), WriteError> {
    let time = jiff::Timestamp::from_second(entry.time_created).unwrap_or_default();
    let changes = serde_json::to_string(&entry.changes).map_err(io::Error::other)?;
    out.number(entry.network_audit_id)?;
    out.number(entry.time_created)?;
    out.number(time)?;
    out.number(&entry.actor)?;
    out.number(entry.network_api_key_id)?;
    out.text(&entry.api_key_name)?;
    out.number(entry.network_user_id)?;
    out.text(&entry.user_name)?;
    out.text(&entry.request_id)?;
    out.number(&entry.object)?;
    out.number(&entry.action)?;
    out.number(entry.objects)?;
    out.number(entry.first_id)?;
    out.number(entry.last_id)?;
    out.text(&changes)?;
    Ok(out.end_row()?)
}
