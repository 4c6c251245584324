//! State at a start: the clicks of earlier runs that the admin's last message does not include, and
//! the visitors of an empty table of seen visitors.
//!
//! The table is in memory, so a restart of the machine loses it. The click store still has the
//! accepted clicks with their visitors. Of more visitors than the table takes, the newest are read.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use coupon_shared::click::{Click, StreamId, Tag};
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::CatalogFile;
use coupon_shared::visitor_key::VisitorKey;

use super::LiveVisitState;
use super::journal::JournalLine;
use crate::clicks::ClickLog;
use crate::clock::unix_ms;

/// Longest time for which visitors wait for exact counts. Behind it, caps may let too many clicks
/// through until all clicks are read.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Lines added to the counts at a time.
const BATCH_LINES: usize = 10_000;
/// Visitors added to the table at a time. Serving threads wait for a batch.
const BATCH_VISITORS: usize = 256;

/// Adds the clicks of earlier runs in a separate thread, and waits for the thread. Call this before
/// the first visitor.
pub fn restore_state(
    state: &Arc<LiveVisitState>,
    clicks: &Arc<ClickLog>,
    catalog: Option<&CatalogFile>,
) -> io::Result<()> {
    // Without click caps, no click of an earlier run counts against one.
    let counts_clicks = catalog.is_none_or(CatalogFile::counts_clicks);
    let lost_session = catalog
        .filter(|catalog| catalog.asks_for_seen_visitors() && state.has_no_seen_visitors())
        .map(CatalogFile::longest_session_seconds);
    if !counts_clicks && lost_session.is_none() {
        return Ok(());
    }
    let (done, is_done) = channel::<()>();
    let (state, clicks) = (Arc::clone(state), Arc::clone(clicks));
    std::thread::Builder::new().name("visit-state".into()).spawn(move || {
        if counts_clicks {
            add_earlier_clicks(&state, &clicks);
        }
        if let Some(seconds) = lost_session {
            add_seen_visitors(&state, &clicks, seconds);
        }
        drop(done);
    })?;
    // Without a catalog nobody is redirected.
    if catalog.is_some() && is_done.recv_timeout(MAX_WAIT) == Err(RecvTimeoutError::Timeout) {
        tracing::warn!(
            waited_s = MAX_WAIT.as_secs(),
            "serving before all clicks of earlier runs are read: caps and filters of repeats may let \
             too many through"
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

/// Fills the table of seen visitors with those of the last session.
fn add_seen_visitors(state: &LiveVisitState, clicks: &ClickLog, session_seconds: u32) {
    let began = Instant::now();
    let (mut batch, mut visitors) = (Vec::new(), 0);
    let since = unix_ms().saturating_sub(u64::from(session_seconds) * 1000);
    let mut add = |click: &Click<'_>| {
        batch.extend(seen_visitor(click));
        if batch.len() >= BATCH_VISITORS {
            visitors += batch.len();
            state.add_seen(&batch);
            batch.clear();
        }
    };
    let is_complete = clicks.read_stored_clicks(since, || state.is_seen_table_full(), &mut add);
    visitors += batch.len();
    state.add_seen(&batch);
    if !is_complete {
        tracing::error!("visitors of earlier runs not read: they count as new once more");
    }
    let ms = began.elapsed().as_millis() as u64;
    tracing::info!(visitors, ms, "table of seen visitors filled from the click store");
}

/// The hash of visitor and offer of an accepted click, with its second.
fn seen_visitor(click: &Click<'_>) -> Option<(u64, i64)> {
    let key = VisitorKey::from_bytes(click.tag(Tag::VisitorKey)?)?;
    let is_accepted = click.head.reason == Reason::Redirected;
    let unix_seconds = (click.head.unix_ms / 1000).cast_signed();
    is_accepted.then(|| (key.hash_with_offer(click.head.offer_id), unix_seconds))
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
