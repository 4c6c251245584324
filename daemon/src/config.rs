//! Configuration: a TOML file, overruled key by key by the environment and by the command line.
//!
//! Key `limits.max_connections` is `COUPOND_LIMITS_MAX_CONNECTIONS` in the environment; lists are
//! separated by commas there. An unknown key or variable is an error, because a misspelt limit
//! that is silently ignored is found out too late. All problems are reported at once. Nothing is
//! opened or bound here.

mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coupon_serve::Limits;
use coupon_shared::postback::MAX_POSTBACK_BYTES;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use keys::Keys;

/// Serving threads; the thread's number has six bits in a transaction id.
pub const MAX_THREADS: usize = 64;
/// Nodes; the node's number has ten bits in a transaction id.
pub const MAX_NODES: u16 = 1024;

/// File descriptors for everything that is not a visitor: indexes, logs, the private socket.
const RESERVED_DESCRIPTORS: u64 = 128;

/// So that the longest postback can be kept at all.
const LEAST_BYTES_PER_MINUTE: u64 = MAX_POSTBACK_BYTES as u64;

/// The configuration as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where visitors come in.
    pub listen: SocketAddr,
    /// The folder of the click log.
    pub data_dir: PathBuf,
    /// The folder of the private socket and the click rings; best in memory (tmpfs).
    pub runtime_dir: PathBuf,
    /// The folder into which the admin publishes.
    pub index_dir: PathBuf,
    /// This machine's number among all that answer for one network.
    pub node_id: u16,
    /// Serving threads.
    pub threads: usize,
    /// Whether visitors' connections come from proxies that say first whose they are.
    pub proxy_protocol: bool,
    /// What can change while the program runs.
    pub live: LiveConfig,
    /// The click log's.
    pub clicks: ClickLogConfig,
    /// The postbacks'.
    pub postbacks: SpoolConfig,
    /// How a log line looks.
    pub log_format: LogFormat,
}

/// The part of the configuration that `SIGHUP` changes in a running program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveConfig {
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether codes are looked up under any host name, and not only under the tracking domains.
    pub accept_any_host: bool,
    /// Whether of clients' addresses only the network is recorded.
    pub truncate_addresses: bool,
    /// What visitors may ask of us, all threads together.
    pub limits: Limits,
    /// What an address may ask that leads nowhere, all threads together.
    pub misses: NotFoundRate,
    /// A level, or directives such as `info,coupond=debug`.
    pub log_level: String,
}

/// How often an address may ask for what leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFoundRate {
    /// NotFoundRate in the long run; 0 is no limit.
    pub per_minute: u32,
    /// NotFoundRate that may come at once.
    pub burst: u32,
}

/// Bounds and rhythm of the click log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickLogConfig {
    /// Whether a visitor is answered only when the click is on disk.
    pub durable: bool,
    /// Memory of one serving thread's ring.
    pub ring_bytes: usize,
    /// At the latest this long after a click it is on disk.
    pub commit_interval: Duration,
    /// Sooner, when this much has gathered.
    pub commit_bytes: usize,
    /// Bytes of one segment of the write-ahead log.
    pub wal_segment_bytes: u64,
    /// Bytes the write-ahead log may have; new clicks beyond it are counted as unlogged.
    pub wal_max_bytes: u64,
    /// Memory of the click store's cache.
    pub sled_cache_bytes: u64,
    /// Days that the click store keeps.
    pub retention_days: u32,
}

