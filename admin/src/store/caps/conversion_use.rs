//! Conversions and amounts that count for caps: base conversions that are approved or pending.
//!
//! A row of `cap_use` holds the sums of a cap in a window, and exists only after somebody asked.
//! Each change of a conversion changes the present rows, in the transaction of the change. So the
//! sums are exact for the next conversion of the same transaction. Where the scope of a cap changes,
//! triggers delete its rows, and the next question counts again.

use std::ops::Range;

use rusqlite::OptionalExtension;

use super::{Cap, CapScope};
use crate::catalog::Money;
use crate::store::conversions::{Conversion, Status};
use crate::store::{ReadTx, StoreError, WriteTx};

/// Rows of windows that ended so long ago are deleted: 70 days, in milliseconds.
const RETAINED_MS: u64 = 70 * 86_400_000;

/// Counted conversions with their sums, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversionUse {
    /// Number of conversions.
    pub conversions: i64,
    /// Sum of payouts.
    pub payout: i64,
    /// Sum of revenues.
    pub revenue: i64,
}

impl ConversionUse {
    fn plus(self, other: ConversionUse) -> ConversionUse {
        ConversionUse {
            conversions: self.conversions + other.conversions,
            payout: self.payout.saturating_add(other.payout),
            revenue: self.revenue.saturating_add(other.revenue),
        }
    }

    fn minus(self, other: ConversionUse) -> ConversionUse {
        ConversionUse {
            conversions: self.conversions - other.conversions,
            payout: self.payout.saturating_sub(other.payout),
            revenue: self.revenue.saturating_sub(other.revenue),
        }
    }

    /// The part of a conversion with this status.
    fn of_conversion(status: Status, payout: Money, revenue: Money) -> ConversionUse {
        match status {
            Status::Approved | Status::Pending => ConversionUse {
                conversions: 1,
                payout: payout.millionths(),
                revenue: revenue.millionths(),
            },
            Status::Rejected | Status::Invalid => ConversionUse::default(),
        }
    }
}

/// The conversions that count for a cap in a window, and remembers the sums.
pub fn conversions_in(
    tx: &WriteTx<'_>,
    cap: &Cap,
    window: &Range<u64>,
) -> Result<ConversionUse, StoreError> {
    if let Some(known) = remembered(tx, cap.id, window)? {
        return Ok(known);
    }
    let counted = count(tx, cap.scope, window)?;
    let now_ms = u64::try_from(tx.now()).unwrap_or_default() * 1000;
    let sql = "DELETE FROM cap_use WHERE cap_id = ?1 AND to_ms < ?2";
    tx.prepare_cached(sql)?.execute((cap.id, now_ms.saturating_sub(RETAINED_MS)))?;
    let sql = "INSERT INTO cap_use (cap_id, from_ms, to_ms, conversions, payout, revenue) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    tx.prepare_cached(sql)?.execute((
        cap.id,
        window.start,
        window.end,
        counted.conversions,
        counted.payout,
        counted.revenue,
    ))?;
    Ok(counted)
}

/// The conversions that count for a cap in a window.
pub fn read_conversions_in(
    connection: &ReadTx<'_>,
    cap: &Cap,
    window: &Range<u64>,
) -> Result<ConversionUse, StoreError> {
    match remembered(connection, cap.id, window)? {
        Some(known) => Ok(known),
        None => count(connection, cap.scope, window),
    }
}

fn remembered(
    connection: &ReadTx<'_>,
    cap_id: u32,
    window: &Range<u64>,
) -> Result<Option<ConversionUse>, StoreError> {
    let sql = "SELECT conversions, payout, revenue FROM cap_use \
               WHERE cap_id = ?1 AND from_ms = ?2 AND to_ms = ?3";
    let known =
        connection.prepare_cached(sql)?.query_row((cap_id, window.start, window.end), |row| {
            let (conversions, payout, revenue) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(ConversionUse { conversions, payout, revenue })
        });
    Ok(known.optional()?)
}

