//! The command line: options and subcommands. Submodules run the subcommands.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use coupon_geo::LiveDatabases;
use coupon_watch::{LogFormat, LogLevel};
use indicatif::{ProgressBar, ProgressStyle};

use crate::click_ingest;
use crate::config::{Config, ConfigError, ConfigSources, LogConfig};
use crate::conversions;
use crate::edit::{EditError, Saved};
use crate::store::{DedicatedConnection, WriteTx};
use crate::{demo, serve, store};

mod api_keys;
mod backup;
mod certificates;
mod edge;
mod edges;
mod erase;
mod explain;
mod export;
mod import;
mod import_everflow;
mod output;
mod sentence;
mod sizing;
mod status;
mod users;

pub use sentence::sentence;

/// Admin sidecar of coupond: API, bulk CSV, index publication, click ingest and reports.
#[derive(Debug, Parser)]
#[command(name = "coupon-admin", version = coupon_watch::BUILD_VERSION, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Settings come from the configuration file, then from the environment (COUPON_ADMIN_LISTEN,
COUPON_ADMIN_DATA_DIR, COUPON_ADMIN_LIMITS_MAX_CONNECTIONS …), then from the options. Later ones win.

Examples:
  coupon-admin demo                               try both programs out, in ./coupon-demo
  coupon-admin --data ./data                      serve the API on 127.0.0.1:8090
  coupon-admin import codes.csv --data ./data     create the coupon codes of a file
  coupon-admin import-everflow --url https://api.eflow.team --key-file key.txt --dry-run
  coupon-admin explain WINTER25 --data ./data     show where a code redirects, and why
  coupon-admin api-key create --role admin --data ./data
  coupon-admin user invite mia@example.com --role manager --data ./data
  coupon-admin check-config --config admin.toml   check a configuration file";

