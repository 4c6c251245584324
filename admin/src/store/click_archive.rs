//! Losses of the click archive: removed frames, truncated addresses, erased fields.
//!
//! Aggregates outlive clicks. A rebuild therefore recounts only the days (UTC) after the last
//! changed click and after the longest session that such a click may have begun. Earlier days keep
//! their counts, whatever the archive still has of them. The rebuild records which clicks it leaves
//! out, and they stay left out until the next rebuild, also if it is interrupted: a click of a kept
//! day is counted already if and only if its frame was counted before the rebuild.

use super::rollups::{self, SLOT_MS};
use super::{ReadTx, StoreError, WriteTx, bot_list, click_terms};

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
const SLOTS_PER_DAY: u64 = DAY_MS / SLOT_MS;

/// The row as read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchiveState {
    /// Earlier frames were removed.
    pub removed_before: u64,
    /// Time of the latest removed click, in Unix milliseconds.
    pub removed_through_ms: u64,
    /// Earlier frames have truncated addresses.
    pub truncated_before: u64,
    /// Time of the latest changed click.
    pub changed_through_ms: u64,
    /// Range that the last rebuild kept.
    pub kept: RetainedRange,
}

/// Clicks whose counts the last rebuild kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetainedRange {
    /// Clicks before this quarter hour, the start of a day …
    pub before_slot: u64,
    /// … in earlier frames.
    pub before_frame: u64,
}

impl RetainedRange {
    /// Whether a click of this time, in this frame, is counted already.
    #[must_use]
    pub fn has(&self, frame: u64, unix_ms: u64) -> bool {
        frame < self.before_frame && unix_ms / SLOT_MS < self.before_slot
    }
}

/// Reads the row.
pub fn state(connection: &ReadTx<'_>) -> Result<ArchiveState, StoreError> {
    let sql = "SELECT removed_before, removed_through_ms, truncated_before, changed_through_ms,
         kept_before_slot, kept_before_frame FROM click_archive";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(ArchiveState {
            removed_before: row.get(0)?,
            removed_through_ms: row.get(1)?,
            truncated_before: row.get(2)?,
            changed_through_ms: row.get(3)?,
            kept: RetainedRange { before_slot: row.get(4)?, before_frame: row.get(5)? },
        })
    };
    Ok(connection.prepare_cached(sql)?.query_row([], read)?)
}

/// Whether a click of this time may have been removed by age.
pub fn may_be_removed(connection: &ReadTx<'_>, unix_ms: u64) -> Result<bool, StoreError> {
    let state = state(connection)?;
    Ok(state.removed_before > 0 && unix_ms <= state.removed_through_ms)
}

/// Time of the latest click, in Unix milliseconds, of consecutive frames; `None` if one of them is
/// not counted.
pub fn latest_click(
    connection: &ReadTx<'_>,
    frames: std::ops::Range<u64>,
) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT count(*), max(max_unix_ms) FROM click_block
         WHERE archive_sequence >= ?1 AND archive_sequence < ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, u64>(0)?, row.get::<_, Option<u64>>(1)?));
    let (counted, latest) =
        connection.prepare_cached(sql)?.query_row((frames.start, frames.end), read)?;
    Ok(latest.filter(|_| counted == frames.end - frames.start))
}

/// Time of the earliest click of a counted frame, in Unix milliseconds.
pub fn earliest_click(connection: &ReadTx<'_>, frame: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT min(min_unix_ms) FROM click_block WHERE archive_sequence = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([frame], |row| row.get(0))?)
}

/// Time of the latest click of all earlier frames, in Unix milliseconds; `None` if unknown.
pub fn latest_before(connection: &ReadTx<'_>, frame: u64) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT max(max_unix_ms) FROM click_block WHERE archive_sequence < ?1";
    Ok(connection.prepare_cached(sql)?.query_row([frame], |row| row.get(0))?)
}

