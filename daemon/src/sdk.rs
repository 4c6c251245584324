//! The script with which a page reports clicks, impressions and conversions.
//!
//! Its source is one readable file, `sdk/main.js`. Invariants: the script contains the name of the
//! tracking domain under which it was requested, so a page needs no configuration, and no other
//! value of the request, because a cache may give the script to other visitors; port and scheme are
//! those of the address from which a page loads the script. Caches keep the script for an hour at
//! most, and its tag changes with its content. The script stores its data in cookies of the page's
//! own site; this server sets none.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH,
};

use crate::http_answer::{HttpAnswer, with_headers};

const MAIN_JS: &str = include_str!("sdk/main.js");
/// Placeholder for the host name of the tracking domain.
const HOST_PLACE: &str = "{{host}}";

const JAVASCRIPT: HeaderValue = HeaderValue::from_static("application/javascript; charset=utf-8");
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const EVERYBODY: HeaderValue = HeaderValue::from_static("*");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");

/// The script for one tracking domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    etag: HeaderValue,
    /// `None` if the client has this version.
    body: Option<Bytes>,
}

/// Whether a list of tags contains this one. A proxy that compresses makes a tag weak.
fn contains_tag(tags: &[u8], tag: &str) -> bool {
    tags.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|found| found == b"*" || found.strip_prefix(b"W/").unwrap_or(found) == tag.as_bytes())
}

impl Script {
    /// The script for a tracking domain's host name. `headers` are the request's: a client that has
    /// this version already gets no body.
    pub fn for_host(host: &str, headers: &HeaderMap) -> Option<Script> {
        // The characters of a host name have no meaning within a JavaScript string.
        let body = MAIN_JS.replacen(HOST_PLACE, host, 1);
        let tag = format!("\"{:08x}-{:x}\"", crc32c::crc32c(body.as_bytes()), body.len());
        let tags = headers.get_all(IF_NONE_MATCH);
        let is_known = tags.iter().any(|tags| contains_tag(tags.as_bytes(), &tag));
        let etag = HeaderValue::try_from(tag).ok()?;
        Some(Script { etag, body: (!is_known).then(|| body.into()) })
    }

    /// Whether the client has this version.
    pub fn is_known(&self) -> bool {
        self.body.is_none()
    }

    /// Pages of any origin may run the script, including pages that read its text or isolate
    /// themselves.
    pub(crate) fn respond(self, mut headers: HeaderMap) -> HttpAnswer {
        headers.clear();
        headers.insert(CACHE_CONTROL, FOR_AN_HOUR);
        headers.insert(ETAG, self.etag);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, EVERYBODY);
        headers.insert(RESOURCE_POLICY, CROSS_ORIGIN);
        let Some(body) = self.body else {
            return with_headers(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        };
        headers.insert(CONTENT_TYPE, JAVASCRIPT);
        with_headers(StatusCode::OK, headers, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_one_place_for_the_host() {
        assert_eq!(MAIN_JS.matches(HOST_PLACE).count(), 1);
        assert!(MAIN_JS.is_ascii());
    }

    #[test]
    fn a_tag_is_known_alone_among_others_and_when_it_was_made_weak() {
        for tags in ["\"a\"", "\"b\", \"a\"", "W/\"a\"", "*"] {
            assert!(contains_tag(tags.as_bytes(), "\"a\""), "{tags}");
        }
        for tags in ["", "\"b\"", "a", "\"ab\""] {
            assert!(!contains_tag(tags.as_bytes(), "\"a\""), "{tags}");
        }
    }
}
