//! `coupon-admin import` on the terminal: progress while it runs, then what came of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::ImportArgs;
use crate::import::{Faults, Import, ImportError, Progress};
use crate::store;

pub(super) fn run(dir: &Path, args: ImportArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut connection = store::connect_existing(dir)?;
    let mut faults =
        args.errors.as_deref().map_or_else(|| Ok(Faults::default()), Faults::written_to)?;
    let bar = progress_bar(std::fs::metadata(&args.file).map_or(0, |file| file.len()))?;
    let import = Import { path: args.file, allow_reissue: args.allow_reissue };
    let outcome = import.run(&mut connection, &mut faults, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    match outcome {
        Ok(rows) => {
            println!("{rows} coupon codes created in {:.1} s", began.elapsed().as_secs_f64());
            Ok(ExitCode::SUCCESS)
        }
        Err(ImportError::Refused { rows }) => {
            report(&faults, rows, args.errors.as_deref());
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

fn progress_bar(bytes: u64) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:8} {wide_bar} {bytes}/{total_bytes} {eta}")?;
    let bar = ProgressBar::new(bytes).with_style(style).with_message("reading");
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Read(bytes) => bar.set_position(bytes),
        Progress::Judging => bar.set_message("checking"),
        Progress::Saving => bar.set_message("saving"),
    }
}

fn report(faults: &Faults, rows: u64, written_to: Option<&Path>) {
    for fault in faults.first() {
        match fault.column.as_str() {
            "" => eprintln!("line {}: {}", fault.line, fault.reason),
            column => eprintln!("line {}, column {column}: {}", fault.line, fault.reason),
        }
    }
    let more = faults.count().saturating_sub(faults.first().len() as u64);
    match (more, written_to) {
        (0, _) => {}
        (more, Some(path)) => eprintln!("… and {more} more, all in {}", path.display()),
        (more, None) => eprintln!("… and {more} more; --errors FILE writes all of them"),
    }
    eprintln!("{} error(s) in {rows} row(s); nothing was saved", faults.count());
}