/// Bounds of the postbacks' spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Days that postbacks stay after the admin has decided them.
    pub keep_days: u32,
    /// Bytes of the spool; beyond it decided postbacks go sooner, and new ones are refused.
    pub max_bytes: u64,
    /// What stays free on its disk: decided postbacks go sooner, and new ones that name nothing that
    /// can be used are refused.
    pub disk_reserve_bytes: u64,
    /// Bytes a minute that one address may make us keep of postbacks that name nothing that can be
    /// used, and of others above what a sale needs; 0 is no limit.
    pub unidentified_bytes_per_minute: u64,
    /// Requests that wait for the admin's verdict; further ones are answered without. Never more
    /// than half of the connections, so that visitors have the others.
    pub max_waiting: usize,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<LogFormat, &'static str> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be `text` or `json`"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("/var/lib/coupond"),
            runtime_dir: PathBuf::from("/run/coupond"),
            index_dir: PathBuf::from("/var/lib/coupon-admin/index"),
            node_id: 0,
            threads: cores.min(MAX_THREADS),
            proxy_protocol: false,
            live: LiveConfig {
                trusted_proxies: Vec::new(),
                accept_any_host: false,
                truncate_addresses: false,
                limits: Limits::default(),
                misses: NotFoundRate { per_minute: 300, burst: 300 },
                log_level: "info".into(),
            },
            clicks: ClickLogConfig {
                durable: false,
                ring_bytes: 4 << 20,
                commit_interval: Duration::from_millis(100),
                commit_bytes: 256 << 10,
                wal_segment_bytes: 64 << 20,
                wal_max_bytes: 8 << 30,
                sled_cache_bytes: 32 << 20,
                retention_days: 30,
            },
            postbacks: SpoolConfig {
                keep_days: 7,
                max_bytes: 4 << 30,
                disk_reserve_bytes: 256 << 20,
                unidentified_bytes_per_minute: 4 << 20,
                max_waiting: 2048,
            },
            log_format: LogFormat::Text,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{} is not valid TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Keys that cannot be used, each with its reason.
    #[error("the configuration has {} problem(s):\n  - {}", .0.len(), .0.join("\n  - "))]
    Problems(Vec<String>),
}

/// Where a configuration comes from, kept so that it can be read again.
#[derive(Debug, Clone, Default)]
pub struct ConfigSources {
    /// The file, if one is named.
    pub file: Option<PathBuf>,
    /// The environment's `COUPOND_…` variables.
    pub env: BTreeMap<String, String>,
    /// Keys given on the command line; they win.
    pub arguments: BTreeMap<String, String>,
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// When the file cannot be read, or with all problems of all sources.
    pub fn load(sources: &ConfigSources) -> Result<Config, ConfigError> {
        let table = sources.file.as_deref().map(read_table).transpose()?.unwrap_or_default();
        let mut keys = Keys::new(table, &sources.env, &sources.arguments);
        let mut config = Config::default();
        config.fill(&mut keys);
        keys.finish()?;
        Ok(config)
    }

    fn fill(&mut self, keys: &mut Keys) {
        keys.set("listen", &mut self.listen);
        // Whoever moves the data away from its usual place does not mean the usual /run either.
        if keys.set_checked("data_dir", &mut self.data_dir, |path| names_a_folder(path)) {
            self.runtime_dir = self.data_dir.join("run");
        }
        keys.set_checked("runtime_dir", &mut self.runtime_dir, |path| names_a_folder(path));
        keys.set_checked("index_dir", &mut self.index_dir, |path| names_a_folder(path));
        keys.set_within("node_id", &mut self.node_id, 0..=MAX_NODES - 1);
        keys.set_within("threads", &mut self.threads, 1..=MAX_THREADS);
        keys.set("log.format", &mut self.log_format);
        self.live.fill(keys);
        keys.set("proxy_protocol", &mut self.proxy_protocol);
        if self.proxy_protocol && self.live.trusted_proxies.is_empty() {
            keys.refuse(
                "proxy_protocol: nobody could connect; name the proxies in trusted_proxies",
            );
        }
        self.clicks.fill(keys);
        self.postbacks.fill(keys);
    }

    /// The limits of one serving thread: its share of what the process may have.
    pub fn limits_per_thread(&self, live: &LiveConfig, descriptors: u64) -> Limits {
        let mut limits = live.limits.clone().below_descriptors(descriptors, RESERVED_DESCRIPTORS);
        limits.max_connections = limits.max_connections.div_ceil(self.threads);
        limits
    }

