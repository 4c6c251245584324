//! Files as answers. A file is complete before the first byte is sent, so the file shows a single
//! state of the store, and a slow client blocks no writer.

use std::fs::File;
use std::io::{self, Seek, Write};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Parameter, ParameterIn};

use super::schema::parameter;
use crate::csv_file::BYTE_ORDER_MARK;
use crate::uploads::Uploads;

const PIECE_BYTES: usize = 64 * 1024;

/// The parameter for a file that begins with a byte order mark.
pub(super) const BOM: &str = "bom";

/// [`BOM`] for the OpenAPI description.
pub(super) fn bom_parameter() -> Parameter {
    let about = "A CSV file begins with a byte order mark, by which Excel knows that it is UTF-8";
    parameter(BOM, ParameterIn::Query, about, bool::schema())
}

/// An empty file for a CSV answer, or one that holds a byte order mark alone.
pub(super) fn begin(uploads: &Uploads, has_mark: bool) -> io::Result<File> {
    let mut file = uploads.nameless_file()?;
    if has_mark {
        file.write_all(BYTE_ORDER_MARK)?;
    }
    Ok(file)
}

/// Sends a CSV file under this name.
pub(super) fn csv(mut file: File, name: &'static str) -> io::Result<Response> {
    file.rewind()?;
    let bytes = file.metadata()?.len();
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let mut response = Body::from_stream(pieces).into_response();
    response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    head(&mut response, name);
    Ok(response)
}

/// Sends a short CSV file under this name.
pub(super) fn short_csv(text: &str, has_mark: bool, name: &'static str) -> Response {
    let mark = if has_mark { BYTE_ORDER_MARK } else { &[] };
    let mut response = [mark, text.as_bytes()].concat().into_response();
    head(&mut response, name);
    response
}

fn head(response: &mut Response, name: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.extend(
        HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
            .map(|value| (CONTENT_DISPOSITION, value)),
    );
}
