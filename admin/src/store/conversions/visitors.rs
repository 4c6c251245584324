//! Visitors of whom a conversion is approved or pending.

use coupon_shared::visitor_key::VisitorKey;

use crate::store::{ReadTx, StoreError};

/// Whether an offer refuses visitors who have converted.
pub fn are_blocked(connection: &ReadTx<'_>) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offer INDEXED BY offer_with_visit_rules \
               WHERE (is_caps_enabled + is_duplicate_filter_enabled + is_block_already_converted > 0 \
               OR offer_group_id IS NOT NULL) AND is_block_already_converted";
    Ok(connection.prepare_cached(sql)?.exists([])?)
}

/// Hashes of visitor and offer, ascending, of offers that refuse visitors who have converted. Of
/// more than `most`, the newest.
pub fn converted(
    connection: &ReadTx<'_>,
    since_ms: u64,
    most: usize,
) -> Result<Vec<u64>, StoreError> {
    let sql = "SELECT visitor_key, offer_id FROM conversion INDEXED BY conversion_visitor \
               WHERE visitor_key <> 0 AND status IN ('approved', 'pending') AND unix_ms >= ?1 \
               AND event_id = 0 AND refund_of IS NULL \
               AND offer_id IN (SELECT id FROM offer WHERE is_block_already_converted) \
               ORDER BY unix_ms DESC LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let hashes = statement.query_map((since_ms, most), |row| {
        let key = VisitorKey(row.get::<_, i64>(0)?.cast_unsigned());
        Ok(key.hash_with_offer(row.get(1)?))
    })?;
    let mut hashes: Vec<u64> = hashes.collect::<Result<_, _>>()?;
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}
