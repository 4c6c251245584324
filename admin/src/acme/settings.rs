//! Settings of the ACME client.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use url::Url;

/// Let's Encrypt, in production.
const DEFAULT_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Settings of the ACME client. Nothing is requested until a tracking domain asks for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The ACME server.
    pub directory_url: DirectoryUrl,
    /// Address for the server's mails about the account.
    pub contact: Contact,
    /// PEM file with further root certificates for connections to the server.
    pub ca_file: CaFile,
    /// Whether the operator agrees to the server's terms of service.
    pub terms_of_service_agreed: bool,
    /// Deadline of one request.
    pub timeout: Duration,
    /// Delay after a failed attempt at a certificate; doubles with each further one.
    pub first_retry: Duration,
    /// The longest delay between two attempts.
    pub longest_retry: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            directory_url: DirectoryUrl(DEFAULT_DIRECTORY.into()),
            contact: Contact::default(),
            ca_file: CaFile::default(),
            terms_of_service_agreed: false,
            timeout: Duration::from_secs(30),
            // Let's Encrypt accepts five failed validations of a host in an hour.
            first_retry: Duration::from_secs(5 * 60),
            longest_retry: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The URL of an ACME server's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUrl(String);

impl DirectoryUrl {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DirectoryUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<DirectoryUrl, &'static str> {
        let wrong = "must be an https URL without user and password, such as \
                     https://acme-v02.api.letsencrypt.org/directory";
        let url = Url::parse(text).map_err(|_| wrong)?;
        let is_good = url.scheme() == "https" && url.username().is_empty();
        if is_good && url.password().is_none() { Ok(DirectoryUrl(text.into())) } else { Err(wrong) }
    }
}

impl fmt::Display for DirectoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An email address, or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contact(String);

impl Contact {
    /// The address as an ACME server wants it; `None` for an empty one.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("mailto:{}", self.0))
    }
}

impl FromStr for Contact {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Contact, &'static str> {
        let is_odd = |letter: char| letter.is_whitespace() || letter.is_control() || letter == ',';
        let is_address = text
            .split_once('@')
            .is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'));
        if text.is_empty() || is_address && !text.contains(is_odd) {
            return Ok(Contact(text.into()));
        }
        Err("must be one email address, such as ops@example.com, or empty")
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a file, or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaFile(PathBuf);

impl CaFile {
    /// `None` for an empty path.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (!self.0.as_os_str().is_empty()).then_some(&self.0)
    }
}

impl FromStr for CaFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<CaFile, Self::Err> {
        Ok(CaFile(text.into()))
    }
}

impl fmt::Display for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_an_https_url_without_a_password() {
        let default = Settings::default().directory_url;
        assert_eq!(default.as_str().parse(), Ok(default));
        for bad in ["http://ca.example/dir", "https://u:p@ca.example/", "ca.example", ""] {
            assert!(bad.parse::<DirectoryUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_contact_is_one_address_or_none() {
        let url = |text: &str| text.parse::<Contact>().map(|contact| contact.url());
        assert_eq!(url("ops@example.com"), Ok(Some("mailto:ops@example.com".into())));
        assert_eq!(url(""), Ok(None));
        for bad in ["ops", "@example.com", "a@b.example,c@d.example", "a b@c.example"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
