//! Progress display for a person at a terminal; silent without a terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Counters that the sending threads increment for the progress bar. The report has counters of its
/// own.
#[derive(Default)]
pub(crate) struct LiveCounts {
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl LiveCounts {
    pub(crate) fn one_more(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn show(&self, bar: &ProgressBar) {
        let answered = self.answered.load(Ordering::Relaxed);
        let failed = self.failed.load(Ordering::Relaxed);
        bar.set_position(answered + failed);
        bar.set_message(if failed == 0 { String::new() } else { format!("{failed} failed") });
    }
}

pub(crate) fn requests(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} requests, {per_sec} {msg}")
}

pub(crate) fn rows(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} codes, {eta} left")
}

pub(crate) fn files(total: u32) -> ProgressBar {
    bar(total.into(), "{elapsed_precise} {bar:40} {pos}/{len} indexes written, {eta} left")
}

pub(crate) fn offers(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} offers, {eta} left")
}

pub(crate) fn clicks(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} clicks, {eta} left")
}

pub(crate) fn edges(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} edges {msg}")
}

pub(crate) fn seconds(total: u64) -> ProgressBar {
    bar(total, "{elapsed_precise} {bar:40} {pos}/{len} s: {msg}")
}

pub(crate) fn slices(total: usize) -> ProgressBar {
    bar(total as u64, "{elapsed_precise} {bar:40} {pos}/{len} slices, {eta} left: {msg}")
}

/// Progress bar on stderr; draws nothing if stderr is no terminal.
fn bar(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(total);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_answers_and_failures() {
        let bar = ProgressBar::hidden();
        let live = LiveCounts::default();
        LiveCounts::one_more(&live.answered);
        LiveCounts::one_more(&live.answered);
        live.show(&bar);
        assert_eq!((bar.position(), bar.message()), (2, String::new()));
        LiveCounts::one_more(&live.failed);
        live.show(&bar);
        assert_eq!((bar.position(), bar.message()), (3, "1 failed".to_owned()));
    }
}
