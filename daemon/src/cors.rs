//! CORS headers: let pages of other origins read an answer.
//!
//! Shops send requests from their own sites, which are not known beforehand, so the answer echoes
//! the origin that the browser names. That is safe because no answer depends on the visitor's
//! identity: this server sets and reads no cookies. Credentials are allowed because scripts for
//! this protocol send requests with credentials, and a browser then rejects an answer without the
//! permission.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};

use crate::http_answer::{self, HttpAnswer};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const USUAL_HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type");
/// A day; browsers have shorter limits of their own.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// Turns a request's headers into those of an answer that the requesting page may read.
pub fn open_to_origin(headers: &mut HeaderMap) {
    let origin = headers.remove(ORIGIN);
    headers.clear();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Answers `OPTIONS`, which a browser sends before requests that a form could not make.
pub fn preflight(mut headers: HeaderMap) -> HttpAnswer {
    let wanted = headers.remove(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(USUAL_HEADERS);
    open_to_origin(&mut headers);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    http_answer::with_headers(StatusCode::NO_CONTENT, headers, Bytes::new())
}