    /// The keys in which a new configuration differs where a running program cannot follow.
    pub fn keys_needing_restart(&self, new: &Config) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != new.listen),
            ("data_dir", self.data_dir != new.data_dir),
            ("runtime_dir", self.runtime_dir != new.runtime_dir),
            ("index_dir", self.index_dir != new.index_dir),
            ("node_id", self.node_id != new.node_id),
            ("threads", self.threads != new.threads),
            ("proxy_protocol", self.proxy_protocol != new.proxy_protocol),
            ("clicks", self.clicks != new.clicks),
            ("postbacks", self.postbacks != new.postbacks),
            ("log.format", self.log_format != new.log_format),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl LiveConfig {
    fn fill(&mut self, keys: &mut Keys) {
        keys.set_list("trusted_proxies", &mut self.trusted_proxies, parse_network);
        keys.set("accept_any_host", &mut self.accept_any_host);
        keys.set("truncate_addresses", &mut self.truncate_addresses);
        keys.set_checked("log.level", &mut self.log_level, |filter| {
            EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
        });
        let limits = &mut self.limits;
        keys.set_within("limits.max_connections", &mut limits.max_connections, 1..=10_000_000);
        keys.set_within("limits.max_head_bytes", &mut limits.max_head_bytes, 12_288..=1 << 20);
        keys.set_millis("limits.client_timeout_ms", &mut limits.client_timeout);
        keys.set_millis("limits.idle_timeout_ms", &mut limits.idle_timeout);
        keys.set_millis("limits.drain_grace_ms", &mut limits.drain_grace);
        keys.set_millis("limits.drain_deadline_ms", &mut limits.drain_deadline);
        let misses = &mut self.misses;
        keys.set_within("limits.misses_per_minute", &mut misses.per_minute, 0..=1_000_000);
        keys.set_within("limits.misses_burst", &mut misses.burst, 1..=1_000_000);
    }
}

impl ClickLogConfig {
    fn fill(&mut self, keys: &mut Keys) {
        keys.set("clicks.durable", &mut self.durable);
        keys.set_within("clicks.ring_bytes", &mut self.ring_bytes, 64 << 10..=1 << 30);
        keys.set_millis("clicks.commit_interval_ms", &mut self.commit_interval);
        keys.set_within("clicks.commit_bytes", &mut self.commit_bytes, 4 << 10..=64 << 20);
        keys.set_within("clicks.wal_segment_bytes", &mut self.wal_segment_bytes, 1 << 20..=4 << 30);
        keys.set_within("clicks.wal_max_bytes", &mut self.wal_max_bytes, 1 << 20..=1 << 50);
        keys.set_within("clicks.sled_cache_bytes", &mut self.sled_cache_bytes, 1 << 20..=1 << 40);
        keys.set_within("clicks.retention_days", &mut self.retention_days, 1..=36_500);
    }
}

impl SpoolConfig {
    fn fill(&mut self, keys: &mut Keys) {
        keys.set_within("postbacks.keep_days", &mut self.keep_days, 0..=36_500);
        keys.set_within("postbacks.max_bytes", &mut self.max_bytes, 1 << 20..=1 << 50);
        keys.set("postbacks.disk_reserve_bytes", &mut self.disk_reserve_bytes);
        keys.set_checked(
            "postbacks.unidentified_bytes_per_minute",
            &mut self.unidentified_bytes_per_minute,
            |bytes| match bytes {
                0 => Ok(()),
                _ if *bytes >= LEAST_BYTES_PER_MINUTE => Ok(()),
                _ => Err(format!("must be 0 (no limit) or at least {LEAST_BYTES_PER_MINUTE}")),
            },
        );
        keys.set_within("postbacks.max_waiting", &mut self.max_waiting, 0..=1_000_000);
    }
}