/// Options of all subcommands.
#[derive(Debug, Args)]
struct Options {
    /// Configuration file (TOML); missing keys have their defaults
    #[arg(long, global = true, value_name = "FILE", env = "COUPON_ADMIN_CONFIG")]
    config: Option<PathBuf>,
    /// Data folder; overrides the configured one
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API (the default)
    #[command(after_help = "Example:\n  coupon-admin serve --data ./data")]
    Serve,
    /// Show how both running programs stand: problems, warnings, lags, the last backup
    ///
    /// Asks coupon-admin at metrics.listen and coupond at its control socket. Ends with 0 when all is
    /// well, with 1 when there is a problem or a program does not answer.
    #[command(
        after_help = "Examples:\n  coupon-admin status --config /etc/coupon/coupon-admin.toml\n  coupon-admin status --json --data ./data"
    )]
    Status(status::StatusArgs),
    /// Run coupond and coupon-admin together on a sample network
    ///
    /// Both programs must be in one folder. An empty data folder gets the sample network; an
    /// existing one is used again. Ctrl-C stops both programs.
    #[command(
        after_help = "Example:\n  coupon-admin demo --data ./coupon-demo --http 127.0.0.1:8080"
    )]
    Demo(DemoArgs),
    /// Create or change the coupon codes in a CSV file: all rows or none
    ///
    /// Required columns: offer_id, affiliate_id (may be blank), coupon_code, status. Optional
    /// columns: start_date, end_date, description, is_description_plain_text, internal_notes,
    /// conversion_only. With --mode update, coupon_code selects the code, together with
    /// coupon_code_id if the code is on several offers. Every other column sets a value: a blank
    /// cell keeps it, `-` clears it. A running coupon-admin publishes the codes.
    #[command(
        after_help = "Examples:\n  coupon-admin import codes.csv --data ./data\n  coupon-admin import changes.csv --mode update --skip-invalid --errors wrong.csv"
    )]
    Import(import::ImportArgs),
    /// Move a network in from Everflow, or from another installation, over its API
    ///
    /// Reads advertisers, partners, offers with payouts, access of partners, coupon codes and partner
    /// postbacks, and writes them with their ids. Stop coupon-admin first, and run this command as its
    /// user; the next start publishes the network. A new data folder is created. With --dry-run nothing
    /// is written, and coupon-admin may run.
    ///
    /// Run the command again after an interruption, or later to follow changes of the source: what is
    /// equal is skipped. Objects that were edited here since, or that have the same id by chance, stay
    /// as they are and are reported, unless --overwrite is given. Ends with 1 if there are such objects,
    /// or rows that the rules refuse.
    #[command(
        after_help = "Examples:\n  coupon-admin import-everflow --url https://api.eflow.team --key-file key.txt --dry-run --report report.json\n  sudo -u coupon-admin coupon-admin import-everflow --url https://api.eflow.team --key-file key.txt --config /etc/coupon/coupon-admin.toml\n  coupon-admin import-everflow --url http://127.0.0.1:8090 --key-file old/admin.key --data ./new"
    )]
    ImportEverflow(import_everflow::ImportEverflowArgs),
    /// Write all coupon codes to a file that can be imported again: CSV, or a workbook of Excel
    ///
    /// The ending of the file's name chooses the format: .xlsx is a workbook. A sheet of a workbook
    /// has at most 1,048,576 rows, so more codes need CSV. No cell is a formula. After edits,
    /// `coupon-admin import --mode update` takes both formats back. Works while coupon-admin runs.
    #[command(
        after_help = "Examples:\n  coupon-admin export codes.csv --data ./data\n  coupon-admin export codes.xlsx --data ./data\n  coupon-admin export codes.csv --bom --force\n  coupon-admin export --format xlsx | ssh shop.example.com 'cat > codes.xlsx'"
    )]
    Export(export::ExportArgs),
    /// Show where a visit of a code is redirected, and why; records nothing
    ///
    /// Decides by the published index, as coupond does. Works without a running coupon-admin.
    #[command(
        after_help = "Example:\n  coupon-admin explain WINTER25 --time 2026-06-15T12:00:00+02:00 --data ./data"
    )]
    Explain(explain::ExplainArgs),
    /// Create, list, rotate and revoke API keys on this machine; needs no key
    #[command(
        subcommand,
        after_help = "Example:\n  coupon-admin api-key create --role read-only --name reports --data ./data"
    )]
    ApiKey(api_keys::ApiKeyCommand),
    /// List, invite, reset and disable users of the console on this machine; needs no password
    #[command(
        subcommand,
        after_help = "Examples:\n  coupon-admin user invite mia@example.com --role manager --data ./data\n  coupon-admin user reset mia@example.com --data ./data"
    )]
    User(users::UserCommand),
    /// Register, list and revoke edges: couponds on other machines, reached over NATS
    #[command(
        subcommand,
        after_help = "Examples:\n  coupon-admin edges add fra1 --out fra1.bundle --data ./data\n  coupon-admin edges nats-config --data ./data > /etc/nats/coupon-users.conf"
    )]
    Edges(edges::EdgesCommand),
    /// Run the agent of an edge, beside the coupond of another machine
    ///
    /// Fetches the published index from the control plane over NATS into coupond's index folder, and
    /// passes clicks, postbacks and certificates between both. Needs the bundle of the edge and nothing
    /// else; its settings come from --config, COUPON_EDGE_ variables and the options here.
    #[command(
        after_help = "Examples:\n  coupon-admin edge --bundle fra1.bundle --socket /run/coupond/coupond.sock --index /var/lib/coupon-edge/index\n  coupon-admin edge --config /etc/coupon/edge.toml check-config"
    )]
    Edge(edge::EdgeArgs),
    /// List the certificates of tracking domains that ask for one
    #[command(after_help = "Example:\n  coupon-admin certificates --data ./data")]
    Certificates,
    /// Count all clicks of the archive again
    ///
    /// Stop coupon-admin first. The next start, or another rebuild, continues an interrupted
    /// rebuild. Days with removed or erased clicks or truncated addresses keep their reports; later
    /// days are counted. Bot clicks are classified by the network's present bot list.
    #[command(after_help = "Example:\n  coupon-admin rebuild-reports --data ./data")]
    RebuildReports,
    /// Erase the personal data of a click, an IP address or an email address
    ///
    /// Blanks addresses, user agents, referers, languages, email addresses and the raw text of
    /// postbacks in the click archive and the store. Amounts, ids, codes, sub values and reports
    /// stay. A running coupon-admin does the work, and this command waits for it.
    #[command(
        after_help = "Example:\n  coupon-admin erase --email ann@example.com --dry-run --data ./data"
    )]
    Erase(erase::EraseArgs),
    /// Save store and click archive to one new file, also while coupon-admin runs
    ///
    /// The click archive is streamed. The store is copied to a temporary file first, because it changes
    /// meanwhile: beside the file, or for the standard output in the folder named by TMPDIR. The file is as secret as the data folder. It does not
    /// contain `admin.key`, and API keys only as hashes, so keep your keys. Keys and certificates from
    /// an ACME server are not in it: after a restore, new ones are ordered where coupond lacks them.
    #[command(
        after_help = "Examples:\n  coupon-admin backup coupon-backup.tar.zst --data ./data\n  coupon-admin backup --into /var/backups/coupon --keep 14\n  coupon-admin backup --to-stdout | ssh backup.example.com 'cat > coupon-backup.tar.zst'"
    )]
    Backup(backup::BackupArgs),
    /// Restore a data folder from a backup
    ///
    /// The folder named by --data must be empty or new. All files are checked before they are put
    /// into place, and the disk's reserve stays free. Files restored by root get the folder's
    /// owner; a folder made by root gets the owner of its parent, or the user coupon-admin. At its next start coupon-admin publishes the restored network and requests later
    /// clicks from coupond.
    #[command(
        after_help = "Example:\n  coupon-admin restore coupon-backup.tar.zst --data ./restored"
    )]
    Restore(backup::RestoreArgs),
    /// Estimate disk and memory of both programs for a network of a size
    #[command(
        after_help = "Example:\n  coupon-admin sizing --codes 1000000 --clicks-per-day 500000 --conversions-per-day 5000 --keep-days 90"
    )]
    Sizing(sizing::SizingArgs),
    /// Check the configuration, print the resulting settings, and exit
    #[command(after_help = "Example:\n  coupon-admin check-config --config admin.toml")]
    CheckConfig {
        /// Print problems alone
        #[arg(long)]
        quiet: bool,
    },
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Listening address for visitors; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Listening address of the admin API; port 0 selects a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    admin: SocketAddr,
    /// Further couponds as edges, reached over a nats-server of the demo; needs nats-server installed
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=20))]
    edges: u16,
}

