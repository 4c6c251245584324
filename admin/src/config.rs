//! The configuration of `coupon-admin`: its keys, defaults and bounds. `coupon-config` reads them.
//!
//! Uploads, partner postbacks and retention define their settings themselves; this module declares
//! the keys and the defaults of all of them. A reload changes the log's level; every other change holds from the
//! next start.

mod client_limits;
mod daemons;
mod hub;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coupon_config::{
    Configuration, GeoConfig, Keys, ListenerConfig, TlsConfig, bounds, listener_conflicts,
    listeners_or,
};
use coupon_watch::LogFormat;
use ipnet::IpNet;

use crate::accounts::session::Lifetimes;
use crate::acme;
use crate::outgoing;
use crate::privacy::Periods;
use crate::store::DEFAULT_MIGRATION_COPIES;
use crate::uploads::Bounds;

pub use client_limits::ClientLimits;
pub use coupon_config::{ConfigError, ConfigSources, MetricsConfig};
pub(crate) use daemons::check_name as check_daemon_name;
pub use daemons::{DaemonConfig, MAX_DAEMONS};
pub use hub::HubConfig;
pub(crate) use hub::{HUB_DOMAIN, check_region};

/// The port of the listener for monitors, on the loopback address.
pub const METRICS_PORT: u16 = 9690;

/// In the place of the control socket: there is no daemon on this machine.
const NO_DAEMON: &str = "none";

/// The control socket of an only daemon.
const DAEMON_SOCKET: &str = "/run/coupond/coupond.sock";

/// Least bound of the click archive: a few segments.
const MIN_ARCHIVE_BYTES: u64 = 64 << 20;

/// Most copies of the store that stay, each made before a migration.
const MAX_MIGRATION_COPIES: u32 = 100;

/// The configuration as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address of the API listener where there is no list of listeners.
    pub listen: SocketAddr,
    /// The listeners, with TLS or without; where empty, one plain listener at `listen`.
    pub listeners: Vec<ListenerConfig>,
    /// Where certificates come from.
    pub tls: TlsConfig,
    /// The folder of store, click archive, index and first key.
    pub data_dir: PathBuf,
    /// Bytes that bulk work leaves free on the disk of the data folder.
    pub disk_reserve_bytes: u64,
    /// Copies of the store, each made before a migration, that stay; 0 makes none.
    pub migration_copies: u32,
    /// The network's number in every answer and every published file.
    pub network_id: u32,
    /// The control socket of an only daemon; `none` without a daemon on this machine.
    pub daemon_socket: PathBuf,
    /// Several daemons; where empty, the one at `daemon_socket`.
    pub daemons: Vec<DaemonConfig>,
    /// The way to couponds on other machines.
    pub hub: HubConfig,
    /// Networks of proxies with a trusted `X-Forwarded-For`.
    pub trusted_proxies: Vec<IpNet>,
    /// Limits on API clients.
    pub limits: ClientLimits,
    /// Limits on bulk files.
    pub uploads: Bounds,
    /// Time-outs, concurrency and retries of partner postbacks.
    pub pixels: outgoing::Settings,
    /// Bounds of the postback log.
    pub postbacks: PostbackLogConfig,
    /// How long personal data is kept.
    pub privacy: Periods,
    /// The console and its sessions.
    pub console: ConsoleConfig,
    /// Certificates for tracking domains that ask for one.
    pub acme: acme::Settings,
    /// Databases of places.
    pub geo: GeoConfig,
    /// The listener for monitors.
    pub metrics: MetricsConfig,
    /// The program's own log.
    pub log: LogConfig,
}

/// The console and its sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// The address under which browsers reach the console, such as `https://console.example.com`;
    /// empty where browsers use the listener's own address.
    pub public_url: String,
    /// Serves the console over plain HTTP beyond this machine.
    pub allow_plain_http: bool,
    /// How long users stay signed in.
    pub lifetimes: Lifetimes,
}

/// Bounds of the postback log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackLogConfig {
    /// Most bytes of postbacks that identify nothing; beyond it the oldest are removed first.
    pub unidentified_max_bytes: u64,
}

