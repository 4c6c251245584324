//! `coupon-admin backup` and `restore` on the terminal: progress while they run, then what came of it.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::backup::{self, Progress};
use crate::keys;

pub(super) fn backup(dir: &Path, to: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let bar = progress_bar()?;
    let made = backup::backup(dir, to, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    println!(
        "{} in {} after {:.1} s",
        HumanBytes(made?),
        to.display(),
        began.elapsed().as_secs_f64()
    );
    println!(
        "Keep it as secret as the data folder. It has no {}: keep your API keys.",
        keys::FILE_NAME
    );
    Ok(())
}

pub(super) fn restore(from: &Path, dir: &Path) -> anyhow::Result<()> {
    let bar = progress_bar()?;
    let restored = backup::restore(from, dir, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    let restored = restored?;
    let made_at = jiff::Timestamp::from_second(restored.made_at)?;
    println!("{} is as it was at {made_at}.", dir.display());
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
