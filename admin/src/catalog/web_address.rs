//! The server of a URL, to find destinations that lead visitors back to a tracking domain.

use coupon_shared::code::RESERVED;
use coupon_shared::visit_target::code_from_path;
use url::Url;

use super::web_host::WebHost;

/// Host and port of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress {
    host: WebHost,
    /// `None` for ports 80 and 443: one server usually answers both.
    port: Option<u16>,
}

impl WebAddress {
    /// Parses an absolute URL, which may have macros after the host.
    #[must_use]
    pub fn parse(url: &str) -> Option<WebAddress> {
        let url = Url::parse(url).ok()?;
        let host = WebHost::from_url(&url)?;
        let port = url.port_or_known_default().filter(|port| ![80, 443].contains(port));
        Some(WebAddress { host, port })
    }
}

/// Whether a tracking domain could read the path of a URL as a coupon code: one segment that is not
/// reserved. A macro may stand for any code.
#[must_use]
pub fn may_be_code_path(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let segment = String::from_utf8_lossy(code_from_path(url.path())).to_ascii_lowercase();
    let is_kept = ["robots.txt", "favicon.ico", ".well-known"].contains(&segment.as_str())
        || RESERVED.contains(&segment.as_str());
    !segment.contains('/') && !is_kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_address_however_it_is_written() {
        let own = WebAddress::parse("https://go.example.com").unwrap();
        for same in [
            "https://GO.Example.com/WINTER25",
            "http://go.example.com/",
            "https://go.example.com:443/x?y",
            "http://go.example.com:443/",
            "https://go.example.com./WINTER25/{sub1}",
            "https://g\u{ff4f}.example.com/WINTER25",
        ] {
            assert_eq!(WebAddress::parse(same), Some(own.clone()), "{same}");
        }
        for other in
            ["https://go.example.com:8443/", "https://shop.example.com/", "https://example.com/"]
        {
            assert_ne!(WebAddress::parse(other), Some(own.clone()), "{other}");
        }
        assert_eq!(WebAddress::parse("not a url"), None);
    }

    #[test]
    fn a_path_of_one_segment_may_be_a_codes() {
        for (path, expected) in [
            ("/WINTER25", true),
            ("/WINTER25/", true),
            ("/{sub1}", true),
            ("/winter25?x=/a/b", true),
            ("/./winter25", true),
            ("/WINTER25.", true),
            ("/", true),
            ("", true),
            ("/shop/jackets", false),
            ("/shop/{sub1}", false),
            ("/scripts/main.js", false),
            ("/clk?oid=1", false),
            ("/robots.txt", false),
        ] {
            assert_eq!(
                may_be_code_path(&format!("https://go.example.com{path}")),
                expected,
                "{path}"
            );
        }
    }
}
