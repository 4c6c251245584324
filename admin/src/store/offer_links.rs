//! The parts of a link of an offer for a partner.

use rusqlite::OptionalExtension;

use super::rows::{Listed, Page};
use super::{ReadTx, StoreError};

/// Whether a partner may run an offer, and where its links lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferLink {
    /// Base URL of the offer's tracking domain, else of the default one.
    pub base_url: Option<String>,
    /// The offer is visible for the partner.
    pub is_visible: bool,
    /// The offer is active and its last day has not passed on `today`.
    pub is_offer_active: bool,
    /// The partner is active.
    pub is_partner_active: bool,
}

impl OfferLink {
    /// Whether visitors of the link come to the offer, as far as offer and partner decide.
    #[must_use]
    pub fn is_runnable(&self) -> bool {
        self.is_visible && self.is_offer_active && self.is_partner_active
    }
}

/// A page of the ids of offers that a partner may run on `today`, by id.
pub fn runnable(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    today: &str,
    page: Page,
) -> Result<Listed<u32>, StoreError> {
    let wanted = "FROM offer o JOIN affiliate a ON a.id = ?1 AND a.time_deleted = 0 \
                  AND a.account_status = 'active' \
                  LEFT JOIN offer_visibility v ON v.offer_id = o.id AND v.affiliate_id = a.id \
                  WHERE o.time_deleted = 0 AND o.offer_status = 'active' \
                  AND (o.date_live_until IS NULL OR o.date_live_until >= ?2) \
                  AND coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible'";
    let total_count = connection
        .prepare_cached(&format!("SELECT count(*) {wanted}"))?
        .query_row((affiliate_id, today), |row| row.get(0))?;
    let offset = u64::from(page.number.saturating_sub(1)) * u64::from(page.size);
    let sql = format!("SELECT o.id {wanted} ORDER BY o.id LIMIT ?3 OFFSET ?4");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement
        .query_map((affiliate_id, today, page.size, offset), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, total_count))
}

/// Reads the parts of a link; `None` if the offer or the partner does not exist.
pub fn find(
    connection: &ReadTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
    today: &str,
) -> Result<Option<OfferLink>, StoreError> {
    let sql = "SELECT (SELECT d.base_url FROM tracking_domain d WHERE d.time_deleted = 0 AND \
               d.id = coalesce(o.tracking_domain_id, \
               (SELECT default_tracking_domain_id FROM settings))), \
               coalesce(v.status, iif(o.visibility = 'public', 'visible', 'hidden')) = 'visible', \
               o.offer_status = 'active' AND (o.date_live_until IS NULL OR o.date_live_until >= ?3), \
               a.account_status = 'active' \
               FROM offer o JOIN affiliate a ON a.id = ?2 AND a.time_deleted = 0 \
               LEFT JOIN offer_visibility v ON v.offer_id = o.id AND v.affiliate_id = a.id \
               WHERE o.id = ?1 AND o.time_deleted = 0";
    let found = connection.prepare_cached(sql)?.query_row((offer_id, affiliate_id, today), |row| {
        Ok(OfferLink {
            base_url: row.get(0)?,
            is_visible: row.get(1)?,
            is_offer_active: row.get(2)?,
            is_partner_active: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}
