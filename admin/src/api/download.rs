//! Files as answers. A file is complete before the first byte is sent, so the file shows a single
//! state of the store, and a slow client blocks no writer.

use std::io::{self, ErrorKind, Seek};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::error::ApiError;
use super::request::{ListParameters, parse_bool};
use super::schema::parameter;
use crate::catalog::UnknownWord;
use crate::store::StoreError;
use crate::table_file::{FileFormat, FileStyle, TableFile};

const PIECE_BYTES: usize = 64 * 1024;

/// The parameter for a file that begins with a byte order mark.
pub(super) const BOM: &str = "bom";

/// The media type of workbooks.
pub(super) const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The parameter for the format of a file.
pub(super) const FORMAT: &str = "format";

/// [`BOM`] for the OpenAPI description.
pub(super) fn bom_parameter() -> Parameter {
    let about = "A CSV file begins with a byte order mark, by which Excel knows that it is UTF-8";
    parameter(BOM, ParameterIn::Query, about, bool::schema())
}

/// [`FORMAT`] and [`BOM`] for the OpenAPI description.
pub(super) fn file_parameters() -> [Parameter; 2] {
    let about = "`csv` where it is not said, or `xlsx` for a workbook of Excel";
    [parameter(FORMAT, ParameterIn::Query, about, FileFormat::schema()), bom_parameter()]
}

/// Reads a parameter of a file's style; `false` if it is none.
pub(super) fn read_style(style: &mut FileStyle, name: &str, value: &str) -> Result<bool, ApiError> {
    match name {
        BOM => style.has_mark = parse_bool(name, value)?,
        FORMAT => {
            let format = value.parse();
            style.format =
                format.map_err(|error: UnknownWord| ApiError::field(name, error.to_string()))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Takes the style of the file from the parameters of a list.
pub(super) fn take_style(parameters: &mut ListParameters) -> Result<FileStyle, ApiError> {
    let mut style = FileStyle::CSV;
    for name in [FORMAT, BOM] {
        for value in parameters.take_values(name) {
            read_style(&mut style, name, &value)?;
        }
    }
    Ok(style)
}

/// Sends a complete file. Its name gets the ending of its format.
pub(super) fn send(table: TableFile, name: &str) -> io::Result<Response> {
    let TableFile { mut file, format } = table;
    file.rewind()?;
    let bytes = file.metadata()?.len();
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let mut response = Body::from_stream(pieces).into_response();
    let kind = match format {
        FileFormat::Csv => "text/csv; charset=utf-8",
        FileFormat::Xlsx => XLSX,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, bytes.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(
        HeaderValue::try_from(format!("attachment; filename=\"{name}.{}\"", format.as_str()))
            .map(|value| (CONTENT_DISPOSITION, value)),
    );
    Ok(response)
}

/// A file that cannot be written.
pub(super) fn not_written(error: &io::Error) -> ApiError {
    match error.kind() {
        ErrorKind::FileTooLarge => ApiError::field(FORMAT, error.to_string()),
        ErrorKind::StorageFull => StoreError::Full.into(),
        _ => {
            tracing::error!(%error, "writing a file for an answer failed");
            ApiError::inside()
        }
    }
}