/// Number of clicks in all earlier frames.
pub fn clicks_before(connection: &ReadTx<'_>, frame: u64) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(sum(max(first_sequence + clicks - counted_from, 0)), 0)
         FROM click_block WHERE archive_sequence < ?1";
    Ok(connection.prepare_cached(sql)?.query_row([frame], |row| row.get(0))?)
}

/// Deletes the positions of clicks about to be removed: those in frames before `before`, the latest
/// at `through_ms`. Their counts stay.
pub fn remove(tx: &WriteTx<'_>, before: u64, through_ms: u64) -> Result<(), StoreError> {
    changed(tx, through_ms)?;
    // Missing clicks of a stream: the span of its removed sequences minus its removed clicks.
    let streams = "UPDATE click_stream AS stream
         SET removed_through = gone.through,
             removed_missing = removed_missing + gone.through - removed_through - gone.clicks
         FROM (SELECT node, incarnation, thread, max(first_sequence + clicks - 1) AS through,
                      sum(max(first_sequence + clicks - counted_from, 0)) AS clicks
               FROM click_block WHERE archive_sequence < ?1 GROUP BY 1, 2, 3) AS gone
         WHERE (stream.node, stream.incarnation, stream.thread)
             = (gone.node, gone.incarnation, gone.thread) AND gone.through > removed_through";
    tx.execute(streams, [before])?;
    tx.execute("DELETE FROM click_block WHERE archive_sequence < ?1", [before])?;
    tx.execute(
        "UPDATE click_archive SET removed_before = max(removed_before, ?1),
             removed_through_ms = max(removed_through_ms, ?2)",
        (before, through_ms),
    )?;
    Ok(())
}

/// Records that clicks up to this time are about to change.
pub fn changed(tx: &WriteTx<'_>, through_ms: u64) -> Result<(), StoreError> {
    let sql = "UPDATE click_archive SET changed_through_ms = max(changed_through_ms, ?1)";
    tx.execute(sql, [through_ms])?;
    Ok(())
}

/// Records that earlier frames have truncated addresses.
pub fn truncated(tx: &WriteTx<'_>, before: u64) -> Result<(), StoreError> {
    let sql = "UPDATE click_archive SET truncated_before = max(truncated_before, ?1)";
    tx.execute(sql, [before])?;
    Ok(())
}

/// Begins a rebuild: deletes data that the archive can give again.
pub fn begin_rebuild(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let state = state(tx)?;
    let counted = "SELECT ifnull(max(archive_sequence) + 1, 0) FROM click_block";
    let counted: u64 = tx.query_row(counted, [], |row| row.get(0))?;
    let counted = counted.max(state.removed_before);
    let kept = if counted < state.kept.before_frame {
        // An interrupted rebuild: only its kept range is counted now.
        state.kept
    } else {
        RetainedRange { before_slot: first_as_recorded(tx)?, before_frame: counted }
    };
    tx.execute(
        "UPDATE click_archive SET kept_before_slot = ?1, kept_before_frame = ?2",
        (kept.before_slot, kept.before_frame),
    )?;
    tx.execute_batch(
        "DELETE FROM click_block; DELETE FROM click_stream WHERE removed_through = 0;
         UPDATE click_stream SET last_sequence = removed_through, missing = removed_missing;",
    )?;
    rollups::delete_clicks(tx, kept.before_slot)?;
    bot_list::put_in_force_for_rebuild(tx, kept.before_slot)
}

/// First quarter hour, the start of a day, from which on the archive holds all counted clicks
/// unchanged.
pub fn first_as_recorded(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    match state(connection)?.changed_through_ms {
        0 => Ok(0),
        through_ms => Ok(first_whole_day(through_ms + longest_session_ms(connection)?)),
    }
}

/// Longest time between two visits whose classification depends on each other.
fn longest_session_ms(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    Ok(click_terms::longest_session_hours(connection)?.saturating_mul(HOUR_MS))
}

/// The quarter hour at the start of the day after a time.
fn first_whole_day(unix_ms: u64) -> u64 {
    (unix_ms / DAY_MS + 1) * SLOTS_PER_DAY
}
