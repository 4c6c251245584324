//! Removal by age, and of the oldest clicks beyond the bound of the archive, in periodic checks.
//!
//! A segment of the archive is closed each day, so each holds the clicks of one or two days and is
//! removed as a whole, when its last click is old enough. The oldest segment is removed first; a
//! segment with a click from a fast clock delays the segments after it.
//!
//! Ages are computed from a [`RemovalTime`], which exists only while the clock is trusted.

use std::ops::Range;

use coupon_shared::click::block::PersonalAction;
use coupon_shared::removal_clock::RemovalTime;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{PrivacyError, PrivacyWorker};
use crate::archive::Archive;
use crate::store::erasure::personal_rows;
use crate::store::{self, ReadTx, StoreError, WriteTx, audit, click_archive};

/// Retention of postbacks that identify nothing, if others are kept longer.
const UNIDENTIFIED_POSTBACK_DAYS: u32 = 30;

pub(super) async fn pass(
    worker: &PrivacyWorker,
    now: Timestamp,
    removal: Option<RemovalTime>,
) -> Result<(), PrivacyError> {
    close_yesterdays_segment(worker, now).await?;
    // Decided by a time that was trusted then.
    finish_interrupted_removal(worker).await?;
    bound_archive(worker).await?;
    let Some(now) = removal else { return Ok(()) };
    let (periods, mut changed_rows) = (worker.periods, 0);
    if let Some(before_ms) = days_before(now, periods.click_days) {
        remove_clicks(worker, before_ms).await?;
    }
    if let Some(before_ms) = days_before(now, periods.address_days) {
        truncate_clicks(worker, before_ms).await?;
        let rows =
            repeat_until_done(worker, move |tx| personal_rows::truncate_addresses(tx, before_ms))
                .await?;
        record_removal(worker, "address", "truncated", rows, before_ms).await?;
        changed_rows += rows;
    }
    if let Some(before_ms) = days_before(now, UNIDENTIFIED_POSTBACK_DAYS) {
        let removed = repeat_until_done(worker, move |tx| {
            personal_rows::remove_unidentified_postbacks(tx, before_ms)
        })
        .await?;
        record_removal(worker, "unidentified_postback", "removed", removed, before_ms).await?;
        changed_rows += removed;
    }
    if let Some(before_ms) = days_before(now, periods.postback_days) {
        let removed =
            repeat_until_done(worker, move |tx| personal_rows::remove_postbacks(tx, before_ms))
                .await?;
        record_removal(worker, "postback", "removed", removed, before_ms).await?;
        changed_rows += removed;
    }
    if changed_rows > 0 { overwrite_wal(worker).await } else { Ok(()) }
}

/// Data overwritten in the store's file remain in its write-ahead log.
async fn overwrite_wal(worker: &PrivacyWorker) -> Result<(), PrivacyError> {
    let dir = worker.store.dir().to_owned();
    let work = tokio::task::spawn_blocking(move || store::vacuum_and_truncate_wal(&dir, false));
    match work.await.map_err(|_panicked| StoreError::Aborted)? {
        // A reader holds an older state; later writes will overwrite the log.
        Err(StoreError::Busy) => Ok(()),
        done => Ok(done?),
    }
}

/// In Unix milliseconds; `None` for 0 days, which is for ever.
fn days_before(now: RemovalTime, days: u32) -> Option<u64> {
    (days > 0).then(|| now.days_before(days))
}

async fn close_yesterdays_segment(
    worker: &PrivacyWorker,
    now: Timestamp,
) -> Result<(), PrivacyError> {
    let first = worker.archive.open_segment().start;
    let earliest = worker.store.read(move |c| click_archive::earliest_click(c, first)).await?;
    let midnight = now.to_zoned_datetime(TimeZone::UTC).start_of_day();
    let midnight = midnight.map_or(0, |midnight| midnight.timestamp().as_millisecond());
    if earliest.is_some_and(|ms| ms < u64::try_from(midnight).unwrap_or(0)) {
        worker.archive.on_disk(Archive::close_segment).await?;
    }
    Ok(())
}

/// Finishes an interrupted removal. After a restore from a backup made during one, records the
/// loss.
async fn finish_interrupted_removal(worker: &PrivacyWorker) -> Result<(), PrivacyError> {
    let held_from = worker.archive.sequences().start;
    let take_up = move |tx: &WriteTx<'_>| {
        if let Some(latest_ms) = click_archive::latest_before(tx, held_from)? {
            click_archive::remove(tx, held_from, latest_ms)?;
        }
        click_archive::state(tx)
    };
    let state = worker.store.write(take_up).await?;
    let before = state.removed_before;
    Ok(worker.archive.on_disk(move |archive| archive.remove_before(before)).await?)
}

/// Closed segments from a frame on whose clicks are all counted and older than a time, up to the
/// first newer one, each with its latest click.
async fn old_segments(
    worker: &PrivacyWorker,
    from: u64,
    before_ms: u64,
) -> Result<Vec<(Range<u64>, u64)>, StoreError> {
    let segments = worker.archive.closed_segments();
    let find = move |connection: &ReadTx<'_>| {
        let mut old = Vec::new();
        for segment in segments.into_iter().filter(|segment| segment.end > from) {
            match click_archive::latest_click(connection, segment.clone())? {
                Some(latest_ms) if latest_ms < before_ms => old.push((segment, latest_ms)),
                _ => break,
            }
        }
        Ok(old)
    };
    worker.store.read(find).await
}

