//! Alerts about reached limits, given once for each limit and window.

use std::ops::Range;

use crate::catalog::CapMetric;
use crate::catalog::words::words;
use crate::store::rows::word;
use crate::store::{ReadTx, StoreError, WriteTx};

words! {
    /// The part of a limit that is used.
    AlertLevel {
        /// The part that the settings name.
        Near = "near",
        /// All.
        Reached = "reached",
    }
}

/// An alert that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapAlert {
    /// The counted value, a word of [`CapMetric`].
    pub metric: String,
    pub level: AlertLevel,
    /// The window, in Unix milliseconds.
    pub window: Range<u64>,
    /// Unix seconds.
    pub time_created: i64,
}

/// Records that a limit is reached, or nearly. Returns whether the alert is new.
pub fn record_alert(
    tx: &WriteTx<'_>,
    cap_id: u32,
    metric: CapMetric,
    level: AlertLevel,
    window: &Range<u64>,
) -> Result<bool, StoreError> {
    let sql = "INSERT OR IGNORE INTO cap_alert (cap_id, metric, from_ms, to_ms, level, time_created) \
               SELECT id, ?2, ?3, ?4, ?5, ?6 FROM cap WHERE id = ?1";
    let alert = (cap_id, metric.as_str(), window.start, window.end, level.as_str(), tx.now());
    Ok(tx.prepare_cached(sql)?.execute(alert)? > 0)
}

/// The alerts of a cap, latest first.
pub fn alerts(connection: &ReadTx<'_>, cap_id: u32) -> Result<Vec<CapAlert>, StoreError> {
    let sql = "SELECT metric, from_ms, to_ms, level, time_created FROM cap_alert WHERE cap_id = ?1 \
               ORDER BY time_created DESC, metric, level LIMIT 50";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([cap_id], |row| {
        let window = row.get(1)?..row.get(2)?;
        let (level, time_created) = (word(row, 3)?, row.get(4)?);
        Ok(CapAlert { metric: row.get(0)?, level, window, time_created })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
