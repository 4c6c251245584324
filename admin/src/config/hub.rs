//! The connection to NATS, over which couponds on other machines are reached.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use coupon_config::{Keys, bounds};

use crate::wait_policy::WaitPolicy;

/// Longest gathering: a coupond without an answer for 15 s is silent.
const MAX_GATHERING_MS: u64 = 10_000;
/// Most replicas of a stream at NATS.
const MAX_REPLICAS: usize = 5;
/// Longest name of a region.
const MAX_REGION_LEN: usize = 32;
/// JetStream domain of the servers with the published index, where regions have copies.
pub(crate) const HUB_DOMAIN: &str = "hub";
/// Least room for the published index at NATS.
const MIN_OBJECT_BYTES: u64 = 16 << 20;

/// The way to edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubConfig {
    /// Addresses of NATS servers; empty without edges.
    pub servers: Vec<String>,
    /// The same as edges reach them; empty where they are the same.
    pub edge_servers: Vec<String>,
    /// PEM of the authorities of the servers' certificates; the system's where it is missing.
    pub ca_file: Option<PathBuf>,
    /// The couponds that an edit with `?wait=live` waits for.
    pub wait_live: WaitPolicy,
    /// Least time between two publications to edges.
    pub publish_interval: Duration,
    /// How long clicks of an edge gather before they are fetched.
    pub click_gathering: Duration,
    /// Most bytes of the published index at NATS.
    pub object_max_bytes: u64,
    /// Servers of a cluster that keep the published index.
    pub replicas: usize,
    /// JetStream domains of leaf nodes with a copy of the published index.
    pub regions: Vec<String>,
}

impl Default for HubConfig {
    fn default() -> HubConfig {
        HubConfig {
            servers: Vec::new(),
            edge_servers: Vec::new(),
            ca_file: None,
            wait_live: WaitPolicy::All,
            publish_interval: Duration::from_millis(250),
            click_gathering: Duration::from_secs(5),
            object_max_bytes: 8 << 30,
            replicas: 1,
            regions: Vec::new(),
        }
    }
}

impl HubConfig {
    pub(super) fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_texts("hub.servers", &mut self.servers, check_server);
        keys.declare_texts("hub.edge_servers", &mut self.edge_servers, check_server);
        keys.declare_optional_path("hub.ca_file", &mut self.ca_file);
        keys.declare_choice("hub.wait_live", &mut self.wait_live);
        keys.declare_pause("hub.publish_interval_ms", &mut self.publish_interval);
        keys.declare_millis(
            "hub.click_gathering_ms",
            &mut self.click_gathering,
            0..=MAX_GATHERING_MS,
        );
        let bytes = MIN_OBJECT_BYTES..=bounds::MAX_DISK_BYTES;
        keys.declare_number("hub.object_max_bytes", &mut self.object_max_bytes, bytes);
        keys.declare_number("hub.replicas", &mut self.replicas, 1..=MAX_REPLICAS);
        keys.declare_texts("hub.regions", &mut self.regions, check_region);
    }

    pub(super) fn conflicts(&self) -> Option<String> {
        let mut named = BTreeSet::new();
        let twice = self.regions.iter().find(|region| !named.insert(*region));
        twice.map(|region| format!("hub.regions: {region} is named twice"))
    }

    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.servers.is_empty()
    }

    /// The servers of a bundle.
    #[must_use]
    pub fn servers_of_edges(&self) -> &[String] {
        if self.edge_servers.is_empty() { &self.servers } else { &self.edge_servers }
    }
}

/// Checks the address of a NATS server.
fn check_server(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("tls://").or_else(|| text.strip_prefix("nats://"));
    match rest {
        Some(host) if !host.is_empty() && !host.contains(['/', '@', ' ']) => Ok(()),
        _ => Err(format!(
            "must be an address such as tls://hub.example.com:4222 or nats://127.0.0.1:4222, not \
             {text:?}"
        )),
    }
}

/// Checks the name of a region, which is a JetStream domain.
pub(crate) fn check_region(text: &str) -> Result<(), String> {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match text {
        HUB_DOMAIN => Err(format!(
            "must not be {HUB_DOMAIN:?}, the JetStream domain of the servers with the published index"
        )),
        text if (1..=MAX_REGION_LEN).contains(&text.len()) && text.bytes().all(is_usual) => Ok(()),
        _ => Err(format!(
            "must be the JetStream domain of a leaf node, 1 to {MAX_REGION_LEN} of a-z, 0-9 and -, not \
             {text:?}"
        )),
    }
}