/// The program's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `info,coupon_admin=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

impl LogConfig {
    /// The filter in use. The client of NATS logs each attempt to connect, so it is silent;
    /// `edges::nats` logs once what is wrong.
    #[must_use]
    pub fn directives(&self) -> String {
        format!("{},async_nats=off", self.filter)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            listeners: Vec::new(),
            tls: TlsConfig::default(),
            data_dir: PathBuf::from("/var/lib/coupon-admin"),
            disk_reserve_bytes: 256 << 20,
            migration_copies: DEFAULT_MIGRATION_COPIES,
            network_id: 1,
            daemon_socket: PathBuf::from(DAEMON_SOCKET),
            daemons: Vec::new(),
            hub: HubConfig::default(),
            trusted_proxies: Vec::new(),
            limits: ClientLimits::default(),
            uploads: Bounds {
                max_bytes: 2 << 30,
                stall_timeout: Duration::from_secs(60),
                keep: Duration::from_secs(7 * 24 * 60 * 60),
            },
            pixels: outgoing::Settings::default(),
            postbacks: PostbackLogConfig { unidentified_max_bytes: 256 << 20 },
            privacy: Periods {
                click_days: 90,
                postback_days: 365,
                address_days: 0,
                archive_max_bytes: 0,
            },
            console: ConsoleConfig::default(),
            acme: acme::Settings::default(),
            geo: GeoConfig::default(),
            metrics: MetricsConfig::on_loopback(METRICS_PORT),
            log: LogConfig { filter: "info".into(), format: LogFormat::Text },
        }
    }
}

impl Configuration for Config {
    const ENV_PREFIX: &'static str = "COUPON_ADMIN_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_address("listen", &mut self.listen);
        // With its data elsewhere the program is a second instance or a trial: the usual port for
        // monitors is not its own.
        let usual = self.data_dir.clone();
        keys.declare_path("data_dir", &mut self.data_dir);
        if self.data_dir != usual {
            self.metrics.listen = None;
        }
        let disk = 0..=bounds::MAX_DISK_BYTES;
        keys.declare_number("disk_reserve_bytes", &mut self.disk_reserve_bytes, disk.clone());
        keys.declare_number(
            "migration_copies",
            &mut self.migration_copies,
            0..=MAX_MIGRATION_COPIES,
        );
        keys.declare_number("network_id", &mut self.network_id, 1..=u32::MAX);
        keys.declare_path("daemon_socket", &mut self.daemon_socket);
        keys.declare_networks("trusted_proxies", &mut self.trusted_proxies);
        self.limits.declare_keys(keys);
        declare_uploads(&mut self.uploads, keys);
        declare_partner_postbacks(&mut self.pixels, keys);
        let unidentified = &mut self.postbacks.unidentified_max_bytes;
        keys.declare_number("postbacks.unidentified_max_bytes", unidentified, disk);
        declare_privacy(&mut self.privacy, keys);
        let archive = MIN_ARCHIVE_BYTES..=bounds::MAX_DISK_BYTES;
        keys.declare_limit("archive.max_bytes", &mut self.privacy.archive_max_bytes, archive);
        declare_console(&mut self.console, keys);
        declare_acme(&mut self.acme, keys);
        self.hub.declare_keys(keys);
        self.geo.declare_keys(keys);
        self.metrics.declare_keys(keys);
        keys.declare_log_filter("log.filter", &mut self.log.filter);
        keys.declare_choice("log.format", &mut self.log.format);
        self.tls.declare_keys(keys);
        keys.declare_entries("listeners", &mut self.listeners);
        keys.declare_entries("daemons", &mut self.daemons);
    }

    fn conflicts(&self) -> Vec<String> {
        let has_proxies = !self.trusted_proxies.is_empty();
        let mut conflicts = listener_conflicts(&self.effective_listeners(), has_proxies);
        conflicts.extend(self.geo.conflicts());
        let is_own = self.daemon_socket != Path::new(DAEMON_SOCKET);
        let only = is_own.then_some(self.daemon_socket.as_path());
        conflicts.extend(daemons::conflicts(&self.daemons, only));
        conflicts.extend(self.hub.conflicts());
        conflicts
    }
}