async fn remove_clicks(worker: &PrivacyWorker, before_ms: u64) -> Result<(), PrivacyError> {
    let old = old_segments(worker, 0, before_ms).await?;
    let clicks = worker.store.read({
        let end = old.last().map_or(0, |(segment, _)| segment.end);
        move |connection| click_archive::clicks_before(connection, end)
    });
    let clicks = if old.is_empty() { 0 } else { clicks.await? };
    record_removal(worker, "click", "removed", clicks, before_ms).await?;
    for (segment, latest_ms) in old {
        worker.store.write(move |tx| click_archive::remove(tx, segment.end, latest_ms)).await?;
        worker.on_disk_with_rest(move |archive| archive.remove_before(segment.end)).await?;
        worker.segment_done();
    }
    Ok(())
}

/// Removes the oldest segments while the archive exceeds its bound, in the order of their frames. No
/// clock is asked, so a wrong one removes no other clicks. Segments with clicks that are not counted
/// yet stay, and so do all later ones.
async fn bound_archive(worker: &PrivacyWorker) -> Result<(), PrivacyError> {
    let max_bytes = worker.periods.archive_max_bytes;
    while max_bytes > 0 && worker.archive.bytes_on_disk() > max_bytes {
        let Some(segment) = worker.archive.closed_segments().into_iter().next() else { break };
        let end = segment.end;
        let find = move |connection: &ReadTx<'_>| {
            let latest_ms = click_archive::latest_click(connection, segment)?;
            Ok::<_, StoreError>((latest_ms, click_archive::clicks_before(connection, end)?))
        };
        let (Some(latest_ms), clicks) = worker.store.read(find).await? else { break };
        record_removal_for_room(worker, clicks, max_bytes).await?;
        worker.store.write(move |tx| click_archive::remove(tx, end, latest_ms)).await?;
        worker.on_disk_with_rest(move |archive| archive.remove_before(end)).await?;
        worker.segment_done();
        worker.update(|status| status.clicks_removed_for_room += clicks);
    }
    Ok(())
}

async fn record_removal_for_room(
    worker: &PrivacyWorker,
    clicks: u64,
    max_bytes: u64,
) -> Result<(), StoreError> {
    tracing::warn!(clicks, max_bytes, "oldest clicks removed: the archive has reached its bound");
    let change = audit::FieldChange {
        field: "archive_max_bytes".into(),
        before: Value::Null,
        after: json!(max_bytes),
    };
    write_audit(worker, "click", "removed", clicks, vec![change]).await
}

async fn truncate_clicks(worker: &PrivacyWorker, before_ms: u64) -> Result<(), PrivacyError> {
    let state = worker.store.read(click_archive::state).await?;
    let old = old_segments(worker, state.truncated_before, before_ms).await?;
    record_removal(worker, "click_archive", "truncated", old.len() as u64, before_ms).await?;
    for (segment, latest_ms) in old {
        worker.store.write(move |tx| click_archive::changed(tx, latest_ms)).await?;
        let first = segment.start;
        worker
            .on_disk_with_rest(move |archive| {
                archive.rewrite(first, |_| PersonalAction::TruncateAddress)
            })
            .await?;
        worker.store.write(move |tx| click_archive::truncated(tx, segment.end)).await?;
        worker.segment_done();
    }
    Ok(())
}

/// Repeats a step, with rests, until nothing is left; returns the amount of work.
async fn repeat_until_done(
    worker: &PrivacyWorker,
    step: impl Fn(&WriteTx<'_>) -> Result<u64, StoreError> + Copy + Send + 'static,
) -> Result<u64, StoreError> {
    let mut all = 0;
    loop {
        let began = std::time::Instant::now();
        let done = worker.store.write(step).await?;
        if done == 0 {
            return Ok(all);
        }
        all += done;
        tokio::time::sleep(began.elapsed()).await;
    }
}

async fn record_removal(
    worker: &PrivacyWorker,
    object: &'static str,
    action: &'static str,
    objects: u64,
    before_ms: u64,
) -> Result<(), StoreError> {
    if objects == 0 {
        return Ok(());
    }
    tracing::info!(
        object,
        action,
        count = objects,
        older_than_ms = before_ms,
        "what was too old is gone"
    );
    let before = Timestamp::from_millisecond(i64::try_from(before_ms).unwrap_or(0));
    let before = before.map_or(Value::Null, |before| json!(before.to_string()));
    let changes =
        vec![audit::FieldChange { field: "older_than".into(), before: Value::Null, after: before }];
    write_audit(worker, object, action, objects, changes).await
}

async fn write_audit(
    worker: &PrivacyWorker,
    object: &'static str,
    action: &'static str,
    objects: u64,
    changes: Vec<audit::FieldChange>,
) -> Result<(), StoreError> {
    let record = move |tx: &WriteTx<'_>| {
        let entry = audit::AuditEntry { object, action, objects, first_id: 0, last_id: 0, changes };
        audit::record(tx, &entry)
    };
    worker.store.write(record).await
}
