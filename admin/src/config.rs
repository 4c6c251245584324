//! Configuration: a TOML file, overruled key by key by the environment.
//!
//! Key `limits.max_connections` is `COUPON_ADMIN_LIMITS_MAX_CONNECTIONS` there. An unknown key or
//! variable is an error, because a misspelt limit that is silently ignored is found out too late.
//! All problems are reported at once. Nothing is opened or bound here.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::partner_postbacks;
use crate::privacy::Periods;
use crate::uploads::Bounds;

const ENV_PREFIX: &str = "COUPON_ADMIN_";
/// The variable that names the file itself.
const ENV_CONFIG: &str = "COUPON_ADMIN_CONFIG";

/// The configuration as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The folder that holds everything.
    pub data_dir: PathBuf,
    /// What bulk work leaves free on its disk.
    pub disk_reserve_bytes: u64,
    /// The network's number in every answer and every published file.
    pub network_id: u32,
    /// The daemon's private socket.
    pub daemon_socket: PathBuf,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What one client may take.
    pub limits: ClientLimits,
    /// How bulk files are taken and kept.
    pub uploads: Bounds,
    /// How partners' servers are spoken to.
    pub pixels: partner_postbacks::Settings,
    /// What is kept of postbacks.
    pub postbacks: PostbackLogConfig,
    /// How long personal data is kept.
    pub privacy: Periods,
    /// What is logged.
    pub log: LogConfig,
}

/// Bounds on what clients may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// Open connections.
    pub max_connections: usize,
    /// How long a client may take for a request's headers, or for taking the answer.
    pub client_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// One request's body.
    pub max_body_bytes: usize,
    /// Requests with one admin or read-only key in 30 s; 0 is no limit.
    pub network_requests_per_30s: u32,
    /// Requests with one partner's key in 30 s; 0 is no limit.
    pub partner_requests_per_30s: u32,
    /// Requests without a good key from one address in 30 s; 0 is no limit.
    pub auth_failures_per_30s: u32,
    /// How long requests in flight may take once the program is told to stop.
    pub drain_timeout: Duration,
}

/// Bounds of the log of postbacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostbackLogConfig {
    /// What those that identify nothing may take; beyond it the oldest go first.
    pub unidentified_max_bytes: u64,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `info,coupon_admin=debug`.
    pub filter: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            data_dir: PathBuf::from("/var/lib/coupon-admin"),
            disk_reserve_bytes: 256 << 20,
            network_id: 1,
            daemon_socket: PathBuf::from("/run/coupond/coupond.sock"),
            trusted_proxies: Vec::new(),
            limits: ClientLimits {
                max_connections: 512,
                client_timeout: Duration::from_secs(15),
                idle_timeout: Duration::from_secs(60),
                body_timeout: Duration::from_secs(60),
                max_body_bytes: 8 << 20,
                network_requests_per_30s: 600,
                partner_requests_per_30s: 150,
                auth_failures_per_30s: 30,
                drain_timeout: Duration::from_secs(10),
            },
            uploads: Bounds {
                max_bytes: 2 << 30,
                stall_timeout: Duration::from_secs(60),
                keep: Duration::from_secs(7 * 24 * 60 * 60),
            },
            pixels: partner_postbacks::Settings::default(),
            postbacks: PostbackLogConfig { unidentified_max_bytes: 256 << 20 },
            privacy: Periods { click_days: 90, postback_days: 365, address_days: 0 },
            log: LogConfig { filter: "info".into() },
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
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

impl Config {
    /// Reads the file, if one is named, and the variables that start with `COUPON_ADMIN_`.
    ///
    /// # Errors
    /// When the file cannot be read, or with all problems that it and the variables have.
    pub fn load(
        file: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let table = file.map(read_table).transpose()?.unwrap_or_default();
        let mut keys = Keys::new(table, env);
        let mut config = Config::default();
        config.fill(&mut keys);
        keys.finish()?;
        Ok(config)
    }