/// As a configuration file that says the same.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &dyn fmt::Display| toml::Value::String(value.to_string());
        let LiveConfig {
            trusted_proxies,
            accept_any_host,
            truncate_addresses,
            limits,
            misses,
            log_level,
        } = &self.live;
        let proxies = toml::Value::Array(trusted_proxies.iter().map(|net| text(net)).collect());
        writeln!(f, "listen = {}", text(&self.listen))?;
        writeln!(f, "data_dir = {}", text(&self.data_dir.display()))?;
        writeln!(f, "runtime_dir = {}", text(&self.runtime_dir.display()))?;
        writeln!(f, "index_dir = {}", text(&self.index_dir.display()))?;
        writeln!(f, "node_id = {}", self.node_id)?;
        writeln!(f, "threads = {}", self.threads)?;
        writeln!(f, "trusted_proxies = {proxies}")?;
        writeln!(f, "proxy_protocol = {}", self.proxy_protocol)?;
        writeln!(f, "accept_any_host = {accept_any_host}")?;
        writeln!(f, "truncate_addresses = {truncate_addresses}")?;
        writeln!(f, "\n[limits]\nmax_connections = {}", limits.max_connections)?;
        writeln!(f, "max_head_bytes = {}", limits.max_head_bytes)?;
        writeln!(f, "client_timeout_ms = {}", limits.client_timeout.as_millis())?;
        writeln!(f, "idle_timeout_ms = {}", limits.idle_timeout.as_millis())?;
        writeln!(f, "drain_grace_ms = {}", limits.drain_grace.as_millis())?;
        writeln!(f, "drain_deadline_ms = {}", limits.drain_deadline.as_millis())?;
        writeln!(f, "misses_per_minute = {}", misses.per_minute)?;
        writeln!(f, "misses_burst = {}", misses.burst)?;
        let clicks = &self.clicks;
        writeln!(f, "\n[clicks]\ndurable = {}", clicks.durable)?;
        writeln!(f, "ring_bytes = {}", clicks.ring_bytes)?;
        writeln!(f, "commit_interval_ms = {}", clicks.commit_interval.as_millis())?;
        writeln!(f, "commit_bytes = {}", clicks.commit_bytes)?;
        writeln!(f, "wal_segment_bytes = {}", clicks.wal_segment_bytes)?;
        writeln!(f, "wal_max_bytes = {}", clicks.wal_max_bytes)?;
        writeln!(f, "sled_cache_bytes = {}", clicks.sled_cache_bytes)?;
        writeln!(f, "retention_days = {}", clicks.retention_days)?;
        let postbacks = &self.postbacks;
        writeln!(f, "\n[postbacks]\nkeep_days = {}", postbacks.keep_days)?;
        writeln!(f, "max_bytes = {}", postbacks.max_bytes)?;
        writeln!(f, "disk_reserve_bytes = {}", postbacks.disk_reserve_bytes)?;
        let per_minute = postbacks.unidentified_bytes_per_minute;
        writeln!(f, "unidentified_bytes_per_minute = {per_minute}")?;
        writeln!(f, "max_waiting = {}", postbacks.max_waiting)?;
        writeln!(f, "\n[log]\nlevel = {}", text(log_level))?;
        writeln!(f, "format = {}", text(&self.log_format))
    }
}

/// Mostly a variable that somebody forgot to fill.
fn names_a_folder(path: &Path) -> Result<(), String> {
    if path.as_os_str().is_empty() { Err("must name a folder".into()) } else { Ok(()) }
}

/// A network, or one address.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("`{text}` is neither an address nor a network such as 10.0.0.0/8"))
}

