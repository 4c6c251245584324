//! Reports as CSV files, for `Accept: text/csv` and for exports.
//!
//! A sheet's columns are named one by one beside the row's type, so that a column cannot hold what
//! the type does not have. Text is quoted and neutralised against spreadsheets; numbers are written as
//! they are. What had to be cut off is said in a header, because a file has no other place for it.

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
use crate::csv_file::CsvWriter;
use crate::store::conversions::Status;
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

impl From<&&'static str> for Cell {
    fn from(text: &&'static str) -> Cell {
        Cell::Text((*text).into())
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Cell {
        Cell::Text(text.clone())
    }
}

impl From<&Status> for Cell {
    fn from(status: &Status) -> Cell {
        Cell::Text(status.as_str().into())
    }
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(impl From<&$type> for Cell {
            fn from(number: &$type) -> Cell {
                Cell::Number(number.to_string())
            }
        })+
    };
}
numbers!(u32, u64, i64, bool);

/// A column: its name, and what a row has there.
pub(super) type Column<T> = (&'static str, fn(&T) -> Cell);

/// A type of rows: a struct whose first fields are the first columns of a file, in one order, and
/// after `..` what has no column of its own.
macro_rules! row {
    ($(#[$about:meta])* $name:ident as $schema:ident {
        $($(#[$doc:meta])* $field:ident: $kind:ty,)+
        ..
        $($(#[$rest_doc:meta])* $rest:ident: $rest_kind:ty,)+
    }) => {
        $(#[$about])*
        #[derive(Debug, serde::Serialize, utoipa::ToSchema)]
        #[schema(as = $schema)]
        pub(in crate::api::reports) struct $name {
            $($(#[$doc])* $field: $kind,)+
            $($(#[$rest_doc])* $rest: $rest_kind,)+
        }

        impl $name {
            const CELLS: &'static [$crate::api::reports::sheet::Column<$name>] =
                &[$((stringify!($field), |row| (&row.$field).into())),+];
        }
    };
}
pub(super) use row;

/// A file that grows line by line.
pub(super) struct Sheet {
    out: CsvWriter<File>,
    name: &'static str,
}

impl Sheet {
    /// With its first line.
    pub(super) fn begin(
        file: File,
        name: &'static str,
        header: &[&str],
    ) -> Result<Sheet, ApiError> {
        let out = CsvWriter::begin(file, header).map_err(not_written)?;
        Ok(Sheet { out, name })
    }

    pub(super) fn line(&mut self, cells: impl IntoIterator<Item = Cell>) -> Result<(), ApiError> {
        for cell in cells {
            let written = match cell {
                Cell::Text(text) => self.out.text(&text),
                Cell::Number(number) => self.out.number(number),
            };
            written.map_err(not_written)?;
        }
        self.out.end_row().map_err(not_written)
    }

    /// To be downloaded.
    pub(super) fn finish(self, is_incomplete: bool) -> Result<Response, ApiError> {
        let file = self.out.finish().map_err(not_written)?;
        let mut response = download::csv(file, self.name).map_err(not_written)?;
        if is_incomplete {
            response.headers_mut().insert(INCOMPLETE, HeaderValue::from_static("true"));
        }
        Ok(response)
    }
}

/// The rows as a file to download.
pub(super) fn csv<T>(
    file: File,
    name: &'static str,
    columns: &[Column<T>],
    rows: &[T],
    is_incomplete: bool,
) -> Result<Response, ApiError> {
    let header: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut sheet = Sheet::begin(file, name, &header)?;
    for row in rows {
        sheet.line(columns.iter().map(|(_, cell)| cell(row)))?;
    }
    sheet.finish(is_incomplete)
}
