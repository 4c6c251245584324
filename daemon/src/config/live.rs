//! The part of the configuration that `SIGHUP` changes in a running program.

use std::time::Duration;

use coupon_config::{Keys, bounds, declare_handshake_limit};
use coupon_serve::{AddressRate, Limits};
use ipnet::IpNet;

/// The part of the configuration that `SIGHUP` changes in a running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConfig {
    /// Networks of proxies with a trusted `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether codes are looked up under any host name, and not only under the tracking domains.
    pub accept_any_host: bool,
    /// Whether clicks record only the network of a client's address.
    pub truncate_addresses: bool,
    /// Limits on connections of visitors, for all threads together.
    pub limits: Limits,
    /// At a stop: how long balancers are told to send visitors elsewhere before the stop begins.
    pub drain_notice: Duration,
    /// Limit on requests that lead nowhere, per address, for all threads together.
    pub misses: AddressRate,
    /// Limit on TLS handshakes, per address, for all threads together.
    pub handshakes: AddressRate,
    /// A level, or directives such as `info,coupond=debug`.
    pub log_level: String,
}

impl Default for LiveConfig {
    fn default() -> LiveConfig {
        LiveConfig {
            trusted_proxies: Vec::new(),
            accept_any_host: false,
            truncate_addresses: false,
            limits: Limits::default(),
            drain_notice: Duration::ZERO,
            misses: AddressRate { per_minute: 300, burst: 300 },
            handshakes: AddressRate::HANDSHAKES,
            log_level: "info".into(),
        }
    }
}

impl LiveConfig {
    pub(super) fn declare_visit_keys(&mut self, keys: &mut Keys) {
        keys.declare_networks("trusted_proxies", &mut self.trusted_proxies);
        keys.declare_flag("accept_any_host", &mut self.accept_any_host);
        keys.declare_flag("truncate_addresses", &mut self.truncate_addresses);
    }

    pub(super) fn declare_limit_keys(&mut self, keys: &mut Keys) {
        let limits = &mut self.limits;
        let connections = 1..=bounds::MAX_CONNECTIONS;
        keys.declare_number("limits.max_connections", &mut limits.max_connections, connections);
        let bytes = bounds::CONNECTION_BYTES;
        let key = "limits.max_connection_bytes";
        keys.declare_number(key, &mut limits.max_connection_bytes, bytes);
        // hyper buffers at least 8 KiB, and the longest link that is taken has to fit.
        keys.declare_number("limits.max_head_bytes", &mut limits.max_head_bytes, 12_288..=1 << 20);
        keys.declare_timeout("limits.client_timeout_ms", &mut limits.client_timeout);
        keys.declare_timeout("limits.idle_timeout_ms", &mut limits.idle_timeout);
        keys.declare_pause("limits.drain_notice_ms", &mut self.drain_notice);
        keys.declare_timeout("limits.drain_grace_ms", &mut limits.drain_grace);
        keys.declare_timeout("limits.drain_deadline_ms", &mut limits.drain_deadline);
        let misses = &mut self.misses;
        let requests = 1..=bounds::MAX_REQUESTS;
        keys.declare_limit("limits.misses_per_minute", &mut misses.per_minute, requests.clone());
        keys.declare_number("limits.misses_burst", &mut misses.burst, requests);
        declare_handshake_limit(keys, &mut self.handshakes);
    }

    pub(super) fn declare_log_keys(&mut self, keys: &mut Keys) {
        keys.declare_log_filter("log.level", &mut self.log_level);
    }
}
