//! The format of answers: JSON, or a CSV file for `Accept: text/csv` and for exports.

use std::fs::File;

use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;

use crate::api::download;
use crate::api::error::ApiError;
use crate::uploads::Uploads;

/// Says `true` where there are more rows than the file has: a CSV file has no other place for it.
const INCOMPLETE: HeaderName = HeaderName::from_static("x-coupon-incomplete-results");

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ReportFormat)]
pub(super) enum Format {
    Json,
    Csv,
}

impl Format {
    /// The first of the two that the `Accept` header names; JSON where it names neither.
    pub(super) fn accepted(parts: &Parts) -> Format {
        let accept = parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let kinds = accept.unwrap_or_default().split(',').map(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            (kind.eq_ignore_ascii_case("text/csv"), kind.eq_ignore_ascii_case("application/json"))
        });
        let mut named = kinds.filter(|(is_csv, is_json)| *is_csv || *is_json);
        match named.next() {
            Some((true, _)) => Format::Csv,
            _ => Format::Json,
        }
    }
}

/// An empty file for a CSV answer; `None` for JSON.
pub(super) fn file_for(
    format: Format,
    has_mark: bool,
    uploads: &Uploads,
) -> Result<Option<File>, ApiError> {
    match format {
        Format::Json => Ok(None),
        Format::Csv => download::begin(uploads, has_mark).map(Some).map_err(not_written),
    }
}

/// Sends a written file under this name.
pub(super) fn send_csv(
    file: File,
    name: &'static str,
    is_incomplete: bool,
) -> Result<Response, ApiError> {
    let mut response = download::csv(file, name).map_err(not_written)?;
    if is_incomplete {
        response.headers_mut().insert(INCOMPLETE, HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(super) fn not_written(error: std::io::Error) -> ApiError {
    tracing::error!(%error, "report file not written");
    ApiError::inside()
}
