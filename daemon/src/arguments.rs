//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::ConfigSources;

/// Answers coupon-code links with redirects and logs every click.
///
/// Every key of the configuration file can also be set as an environment variable:
/// `limits.max_connections` is COUPOND_LIMITS_MAX_CONNECTIONS.
#[derive(Debug, Parser)]
#[command(version = coupon_watch::BUILD_VERSION)]
pub struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, env = "COUPOND_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for visitors [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Folder of the click log [default: /var/lib/coupond].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Folder of the control socket and the click rings, best in memory
    /// [default: /run/coupond, or `run` in a data folder that is given].
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<String>,
    /// Folder into which coupon-admin publishes [default: /var/lib/coupon-admin/index].
    #[arg(long, value_name = "DIR")]
    index_dir: Option<String>,
    /// Stop when the process that started this one ends.
    #[arg(long)]
    pub exit_with_parent: bool,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Check the configuration, print it as it would be used, and exit.
    CheckConfig {
        /// Print problems alone.
        #[arg(long)]
        quiet: bool,
    },
}

impl Arguments {
    /// The sources of the configuration.
    pub fn sources(&self) -> ConfigSources {
        let arguments = [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("runtime_dir", &self.runtime_dir),
            ("index_dir", &self.index_dir),
        ];
        let given = arguments
            .into_iter()
            .filter_map(|(key, value)| value.as_ref().map(|value| (key.to_owned(), value.clone())));
        ConfigSources {
            file: self.config.clone(),
            env: coupon_config::environment(),
            arguments: given.collect(),
        }
    }
}