/// Runs the command.
///
/// # Errors
/// With an error text for the terminal.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = || cli.options.load();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&config()?, cli.options.sources())?,
        Command::Status(args) => return status::run(&config()?, &args),
        Command::Demo(args) => start_demo(&cli.options, &args)?,
        Command::Import(args) => return import::run(&config()?, args),
        Command::ImportEverflow(args) => return import_everflow::run(&config()?, &args),
        Command::Export(args) => export::run(&config()?, &args)?,
        Command::ApiKey(command) => api_keys::run(&config()?, command)?,
        Command::User(command) => users::run(&config()?, command)?,
        Command::Explain(args) => {
            return explain::run(&config()?, args);
        }
        Command::Edges(command) => edges::run(&config()?, command)?,
        Command::Edge(args) => edge::run(&cli.options, &args)?,
        Command::Certificates => certificates::run(&config()?)?,
        Command::RebuildReports => {
            let config = config()?;
            run_logged(&config.log, |_| rebuild_reports(&config))?;
        }
        Command::Erase(args) => {
            let config = config()?;
            run_logged(&config.log, |_| erase::run(&config, args))?;
        }
        Command::Backup(args) => backup::backup(&config()?.data_dir, &args)?,
        Command::Restore(args) => backup::restore(&args.file, &config()?)?,
        Command::Sizing(args) => sizing::run(&args)?,
        Command::CheckConfig { quiet } => check_config(&config()?, quiet)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Options {
    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.sources())
    }

    fn sources(&self) -> ConfigSources {
        let dir = self.data.as_ref().map(|dir| ("data_dir".to_owned(), dir.display().to_string()));
        ConfigSources {
            file: self.config.clone(),
            env: coupon_config::environment(),
            arguments: dir.into_iter().collect(),
        }
    }
}

