//! The command line: what can be asked of this program, and nothing of how it is done.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use tracing_subscriber::EnvFilter;

use crate::catalog::BulkMode;
use crate::click_ingest;
use crate::config::{Config, ConfigError, ConfigSources};
use crate::conversions;
use crate::explain::Moment;
use crate::{demo, serve, store};

mod api_keys;
mod backup;
mod erase;
mod explain;
mod export;
mod import;
mod output;
mod sentence;

pub use sentence::sentence;

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
  coupon-admin explain WINTER25 --data ./data     say where a code leads, and why
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
    /// Create or change coupon codes by a CSV file: all of its rows, or none
    ///
    /// Columns to add: offer_id, affiliate_id (may be blank), coupon_code, status; and start_date,
    /// end_date, description, is_description_plain_text, internal_notes, conversion_only where wanted.
    /// With --mode update, coupon_code (and coupon_code_id, where a code stands on several offers)
    /// selects; every other column sets: a blank cell keeps, `-` clears. Works beside a running
    /// coupon-admin, which publishes the codes by itself.
    Import(ImportArgs),
    /// Write all coupon codes to a CSV file that can be imported again
    Export(ExportArgs),
    /// Say what becomes of a visit of a code, and why; records nothing
    ///
    /// Decides on the published index as coupond does, also while no coupon-admin runs.
    Explain(ExplainArgs),
    /// Make, list, rotate and revoke API keys on this machine, without a key
    #[command(subcommand)]
    ApiKey(api_keys::ApiKeyCommand),
    /// Count all clicks of the archive again, after a restored backup
    ///
    /// The running coupon-admin must be stopped. A rebuild that was broken off is gone on with by
    /// the next start, or by another one. Days from which clicks were removed or erased, or their
    /// addresses truncated, keep their reports as they are; the days after are counted. Who is a bot
    /// goes by the network's list as it is now.
    RebuildReports,
    /// Erase what is personal of a click, an address or an email address
    ///
    /// Blanks addresses, user agents, referers, languages, email addresses and the raw text of
    /// postbacks in the click archive and the store; amounts, ids, codes, sub values and reports stay.
    /// Beside a running coupon-admin, that one does it and this waits for it.
    Erase(erase::EraseArgs),
    /// Save the store and the click archive to one new file, while coupon-admin runs or not
    ///
    /// Needs room for a copy of the store while it is made: beside the file, or for the standard output
    /// in the folder that TMPDIR names. The file is as secret as the data folder. It holds no
    /// `admin.key`: API keys stand in it as hashes, so keep yours.
    Backup(BackupArgs),
    /// Make a data folder of a backup
    ///
    /// The folder, named by --data, must be empty or new, and no coupon-admin may run there. All is
    /// checked before anything is placed, and the disk's reserve stays free. What root restores belongs to
    /// the folder's owner. At its next start coupon-admin publishes the restored
    /// network and asks coupond for the clicks since.
    Restore(RestoreArgs),
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
struct BackupArgs {
    /// The file to make; `-` is the standard output
    file: PathBuf,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// A file that `coupon-admin backup` made
    file: PathBuf,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// The CSV file
    file: PathBuf,
    /// What the rows do: add coupon codes, or update those that are there
    #[arg(long, value_name = "add|update", default_value = "add")]
    mode: BulkMode,
    /// Leave wrong rows out and save the others
    #[arg(long)]
    skip_invalid: bool,
    /// Write every error to this file, as CSV; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Replace the file of errors if it exists
    #[arg(long)]
    force: bool,
    /// Issue codes anew that once belonged to another partner
    #[arg(long)]
    allow_reissue: bool,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// The code as a visitor types it
    code: String,
    /// The offer asked for
    #[arg(long, value_name = "OFFER")]
    oid: Option<u32>,
    /// When, as Unix seconds or like 2026-06-15T12:00:00+02:00; now, where it is left out
    #[arg(long, value_name = "TIME")]
    time: Option<Moment>,
    /// The tracking domain's host; that of the code's own link, where it is left out
    #[arg(long, value_name = "HOST", default_value = "")]
    host: String,
    /// The link's query, such as sub1=story
    #[arg(long, value_name = "QUERY", default_value = "")]
    query: String,
    /// Print the API's JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The CSV file; `-`, or none, is the standard output
    file: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Does what was asked.
///
/// # Errors
/// With a sentence for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || cli.options.load();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => start_serving(&config()?)?,
        Command::Demo(args) => start_demo(&cli.options, &args)?,
        Command::Import(args) => return import::run(&config()?, args),
        Command::Export(args) => export::run(&config()?.data_dir, &args)?,
        Command::ApiKey(command) => api_keys::run(&config()?.data_dir, command)?,
        Command::Explain(args) => return explain::run(&config()?.data_dir, args),
        Command::RebuildReports => {
            let config = config()?;
            start(&config.log.filter, rebuild_reports(&config.data_dir))?;
        }
        Command::Erase(args) => {
            let config = config()?;
            start(&config.log.filter, erase::run(&config.data_dir, args))?;
        }
        Command::Backup(args) => backup::backup(&config()?.data_dir, &args.file)?,
        Command::Restore(args) => backup::restore(&args.file, &config()?)?,
        Command::CheckConfig => print!("{}", config()?),
    }
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(&ConfigSources {
            file: self.config.clone(),
            env: coupon_config::environment(),
            ..ConfigSources::default()
        })?;
        if let Some(dir) = &self.data {
            config.data_dir.clone_from(dir);
        }
        Ok(config)
    }
}

fn start_serving(config: &Config) -> anyhow::Result<()> {
    start(&config.log.filter, serve::serve(config))
}

/// The daemon of a demo comes up after the admin, and the demo itself says when it dies: that it
/// does not answer in between is no news.
const DEMO_LOG_FILTER: &str =
    "warn,coupon_admin::publish::live=error,coupon_admin::click_ingest=error";

fn start_demo(options: &Options, args: &DemoArgs) -> anyhow::Result<()> {
    let limits = options.load()?.limits;
    let data = options.data.clone().unwrap_or_else(|| PathBuf::from("coupon-demo"));
    let options = demo::Options { data, http: args.http, admin: args.admin, limits };
    start(DEMO_LOG_FILTER, demo::run(options))
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

/// Nothing where no terminal is.
fn rebuild_progress(blocks: u64) -> ProgressBar {
    let style = "{elapsed_precise} {bar:40} {pos}/{len} click blocks, {eta} left";
    let style = ProgressStyle::with_template(style);
    ProgressBar::new(blocks).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn rebuild_reports(dir: &Path) -> anyhow::Result<()> {
    // Where there is no store, none is to be made.
    drop(store::connect_existing(dir)?);
    let (store, archive, _lock) = serve::open_data(dir)?;
    let rebuilt = store.clone();
    let progress = rebuild_progress(archive.block_count());
    let clicks =
        click_ingest::rebuild_with_progress(store, archive, |blocks| progress.inc(blocks)).await?;
    progress.finish_and_clear();
    let conversions = conversions::recount(&rebuilt).await?;
    println!("counted {clicks} clicks and {conversions} conversions");
    Ok(())
}