fn read_table(path: &Path) -> Result<toml::Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.into(), source })?;
    text.parse()
        .map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        toml: &str,
        env: &[(&str, &str)],
        arguments: &[(&str, &str)],
    ) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("coupond.toml");
        std::fs::write(&file, toml).unwrap();
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let sources = ConfigSources { file: Some(file), env: map(env), arguments: map(arguments) };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(load("", &[], &[]), Ok(Config::default()));
    }

    #[test]
    fn the_example_file_says_the_defaults() {
        let example = include_str!("../../systemd/coupond.toml");
        assert_eq!(load(example, &[], &[]), Ok(Config::default()));
    }

    #[test]
    fn every_key_can_be_set_in_the_file_and_in_the_environment() {
        let keys = [
            ("listen", "'127.0.0.1:81'"),
            ("data_dir", "'/d'"),
            ("runtime_dir", "'/r'"),
            ("index_dir", "'/i'"),
            ("node_id", "7"),
            ("threads", "3"),
            ("trusted_proxies", "['10.0.0.0/8', '::1']"),
            ("proxy_protocol", "true"),
            ("accept_any_host", "true"),
            ("truncate_addresses", "true"),
            ("limits.max_connections", "11"),
            ("limits.max_head_bytes", "20000"),
            ("limits.client_timeout_ms", "12"),
            ("limits.idle_timeout_ms", "13"),
            ("limits.drain_grace_ms", "14"),
            ("limits.drain_deadline_ms", "15"),
            ("limits.misses_per_minute", "20"),
            ("limits.misses_burst", "21"),
            ("clicks.durable", "true"),
            ("clicks.ring_bytes", "131072"),
            ("clicks.commit_interval_ms", "16"),
            ("clicks.commit_bytes", "5000"),
            ("clicks.wal_segment_bytes", "2000000"),
            ("clicks.wal_max_bytes", "3000000"),
            ("clicks.sled_cache_bytes", "4000000"),
            ("clicks.retention_days", "17"),
            ("postbacks.keep_days", "18"),
            ("postbacks.max_bytes", "6000000"),
            ("postbacks.max_waiting", "19"),
            ("log.level", "'debug'"),
            ("log.format", "'json'"),
        ];
        let toml: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        let from_file = load(&toml, &[], &[]).unwrap();
        let env: Vec<(String, String)> = keys
            .iter()
            .map(|(key, value)| {
                let name = format!("COUPOND_{}", key.replace('.', "_").to_ascii_uppercase());
                (name, value.replace(['\'', '[', ']'], ""))
            })
            .collect();
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(load("", &env, &[]).unwrap(), from_file);
        assert_eq!(load(&from_file.to_string(), &[], &[]).unwrap(), from_file);
        let untouched = Config::default();
        assert_eq!(untouched.keys_needing_restart(&from_file).len(), 10);
        assert_ne!(from_file.live, untouched.live);
        assert_eq!(from_file.live.trusted_proxies.len(), 2);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let toml = "listen = 'nowhere'\nnode_id = 1024\nthreads = 0\nmystery = 1\n\
                    trusted_proxies = ['10.0.0.0/99']\n[limits]\nmax_conections = 5\n[log]\nlevel = '=='";
        let error = load(toml, &[("COUPOND_LISTN", "1")], &[]).unwrap_err();
        for part in [
            "8 problem(s)",
            "listen",
            "node_id",
            "threads",
            "mystery: there is no such key",
            "10.0.0.0/99",
            "limits.max_conections: there is no such key",
            "log.level",
            "COUPOND_LISTN: there is no such variable",
        ] {
            assert!(error.contains(part), "no `{part}` in {error}");
        }
    }

    #[test]
    fn the_proxy_protocol_needs_a_trusted_proxy() {
        let error = load("proxy_protocol = true", &[], &[]).unwrap_err();
        assert!(error.contains("trusted_proxies"), "{error}");
        let config = load("proxy_protocol = true\ntrusted_proxies = ['::1']", &[], &[]).unwrap();
        assert!(config.proxy_protocol);
    }

    #[test]
    fn a_folder_without_a_name_is_refused() {
        let error = load("index_dir = ''", &[("COUPOND_DATA_DIR", "")], &[]).unwrap_err();
        assert!(error.contains("2 problem(s)") && error.contains("COUPOND_DATA_DIR"), "{error}");
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_the_file() {
        let env = [("COUPOND_NODE_ID", "2"), ("COUPOND_THREADS", "2")];
        let config = load("node_id = 1\nthreads = 1", &env, &[("threads", "3")]).unwrap();
        assert_eq!((config.node_id, config.threads), (2, 3));
    }

    #[test]
    fn the_runtime_folder_follows_a_data_folder_that_is_given() {
        let config = load("data_dir = '/x'", &[], &[]).unwrap();
        assert_eq!(config.runtime_dir, Path::new("/x/run"));
    }

    #[test]
    fn a_thread_gets_its_share_of_the_connections_below_the_descriptor_limit() {
        let config = Config { threads: 2, ..Config::default() };
        assert_eq!(config.limits_per_thread(&config.live, 1128).max_connections, 500);
        assert_eq!(config.limits_per_thread(&config.live, u64::MAX).max_connections, 5_000);
    }
}
