//! The bytes of an upload as the request's body delivers them.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use http_body_util::BodyExt;

use crate::api::error::ApiError;

/// A file in pieces.
pub(super) trait ByteSource {
    /// The next piece; `None` at the end of the file.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError>;
}

/// The file is the whole body.
pub(super) struct WholeBody(pub(super) Body);

impl ByteSource for WholeBody {
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken_off(&error)),
                // Trailers are not part of the file.
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

pub(super) fn broken_off(error: &dyn std::error::Error) -> ApiError {
    let message = format!("the body broke off: {error}");
    ApiError::new(StatusCode::BAD_REQUEST, "body.broken_off", message)
}