/// Prints the settings, and reads the databases of places as a start does.
fn check_config(config: &Config, quiet: bool) -> anyhow::Result<()> {
    let databases = coupon_geo::check_files(&config.geo.databases)?;
    if !quiet {
        print!("{config}");
        databases.iter().for_each(|line| println!("# {line}"));
    }
    Ok(())
}

fn serve(config: &Config, sources: ConfigSources) -> anyhow::Result<()> {
    run_logged(&config.log, |log_level| serve::serve(config, sources, log_level))
}

/// Hides warnings of workers: in a demo the daemon starts after the admin, and the demo itself
/// reports when the daemon dies.
const DEMO_LOG_FILTER: &str = "warn,coupon_admin::worker=error";

fn start_demo(options: &Options, args: &DemoArgs) -> anyhow::Result<()> {
    let Config { limits, geo, .. } = options.load()?;
    let data = options.data.clone().unwrap_or_else(|| PathBuf::from("coupon-demo"));
    let (http, admin, edges) = (args.http, args.admin, args.edges);
    let options = demo::Options { data, http, admin, edges, limits, geo };
    let log = LogConfig { filter: DEMO_LOG_FILTER.to_owned(), format: LogFormat::Text };
    run_logged(&log, |_| demo::run(options))
}

/// Saves an edit of the command line.
fn save<T>(
    connection: &mut DedicatedConnection,
    edit: impl FnOnce(&WriteTx<'_>) -> Result<Saved<T>, EditError>,
) -> Result<T, EditError> {
    let tx = connection.begin_write()?;
    let done = edit(&tx)?.now;
    tx.commit()?;
    Ok(done)
}

/// Starts logging to standard error, and runs the program on all cores.
fn run_logged<P: Future<Output = anyhow::Result<()>>>(
    log: &LogConfig,
    program: impl FnOnce(LogLevel) -> P,
) -> anyhow::Result<()> {
    let log_level = coupon_watch::start_log(&log.directives(), log.format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(program(log_level))
}

/// Draws nothing without a terminal.
fn rebuild_progress(blocks: u64) -> ProgressBar {
    let style = "{elapsed_precise} {bar:40} {pos}/{len} click blocks, {eta} left";
    let style = ProgressStyle::with_template(style);
    ProgressBar::new(blocks).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn rebuild_reports(config: &Config) -> anyhow::Result<()> {
    // Fails without a store; opening the data folder would create one.
    drop(store::connect_existing(&config.data_dir, config.migration_copies)?);
    let (store, archive, _lock) = serve::open_data(config)?;
    let places = Arc::new(LiveDatabases::open(&config.geo.databases));
    let archive = archive.with_databases(Arc::clone(&places));
    let rebuilt = store.clone();
    let progress = rebuild_progress(archive.block_count());
    let clicks =
        click_ingest::rebuild_with_progress(store, archive, |blocks| progress.inc(blocks)).await?;
    progress.finish_and_clear();
    let recount = move |tx: &WriteTx<'_>| conversions::recount_with_places(tx, &places.current());
    let conversions = rebuilt.write(recount).await?;
    println!("counted {clicks} clicks and {conversions} conversions");
    Ok(())
}
