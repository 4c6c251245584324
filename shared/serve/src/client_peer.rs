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
    server_name: OnceLock<String>,
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
        self.learned.as_ref()?.server_name.get().map(String::as_str)
    }

    pub(crate) fn set_address(&self, address: IpAddr) {
        if let Some(learned) = &self.learned {
            // Only the header of the connection sets it, once.
            let _ = learned.address.set(address);
        }
    }

    pub(crate) fn set_server_name(&self, name: String) {
        if let Some(learned) = &self.learned {
            // Only the hello of the connection sets it, once.
            let _ = learned.server_name.set(name);
        }
    }
}

impl PeerAddress for ClientPeer {
    fn ip(&self) -> IpAddr {
        let learned = self.learned.as_ref().and_then(|learned| learned.address.get());
        learned.copied().unwrap_or(self.address)
    }
}
