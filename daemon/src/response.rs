//! The answers to visitors.
//!
//! Invariant: every visit that leads nowhere gets the same bytes, so that the answer does not
//! reveal the difference between a paused and an unknown code; and every visit above an address's
//! limit gets the same other bytes. The request's header map is cleared and reused for the answer:
//! hyper parses the next request into the same map, and nothing is allocated.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::cors;
use crate::http_answer::{HttpAnswer, with_headers};
use crate::request::Refusal;
use crate::sdk::Script;

/// The decision on an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A redirect to the offer.
    Redirect(HeaderValue),
    /// A redirect to the fallback URL for visits that lead nowhere.
    Fallback(HeaderValue),
    /// The one page for visits that lead nowhere.
    NotFound,
    /// The same page for a file that browsers request from every host; not a guessed code, so not a
    /// miss.
    NoSuchFile,
    /// No page is for crawlers.
    RobotsTxt,
    /// Visitors may be sent here.
    Ready,
    /// No visitors may be sent here, because the program stops or has nothing to serve.
    NotReady,
    /// The answer to a challenge of an ACME server.
    Challenge(Bytes),
    /// The host is invalid.
    BadRequest,
    /// The method is neither `GET` nor `HEAD`.
    MethodNotAllowed,
    TargetTooLong,
    /// Over TLS, the request is for another host than its connection.
    Misdirected,
    /// The request is one of our own partner postbacks.
    OwnRequest,
    /// No index is in service yet.
    NoIndex,
    /// JSON that pages of other origins may read.
    Json(Bytes),
    /// The same for an unusable code, offer or partner.
    JsonMiss(Bytes),
    /// The event cannot be attributed.
    Untracked,
    Script(Box<Script>),
    /// The address is above its limit on misses.
    TooManyMisses {
        retry_after_seconds: u64,
    },
}

impl Reply {
    /// Whether the answer reveals that a code or offer is unusable.
    pub fn is_miss(&self) -> bool {
        matches!(self, Reply::NotFound | Reply::Fallback(_) | Reply::Untracked | Reply::JsonMiss(_))
    }

    /// The answer above a limit, when part of the budget returns after `wait`.
    pub(crate) fn too_many(wait: Duration) -> Reply {
        Reply::TooManyMisses { retry_after_seconds: wait.as_secs() + 1 }
    }

    /// Whether the answer is a miss, or replaces one above the limit.
    pub fn leads_nowhere(&self) -> bool {
        self.is_miss() || matches!(self, Reply::TooManyMisses { .. })
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        match refusal {
            Refusal::Host => Reply::BadRequest,
            Refusal::TargetTooLong => Reply::TargetTooLong,
            Refusal::Method => Reply::MethodNotAllowed,
            Refusal::OwnRequest => Reply::OwnRequest,
        }
    }
}

const NOT_FOUND_PAGE: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<title>Link not found</title>\n</head>\n\
    <body>\n<h1>Link not found</h1>\n<p>This link does not lead anywhere. \
    Please check how it is written.</p>\n</body>\n</html>\n";

/// With the error code of a conversion that nothing identifies.
const UNTRACKED: &[u8] = b"{\"transaction_id\":\"\",\"oid\":0,\"aid\":0,\"error_code\":1010,\
    \"error\":\"This cannot be tracked: give a coupon code, or an offer and a partner who may run it, \
    that are active.\"}";

const OWN_REQUEST: &str = "A partner postback of coupond cannot be sent to a tracking domain of coupond: \
    name the partner's own server\n";

const MISDIRECTED: &str = "This connection was opened for another host: open one for this host\n";

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 8555 wants this type for the answer to an HTTP-01 challenge.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Every visit counts, so no cache may give an answer to another visitor.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("private, no-store");

/// Writes the answer into the request's own header map.
pub fn respond(reply: Reply, request: Parts) -> HttpAnswer {
    let mut headers = request.headers;
    match reply {
        Reply::Redirect(location) | Reply::Fallback(location) => {
            clear_with_no_store(&mut headers);
            headers.insert(LOCATION, location);
            if request.method == Method::HEAD {
                // hyper writes this header for `GET` only, and both methods have the same headers.
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            with_headers(StatusCode::FOUND, headers, Bytes::new())
        }
        Reply::NotFound | Reply::NoSuchFile => {
            clear_with_no_store(&mut headers);
            headers.insert(CONTENT_TYPE, HTML);
            with_headers(
                StatusCode::NOT_FOUND,
                headers,
                Bytes::from_static(NOT_FOUND_PAGE.as_bytes()),
            )
        }
        Reply::Ready => text(StatusCode::OK, headers, None, "ready\n"),
        Reply::NotReady => text(StatusCode::SERVICE_UNAVAILABLE, headers, None, "not ready\n"),
        Reply::RobotsTxt => text(StatusCode::OK, headers, None, "User-agent: *\nDisallow: /\n"),
        Reply::Challenge(answer) => {
            clear_with_no_store(&mut headers);
            headers.insert(CONTENT_TYPE, OCTETS);
            with_headers(StatusCode::OK, headers, answer)
        }
        Reply::BadRequest => text(StatusCode::BAD_REQUEST, headers, None, "Bad request\n"),
        Reply::MethodNotAllowed => {
            let allow = (ALLOW, HeaderValue::from_static("GET, HEAD"));
            text(StatusCode::METHOD_NOT_ALLOWED, headers, Some(allow), "Method not allowed\n")
        }
        Reply::TargetTooLong => text(StatusCode::URI_TOO_LONG, headers, None, "URI too long\n"),
        Reply::Misdirected => text(StatusCode::MISDIRECTED_REQUEST, headers, None, MISDIRECTED),
        Reply::OwnRequest => text(StatusCode::FORBIDDEN, headers, None, OWN_REQUEST),
        Reply::NoIndex => {
            let retry = (RETRY_AFTER, HeaderValue::from_static("5"));
            text(StatusCode::SERVICE_UNAVAILABLE, headers, Some(retry), "Not ready yet\n")
        }
        Reply::Json(body) | Reply::JsonMiss(body) => json(headers, body),
        Reply::Untracked => json(headers, Bytes::from_static(UNTRACKED)),
        Reply::Script(script) => script.respond(headers),
        Reply::TooManyMisses { retry_after_seconds } => {
            let retry = (RETRY_AFTER, HeaderValue::from(retry_after_seconds));
            let mut answer =
                text(StatusCode::TOO_MANY_REQUESTS, headers, Some(retry), "Too many requests\n");
            // A new connection costs an attacker more than it costs us.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    }
}

fn json(mut headers: HeaderMap, body: Bytes) -> HttpAnswer {
    cors::open_to_origin(&mut headers);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, JSON);
    with_headers(StatusCode::OK, headers, body)
}

fn clear_with_no_store(headers: &mut HeaderMap) {
    headers.clear();
    headers.insert(CACHE_CONTROL, NO_STORE);
}

fn text(
    status: StatusCode,
    mut headers: HeaderMap,
    header: Option<(HeaderName, HeaderValue)>,
    body: &'static str,
) -> HttpAnswer {
    clear_with_no_store(&mut headers);
    headers.insert(CONTENT_TYPE, TEXT);
    headers.extend(header.map(|(name, value)| (Some(name), value)));
    with_headers(status, headers, Bytes::from_static(body.as_bytes()))
}
