//! Alerts about visits from one address, given once a day for each partner and code.

use std::ops::Range;

use super::{StoreError, WriteTx};

/// Traffic that an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum AlertedTraffic {
    /// All visits of a partner.
    Partner(u32),
    /// All visits of a row of a coupon code.
    Code(u32),
}

/// Most visits of a day come from one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressAlert {
    pub(crate) traffic: AlertedTraffic,
    /// The day, in Unix milliseconds.
    pub(crate) window: Range<u64>,
    /// All visits with an address.
    pub(crate) visits: u64,
    /// Visits of the most frequent address.
    pub(crate) most: u64,
}

/// Records an alert. Returns whether the day has none yet for this traffic.
pub(crate) fn record(tx: &WriteTx<'_>, alert: &AddressAlert) -> Result<bool, StoreError> {
    let (partner, code) = match alert.traffic {
        AlertedTraffic::Partner(id) => (id, 0),
        AlertedTraffic::Code(id) => (0, id),
    };
    let sql = "DELETE FROM address_alert WHERE from_ms < ?1";
    tx.prepare_cached(sql)?.execute([alert.window.start.saturating_sub(KEPT_MS)])?;
    let sql = "INSERT OR IGNORE INTO address_alert (affiliate_id, coupon_code_id, from_ms) \
               VALUES (?1, ?2, ?3)";
    Ok(tx.prepare_cached(sql)?.execute((partner, code, alert.window.start))? > 0)
}

/// Alerts of earlier days are of no use: no alert of those days comes again.
const KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
