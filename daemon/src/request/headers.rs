//! Reads the headers that matter for a visit.
//!
//! One pass over all headers: looking each up would hash its name and probe the map, and a browser
//! sends a dozen headers, of which eight names matter here. If a header occurs several times, the
//! first value counts.

use coupon_shared::partner_postback_headers::{
    DELIVERY_HEADER, SIGNATURE_HEADER, USER_AGENT_PREFIX,
};
use hyper::header::{HeaderMap, HeaderValue};

/// The relevant values of a request's headers; empty if absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestHeaders<'a> {
    /// `User-Agent`
    pub user_agent: &'a [u8],
    /// `Referer`
    pub referer: &'a [u8],
    /// `Accept-Language`
    pub language: &'a [u8],
    /// The browser prefetches the page or shows a preview.
    pub is_prefetch: bool,
    /// The request is one of our own partner postbacks.
    pub is_own: bool,
    /// The `Host` headers.
    pub hosts: Hosts<'a>,
}

/// The number of `Host` headers. Several are an attack on servers that disagree on which one
/// counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosts<'a> {
    #[default]
    None,
    One(&'a [u8]),
    Several,
}

impl<'a> RequestHeaders<'a> {
    pub fn read(map: &'a HeaderMap) -> RequestHeaders<'a> {
        let mut headers = RequestHeaders::default();
        for (name, value) in map {
            let place = match name.as_str() {
                "host" => {
                    headers.hosts = headers.hosts.with(value);
                    continue;
                }
                "user-agent" => {
                    headers.is_own |= value.as_bytes().starts_with(USER_AGENT_PREFIX.as_bytes());
                    &mut headers.user_agent
                }
                "referer" => &mut headers.referer,
                "accept-language" => &mut headers.language,
                "sec-purpose" | "purpose" | "x-purpose" | "x-moz" => {
                    headers.is_prefetch |= is_prefetch_or_preview(value);
                    continue;
                }
                DELIVERY_HEADER | SIGNATURE_HEADER => {
                    headers.is_own = true;
                    continue;
                }
                _ => continue,
            };
            if place.is_empty() {
                *place = value.as_bytes();
            }
        }
        headers
    }
}

impl<'a> Hosts<'a> {
    fn with(self, value: &'a HeaderValue) -> Hosts<'a> {
        match self {
            Hosts::None => Hosts::One(value.as_bytes()),
            Hosts::One(_) | Hosts::Several => Hosts::Several,
        }
    }
}

fn is_prefetch_or_preview(value: &HeaderValue) -> bool {
    // `Sec-Purpose: prefetch;prerender` has parameters behind the token.
    let token = value.as_bytes().split(|byte| b";, ".contains(byte)).next().unwrap_or_default();
    token.eq_ignore_ascii_case(b"prefetch") || token.eq_ignore_ascii_case(b"preview")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(header) {
            map.append(name, value);
        }
        map
    }

    #[test]
    fn each_header_is_read_wherever_it_stands_and_the_first_of_several_counts() {
        let headers = map(&[
            ("accept", "*/*"),
            ("referer", "https://a.example/"),
            ("user-agent", "Browser/1"),
            ("referer", "https://b.example/"),
            ("accept-language", "de"),
        ]);
        let headers = RequestHeaders::read(&headers);
        assert_eq!(headers.user_agent, b"Browser/1");
        assert_eq!(headers.referer, b"https://a.example/");
        assert_eq!((headers.language, headers.is_prefetch), (&b"de"[..], false));
        assert_eq!(headers.hosts, Hosts::None);
        assert_eq!(RequestHeaders::read(&HeaderMap::new()), RequestHeaders::default());
    }

    #[test]
    fn a_host_is_told_from_several_even_if_they_are_the_same() {
        let mut headers = vec![("accept", "*/*"), ("host", "a.example")];
        assert_eq!(RequestHeaders::read(&map(&headers)).hosts, Hosts::One(b"a.example"));
        headers.extend([("user-agent", "Browser/1"), ("host", "a.example")]);
        assert_eq!(RequestHeaders::read(&map(&headers)).hosts, Hosts::Several);
    }

    #[test]
    fn our_own_requests_are_known_by_any_of_their_marks() {
        for (name, value) in [
            ("x-coupon-delivery", "17"),
            ("x-coupon-signature", "t=1,v1=00"),
            ("user-agent", "coupond/0.1.0"),
        ] {
            assert!(
                RequestHeaders::read(&map(&[("accept", "*/*"), (name, value)])).is_own,
                "{name}"
            );
        }
        let others = [("user-agent", "Mozilla/5.0 coupond/1"), ("x-coupon-other", "1")];
        assert!(!RequestHeaders::read(&map(&others)).is_own);
    }

    #[test]
    fn browsers_that_fetch_ahead_or_for_a_preview_are_recognised() {
        for (name, value) in [
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "Prefetch"),
            ("x-moz", "prefetch"),
            ("purpose", "preview"),
            ("x-purpose", "Preview"),
        ] {
            assert!(RequestHeaders::read(&map(&[(name, value)])).is_prefetch, "{name}");
        }
        assert!(!RequestHeaders::read(&map(&[("purpose", "previewing")])).is_prefetch);
    }
}
