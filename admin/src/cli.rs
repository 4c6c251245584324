//! The command line: what can be asked of this program, and nothing of how it is done.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError};
use crate::serve;

/// Admin sidecar of coupond: the API, bulk CSV, index publication, click intake and reports.
#[derive(Debug, Parser)]
#[command(name = "coupon-admin", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Configuration comes from the file, then from the environment (COUPON_ADMIN_LISTEN,
COUPON_ADMIN_DATA_DIR, COUPON_ADMIN_LIMITS_MAX_CONNECTIONS …), then from the options here.

Examples:
  coupon-admin --data ./data                      serve the API on 127.0.0.1:8090
  coupon-admin check-config --config admin.toml   say what is wrong with a configuration file";

/// Options of every subcommand.
#[derive(Debug, Args)]
struct Options {
    /// Configuration file (TOML); without it every key has its default
    #[arg(long, global = true, value_name = "FILE", env = "COUPON_ADMIN_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder, instead of the configured one
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (what happens without a subcommand)
    Serve,
    /// Check the configuration, print it as it would be used, and stop
    CheckConfig,
}

/// Does what was asked.
///
/// # Errors
/// With a sentence for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = cli.options.load()?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => start_serving(&config)?,
        Command::CheckConfig => print!("{config}"),
    }
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars())?;
        if let Some(dir) = &self.data {
            config.data_dir.clone_from(dir);
        }
        Ok(config)
    }
}

fn start_serving(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter)?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve::serve(config))
}
