//! Counts at a start: the clicks of earlier runs that the admin's last message does not include.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use coupon_shared::click::{Click, StreamId, Tag};
use coupon_shared::snapshot::catalog::CatalogFile;

use super::LiveVisitState;
use super::journal::JournalLine;
use crate::clicks::ClickLog;

/// Longest time for which visitors wait for exact counts. Behind it, caps may let too many clicks
/// through until all clicks are read.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Lines added to the counts at a time.
const BATCH_LINES: usize = 10_000;

/// Adds the clicks of earlier runs in a separate thread, and waits for the thread. Call this before
/// the first visitor.
pub fn restore_counts(
    state: &Arc<LiveVisitState>,
    clicks: &Arc<ClickLog>,
    catalog: Option<&CatalogFile>,
) -> io::Result<()> {
    // Without click caps, no click of an earlier run counts against one.
    if catalog.is_some_and(|catalog| !catalog.counts_clicks()) {
        return Ok(());
    }
    let (done, is_done) = channel::<()>();
    let (state, clicks) = (Arc::clone(state), Arc::clone(clicks));
    std::thread::Builder::new().name("visit-state".into()).spawn(move || {
        add_earlier_clicks(&state, &clicks);
        drop(done);
    })?;
    // Without a catalog nobody is redirected.
    if catalog.is_some() && is_done.recv_timeout(MAX_WAIT) == Err(RecvTimeoutError::Timeout) {
        tracing::warn!(
            waited_s = MAX_WAIT.as_secs(),
            "serving before all clicks of earlier runs are counted: caps may let too many through"
        );
    }
    Ok(())
}

fn add_earlier_clicks(state: &LiveVisitState, clicks: &ClickLog) {
    let began = Instant::now();
    let (mut batch, mut lines) = (Vec::new(), 0);
    let mut add = |stream: StreamId, sequence: u64, click: &Click<'_>| {
        batch.extend(journal_lines(stream, sequence, click));
        if batch.len() >= BATCH_LINES {
            lines += batch.len();
            state.add_earlier(&batch);
            batch.clear();
        }
    };
    let read = clicks.read_earlier_clicks(|stream| state.last_counted(stream), &mut add);
    lines += batch.len();
    state.add_earlier(&batch);
    if let Err(error) = read {
        tracing::error!(%error, "clicks of earlier runs not counted against caps");
    }
    let ms = began.elapsed().as_millis() as u64;
    tracing::info!(lines, ms, "clicks of earlier runs counted against caps");
}

/// A line for each cap that the click counts against.
fn journal_lines(
    stream: StreamId,
    sequence: u64,
    click: &Click<'_>,
) -> impl Iterator<Item = JournalLine> {
    let caps = click.tag(Tag::CountedCaps).unwrap_or_default().as_chunks().0;
    let unix_seconds = (click.head.unix_ms / 1000).cast_signed();
    caps.iter().map(move |id| {
        let cap_id = u32::from_le_bytes(*id);
        JournalLine { stream, sequence, unix_seconds, cap_id }
    })
}
