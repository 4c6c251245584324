//! Refuses requests over TLS that are for another host than their connection.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use coupon_serve::names_other_host;

use super::error::ApiError;

/// Marks a request over TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// The host name that a client asked for in TLS, in lower case.
#[derive(Debug, Clone)]
pub struct ServerName(pub String);

/// Answers 421 to such a request, and passes every other on.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    let name = request.extensions().get::<ServerName>();
    let is_misdirected = name
        .is_some_and(|ServerName(name)| names_other_host(request.uri(), request.headers(), name));
    if is_misdirected {
        let message = "this connection was opened for another host: open one for this host";
        return ApiError::new(StatusCode::MISDIRECTED_REQUEST, "request.misdirected", message)
            .into_response();
    }
    next.run(request).await
}
