//! The answers a visitor can get.
//!
//! Invariant: every visit that leads nowhere gets the same bytes, so nobody can tell an unknown
//! code from a paused one; and every one above an address's limit gets the same other bytes. The
//! headers of the request are cleared and become those of the answer:
//! hyper parses the next request into the same map, and nothing is allocated.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::cors;
use crate::request::Refusal;
use crate::sdk::Script;

/// A visitor's answer.
pub type Answer = Response<Full<Bytes>>;

/// What the visitor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Go to the offer.
    Redirect(HeaderValue),
    /// Go to where what leads nowhere is sent.
    Fallback(HeaderValue),
    /// The one page for everything that leads nowhere.
    NotFound,
    /// The same page for a file that browsers ask every host for; no guess at a code, so no miss.
    NoSuchFile,
    /// Nothing here is for crawlers.
    RobotsTxt,
    /// No valid host.
    BadRequest,
    /// Neither `GET` nor `HEAD`.
    MethodNotAllowed,
    /// The target is too long.
    TargetTooLong,
    /// It is one of our own requests.
    OwnRequest,
    /// No index could be loaded yet.
    NoIndex,
    /// What a page of another origin may read.
    Json(Bytes),
    /// The same, where what the page named cannot be used.
    JsonMiss(Bytes),
    /// What is reported can be counted for nobody.
    Untracked,
    /// The script.
    Script(Box<Script>),
    /// The address has asked too often for what leads nowhere.
    TooManyMisses {
        /// When it may ask again.
        retry_after_seconds: u64,
    },
}

impl Reply {
    /// Whether it tells that there is no such thing as was asked for.
    pub fn is_miss(&self) -> bool {
        matches!(self, Reply::NotFound | Reply::Fallback(_) | Reply::Untracked | Reply::JsonMiss(_))
    }

    /// What is answered above a limit, when there is something left of it again after `wait`.
    pub(crate) fn too_many(wait: Duration) -> Reply {
        Reply::TooManyMisses { retry_after_seconds: wait.as_secs() + 1 }
    }

    /// The same, or that it is not told any more.
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

/// With the code of a conversion that nothing identifies.
const UNTRACKED: &[u8] = b"{\"transaction_id\":\"\",\"oid\":0,\"aid\":0,\"error_code\":1010,\
    \"error\":\"This cannot be tracked: give a coupon code, or an offer and a partner who may run it, \
    that are active.\"}";

const OWN_REQUEST: &str = "A partner postback of coupond cannot be sent to a tracking domain of coupond: \
    name the partner's own server\n";

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Every visit counts, so no answer may be kept and given to the next visitor.
pub(crate) const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");

/// Writes the answer to a request into its own header map.
pub fn respond(reply: Reply, request: Parts) -> Answer {
    let mut headers = request.headers;
    match reply {
        Reply::Redirect(location) | Reply::Fallback(location) => {
            not_kept(&mut headers);
            headers.insert(LOCATION, location);
            if request.method == Method::HEAD {
                // Hyper writes it by itself for `GET` only, and both have the same headers.
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            answer(StatusCode::FOUND, headers, Bytes::new())
        }
        Reply::NotFound | Reply::NoSuchFile => {
            not_kept(&mut headers);
            headers.insert(CONTENT_TYPE, HTML);
            answer(StatusCode::NOT_FOUND, headers, Bytes::from_static(NOT_FOUND_PAGE.as_bytes()))
        }
        Reply::RobotsTxt => text(StatusCode::OK, headers, None, "User-agent: *\nDisallow: /\n"),
        Reply::BadRequest => text(StatusCode::BAD_REQUEST, headers, None, "Bad request\n"),
        Reply::MethodNotAllowed => {
            let allow = (ALLOW, HeaderValue::from_static("GET, HEAD"));
            text(StatusCode::METHOD_NOT_ALLOWED, headers, Some(allow), "Method not allowed\n")
        }
        Reply::TargetTooLong => text(StatusCode::URI_TOO_LONG, headers, None, "URI too long\n"),
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
            // A new connection costs a guesser more than it costs us.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            answer
        }
    }
}

fn json(mut headers: HeaderMap, body: Bytes) -> Answer {
    cors::open_to_origin(&mut headers);
    headers.insert(CACHE_CONTROL, NOT_KEPT);
    headers.insert(CONTENT_TYPE, JSON);
    answer(StatusCode::OK, headers, body)
}

fn not_kept(headers: &mut HeaderMap) {
    headers.clear();
    headers.insert(CACHE_CONTROL, NOT_KEPT);
}

fn text(
    status: StatusCode,
    mut headers: HeaderMap,
    header: Option<(HeaderName, HeaderValue)>,
    body: &'static str,
) -> Answer {
    not_kept(&mut headers);
    headers.insert(CONTENT_TYPE, TEXT);
    headers.extend(header.map(|(name, value)| (Some(name), value)));
    answer(status, headers, Bytes::from_static(body.as_bytes()))
}

/// Puts an answer together.
pub fn answer(status: StatusCode, headers: HeaderMap, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}
