//! What the headers of a visit say of the visitor.
//!
//! They are gone through once, because looking for each would hash its name and probe the map: a
//! browser sends a dozen, and seven names matter here. Of a header that comes several times the
//! first value counts.

use hyper::header::{HeaderMap, HeaderValue};

/// What counts of a visitor's headers; empty where it is not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said<'a> {
    /// `User-Agent`
    pub user_agent: &'a [u8],
    /// `Referer`
    pub referer: &'a [u8],
    /// `Accept-Language`
    pub language: &'a [u8],
    /// The browser says that it only fetches ahead of a click.
    pub is_prefetch: bool,
}

impl<'a> Said<'a> {
    /// Reads the headers.
    pub fn in_headers(headers: &'a HeaderMap) -> Said<'a> {
        let mut said = Said::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "user-agent" => &mut said.user_agent,
                "referer" => &mut said.referer,
                "accept-language" => &mut said.language,
                "sec-purpose" | "purpose" | "x-moz" => {
                    said.is_prefetch |= says_prefetch(value);
                    continue;
                }
                _ => continue,
            };
            if place.is_empty() {
                *place = value.as_bytes();
            }
        }
        said
    }
}

fn says_prefetch(value: &HeaderValue) -> bool {
    // `Sec-Purpose: prefetch;prerender` has parameters behind it.
    let token = value.as_bytes().split(|byte| b";, ".contains(byte)).next();
    token.is_some_and(|token| token.eq_ignore_ascii_case(b"prefetch"))
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
        let said = Said::in_headers(&headers);
        assert_eq!(said.user_agent, b"Browser/1");
        assert_eq!(said.referer, b"https://a.example/");
        assert_eq!((said.language, said.is_prefetch), (&b"de"[..], false));
        assert_eq!(Said::in_headers(&HeaderMap::new()), Said::default());
    }

    #[test]
    fn prefetching_browsers_are_recognised() {
        for (name, value) in
            [("sec-purpose", "prefetch;prerender"), ("purpose", "Prefetch"), ("x-moz", "prefetch")]
        {
            assert!(Said::in_headers(&map(&[(name, value)])).is_prefetch, "{name}");
        }
        assert!(!Said::in_headers(&map(&[("purpose", "preview")])).is_prefetch);
    }
}
