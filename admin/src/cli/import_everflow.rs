//! `coupon-admin import-everflow`: shows progress, then the report and the next steps.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::output::Output;
use crate::config::Config;
use crate::data_folder::FolderTaken;
use crate::everflow_import::{EverflowImport, EverflowImportOptions};
use crate::private_file::TemporaryFolder;
use crate::serve;
use crate::store::{self, DedicatedConnection, Store, copy};

#[derive(Debug, Args)]
pub(super) struct ImportEverflowArgs {
    /// The API: `https://api.eflow.team`, `https://api-eu.eflow.team`, or another installation
    #[arg(long)]
    url: String,
    /// A file with the API key of the network to read, and nothing else
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Read everything and report, without writing
    #[arg(long)]
    dry_run: bool,
    /// Replace objects here that differ, also edited ones and such that no import wrote
    #[arg(long)]
    overwrite: bool,
    /// Write the report to this JSON file; `-` for the standard output
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace an existing report
    #[arg(long)]
    force: bool,
}

pub(super) fn run(config: &Config, args: &ImportEverflowArgs) -> anyhow::Result<ExitCode> {
    let key = std::fs::read_to_string(&args.key_file)
        .with_context(|| format!("cannot read the key file {}", args.key_file.display()))?;
    let report = args.report.as_deref().map(|path| Output::open(path, args.force)).transpose()?;
    let options = EverflowImportOptions {
        url: args.url.clone(),
        key,
        overwrite: args.overwrite,
        is_dry_run: args.dry_run,
        network_id: config.network_id,
        allowed_networks: config.pixels.allowed_networks.clone(),
    };
    let mut progress = |line: &str| eprintln!("{line}");
    let mut import = EverflowImport::new(&options, &mut progress)?;
    warn_of_plain_http(&args.url);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(import.connect())?;
    let mut target = Target::open(config, args.dry_run)?;
    let done = runtime.block_on(import.run(&mut target.connection));
    let is_standard = report.as_ref().is_some_and(Output::is_standard);
    if let Some(output) = report {
        let failure = output.failure();
        let json = import.report().to_json()?;
        output.writer().write_all(json.as_bytes()).context(failure)?;
        output.finish()?;
    }
    if !is_standard {
        print!("{}", import.report().to_text());
    }
    done.with_context(|| {
        let stays = if args.dry_run { "" } else { ", what was written so far stays" };
        format!("the import is not complete{stays}; run the same command again to go on")
    })?;
    if !is_standard {
        println!("\n{}", next_steps(args.dry_run));
    }
    Ok(if import.report().is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The store that an import writes.
struct Target {
    connection: DedicatedConnection,
    /// Dropped after the connection: the lock of the data folder, or the copy of a dry run.
    _kept: TargetHolder,
}

/// What a target needs until its end.
enum TargetHolder {
    DataFolder { _store: Store, _lock: std::fs::File },
    Copy { _store: Store, _folder: TemporaryFolder },
}

impl Target {
    fn open(config: &Config, is_dry_run: bool) -> anyhow::Result<Target> {
        if is_dry_run { Target::open_copy(&config.data_dir) } else { Target::open_data(config) }
    }

    fn open_data(config: &Config) -> anyhow::Result<Target> {
        let (store, _, lock) = serve::open_data(config).map_err(|error| {
            let is_taken = error.is::<FolderTaken>();
            let advice = "stop coupon-admin first (systemctl stop coupon-admin), or try --dry-run";
            if is_taken { error.context(advice) } else { error }
        })?;
        let connection = store.connect_dedicated()?;
        Ok(Target { connection, _kept: TargetHolder::DataFolder { _store: store, _lock: lock } })
    }

    /// A copy, so that a dry run decides like an import and leaves no trace.
    fn open_copy(data_dir: &Path) -> anyhow::Result<Target> {
        let scratch = std::env::temp_dir();
        let folder = TemporaryFolder::within(&scratch)
            .with_context(|| format!("cannot write in {}, see TMPDIR", scratch.display()))?;
        if data_dir.join(store::FILE_NAME).exists() {
            copy::copy(data_dir, &folder.path().join(store::FILE_NAME), &mut |_, _| ())?;
        }
        let store = Store::open_keeping(folder.path(), 0)?;
        let connection = store.connect_dedicated()?;
        Ok(Target { connection, _kept: TargetHolder::Copy { _store: store, _folder: folder } })
    }
}

/// The key travels with each request.
fn warn_of_plain_http(url: &str) {
    let host = url::Url::parse(url).ok().filter(|url| url.scheme() == "http");
    let host = host.and_then(|url| url.host_str().map(str::to_owned));
    if host.is_some_and(|host| host != "localhost" && !host.starts_with("127.")) {
        eprintln!("warning: {url} is not encrypted, so others may read the key on its way");
    }
}

fn next_steps(is_dry_run: bool) -> &'static str {
    if is_dry_run {
        return "Next: mend what is refused, in the source or here, and run the command without --dry-run.";
    }
    "Next:\n\
     1. Set network_id in coupon-admin.toml if it differs, then start coupon-admin. It publishes the network; its first\n\
     \u{20}  start makes an admin key.\n\
     2. Set time zone and currency (PATCH /v1/networks/settings, or Control Center, Settings).\n\
     3. Create the tracking domains, point their DNS names at coupond, and import again if offers named one.\n\
     \u{20}  Targeting by place needs databases of places (geo.databases); without them an offer for some places refuses all.\n\
     4. Give advertisers the new postback URL if its host changes: https://TRACKING-DOMAIN/?nid=1&…; set their\n\
     \u{20}  verification tokens.\n\
     5. Make API keys and users for partners and staff; those of the other network do not work here.\n\
     6. Compare links: coupon-admin explain CODE. Run this import once more after the last edit there."
}
