//! Requests over TLS that are for another host than their connection.

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::Authority;

/// Whether a request is for another host than the one that its connection was opened for, which is
/// in lower case. A missing or invalid host is for the handler to refuse.
pub fn names_other_host(uri: &Uri, headers: &HeaderMap, server_name: &str) -> bool {
    let header = || headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
    let Some(host) = uri.authority().cloned().or_else(header) else { return false };
    let host: Authority = host;
    let name = host.host();
    !name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(server_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_request_is_its_targets_or_else_its_headers_in_any_case() {
        for (target, host, is_other) in [
            ("/a", Some("go.example.com"), false),
            ("/a", Some("GO.example.com.:8443"), false),
            ("/a", Some("other.example"), true),
            ("http://go.example.com/a", Some("other.example"), false),
            ("http://other.example/a", Some("go.example.com"), true),
            ("/a", None, false),
            ("/a", Some("two words"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|host| (HOST, host.parse().unwrap())));
            let found = names_other_host(&target.parse().unwrap(), &headers, "go.example.com");
            assert_eq!(found, is_other, "{target} {host:?}");
        }
    }
}
