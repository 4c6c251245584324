//! The host of a URL in one normal form.

use std::net::IpAddr;

use url::{Host, Url};

/// A host, by name or address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum WebHost {
    /// Lower-case ASCII, without the final dot.
    Name(String),
    /// An IPv4-mapped IPv6 address counts as the IPv4 address.
    Address(IpAddr),
}

impl WebHost {
    /// `None` for a URL without a host.
    pub(super) fn from_url(url: &Url) -> Option<WebHost> {
        Some(match url.host()? {
            Host::Domain(name) => {
                WebHost::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
            }
            Host::Ipv4(address) => WebHost::Address(address.into()),
            Host::Ipv6(address) => WebHost::Address(IpAddr::from(address).to_canonical()),
        })
    }
}
