//! `coupon-admin export`: writes all coupon codes to a file that can be imported again.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::output::Output;
use crate::config::Config;
use crate::csv_file::{BYTE_ORDER_MARK, CsvWriter};
use crate::export::{ExportDetails, ExportError};
use crate::private_file::{create_new, random_name};
use crate::store::ReadTx;
use crate::table_file::{FileFormat, FileStyle, TableWriter};
use crate::{export, store};

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The file; the standard output if missing or `-`
    file: Option<PathBuf>,
    /// CSV, or a workbook of Excel; without it a name that ends with .xlsx is a workbook, any other
    /// CSV
    #[arg(long, value_name = "csv|xlsx")]
    format: Option<FileFormat>,
    /// Begin a CSV file with a byte order mark, by which Excel knows that it is UTF-8
    #[arg(long)]
    bom: bool,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
}

pub(super) fn run(config: &Config, args: &ExportArgs) -> anyhow::Result<()> {
    let style = args.style()?;
    let connection = store::connect_existing(&config.data_dir, config.migration_copies)?;
    let tx = connection.begin_read()?;
    let output = match &args.file {
        Some(path) => Output::open(path, args.force)?,
        None => Output::Standard,
    };
    let is_standard = output.is_standard();
    if is_standard && style.format == FileFormat::Xlsx && io::stdout().is_terminal() {
        bail!(
            "a workbook cannot be printed to a terminal; name a file, or pipe it to a program with `|`"
        );
    }
    let codes = write(&tx, style, &output).with_context(|| output.failure())?;
    output.finish()?;
    if let (Some(path), false, true) = (&args.file, is_standard, io::stderr().is_terminal()) {
        eprintln!("{codes} coupon codes written to {}", path.display());
    }
    Ok(())
}

impl ExportArgs {
    fn style(&self) -> anyhow::Result<FileStyle> {
        let format = self.format.unwrap_or_else(|| format_of(self.file.as_deref()));
        if self.bom && format == FileFormat::Xlsx {
            bail!("a workbook has no byte order mark; leave out --bom, or add --format csv");
        }
        Ok(FileStyle { format, has_mark: self.bom })
    }
}

/// The format that the ending of a file's name says.
fn format_of(file: Option<&Path>) -> FileFormat {
    let ending = file.and_then(Path::extension).and_then(OsStr::to_str);
    if ending.is_some_and(|ending| ending.eq_ignore_ascii_case(FileFormat::Xlsx.as_str())) {
        FileFormat::Xlsx
    } else {
        FileFormat::Csv
    }
}

/// Writes all codes; returns their number.
fn write(tx: &ReadTx<'_>, style: FileStyle, output: &Output) -> Result<u64, ExportError> {
    let details = ExportDetails::default();
    let mut out = output.writer();
    if style.format == FileFormat::Csv {
        if style.has_mark {
            out.write_all(BYTE_ORDER_MARK)?;
        }
        let mut rows = CsvWriter::new(out);
        let codes = export::write(tx, &[], details, &mut rows)?;
        rows.finish()?;
        return Ok(codes);
    }
    // A workbook is written with seeks, which pipes and the standard output do not have.
    let folder = output.folder();
    let mut rows = TableWriter::new(nameless(&folder)?, style, &folder)?;
    let codes = export::write(tx, &[], details, &mut rows)?;
    let mut workbook = rows.finish()?.file;
    workbook.rewind()?;
    io::copy(&mut workbook, &mut out)?;
    Ok(codes)
}

/// Creates a file that closing removes.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(random_name()?);
    let file = create_new(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}