/// Reads each conversion of the window: amounts are decimal texts, which SQL cannot add exactly.
fn count(
    connection: &ReadTx<'_>,
    scope: CapScope,
    window: &Range<u64>,
) -> Result<ConversionUse, StoreError> {
    let (condition, first, second) = match scope {
        CapScope::Offer(offer) => ("offer_id = ?1 AND ?2 = 0", offer, 0),
        CapScope::Partner { offer, partner } => {
            ("offer_id = ?1 AND affiliate_id = ?2", offer, partner)
        }
        CapScope::Code { partner, code, .. } => {
            ("code_id = ?1 AND ?2 IN (0, affiliate_id)", code, partner)
        }
        CapScope::Group(group) => {
            ("offer_id IN (SELECT id FROM offer WHERE offer_group_id = ?1) AND ?2 = 0", group, 0)
        }
    };
    let sql = format!(
        "SELECT status, payout, revenue FROM conversion WHERE {condition} AND unix_ms >= ?3 \
         AND unix_ms < ?4 AND event_id = 0 AND refund_of IS NULL \
         AND status IN ('approved', 'pending')"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query((first, second, window.start, window.end))?;
    let mut sum = ConversionUse::default();
    while let Some(row) = rows.next()? {
        sum = sum.plus(ConversionUse::of_conversion(row.get(0)?, row.get(1)?, row.get(2)?));
    }
    Ok(sum)
}

/// Counts a new conversion.
pub(in crate::store) fn add_conversion(
    tx: &WriteTx<'_>,
    new: &Conversion,
) -> Result<(), StoreError> {
    apply(tx, new, use_of(new))
}

/// Counts the difference that the change of a row will make. Call before the row is written.
pub(in crate::store) fn change_conversion(
    tx: &WriteTx<'_>,
    number: u32,
    after: &Conversion,
) -> Result<(), StoreError> {
    let sql = "SELECT status, payout, revenue FROM conversion WHERE number = ?1";
    let before = tx.prepare_cached(sql)?.query_row([number], |row| {
        Ok(ConversionUse::of_conversion(row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    apply(tx, after, use_of(after).minus(before))
}

fn use_of(conversion: &Conversion) -> ConversionUse {
    ConversionUse::of_conversion(conversion.status, conversion.payout, conversion.revenue)
}

/// Adds to the rows of all caps that count the conversion, also of caps that do not hold now. Sums
/// stay within bounds that no real sum reaches, so an addition never fails.
fn apply(
    tx: &WriteTx<'_>,
    conversion: &Conversion,
    difference: ConversionUse,
) -> Result<(), StoreError> {
    let is_counted = conversion.event_id == 0 && !conversion.is_refund();
    if !is_counted || difference == ConversionUse::default() {
        return Ok(());
    }
    let sql = "UPDATE cap_use SET conversions = conversions + ?5, \
               payout = max(min(payout + ?6, 4000000000000000000), -4000000000000000000), \
               revenue = max(min(revenue + ?7, 4000000000000000000), -4000000000000000000) \
               WHERE from_ms <= ?4 AND to_ms > ?4 AND cap_id IN (\
               SELECT id FROM cap WHERE offer_id = ?1 \
               UNION ALL SELECT cap.id FROM offer JOIN cap ON cap.group_id = offer.offer_group_id \
               WHERE offer.id = ?1 \
               UNION ALL SELECT cap.id FROM custom_cap custom \
               JOIN cap ON cap.custom_id = custom.id \
               WHERE (code_id = ?3 AND ifnull(affiliate_id, ?2) = ?2) \
               OR (code_id IS NULL AND custom.offer_id = ?1 AND affiliate_id = ?2))";
    tx.prepare_cached(sql)?.execute((
        conversion.offer_id,
        conversion.affiliate_id,
        conversion.code_id,
        conversion.unix_ms,
        difference.conversions,
        difference.payout,
        difference.revenue,
    ))?;
    Ok(())
}
