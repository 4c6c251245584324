//! Request headers about the conditions of an edit: the expected revision (`If-Match`), and the key
//! of a repeatable creation (`Idempotency-Key`). Both are part of the origin of the request's
//! writes, and are checked in the transaction.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;

use super::error::ApiError;
use super::request_id::RequestId;
use crate::catalog::Caller;
use crate::store::origin::{IfMatch, Origin, Repeatable};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest `Idempotency-Key`.
const MAX_KEY_CHARS: usize = 255;

/// The entity tag of a revision.
pub(super) fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// Reads the origin of the request's writes from its headers.
pub(super) fn take(caller: Caller, request: Request) -> Result<(Arc<Origin>, Request), ApiError> {
    let headers = request.headers();
    let if_match = if_match(headers)?;
    let key = match *request.method() {
        Method::POST => idempotency_key(headers)?,
        _ => None,
    };
    let (repeatable, wrap) = match key {
        Some(key) => (Some(Repeatable::new(key, fingerprint_of_head(&request))), true),
        None => (None, false),
    };
    let request_id = request.extensions().get::<RequestId>();
    let request_id = request_id.map(RequestId::to_string).unwrap_or_default();
    let origin = Arc::new(Origin { actor: caller.actor, request_id, if_match, repeatable });
    let request = if wrap { fingerprinted(request, &origin) } else { request };
    Ok((origin, request))
}

/// `None` without the header; `*` is any revision; else a list of tags. Weak tags never match.
fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, ApiError> {
    let mut revisions = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(IF_MATCH) {
        is_there = true;
        let text = value.to_str().map_err(|_| wrong_tag())?;
        if text.trim() == "*" {
            return Ok(Some(IfMatch::Any));
        }
        for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
            let strong = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque = strong.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            let opaque = opaque.ok_or_else(wrong_tag)?;
            // A tag that is not a number was never issued, so it matches no revision.
            revisions.extend(opaque.parse::<u64>().ok().filter(|_| strong == tag));
        }
    }
    Ok(is_there.then_some(IfMatch::Revisions(revisions)))
}

fn wrong_tag() -> ApiError {
    ApiError::field("If-Match", "must be `*` or the ETag of an answer, with its quotes")
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let fits = |text: &&str| {
        (1..=MAX_KEY_CHARS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match value.to_str().ok().filter(fits) {
        Some(text) if values.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(ApiError::field(
            "Idempotency-Key",
            format!(
                "must be one key of 1 to {MAX_KEY_CHARS} printable ASCII characters without spaces"
            ),
        )),
    }
}

/// Hashes all parts that distinguish two requests, except `wait`, which does not change the effect.
fn fingerprint_of_head(request: &Request) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    let query = request.uri().query().unwrap_or_default();
    let parts = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("wait="));
    for part in [request.method().as_str(), request.uri().path()].into_iter().chain(parts) {
        hasher.update(part.as_bytes());
        hasher.update(b"\n");
    }
    hasher
}

/// Adds the bytes of the body to the fingerprint as the handler reads them.
fn fingerprinted(request: Request, origin: &Arc<Origin>) -> Request {
    let origin = Arc::clone(origin);
    request.map(|body| {
        Body::new(body.map_frame(move |frame| {
            if let (Some(bytes), Some(repeatable)) = (frame.data_ref(), &origin.repeatable) {
                repeatable.take_in(bytes);
            }
            frame
        }))
    })
}

/// The `ETag` header for a non-empty tag.
pub(super) fn header(etag: &str) -> Option<HeaderValue> {
    if etag.is_empty() { None } else { HeaderValue::from_str(etag).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        if_match(&headers).unwrap()
    }

    #[test]
    fn tags_are_read_and_only_strong_ones_of_ours_match() {
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        assert_eq!(parsed(" * "), Some(IfMatch::Any));
        assert_eq!(parsed("\"7\", W/\"8\", \"x\",\"9\""), Some(IfMatch::Revisions(vec![7, 9])));
        assert_eq!(parsed(""), Some(IfMatch::Revisions(vec![])));
        assert_eq!(etag(7), "\"7\"");
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, "7".parse().unwrap());
        assert!(if_match(&headers).is_err());
    }
}
