//! The read-only listener for monitors.

use std::net::SocketAddr;

use crate::keys::Keys;

/// The read-only listener for monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Its address; `None` for no listener.
    pub listen: Option<SocketAddr>,
}

impl MetricsConfig {
    /// A listener on this port of the loopback address.
    pub const fn on_loopback(port: u16) -> MetricsConfig {
        let loopback = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        MetricsConfig { listen: Some(SocketAddr::new(loopback, port)) }
    }

    /// Declares the keys of section `metrics`.
    pub fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_optional_address("metrics.listen", &mut self.listen);
    }
}
