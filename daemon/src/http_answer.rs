//! HTTP answers: their type and their builders, for visitors, advertisers and the control API.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// An answer whose body is complete in memory.
pub(crate) type HttpAnswer = Response<Full<Bytes>>;

/// Builds an answer around `headers`, which can be the cleared header map of the request: then
/// nothing is allocated.
pub(crate) fn with_headers(status: StatusCode, headers: HeaderMap, body: Bytes) -> HttpAnswer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

pub(crate) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> HttpAnswer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    with_headers(status, headers, body.into())
}

pub(crate) fn json(status: StatusCode, body: &Value) -> HttpAnswer {
    with_type(status, "application/json", format!("{body}\n"))
}

/// `{"error": …}`
pub(crate) fn json_error(status: StatusCode, problem: &str) -> HttpAnswer {
    json(status, &json!({ "error": problem }))
}

pub(crate) fn octets(bytes: Vec<u8>) -> HttpAnswer {
    with_type(StatusCode::OK, "application/octet-stream", bytes)
}

pub(crate) fn method_not_allowed(allowed: &'static str) -> HttpAnswer {
    let problem = format!("only {allowed} is possible here");
    let mut answer = json_error(StatusCode::METHOD_NOT_ALLOWED, &problem);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
