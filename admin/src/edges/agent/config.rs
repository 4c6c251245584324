//! Configuration of the agent on an edge.

use std::fmt;
use std::path::PathBuf;

use coupon_config::{ConfigError, ConfigSources, Configuration, Keys};
use coupon_watch::LogFormat;

use crate::config::{LogConfig, check_region};

/// Settings of `coupon-admin edge`; everything else is in the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The file that `coupon-admin edges add` made.
    pub bundle: PathBuf,
    /// coupond's control socket.
    pub daemon_socket: PathBuf,
    /// coupond's index folder.
    pub index_dir: PathBuf,
    /// The region whose copy of the index is used; empty for the hub's.
    pub region: String,
    /// The program's own log.
    pub log: LogConfig,
}

impl Default for AgentConfig {
    fn default() -> AgentConfig {
        AgentConfig {
            bundle: PathBuf::from("/etc/coupon/edge.bundle"),
            daemon_socket: PathBuf::from("/run/coupond/coupond.sock"),
            index_dir: PathBuf::from("/var/lib/coupon-edge/index"),
            region: String::new(),
            log: LogConfig { filter: "info".into(), format: LogFormat::Text },
        }
    }
}

impl Configuration for AgentConfig {
    const ENV_PREFIX: &'static str = "COUPON_EDGE_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_path("bundle", &mut self.bundle);
        keys.declare_path("daemon_socket", &mut self.daemon_socket);
        keys.declare_path("index_dir", &mut self.index_dir);
        keys.declare_text("region", &mut self.region, check_region);
        keys.declare_log_filter("log.filter", &mut self.log.filter);
        keys.declare_choice("log.format", &mut self.log.format);
    }

    fn conflicts(&self) -> Vec<String> {
        Vec::new()
    }
}

impl AgentConfig {
    /// Reads all sources.
    ///
    /// # Errors
    /// With all problems of all sources.
    pub fn load(sources: &ConfigSources) -> Result<AgentConfig, ConfigError> {
        coupon_config::load(sources)
    }
}

/// An equivalent configuration file with every key.
impl fmt::Display for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&coupon_config::to_toml(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_file_shows_every_key_with_its_default() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("edge.toml");
        std::fs::write(&file, include_str!("../../../../systemd/coupon-edge.toml")).unwrap();
        let sources = ConfigSources { file: Some(file), ..ConfigSources::default() };
        assert_eq!(AgentConfig::load(&sources).unwrap(), AgentConfig::default());
    }
}