    fn fill(&mut self, keys: &mut Keys) {
        keys.set("listen", &mut self.listen);
        keys.set("data_dir", &mut self.data_dir);
        keys.set("disk_reserve_bytes", &mut self.disk_reserve_bytes);
        keys.set_checked("network_id", &mut self.network_id, |id| match id {
            0 => Err("must be 1 or more".into()),
            _ => Ok(()),
        });
        keys.set("daemon_socket", &mut self.daemon_socket);
        keys.set_list("trusted_proxies", &mut self.trusted_proxies, parse_network);
        let limits = &mut self.limits;
        keys.set_checked("limits.max_connections", &mut limits.max_connections, at_least_one);
        keys.set_millis("limits.client_timeout_ms", &mut limits.client_timeout);
        keys.set_millis("limits.idle_timeout_ms", &mut limits.idle_timeout);
        keys.set_millis("limits.body_timeout_ms", &mut limits.body_timeout);
        keys.set_checked("limits.max_body_bytes", &mut limits.max_body_bytes, at_least_one);
        keys.set("limits.network_requests_per_30s", &mut limits.network_requests_per_30s);
        keys.set("limits.partner_requests_per_30s", &mut limits.partner_requests_per_30s);
        keys.set("limits.auth_failures_per_30s", &mut limits.auth_failures_per_30s);
        keys.set_millis("limits.drain_timeout_ms", &mut limits.drain_timeout);
        let uploads = &mut self.uploads;
        keys.set_checked("uploads.max_bytes", &mut uploads.max_bytes, |bytes| match bytes {
            0 => Err("must be 1 or more".into()),
            _ => Ok(()),
        });
        keys.set_millis("uploads.stall_timeout_ms", &mut uploads.stall_timeout);
        keys.set_millis("uploads.keep_ms", &mut uploads.keep);
        keys.set_list("pixels.allowed_networks", &mut self.pixels.allowed_networks, parse_network);
        keys.set_millis("pixels.connect_timeout_ms", &mut self.pixels.connect_timeout);
        keys.set_millis("pixels.timeout_ms", &mut self.pixels.timeout);
        let width = &mut self.pixels.concurrency;
        keys.set_checked("pixels.max_in_flight", &mut width.in_flight, at_least_one);
        keys.set_checked("pixels.max_in_flight_per_host", &mut width.per_host, at_least_one);
        let patience = &mut self.pixels.retry_policy;
        keys.set_millis("pixels.first_retry_ms", &mut patience.first_retry);
        keys.set_millis("pixels.longest_retry_ms", &mut patience.longest_retry);
        keys.set_checked("pixels.max_attempts", &mut patience.max_attempts, |attempts| {
            at_least_one(&(*attempts as usize))
        });
        let unidentified = &mut self.postbacks.unidentified_max_bytes;
        keys.set("postbacks.unidentified_max_bytes", unidentified);
        let privacy = &mut self.privacy;
        keys.set("privacy.click_retention_days", &mut privacy.click_days);
        keys.set("privacy.postback_retention_days", &mut privacy.postback_days);
        keys.set("privacy.address_truncation_days", &mut privacy.address_days);
        keys.set_checked("log.filter", &mut self.log.filter, |filter| {
            EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
        });
    }
}

fn at_least_one(number: &usize) -> Result<(), String> {
    if *number == 0 { Err("must be 1 or more".into()) } else { Ok(()) }
}

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

/// Every key that was written somewhere, until it is taken; what is left at the end is unknown.
struct Keys {
    file: BTreeMap<String, toml::Value>,
    env: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Keys {
    fn new(table: toml::Table, env: impl Iterator<Item = (String, String)>) -> Keys {
        let mut file = BTreeMap::new();
        flatten("", table, &mut file);
        let env =
            env.filter(|(name, _)| name.starts_with(ENV_PREFIX) && name != ENV_CONFIG).collect();
        Keys { file, env, problems: Vec::new() }
    }

    fn set<T>(&mut self, key: &str, target: &mut T)
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.set_checked(key, target, |_| Ok(()));
    }

    fn set_millis(&mut self, key: &str, target: &mut Duration) {
        let mut millis = 0_u64;
        let before = self.problems.len();
        let found = self.is_set(key);
        self.set_checked(key, &mut millis, |ms| match ms {
            0 => Err("must be 1 or more".into()),
            _ => Ok(()),
        });
        if found && self.problems.len() == before {
            *target = Duration::from_millis(millis);
        }
    }

