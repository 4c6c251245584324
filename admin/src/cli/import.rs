//! `coupon-admin import`: shows progress, then the result.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::output::Output;
use crate::catalog::{BulkMode, DateFormat, Encoding, FieldError};
use crate::config::Config;
use crate::csv_file::CsvWriter;
use crate::disk::Disk;
use crate::import::{self, Commit, ImportError, ImportSource, Layout, Progress, ReadError};
use crate::store::origin::{Actor, Origin};
use crate::store::staging::{self, Intent};
use crate::store::uploads::Outcome;
use crate::store::{self, DedicatedConnection, ReadTx, StoreError};

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The file: CSV, or a workbook (XLSX)
    file: PathBuf,
    /// Add new coupon codes, or update existing ones
    #[arg(long, value_name = "add|update", default_value = "add")]
    mode: BulkMode,
    /// The encoding of the text, where it is not UTF-8 or UTF-16
    #[arg(long, value_name = "utf-8|utf-16|windows-1252")]
    encoding: Option<Encoding>,
    /// The form of days that do not begin with the year, such as dd/mm/yyyy
    #[arg(long, value_name = "FORMAT")]
    date_format: Option<DateFormat>,
    /// The sheet of a workbook; the first visible one with rows if missing
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// Skip invalid rows and save the others
    #[arg(long)]
    skip_invalid: bool,
    /// Write all errors to this CSV file; `-` for the standard output
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Replace an existing file of errors
    #[arg(long)]
    force: bool,
    /// Allow codes that once belonged to another partner
    #[arg(long)]
    allow_reissue: bool,
}

/// The most invalid cells shown.
const MAX_SHOWN: u64 = 20;

pub(super) fn run(config: &Config, args: ImportArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    let errors = args.errors.as_deref().map(|path| Output::open(path, args.force)).transpose()?;
    let bytes = std::fs::metadata(&args.file).map_or(0, |file| file.len());
    let bar = progress_bar(bytes)?;
    let disk = Disk::new(&config.data_dir, config.disk_reserve_bytes);
    let outcome = import(&mut connection, &args, disk, &bar);
    bar.finish_and_clear();
    match outcome {
        Ok(outcome) => {
            report_warnings(&*connection.begin_read()?)?;
            print_outcome(&outcome, began.elapsed());
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ ImportError::Refused(_)) => {
            report_warnings(&*connection.begin_read()?)?;
            report_faults(&*connection.begin_read()?, errors)?;
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            let of_file = format!("cannot import {}", args.file.display());
            Err(anyhow::Error::from(error).context(of_file))
        }
    }
}

fn import(
    connection: &mut DedicatedConnection,
    args: &ImportArgs,
    disk: Disk,
    bar: &ProgressBar,
) -> Result<Outcome, ImportError> {
    let file = File::open(&args.file)
        .map_err(|source| ReadError::Open { path: args.file.clone(), source })?;
    let how = Commit {
        intent: Intent { mode: args.mode, allow_reissue: args.allow_reissue },
        skip_invalid: args.skip_invalid,
        origin: Origin::new(Actor::CommandLine),
        source: ImportSource::File(
            args.file.file_name().unwrap_or_default().to_string_lossy().into(),
        ),
        disk,
        validated: None,
        progress: Default::default(),
    };
    let (encoding, date_format) = (args.encoding, args.date_format);
    let sheet = args.sheet.clone();
    let layout = Layout { encoding, date_format, sheet, ..Layout::default() };
    import::import(connection, file, &layout, how, &mut |progress| match progress {
        Progress::Read(bytes) => bar.set_position(bytes),
        Progress::Saving => bar.set_message("saving"),
    })
}

fn progress_bar(bytes: u64) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:8} {wide_bar} {bytes}/{total_bytes} {eta}")?;
    let bar = ProgressBar::new(bytes).with_style(style).with_message("reading");
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

fn print_outcome(outcome: &Outcome, took: Duration) {
    let Outcome { created, updated, unchanged, skipped, .. } = outcome;
    let seconds = took.as_secs_f64();
    match (created, updated + unchanged) {
        (created, 0) => println!("{created} coupon codes created in {seconds:.1} s"),
        _ => println!(
            "{updated} coupon codes updated, {unchanged} were so already, in {seconds:.1} s"
        ),
    }
    if *skipped > 0 {
        println!("{skipped} wrong row(s) were left out");
    }
}

fn report_warnings(connection: &ReadTx<'_>) -> Result<(), StoreError> {
    for warning in staging::warnings(connection)? {
        eprintln!("{warning}");
    }
    Ok(())
}

fn report_faults(connection: &ReadTx<'_>, errors: Option<Output>) -> anyhow::Result<()> {
    let (mut shown, mut more) = (0, 0_u64);
    staging::each_fault(
        connection,
        u64::from(u32::MAX),
        |_, line, FieldError { field, error }| {
            shown += 1;
            match (line.unwrap_or_default(), field.as_str()) {
                _ if shown > MAX_SHOWN => more += 1,
                (line, "") => eprintln!("line {line}: {error}"),
                (line, column) => eprintln!("line {line}, column {column}: {error}"),
            }
            Ok::<_, StoreError>(())
        },
    )?;
    let is_written = errors.is_some();
    if let Some(output) = errors {
        let mut out = CsvWriter::new(output.writer());
        import::errors::write(connection, &mut out).with_context(|| output.failure())?;
        out.finish().with_context(|| output.failure())?;
        output.finish()?;
    }
    match (more, is_written) {
        (0, _) => {}
        (more, true) => eprintln!("… and {more} more; --errors has all of them"),
        (more, false) => eprintln!("… and {more} more; --errors FILE writes all of them"),
    }
    Ok(())
}
