//! Facts from the catalog for deciding a conversion. Offers and advertisers are found deleted, too,
//! because past clicks name them.

use jiff::civil::Date;
use rusqlite::OptionalExtension;

use super::rows::{self, day, word};
use super::{ReadTx, StoreError, WriteTx, removal_clock};
use crate::attribution::evidence::CodeFacts;
use crate::catalog::{AccountStatus, Advertiser, FoldedKey, Offer, PartnerVisibility};

/// Ten minutes, in milliseconds.
const SLOT_MS: u64 = 600_000;
const SLOTS_PER_HOUR: u64 = 6;

/// All rows of a code, without deleted ones.
pub fn codes(connection: &ReadTx<'_>, code: &FoldedKey) -> Result<Vec<CodeFacts>, StoreError> {
    let sql = "SELECT id, code, offer_id, affiliate_id, status, start_date, end_date, \
               conversion_only FROM coupon_code WHERE folded = ?1 AND time_deleted = 0 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([code.as_str()], |row| {
        let (start_date, end_date): (Option<Date>, Option<Date>) = (day(row, 5)?, day(row, 6)?);
        Ok(CodeFacts {
            code_id: row.get(0)?,
            coupon_code: row.get(1)?,
            offer_id: row.get(2)?,
            affiliate_id: row.get(3)?,
            status: word(row, 4)?,
            start_date,
            end_date,
            conversion_only: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Finds an offer, deleted or not.
pub fn offer(connection: &ReadTx<'_>, id: u32) -> Result<Option<Offer>, StoreError> {
    Ok(rows::find_including_deleted::<Offer>(connection, id)?.map(|stored| stored.object))
}

/// Finds an advertiser, deleted or not.
pub fn advertiser(connection: &ReadTx<'_>, id: u32) -> Result<Option<Advertiser>, StoreError> {
    Ok(rows::find_including_deleted::<Advertiser>(connection, id)?.map(|stored| stored.object))
}

/// All advertisers with a trust rule, without deleted ones.
pub fn guarded_advertisers(connection: &ReadTx<'_>) -> Result<Vec<(u32, Advertiser)>, StoreError> {
    let sql = "SELECT id FROM advertiser WHERE time_deleted = 0 AND \
               (verification_token <> '' OR signing_key <> '' OR ip_allow_list <> '[]')";
    let mut statement = connection.prepare_cached(sql)?;
    let ids: Vec<u32> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut guarded = Vec::new();
    for id in ids {
        guarded.extend(advertiser(connection, id)?.map(|advertiser| (id, advertiser)));
    }
    Ok(guarded)
}

/// Account status of a partner; `None` for a deleted partner.
pub fn partner(connection: &ReadTx<'_>, id: u32) -> Result<Option<AccountStatus>, StoreError> {
    let sql = "SELECT account_status FROM affiliate WHERE id = ?1 AND time_deleted = 0";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([id], |row| word(row, 0)).optional()?)
}

/// Approval of a partner on an offer.
pub fn access(
    connection: &ReadTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
) -> Result<Option<PartnerVisibility>, StoreError> {
    let sql = "SELECT status FROM offer_visibility WHERE offer_id = ?1 AND affiliate_id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row((offer_id, affiliate_id), |row| word(row, 0)).optional()?)
}

/// Records that codes were clicked and led to an offer.
pub fn remember_clicked(
    tx: &WriteTx<'_>,
    code_ids: impl IntoIterator<Item = u32>,
) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO clicked_code (code_id) VALUES (?1)";
    let mut statement = tx.prepare_cached(sql)?;
    for code_id in code_ids {
        statement.execute([code_id])?;
    }
    Ok(())
}

/// Whether a row of a code was ever clicked and led to an offer.
pub fn was_clicked(connection: &ReadTx<'_>, code_id: u32) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM clicked_code WHERE code_id = ?1";
    Ok(connection.prepare_cached(sql)?.exists([code_id])?)
}

/// Counts one more conversion by a code alone; returns the counts of the last hour, this one
/// included, and of the `hours_before` before it. Older counts are deleted.
pub fn count_alone(
    tx: &WriteTx<'_>,
    folded_code: &str,
    unix_ms: u64,
    hours_before: u64,
) -> Result<(u64, u64), StoreError> {
    let slot = unix_ms / SLOT_MS;
    let hour_began = (slot + 1).saturating_sub(SLOTS_PER_HOUR);
    let began = hour_began.saturating_sub(hours_before * SLOTS_PER_HOUR);
    let add = "INSERT INTO code_alone VALUES (?1, ?2, 1) \
               ON CONFLICT DO UPDATE SET conversions = conversions + 1 RETURNING conversions";
    let mut add = tx.prepare_cached(add)?;
    let in_slot: u64 = add.query_row((folded_code, slot), |row| row.get(0))?;
    // Uses trusted time, because the clock of the postback may be wrong.
    if in_slot == 1
        && let Some(now) = removal_clock::removal_time(tx)?
    {
        let began =
            began.min((now.unix_ms() / SLOT_MS).saturating_sub(hours_before * SLOTS_PER_HOUR));
        let forget = "DELETE FROM code_alone WHERE folded_code = ?1 AND slot < ?2";
        tx.prepare_cached(forget)?.execute((folded_code, began))?;
    }
    let sql = "SELECT coalesce(sum(conversions) FILTER (WHERE slot >= ?2), 0), \
               coalesce(sum(conversions) FILTER (WHERE slot < ?2), 0) FROM code_alone \
               WHERE folded_code = ?1 AND slot >= ?3 AND slot <= ?4";
    let mut statement = tx.prepare_cached(sql)?;
    let counts = statement
        .query_row((folded_code, hour_began, began, slot), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts)
}
