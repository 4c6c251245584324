//! The format of answers: JSON, or a file for exports and for an `Accept` header that names one.

use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;

use crate::api::download;
use crate::api::error::ApiError;
use crate::table_file::{FileFormat, FileStyle, TableFile, TableWriter};
use crate::uploads::Uploads;

/// Says `true` where there are more rows than the file has: a file has no other place for it.
const INCOMPLETE: HeaderName = HeaderName::from_static("x-coupon-incomplete-results");

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReportFormat)]
pub(super) enum Format {
    Json,
    Csv,
    Xlsx,
}

impl Format {
    /// Reads the parameter of the address.
    pub(super) fn parse(value: &str) -> Result<Format, ApiError> {
        match value {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            "xlsx" => Ok(Format::Xlsx),
            _ => Err(ApiError::field(download::FORMAT, "must be `json`, `csv` or `xlsx`")),
        }
    }

    /// The first format that the `Accept` header names; JSON where it names none.
    pub(super) fn accepted(parts: &Parts) -> Format {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let kinds = [
            ("text/csv", Format::Csv),
            ("application/json", Format::Json),
            (download::XLSX, Format::Xlsx),
        ];
        let mut named = accept.unwrap_or_default().split(',').filter_map(|accepted| {
            let accepted = accepted.split(';').next().unwrap_or_default().trim();
            let named = kinds.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(accepted));
            named.map(|(_, format)| *format)
        });
        named.next().unwrap_or(Format::Json)
    }
}

/// An empty file for an answer; `None` for JSON.
pub(super) fn file_for(
    format: Format,
    has_mark: bool,
    uploads: &Uploads,
) -> Result<Option<TableWriter>, ApiError> {
    let format = match format {
        Format::Json => return Ok(None),
        Format::Csv => FileFormat::Csv,
        Format::Xlsx => FileFormat::Xlsx,
    };
    let style = FileStyle { format, has_mark };
    uploads.table_file(style).map(Some).map_err(not_written)
}

/// Sends a written file under this name.
pub(super) fn send_file(
    file: TableFile,
    name: &str,
    is_incomplete: bool,
) -> Result<Response, ApiError> {
    let mut response = download::send(file, name).map_err(not_written)?;
    if is_incomplete {
        response.headers_mut().insert(INCOMPLETE, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) fn not_written(error: std::io::Error) -> ApiError {
    download::not_written(&error)
}
