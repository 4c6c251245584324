//! The hosts of the network's own tracking domains, on any port. A partner postback to such a host
//! would return as a conversion, which would cause another partner postback, without end.

use std::collections::HashSet;

use url::Url;

use super::web_host::WebHost;

/// Hosts of tracking domains.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnHosts(HashSet<WebHost>);

/// The URL leads to a tracking domain of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} is a tracking domain of this network: a postback to it would come back as a conversion \
     of its own; name the partner's server"
)]
pub struct OwnTrackingDomain {
    /// As written in the URL.
    pub host: String,
}

impl OwnHosts {
    /// The hosts of tracking domains with these base URLs.
    pub fn from_base_urls<T: AsRef<str>>(base_urls: impl IntoIterator<Item = T>) -> OwnHosts {
        let hosts = base_urls.into_iter().filter_map(|base_url| {
            let url = Url::parse(base_url.as_ref()).ok()?;
            WebHost::from_url(&url)
        });
        OwnHosts(hosts.collect())
    }

    /// Checks that a URL leads to another host.
    ///
    /// # Errors
    /// When the URL leads to a tracking domain.
    pub fn check(&self, url: &Url) -> Result<(), OwnTrackingDomain> {
        match WebHost::from_url(url) {
            Some(host) if self.0.contains(&host) => {
                Err(OwnTrackingDomain { host: url.host_str().unwrap_or_default().to_owned() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tracking_domain_is_known_however_its_host_is_written_and_on_every_port() {
        let own = OwnHosts::from_base_urls([
            "https://go.example.com",
            "https://b\u{fc}cher.example",
            "http://192.0.2.7:8080",
            "http://[2001:db8::7]",
        ]);
        let check = |url: &str| own.check(&Url::parse(url).unwrap());
        for url in [
            "https://go.example.com/?nid=1",
            "http://GO.Example.COM:8080/",
            "https://go.example.com./x",
            "https://g\u{ff4f}.example\u{3002}com/",
            "https://%67o.example.com/",
            "https://xn--bcher-kva.example/",
            "https://B\u{dc}CHER.example/",
            "http://192.0.2.7/",
            "http://3221225991/",
            "http://0xc0.0.2.7:81/",
            "http://192.0.2.7./",
            "http://[::ffff:192.0.2.7]/",
            "http://[2001:DB8:0::7]:99/",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://www.go.example.com/",
            "https://go.example.com.evil.example/",
            "https://p.example/go.example.com",
            "https://192.0.2.8/",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        assert_eq!(OwnHosts::default().check(&Url::parse("https://a.example/").unwrap()), Ok(()));
    }
}
