//! Tracking domains: the hosts of tracking links.

use serde::{Deserialize, Serialize};

use super::problems::{FieldError, Problems};
use super::text;
use super::words::words;

words! {
    /// Where the certificate of a tracking domain comes from.
    CertificateSource {
        /// From nowhere, or from files on coupond's machine.
        None = "none",
        /// From the configured ACME server.
        Acme = "acme",
    }
}

words! {
    /// How far a certificate has come.
    CertificateStatus {
        /// The domain asks for none.
        None = "none",
        /// The first certificate is being ordered or installed.
        Pending = "pending",
        /// coupond has the certificate.
        Issued = "issued",
        /// The last attempt failed; a certificate that was issued before stays in service.
        Failed = "failed",
    }
}

/// How far the certificate of a tracking domain has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CertificateState {
    #[schema(inline)]
    pub status: CertificateStatus,
    /// End of the last certificate's validity, in Unix seconds; 0 without one.
    pub expires_at: i64,
    /// SHA-256 of the last certificate, in hex; empty without one.
    pub fingerprint: String,
    /// Why the last attempt failed, and how to mend it; empty after a success.
    pub error: String,
    /// Earliest time of the next attempt after a failure, in Unix seconds; else 0.
    pub next_attempt: i64,
}

impl Default for CertificateState {
    fn default() -> CertificateState {
        CertificateState {
            status: CertificateStatus::None,
            expires_at: 0,
            fingerprint: String::new(),
            error: String::new(),
            next_attempt: 0,
        }
    }
}

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
    /// `acme`: coupon-admin orders a certificate for the host and renews it.
    #[serde(default = "no_certificate")]
    pub certificate: CertificateSource,
    /// Only in answers.
    #[serde(skip)]
    #[schema(ignore)]
    pub certificate_state: CertificateState,
}

fn no_certificate() -> CertificateSource {
    CertificateSource::None
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
        if self.certificate == CertificateSource::Acme {
            problems.take("certificate", check_certifiable(&self.base_url));
        }
        problems.finish()
    }
}

/// Checks that an ACME server can confirm the host: a DNS name of at least two labels.
fn check_certifiable(base_url: &str) -> Result<(), String> {
    let (_, host) = parse_base_url(base_url).unwrap_or_default();
    let host = without_port(&host);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let ends_in_number = host.rsplit('.').next().is_some_and(|last| last.parse::<u32>().is_ok());
    if host.contains('.') && host.len() <= 253 && host.split('.').all(is_label) && !ends_in_number {
        return Ok(());
    }
    Err(format!(
        "no certificate can be ordered for `{host}`: give the domain a DNS name such as \
         go.example.com, or choose none"
    ))
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
    fn certificates_are_ordered_for_dns_names_only() {
        for good in ["https://go.example.com", "https://go.example.com:8443", "http://a-1.b2.io"] {
            assert_eq!(check_certifiable(good), Ok(()), "{good}");
        }
        let long = format!("https://{}.example", "x".repeat(64));
        for bad in [
            "http://127.0.0.1:8080",
            "http://[::1]",
            "http://localhost",
            "https://a_b.example",
            &long,
        ] {
            assert!(check_certifiable(bad).unwrap_err().contains("DNS name"), "{bad}");
        }
    }

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
