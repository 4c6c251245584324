//! Alerts about reached limits, given once for each limit and window.

use std::ops::Range;

use crate::catalog::CapMetric;
use crate::store::{ReadTx, StoreError, WriteTx};

/// An alert that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapAlert {
    /// The counted value, a word of [`CapMetric`].
    pub metric: String,
    /// The window, in Unix milliseconds.
    pub window: Range<u64>,
    /// Unix seconds.
    pub time_created: i64,
}

/// Records that a limit is reached. Returns whether the alert is new.
pub fn record_alert(
    tx: &WriteTx<'_>,
    cap_id: u32,
    metric: CapMetric,
    window: &Range<u64>,
) -> Result<bool, StoreError> {
    let sql = "INSERT OR IGNORE INTO cap_alert (cap_id, metric, from_ms, to_ms, time_created) \
               SELECT id, ?2, ?3, ?4, ?5 FROM cap WHERE id = ?1";
    let alert = (cap_id, metric.as_str(), window.start, window.end, tx.now());
    Ok(tx.prepare_cached(sql)?.execute(alert)? > 0)
}

/// The alerts of a cap, latest first.
pub fn alerts(connection: &ReadTx<'_>, cap_id: u32) -> Result<Vec<CapAlert>, StoreError> {
    let sql = "SELECT metric, from_ms, to_ms, time_created FROM cap_alert WHERE cap_id = ?1 \
               ORDER BY time_created DESC, metric LIMIT 50";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([cap_id], |row| {
        let window = row.get(1)?..row.get(2)?;
        Ok(CapAlert { metric: row.get(0)?, window, time_created: row.get(3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
