//! Tracking domains: the hosts of tracking links.

use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::text;

/// A tracking domain as edited. The settings hold the default tracking domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TrackingDomainEdit)]
#[serde(deny_unknown_fields)]
pub struct TrackingDomain {
    /// Scheme, host and port.
    #[schema(example = "https://go.example.com")]
    pub base_url: String,
    /// Makes the domain the default; in answers, tells whether the domain is the default.
    #[serde(default)]
    pub is_default: bool,
    /// Target of visits that cannot be redirected; empty: the network's fallback URL.
    #[serde(default)]
    pub fallback_url: String,
}

impl TrackingDomain {
    /// Checks the domain without other rows.
    ///
    /// # Errors
    /// All wrong fields.
    pub fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut problems = Problems::default();
        problems.take("base_url", text::origin(&self.base_url));
        problems.take("fallback_url", text::optional_http_url(&self.fallback_url));
        problems.finish()
    }
}

/// The base URL as stored (no slash at the end, no dot at the end of the host), and the `Host`
/// header of its requests.
#[must_use]
pub fn parse_base_url(base_url: &str) -> Option<(String, String)> {
    let url = text::origin(base_url).ok()?;
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() || host.ends_with('.') {
        return None;
    }
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    Some((format!("{}://{host}", url.scheme()), host))
}

/// The host without its port and without a dot at the end.
#[must_use]
pub fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_kept_in_one_form() {
        let cases = [
            ("https://Go.Example.com", Some(("https://go.example.com", "go.example.com"))),
            ("https://go.example.com:443/", Some(("https://go.example.com", "go.example.com"))),
            ("https://go.example.com.", Some(("https://go.example.com", "go.example.com"))),
            (
                "https://go.example.com.:8443",
                Some(("https://go.example.com:8443", "go.example.com:8443")),
            ),
            ("http://127.0.0.1:8080", Some(("http://127.0.0.1:8080", "127.0.0.1:8080"))),
            ("http://[::1]:8080/", Some(("http://[::1]:8080", "[::1]:8080"))),
            ("https://go.example.com/path", None),
            ("https://go.example.com/?x", None),
            ("go.example.com", None),
            ("https://go.example.com../", None),
            ("https://./", None),
        ];
        for (typed, expected) in cases {
            let kept = parse_base_url(typed);
            assert_eq!(
                kept.as_ref().map(|(url, host)| (url.as_str(), host.as_str())),
                expected,
                "{typed}"
            );
        }
    }
}
