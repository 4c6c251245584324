//! `coupon-admin export`: writes all coupon codes to a file that can be imported again.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::output::Output;
use crate::config::Config;
use crate::csv_file::CsvWriter;
use crate::export::ExportDetails;
use crate::{export, store};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The CSV file; the standard output if missing or `-`
    file: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

pub(super) fn run(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    let tx = connection.begin_read()?;
    let output = match &args.file {
        Some(path) => Output::open(path, args.force)?,
        None => Output::Standard,
    };
    let mut out = CsvWriter::new(output.writer());
    let codes = export::write(&tx, &[], ExportDetails::default(), &mut out)
        .with_context(|| output.failure())?;
    out.finish().with_context(|| output.failure())?;
    let is_standard = output.is_standard();
    output.finish()?;
    if let (Some(path), false, true) = (&args.file, is_standard, std::io::stderr().is_terminal()) {
        eprintln!("{codes} coupon codes written to {}", path.display());
    }
    Ok(())
}
