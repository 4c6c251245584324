//! An id for each request: answered in `X-Request-Id`, and written to the audit and the log, to
//! link answers, changes and log lines.

use std::fmt;

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// 96 random bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId([u8; 12]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Gives the request an id. Without random numbers the request has no id.
pub(super) async fn name(mut request: Request, next: Next) -> Response {
    let mut random = [0; 12];
    if let Err(error) = getrandom::fill(&mut random) {
        tracing::error!(%error, "request id missing: the system's random source failed");
        return next.run(request).await;
    }
    let id = RequestId(random);
    request.extensions_mut().insert(id);
    let span = tracing::info_span!("request", %id);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
