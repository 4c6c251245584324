//! The script with which a page reports clicks, impressions and conversions.
//!
//! It is one file, read by people as well: `sdk/main.js`. Invariants: it names the tracking domain
//! under which it was asked for, so a page needs no configuration, and nothing else that a request
//! says, because a cache may give it to others; port and scheme are those of the address from which
//! a page loads it. It stands in caches for an hour at most, and changes its tag with its content. It keeps what it knows in cookies of the page's
//! own site; this server sets none.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_NONE_MATCH,
};

use crate::response::{Answer, Reply, answer};

const MAIN_JS: &str = include_str!("sdk/main.js");
/// Stands in the file for the name of the tracking domain's host.
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
    /// Nothing where who asked has it.
    body: Option<Bytes>,
}

/// The script for a tracking domain's host name.
pub fn script(host: &str, headers: &HeaderMap) -> Reply {
    // The characters of a host mean nothing within a string of JavaScript.
    let body = MAIN_JS.replacen(HOST_PLACE, host, 1);
    let tag = format!("\"{:08x}-{:x}\"", crc32c::crc32c(body.as_bytes()), body.len());
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|tags| names(tags.as_bytes(), &tag));
    let Ok(etag) = HeaderValue::try_from(tag) else { return Reply::NotFound };
    let body = (!known).then(|| body.into());
    Reply::Script(Box::new(Script { etag, body }))
}

/// Whether a list of tags has this one. A proxy that compresses makes a tag weak.
fn names(tags: &[u8], tag: &str) -> bool {
    tags.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|found| found == b"*" || found.strip_prefix(b"W/").unwrap_or(found) == tag.as_bytes())
}

impl Script {
    /// Whether who asked has it already.
    pub fn is_known(&self) -> bool {
        self.body.is_none()
    }

    /// Pages of any origin may run it, also those that ask for its text or isolate themselves.
    pub(crate) fn respond(self, mut headers: HeaderMap) -> Answer {
        headers.clear();
        headers.insert(CACHE_CONTROL, FOR_AN_HOUR);
        headers.insert(ETAG, self.etag);
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, EVERYBODY);
        headers.insert(RESOURCE_POLICY, CROSS_ORIGIN);
        let Some(body) = self.body else {
            return answer(StatusCode::NOT_MODIFIED, headers, Bytes::new());
        };
        headers.insert(CONTENT_TYPE, JAVASCRIPT);
        answer(StatusCode::OK, headers, body)
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
            assert!(names(tags.as_bytes(), "\"a\""), "{tags}");
        }
        for tags in ["", "\"b\"", "a", "\"ab\""] {
            assert!(!names(tags.as_bytes(), "\"a\""), "{tags}");
        }
    }
}
