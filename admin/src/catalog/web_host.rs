//! The host of a URL, the same however it is written.

use std::net::IpAddr;

use url::{Host, Url};

/// A host by its name or its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum WebHost {
    /// In lower case and ASCII, without the dot of the root.
    Name(String),
    /// An IPv4 address inside an IPv6 one is the IPv4 address.
    Address(IpAddr),
}

impl WebHost {
    /// Of a URL that has one.
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
