//! TLS: handshakes, certificates by host name, and what does not speak it.

#[path = "tls/authority.rs"]
mod authority;
#[path = "tls/certificates.rs"]
mod certificates;
#[path = "tls/client.rs"]
mod client;
#[path = "tls/handshakes.rs"]
mod handshakes;
#[path = "tls/hostile.rs"]
mod hostile;

#[path = "tls/floods.rs"]
mod floods;
#[path = "tls/idle.rs"]
mod idle;

#[path = "tls/proxies.rs"]
mod proxies;
#[path = "tls/visitors.rs"]
mod visitors;

use std::net::SocketAddr;
use std::process::Command;

use coupon_shared::snapshot::catalog::Domain;

use crate::published::{HOST, Network, sample};
use crate::running::{Coupond, folder};
use authority::Authority;

/// A second tracking domain.
const OTHER_HOST: &str = "deals.example";

fn two_domains() -> Network {
    let mut network = sample();
    network.catalog.domains.push(Domain { id: 2, host: OTHER_HOST.into(), fallback: None });
    network.catalog.domains.sort_by(|one, other| one.host.cmp(&other.host));
    network
}

/// A daemon with a plain listener and one that speaks TLS, and certificates for both domains.
struct TlsCoupond {
    coupond: Coupond,
    authority: Authority,
}

impl TlsCoupond {
    fn start() -> TlsCoupond {
        TlsCoupond::start_with(|_| ())
    }

    fn start_with(configure: impl FnOnce(&mut Command)) -> TlsCoupond {
        let (folder, authority) = (folder(), Authority::new());
        two_domains().publish(&folder.path().join("index"));
        for host in [HOST, OTHER_HOST] {
            authority.issue(&[host]).write(&folder.path().join("certificates").join(host));
        }
        let certificates = folder.path().join("certificates");
        let coupond = Coupond::start(folder, |command| {
            command
                .env("COUPOND_LISTENERS", "127.0.0.1:0, 127.0.0.1:0 tls")
                .env("COUPOND_TLS_CERTIFICATES_DIR", certificates);
            configure(command);
        });
        TlsCoupond { coupond, authority }
    }

    /// The address of the listener that speaks TLS.
    fn address(&self) -> SocketAddr {
        self.coupond.addresses[1]
    }

    fn labelled_metric(&self, name: &str) -> u64 {
        let metrics = self.coupond.control("GET", "/metrics").body;
        let value = metrics.lines().find_map(|line| {
            let (found, value) = line.rsplit_once(' ')?;
            (found.strip_prefix("coupond_") == Some(name)).then_some(value)
        });
        value.unwrap_or_else(|| panic!("no metric {name} in {metrics}")).parse().unwrap()
    }
}
