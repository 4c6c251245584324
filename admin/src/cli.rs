//! The command line: what can be asked of this program, and nothing of how it is done.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use rusqlite::TransactionBehavior;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError};
use crate::edit::api_keys::ApiKeyEdit;
use crate::intake;
use crate::keys::Role;
use crate::store::WriteTx;
use crate::{demo, edit, serve, store};

mod import;

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
  coupon-admin demo                               try everything out, in ./coupon-demo
  coupon-admin --data ./data                      serve the API on 127.0.0.1:8090
  coupon-admin import codes.csv --data ./data     create the coupon codes of a file
  coupon-admin api-key create --role admin --data ./data
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
    /// Run coupond and coupon-admin together on a sample network, for trying out
    ///
    /// Needs nothing but the two programs in one folder. The sample network is created when the
    /// data folder is empty; an old one is taken up again. Ctrl-C stops both.
    Demo(DemoArgs),
    /// Create coupon codes from a CSV file: all of its rows, or none
    ///
    /// Columns: offer_id, affiliate_id (may be blank), coupon_code, status; and start_date, end_date,
    /// description, is_description_plain_text, internal_notes where wanted. Works beside a running
    /// coupon-admin, which publishes the codes by itself.
    Import(ImportArgs),
    /// Make API keys on this machine, without a key
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Count all clicks of the archive again, after a restored backup
    ///
    /// The running coupon-admin must be stopped. A rebuild that was broken off is gone on with by
    /// the next start, or by another one.
    RebuildReports,
    /// Check the configuration, print it as it would be used, and stop
    CheckConfig,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Where visitors come in; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where the admin API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    admin: SocketAddr,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The CSV file
    file: PathBuf,
    /// Write every error to this file, as CSV
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Issue codes anew that once belonged to another partner
    #[arg(long)]
    allow_reissue: bool,
}

#[derive(Debug, Subcommand)]
enum ApiKeyCommand {
    /// Make a key and print it, this once
    Create(CreateKeyArgs),
}

#[derive(Debug, Args)]
struct CreateKeyArgs {
    /// What the key may do
    #[arg(long, value_enum)]
    role: Role,
    /// The partner, by network_affiliate_id, of a partner's key
    #[arg(long, value_name = "ID")]
    affiliate: Option<u32>,
    /// What the key is called in lists
    #[arg(long, default_value = "made on the command line")]
    name: String,
}

/// Does what was asked.
///
/// # Errors
/// With a sentence for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || cli.options.load();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => start_serving(&config()?)?,
        Command::Demo(args) => start_demo(cli.options.data, &args)?,
        Command::Import(args) => return import::run(&config()?.data_dir, args),
        Command::ApiKey(ApiKeyCommand::Create(args)) => create_key(&config()?.data_dir, args)?,
        Command::RebuildReports => {
            let config = config()?;
            start(&config.log.filter, rebuild_reports(&config.data_dir))?;
        }
        Command::CheckConfig => print!("{}", config()?),
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
    start(&config.log.filter, serve::serve(config))
}

fn start_demo(data: Option<PathBuf>, args: &DemoArgs) -> anyhow::Result<()> {
    let data = data.unwrap_or_else(|| PathBuf::from("coupon-demo"));
    let options = demo::Options { data, http: args.http, admin: args.admin };
    start("warn", demo::run(options))
}

/// Logs to standard error, and runs on all cores.
fn start(
    log_filter: &str,
    program: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(log_filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(program)
}

async fn rebuild_reports(dir: &Path) -> anyhow::Result<()> {
    // Where there is no store, none is to be made.
    drop(store::connect_existing(dir)?);
    let (store, archive, _lock) = serve::open_data(dir)?;
    let clicks = intake::rebuild(store, archive).await?;
    println!("counted {clicks} clicks");
    Ok(())
}

fn create_key(dir: &Path, args: CreateKeyArgs) -> anyhow::Result<()> {
    let mut connection = store::connect_existing(dir)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let wanted =
        ApiKeyEdit { name: args.name, role: args.role, network_affiliate_id: args.affiliate };
    let (_, secret) = edit::api_keys::create(&WriteTx::within(&tx), &wanted)?.now;
    tx.commit()?;
    println!("{}", secret.reveal());
    Ok(())
}
