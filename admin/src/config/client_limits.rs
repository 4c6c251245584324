//! Limits on API clients: connections, time, sizes and request rates.

use std::time::Duration;

use coupon_config::{Keys, bounds, declare_handshake_limit};
use coupon_serve::AddressRate;

/// Limits on API clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// Open connections.
    pub max_connections: usize,
    /// Estimated bytes of memory that the open connections hold together.
    pub max_connection_bytes: u64,
    /// How long a client may take to send a request's headers, or to read the answer.
    pub client_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// Bytes of one request's body.
    pub max_body_bytes: usize,
    /// Requests with one admin or read-only key in 30 s; 0 is no limit.
    pub network_requests_per_30s: u32,
    /// Requests with one partner's key in 30 s; 0 is no limit.
    pub partner_requests_per_30s: u32,
    /// Requests with one advertiser's key in 30 s; 0 is no limit.
    pub advertiser_requests_per_30s: u32,
    /// Requests without a valid key from one address in 30 s; 0 is no limit.
    pub auth_failures_per_30s: u32,
    /// TLS handshakes of one address.
    pub handshakes: AddressRate,
    /// How long requests in flight may take after the program is told to stop.
    pub drain_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            max_connections: 512,
            max_connection_bytes: 64 << 20,
            client_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            max_body_bytes: 8 << 20,
            network_requests_per_30s: 600,
            partner_requests_per_30s: 150,
            advertiser_requests_per_30s: 150,
            auth_failures_per_30s: 30,
            handshakes: AddressRate::HANDSHAKES,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl ClientLimits {
    pub(super) fn declare_keys(&mut self, keys: &mut Keys) {
        let connections = 1..=bounds::MAX_CONNECTIONS;
        keys.declare_number("limits.max_connections", &mut self.max_connections, connections);
        let bytes = bounds::CONNECTION_BYTES;
        let key = "limits.max_connection_bytes";
        keys.declare_number(key, &mut self.max_connection_bytes, bytes);
        keys.declare_timeout("limits.client_timeout_ms", &mut self.client_timeout);
        keys.declare_timeout("limits.idle_timeout_ms", &mut self.idle_timeout);
        keys.declare_timeout("limits.body_timeout_ms", &mut self.body_timeout);
        let body = 1..=bounds::MAX_BUFFER_BYTES;
        keys.declare_number("limits.max_body_bytes", &mut self.max_body_bytes, body);
        for (key, target) in [
            ("limits.network_requests_per_30s", &mut self.network_requests_per_30s),
            ("limits.partner_requests_per_30s", &mut self.partner_requests_per_30s),
            ("limits.advertiser_requests_per_30s", &mut self.advertiser_requests_per_30s),
            ("limits.auth_failures_per_30s", &mut self.auth_failures_per_30s),
        ] {
            keys.declare_limit(key, target, 1..=bounds::MAX_REQUESTS);
        }
        declare_handshake_limit(keys, &mut self.handshakes);
        keys.declare_timeout("limits.drain_timeout_ms", &mut self.drain_timeout);
    }
}
