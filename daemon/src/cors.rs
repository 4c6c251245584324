//! Lets a page of another origin read an answer.
//!
//! Shops call from their own sites, and which sites those are nobody knows beforehand: the origin
//! that the browser names is echoed. That is safe because no answer depends on who the visitor is:
//! this server sets and reads no cookies. Credentials are allowed because scripts written for this
//! protocol ask with them, and a browser then refuses an answer that does not.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};

use crate::response::{self, Answer};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const USUAL_HEADERS: HeaderValue = HeaderValue::from_static("accept, content-type");
/// A day; browsers ask again sooner as they please.
const MAX_AGE_SECONDS: HeaderValue = HeaderValue::from_static("86400");

/// Makes a request's headers those of an answer that the page that asked may read.
pub fn open_to_origin(headers: &mut HeaderMap) {
    let origin = headers.remove(ORIGIN);
    headers.clear();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// Answers `OPTIONS`: what a browser asks before it sends what a form could not.
pub fn preflight(mut headers: HeaderMap) -> Answer {
    let wanted = headers.remove(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or(USUAL_HEADERS);
    open_to_origin(&mut headers);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS);
    response::answer(StatusCode::NO_CONTENT, headers, Bytes::new())
}
