//! `coupon-admin backup` and `restore`: show progress, then the result.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::output::{STANDARD, is_standard};
use crate::backup::{self, LastBackup, Progress};
use crate::config::Config;
use crate::keys;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The new file; `-` for the standard output
    #[arg(required_unless_present_any = ["into", "to_stdout"])]
    pub(super) file: Option<PathBuf>,
    /// Write the backup to the standard output, which must be a pipe or a file; the same as `-`
    #[arg(long, conflicts_with_all = ["file", "into"])]
    pub(super) to_stdout: bool,
    /// A folder for a new file named by the time
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    pub(super) into: Option<PathBuf>,
    /// With --into: how many backups stay in the folder; older ones go once the new one is complete
    #[arg(long, value_name = "NUMBER", requires = "into", default_value_t = 14)]
    pub(super) keep: u32,
}

impl BackupArgs {
    /// The new file.
    fn target(&self) -> PathBuf {
        if self.to_stdout {
            return PathBuf::from(STANDARD);
        }
        let named = |folder: &PathBuf| backup::next_path(folder, jiff::Timestamp::now());
        let dated = self.into.as_ref().map(named);
        dated.or_else(|| self.file.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// A file written by `coupon-admin backup`
    pub(super) file: PathBuf,
}

pub(super) fn backup(dir: &Path, args: &BackupArgs) -> anyhow::Result<()> {
    let to = args.target();
    make(dir, &to)?;
    if let Some(folder) = &args.into {
        for removed in backup::remove_surplus(folder, &to, args.keep as usize)? {
            eprintln!("removed {}", removed.display());
        }
    }
    Ok(())
}

fn make(dir: &Path, to: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let bar = progress_bar()?;
    let mut progress = |progress| show(&bar, progress);
    let made = if is_standard(to) {
        to_standard_output(dir, &mut progress)
    } else {
        Ok(backup::backup(dir, to, &mut progress)?)
    };
    bar.finish_and_clear();
    let bytes = made?;
    let made_at = jiff::Timestamp::now().as_second();
    if let Err(error) = backup::note_backup(dir, &LastBackup { made_at, bytes }) {
        eprintln!("the status will not show this backup: {error}");
    }
    let (size, seconds) = (HumanBytes(bytes), began.elapsed().as_secs_f64());
    // Standard error, because the standard output may be the backup.
    eprintln!("{size} in {} after {seconds:.1} s", to.display());
    eprintln!(
        "Keep it as secret as the data folder. It has no {}: keep your API keys.",
        keys::FILE_NAME
    );
    Ok(())
}

fn to_standard_output(dir: &Path, progress: &mut dyn FnMut(Progress)) -> anyhow::Result<u64> {
    let out = std::io::stdout().lock();
    if out.is_terminal() {
        bail!(
            "a backup cannot be printed to a terminal; name a file, or pipe it to a program with `|`"
        );
    }
    Ok(backup::backup_into(dir, out, progress)?)
}

pub(super) fn restore(from: &Path, config: &Config) -> anyhow::Result<()> {
    let dir = &config.data_dir;
    let bar = progress_bar()?;
    let mut progress = |progress| show(&bar, progress);
    let restored = backup::restore(from, dir, config.disk_reserve_bytes, &mut progress);
    bar.finish_and_clear();
    let restored = restored?;
    let made_at = jiff::Timestamp::from_second(restored.made_at)?;
    println!("{} is as it was at {made_at}.", dir.display());
    println!("Its files belong to {}: the service has to run as this user.", restored.owner);
    println!("Numbers of new objects go on at a distance, so that none stands for two things.");
    println!(
        "Its API keys work again; `coupon-admin api-key create --role admin` makes one where all are lost."
    );
    Ok(())
}

fn progress_bar() -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:18} {wide_bar} {percent} % {eta}")?;
    let bar = ProgressBar::new(0).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

fn show(bar: &ProgressBar, progress: Progress) {
    let (message, done, total) = match progress {
        Progress::Store(done, total) => ("copying the store", done, total),
        Progress::Files(done, total) => ("files", done, total),
        Progress::Checking => ("checking", 1, 1),
    };
    if bar.message() != message {
        bar.set_message(message);
    }
    bar.set_length(total);
    bar.set_position(done);
}