    fn set_checked<T>(
        &mut self,
        key: &str,
        target: &mut T,
        check: impl Fn(&T) -> Result<(), String>,
    ) where
        T: FromStr<Err: fmt::Display>,
    {
        let Some((name, text)) = self.take(key) else { return };
        let parsed = text.parse::<T>().map_err(|error| error.to_string());
        match parsed.and_then(|value| check(&value).map(|()| value)) {
            Ok(value) => *target = value,
            Err(reason) => self.problems.push(format!("{name} = {text:?}: {reason}")),
        }
    }

    /// An array of strings; in the environment they are separated by commas.
    fn set_list<T>(
        &mut self,
        key: &str,
        target: &mut Vec<T>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) {
        let listed = self.file.get(key).and_then(toml::Value::as_array);
        let words: Option<Option<Vec<&str>>> =
            listed.map(|items| items.iter().map(toml::Value::as_str).collect());
        if let Some(words) = words.flatten() {
            let joined = toml::Value::String(words.join(","));
            self.file.insert(key.into(), joined);
        }
        let Some((name, text)) = self.take(key) else { return };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        match parts.map(parse).collect() {
            Ok(values) => *target = values,
            Err(reason) => self.problems.push(format!("{name} = {text:?}: {reason}")),
        }
    }

    fn is_set(&self, key: &str) -> bool {
        self.file.contains_key(key) || self.env.contains_key(&env_name(key))
    }

    /// The key's value and the name it was written under. The environment wins.
    fn take(&mut self, key: &str) -> Option<(String, String)> {
        let in_file = self.file.remove(key);
        let variable = env_name(key);
        if let Some(text) = self.env.remove(&variable) {
            return Some((variable, text));
        }
        match in_file? {
            toml::Value::String(text) => Some((key.into(), text)),
            scalar @ (toml::Value::Integer(_) | toml::Value::Boolean(_)) => {
                Some((key.into(), scalar.to_string()))
            }
            other => {
                self.problems.push(format!(
                    "{key}: must be a string or an integer, not {}",
                    other.type_str()
                ));
                None
            }
        }
    }

    fn finish(mut self) -> Result<(), ConfigError> {
        self.problems.extend(self.file.keys().map(|key| format!("{key}: there is no such key")));
        self.problems
            .extend(self.env.keys().map(|name| format!("{name}: there is no such variable")));
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems(self.problems)) }
    }
}

fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

fn flatten(prefix: &str, table: toml::Table, into: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let path = format!("{prefix}{key}");
        match value {
            toml::Value::Table(inner) => flatten(&format!("{path}."), inner, into),
            scalar => drop(into.insert(path, scalar)),
        }
    }
}

