//! The daemon's configuration: keys, defaults and bounds, for the reader in `coupon-config`.
//!
//! A running program follows changes of [`LiveConfig`] on `SIGHUP`. All other keys hold from the
//! next start.

mod click_log;
mod live;
mod spool;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use coupon_config::{Configuration, Keys, listener_conflicts, listeners_or};
use coupon_serve::Limits;
use coupon_serve::tls::CertificatePlaces;

pub use click_log::ClickLogConfig;
pub use coupon_config::{
    ConfigError, ConfigSources, GeoConfig, ListenerConfig, MetricsConfig, TlsConfig,
};
pub use coupon_watch::LogFormat;
pub use live::LiveConfig;
pub use spool::SpoolConfig;

/// Most serving threads: the thread's number has six bits in a transaction id.
pub const MAX_THREADS: usize = 64;
/// The port of the listener for monitors, on the loopback address.
const METRICS_PORT: u16 = 9680;
/// Most nodes: the node's number has ten bits in a transaction id.
pub const MAX_NODES: u16 = 1024;

/// The folder in the data folder with the certificates that `coupon-admin` passed on.
pub const CERTIFICATES_FOLDER: &str = "certificates";

/// File descriptors for everything but visitors: indexes, logs, the control socket.
const RESERVED_DESCRIPTORS: u64 = 128;

/// The configuration as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address of the redirect listener where there is no list of listeners.
    pub listen: SocketAddr,
    /// The listeners, with TLS or without; where empty, one plain listener at `listen`.
    pub listeners: Vec<ListenerConfig>,
    /// Where certificates come from.
    pub tls: TlsConfig,
    /// The folder of the click log.
    pub data_dir: PathBuf,
    /// The folder of the control socket and the click rings; best in memory (tmpfs).
    pub runtime_dir: PathBuf,
    /// The folder into which the admin publishes.
    pub index_dir: PathBuf,
    /// This machine's number among the nodes of one network.
    pub node_id: u16,
    /// Number of serving threads.
    pub threads: usize,
    /// Whether every connection at `listen` begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The part with live changes.
    pub live: LiveConfig,
    /// The click log.
    pub clicks: ClickLogConfig,
    /// The postback spool.
    pub postbacks: SpoolConfig,
    /// Databases of places.
    pub geo: GeoConfig,
    /// The listener for monitors.
    pub metrics: MetricsConfig,
    /// The form of a log line.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            listeners: Vec::new(),
            tls: TlsConfig::default(),
            data_dir: PathBuf::from("/var/lib/coupond"),
            runtime_dir: PathBuf::from("/run/coupond"),
            index_dir: PathBuf::from("/var/lib/coupon-admin/index"),
            node_id: 0,
            threads: cores.min(MAX_THREADS),
            proxy_protocol: false,
            live: LiveConfig::default(),
            clicks: ClickLogConfig::default(),
            postbacks: SpoolConfig::default(),
            geo: GeoConfig::default(),
            metrics: MetricsConfig::on_loopback(METRICS_PORT),
            log_format: LogFormat::Text,
        }
    }
}

impl Configuration for Config {
    const ENV_PREFIX: &'static str = "COUPOND_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_address("listen", &mut self.listen);
        // A daemon with its data elsewhere is a second instance or a trial: the usual /run folder
        // and the usual port for monitors are not its own.
        let usual = self.data_dir.clone();
        keys.declare_path("data_dir", &mut self.data_dir);
        if self.data_dir != usual {
            self.runtime_dir = self.data_dir.join("run");
            self.metrics.listen = None;
        }
        keys.declare_path("runtime_dir", &mut self.runtime_dir);
        keys.declare_path("index_dir", &mut self.index_dir);
        keys.declare_number("node_id", &mut self.node_id, 0..=MAX_NODES - 1);
        keys.declare_number("threads", &mut self.threads, 1..=MAX_THREADS);
        self.live.declare_visit_keys(keys);
        keys.declare_flag("proxy_protocol", &mut self.proxy_protocol);
        self.live.declare_limit_keys(keys);
        self.clicks.declare_keys(keys);
        self.postbacks.declare_keys(keys);
        self.geo.declare_keys(keys);
        self.metrics.declare_keys(keys);
        self.live.declare_log_keys(keys);
        keys.declare_choice("log.format", &mut self.log_format);
        self.tls.declare_keys(keys);
        keys.declare_entries("listeners", &mut self.listeners);
    }

    fn conflicts(&self) -> Vec<String> {
        let has_proxies = !self.live.trusted_proxies.is_empty();
        let mut conflicts = listener_conflicts(&self.effective_listeners(), has_proxies);
        conflicts.extend(self.geo.conflicts());
        conflicts
    }
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// [`ConfigError::Problems`] with all problems of all sources; another variant for an
    /// unreadable file.
    pub fn load(sources: &ConfigSources) -> Result<Config, ConfigError> {
        coupon_config::load(sources)
    }

    /// The listeners in force.
    pub fn effective_listeners(&self) -> Vec<ListenerConfig> {
        listeners_or(&self.listeners, ListenerConfig::plain(self.listen, self.proxy_protocol))
    }

    /// Where certificates come from: the configured places, and the folder of those that
    /// `coupon-admin` passed on.
    pub fn certificate_places(&self) -> CertificatePlaces {
        self.tls.places(Some(self.data_dir.join(CERTIFICATES_FOLDER)))
    }

    /// The limits of one serving thread: its share of the process's limits.
    pub fn limits_per_thread(&self, live: &LiveConfig, descriptors: u64) -> Limits {
        let mut limits = live.limits.clone().below_descriptors(descriptors, RESERVED_DESCRIPTORS);
        limits.max_connections = limits.max_connections.div_ceil(self.threads);
        limits.max_connection_bytes = limits.max_connection_bytes.div_ceil(self.threads as u64);
        limits
    }

    /// The changed keys that a running program cannot follow.
    pub fn keys_needing_restart(&self, new: &Config) -> Vec<String> {
        let followed = Config { live: new.live.clone(), ..self.clone() };
        coupon_config::changed_keys(&followed, new)
    }
}

/// An equivalent configuration file with every key.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&coupon_config::to_toml(self))
    }
}

#[cfg(test)]
mod tests;
