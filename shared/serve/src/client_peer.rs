//! The other end of a client's connection, as far as it is known.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crate::listener::PeerAddress;

/// A client. Its first bytes may tell more than its socket: the address behind a proxy, and the
/// server name in TLS.
#[derive(Debug, Clone)]
pub struct ClientPeer {
    /// The address of the socket's other end.
    address: IpAddr,
    /// `None` where the first bytes tell nothing.
    learned: Option<Arc<Learned>>,
}

/// The parts that a connection's first bytes tell.
#[derive(Debug, Default)]
struct Learned {
    address: OnceLock<IpAddr>,
    /// Set over TLS, with the server name of the hello.
    tls: OnceLock<Option<String>>,
}

impl ClientPeer {
    /// A client whose first bytes tell nothing.
    pub(crate) fn known(address: IpAddr) -> ClientPeer {
        ClientPeer { address, learned: None }
    }

    /// A client whose first bytes will tell more.
    pub(crate) fn learning(address: IpAddr) -> ClientPeer {
        ClientPeer { address, learned: Some(Arc::default()) }
    }

    /// The host name that the client asked for in TLS, in lower case; `None` without TLS, or where
    /// the client named none.
    pub fn server_name(&self) -> Option<&str> {
        self.learned.as_ref()?.tls.get()?.as_deref()
    }

    /// Whether the connection is encrypted. Clients that use an IP address name no server.
    pub fn is_over_tls(&self) -> bool {
        self.learned.as_ref().is_some_and(|learned| learned.tls.get().is_some())
    }

    pub(crate) fn set_address(&self, address: IpAddr) {
        if let Some(learned) = &self.learned {
            // Only the header of the connection sets it, once.
            let _ = learned.address.set(address);
        }
    }

    pub(crate) fn set_tls(&self, server_name: Option<String>) {
        if let Some(learned) = &self.learned {
            // Only the hello of the connection sets it, once.
            let _ = learned.tls.set(server_name);
        }
    }
}

impl PeerAddress for ClientPeer {
    fn ip(&self) -> IpAddr {
        let learned = self.learned.as_ref().and_then(|learned| learned.address.get());
        learned.copied().unwrap_or(self.address)
    }
}