/// As a configuration file that says the same.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: String| toml::Value::String(value);
        writeln!(f, "listen = {}", text(self.listen.to_string()))?;
        writeln!(f, "data_dir = {}", text(self.data_dir.display().to_string()))?;
        writeln!(f, "disk_reserve_bytes = {}", self.disk_reserve_bytes)?;
        writeln!(f, "network_id = {}", self.network_id)?;
        writeln!(f, "daemon_socket = {}", text(self.daemon_socket.display().to_string()))?;
        let proxies = self.trusted_proxies.iter().map(|network| text(network.to_string()));
        writeln!(f, "trusted_proxies = {}", toml::Value::Array(proxies.collect()))?;
        writeln!(f, "\n[limits]\nmax_connections = {}", self.limits.max_connections)?;
        writeln!(f, "client_timeout_ms = {}", self.limits.client_timeout.as_millis())?;
        writeln!(f, "idle_timeout_ms = {}", self.limits.idle_timeout.as_millis())?;
        writeln!(f, "body_timeout_ms = {}", self.limits.body_timeout.as_millis())?;
        writeln!(f, "max_body_bytes = {}", self.limits.max_body_bytes)?;
        writeln!(f, "network_requests_per_30s = {}", self.limits.network_requests_per_30s)?;
        writeln!(f, "partner_requests_per_30s = {}", self.limits.partner_requests_per_30s)?;
        writeln!(f, "auth_failures_per_30s = {}", self.limits.auth_failures_per_30s)?;
        writeln!(f, "drain_timeout_ms = {}", self.limits.drain_timeout.as_millis())?;
        writeln!(f, "\n[uploads]\nmax_bytes = {}", self.uploads.max_bytes)?;
        writeln!(f, "stall_timeout_ms = {}", self.uploads.stall_timeout.as_millis())?;
        writeln!(f, "keep_ms = {}", self.uploads.keep.as_millis())?;
        let pixels = &self.pixels;
        let allowed = pixels.allowed_networks.iter().map(|network| text(network.to_string()));
        writeln!(f, "\n[pixels]\nallowed_networks = {}", toml::Value::Array(allowed.collect()))?;
        writeln!(f, "connect_timeout_ms = {}", pixels.connect_timeout.as_millis())?;
        writeln!(f, "timeout_ms = {}", pixels.timeout.as_millis())?;
        writeln!(f, "max_in_flight = {}", pixels.concurrency.in_flight)?;
        writeln!(f, "max_in_flight_per_host = {}", pixels.concurrency.per_host)?;
        writeln!(f, "first_retry_ms = {}", pixels.retry_policy.first_retry.as_millis())?;
        writeln!(f, "longest_retry_ms = {}", pixels.retry_policy.longest_retry.as_millis())?;
        writeln!(f, "max_attempts = {}", pixels.retry_policy.max_attempts)?;
        let unidentified = self.postbacks.unidentified_max_bytes;
        writeln!(f, "\n[postbacks]\nunidentified_max_bytes = {unidentified}")?;
        writeln!(f, "\n[privacy]\nclick_retention_days = {}", self.privacy.click_days)?;
        writeln!(f, "postback_retention_days = {}", self.privacy.postback_days)?;
        writeln!(f, "address_truncation_days = {}", self.privacy.address_days)?;
        writeln!(f, "\n[log]\nfilter = {}", text(self.log.filter.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.toml");
        std::fs::write(&file, toml).unwrap();
        Config::load(Some(&file), env.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn the_environment_overrules_the_file() {
        let config = load(
            "listen = '127.0.0.1:1'\nnetwork_id = 3\n[limits]\nmax_connections = 7",
            &[
                ("COUPON_ADMIN_LISTEN", "127.0.0.1:2"),
                ("COUPON_ADMIN_LIMITS_DRAIN_TIMEOUT_MS", "1500"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.network_id, 3);
        assert_eq!(config.limits.max_connections, 7);
        assert_eq!(config.limits.drain_timeout, Duration::from_millis(1500));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let toml = "listen = 'nowhere'\nnetwork_id = 0\nport = 1\n[limits]\nmax_body_bytes = -1\nidle_timeout_ms = [1]\n[log]\nfilter = 'a=b=c'";
        let Err(ConfigError::Problems(problems)) = load(toml, &[("COUPON_ADMIN_LISTEM", "x")])
        else {
            panic!()
        };
        for key in [
            "listen",
            "network_id",
            "port",
            "limits.max_body_bytes",
            "limits.idle_timeout_ms",
            "log.filter",
            "COUPON_ADMIN_LISTEM",
        ] {
            assert!(
                problems.iter().any(|problem| problem.starts_with(key)),
                "{key} is not in {problems:?}"
            );
        }
        assert_eq!(problems.len(), 7);
    }

    #[test]
    fn the_printed_configuration_reads_back_as_itself() {
        let config = Config { network_id: 9, ..Config::default() };
        assert_eq!(load(&config.to_string(), &[]).unwrap(), config);
    }

    #[test]
    fn the_example_file_shows_every_key_with_its_default() {
        let example = include_str!("../../systemd/coupon-admin.toml");
        assert_eq!(load(example, &[]).unwrap(), Config::default());
        let shown: toml::Table = example.parse().unwrap();
        let all: toml::Table = Config::default().to_string().parse().unwrap();
        assert_eq!(shown, all);
    }

    #[test]
    fn a_missing_file_and_broken_toml_are_told_apart() {
        let missing = Config::load(Some(Path::new("/nonexistent/admin.toml")), std::iter::empty());
        assert!(matches!(missing, Err(ConfigError::Read { .. })));
        assert!(matches!(load("listen = ", &[]), Err(ConfigError::Syntax { .. })));
    }
}
