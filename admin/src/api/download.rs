//! Files as answers. A file is complete before the first byte is sent, so the file shows a single
//! state of the store, and a slow client blocks no writer.

use std::fs::File;
use std::io::{self, Seek};

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

const PIECE_BYTES: usize = 64 * 1024;

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
pub(super) fn short_csv(text: String, name: &'static str) -> Response {
    let mut response = text.into_response();
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