fn declare_uploads(uploads: &mut Bounds, keys: &mut Keys) {
    keys.declare_number("uploads.max_bytes", &mut uploads.max_bytes, 1..=bounds::MAX_DISK_BYTES);
    keys.declare_timeout("uploads.stall_timeout_ms", &mut uploads.stall_timeout);
    keys.declare_period("uploads.keep_ms", &mut uploads.keep);
}

fn declare_partner_postbacks(settings: &mut outgoing::Settings, keys: &mut Keys) {
    keys.declare_networks("pixels.allowed_networks", &mut settings.allowed_networks);
    keys.declare_timeout("pixels.connect_timeout_ms", &mut settings.connect_timeout);
    keys.declare_timeout("pixels.timeout_ms", &mut settings.timeout);
    let requests = 1..=bounds::MAX_REQUESTS as usize;
    let concurrency = &mut settings.concurrency;
    keys.declare_number("pixels.max_in_flight", &mut concurrency.in_flight, requests.clone());
    keys.declare_number("pixels.max_in_flight_per_host", &mut concurrency.per_host, requests);
    let policy = &mut settings.retry_policy;
    keys.declare_period("pixels.first_retry_ms", &mut policy.first_retry);
    keys.declare_period("pixels.longest_retry_ms", &mut policy.longest_retry);
    let attempts = 1..=bounds::MAX_REQUESTS;
    keys.declare_number("pixels.max_attempts", &mut policy.max_attempts, attempts);
}

fn declare_privacy(privacy: &mut Periods, keys: &mut Keys) {
    let days = 0..=bounds::MAX_DAYS;
    keys.declare_number("privacy.click_retention_days", &mut privacy.click_days, days.clone());
    let postback_days = &mut privacy.postback_days;
    keys.declare_number("privacy.postback_retention_days", postback_days, days.clone());
    keys.declare_number("privacy.address_truncation_days", &mut privacy.address_days, days);
}

fn declare_console(console: &mut ConsoleConfig, keys: &mut Keys) {
    keys.declare_choice("console.public_url", &mut console.public_url);
    keys.declare_flag("console.allow_plain_http", &mut console.allow_plain_http);
    let lifetimes = &mut console.lifetimes;
    keys.declare_period("console.staff_idle_ms", &mut lifetimes.staff_idle);
    keys.declare_period("console.staff_session_ms", &mut lifetimes.staff);
    keys.declare_period("console.partner_idle_ms", &mut lifetimes.partner_idle);
    keys.declare_period("console.partner_session_ms", &mut lifetimes.partner);
}

fn declare_acme(settings: &mut acme::Settings, keys: &mut Keys) {
    keys.declare_choice("acme.directory_url", &mut settings.directory_url);
    keys.declare_flag("acme.terms_of_service_agreed", &mut settings.terms_of_service_agreed);
    keys.declare_choice("acme.contact", &mut settings.contact);
    keys.declare_choice("acme.ca_file", &mut settings.ca_file);
    keys.declare_timeout("acme.timeout_ms", &mut settings.timeout);
    keys.declare_period("acme.first_retry_ms", &mut settings.first_retry);
    keys.declare_period("acme.longest_retry_ms", &mut settings.longest_retry);
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

    /// Name and control socket of each daemon; the name of an only daemon may be empty.
    pub fn effective_daemons(&self) -> Vec<(&str, &Path)> {
        if self.daemon_socket == Path::new(NO_DAEMON) {
            return Vec::new();
        }
        if self.daemons.is_empty() {
            return vec![("", &self.daemon_socket)];
        }
        let daemons = self.daemons.iter();
        daemons.map(|daemon| (daemon.name.as_str(), daemon.socket.as_path())).collect()
    }

    /// The listeners in force.
    pub fn effective_listeners(&self) -> Vec<ListenerConfig> {
        listeners_or(&self.listeners, ListenerConfig::plain(self.listen, false))
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
