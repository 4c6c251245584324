//! Reports as CSV files, for `Accept: text/csv` and for exports.
//!
//! A sheet's columns are named one by one beside the row's type, so that a column cannot hold what
//! the type does not have. Text is neutralised against spreadsheets; numbers are written as they
//! are. What had to be cut off is said in a header, because a file has no other place for it.

use std::fs::File;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::ACCEPT;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Deserialize;

use crate::api::AppState;
use crate::api::download;
use crate::api::error::ApiError;
use crate::catalog::neutralised;
use crate::uploads::Uploads;

/// Says `true` where there are more rows than the file has.
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
    /// The first of the two that `Accept` names.
    fn accepted(parts: &Parts) -> Format {
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

/// Where an answer goes: the format the request accepts, and room for a file.
pub(super) struct Output {
    uploads: Uploads,
    format: Format,
}

impl FromRequestParts<AppState> for Output {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Output, ApiError> {
        Ok(Output { uploads: state.uploads.clone(), format: Format::accepted(parts) })
    }
}

impl FromRef<AppState> for Uploads {
    fn from_ref(state: &AppState) -> Uploads {
        state.uploads.clone()
    }
}

impl Output {
    /// In the format that the body names, if it names one.
    pub(super) fn or(self, format: Option<Format>) -> Output {
        Output { format: format.unwrap_or(self.format), ..self }
    }

    /// An empty file where a file is wanted.
    pub(super) fn file(&self) -> Result<Option<File>, ApiError> {
        match self.format {
            Format::Json => Ok(None),
            Format::Csv => self.uploads.nameless_file().map(Some).map_err(not_written),
        }
    }
}

fn not_written(error: std::io::Error) -> ApiError {
    tracing::error!(%error, "a report's file cannot be written");
    ApiError::inside()
}

/// What stands in one cell.
pub(super) enum Cell {
    /// As somebody typed it.
    Text(String),
    /// Made here.
    Number(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.into())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Cell {
        Cell::Text(text.clone())
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl From<$type> for Cell {
            fn from(number: $type) -> Cell {
                Cell::Number(number.to_string())
            }
        })+
    };
}
numbers!(u32, u64, i64, bool);

/// A column: its name, and what a row has there.
pub(super) type Column<T> = (&'static str, fn(&T) -> Cell);

/// The rows as a file to download.
pub(super) fn csv<T>(
    file: File,
    name: &'static str,
    columns: &[Column<T>],
    rows: &[T],
    is_incomplete: bool,
) -> Result<Response, ApiError> {
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let lines = rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row)));
    lines_csv(file, name, &header, lines, is_incomplete)
}

/// Lines whose columns depend on the request.
pub(super) fn lines_csv<L: IntoIterator<Item = Cell>>(
    file: File,
    name: &'static str,
    header: &[&str],
    lines: impl IntoIterator<Item = L>,
    is_incomplete: bool,
) -> Result<Response, ApiError> {
    let broken = |error: csv::Error| not_written(error.into());
    let mut out = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(&file);
    out.write_record(header).map_err(broken)?;
    for line in lines {
        for cell in line {
            match cell {
                Cell::Text(text) => out.write_field(neutralised(&text).as_bytes()),
                Cell::Number(number) => out.write_field(number),
            }
            .map_err(broken)?;
        }
        out.write_record(None::<&[u8]>).map_err(broken)?;
    }
    out.flush().map_err(not_written)?;
    drop(out);
    let mut response = download::csv(file, name).map_err(not_written)?;
    if is_incomplete {
        response.headers_mut().insert(INCOMPLETE, HeaderValue::from_static("true"));
    }
    Ok(response)
}
