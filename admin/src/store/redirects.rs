//! Redirects of offers: where refused visitors go.

use rusqlite::Row;

use super::rows::{from_json, json_column};
use super::{ReadTx, StoreError, WriteTx, rulesets};
use crate::catalog::InternalRedirect;

/// Saves the redirects of an offer in place of its former ones. Named redirects keep their ids.
pub(super) fn save(
    tx: &WriteTx<'_>,
    offer_id: u32,
    redirects: &[InternalRedirect],
) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM offer_redirect WHERE offer_id = ?1")?.execute([offer_id])?;
    let sql = "INSERT INTO offer_redirect (id, offer_id, position, destination_offer_id, \
               routing_value, fail_reasons, ruleset, destination_offer_url_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut insert = tx.prepare_cached(sql)?;
    for (position, redirect) in (0_u32..).zip(redirects) {
        insert.execute((
            redirect.network_offer_redirect_id,
            offer_id,
            position,
            redirect.redirect_network_offer_id,
            redirect.routing_value,
            json_column(&redirect.fail_reasons),
            rulesets::column(&redirect.ruleset),
            redirect.redirect_network_offer_url_id,
        ))?;
    }
    Ok(())
}

/// The redirects of an offer, in order.
pub(super) fn find(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<InternalRedirect>, StoreError> {
    let sql = "SELECT id, destination_offer_id, routing_value, fail_reasons, ruleset, \
               destination_offer_url_id FROM offer_redirect WHERE offer_id = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let redirects = statement.query_map([offer_id], |row| {
        Ok(InternalRedirect {
            network_offer_redirect_id: Some(row.get(0)?),
            redirect_network_offer_id: row.get(1)?,
            redirect_network_offer_url_id: row.get(5)?,
            redirect_network_offer_group_id: None,
            routing_value: row.get(2)?,
            fail_reasons: from_json(row, 3)?,
            ruleset: from_json(row, 4)?,
        })
    })?;
    Ok(redirects.collect::<Result<_, _>>()?)
}

/// Whether a redirect belongs to the offer.
pub fn has_redirect(
    connection: &ReadTx<'_>,
    offer_id: u32,
    redirect_id: u32,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offer_redirect WHERE id = ?1 AND offer_id = ?2";
    Ok(connection.prepare_cached(sql)?.exists((redirect_id, offer_id))?)
}

/// An offer that sends visitors to another offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendingOffer {
    /// The offer.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The forwarding rule; `None` for fail traffic.
    pub rule_id: Option<u32>,
}

/// The offers that send visitors to an offer, by id, deleted ones excluded.
pub fn senders(connection: &ReadTx<'_>, offer_id: u32) -> Result<Vec<SendingOffer>, StoreError> {
    let sql = "SELECT offer.id, offer.name, NULL FROM offer_redirect r \
               JOIN offer ON offer.id = r.offer_id AND offer.time_deleted = 0 \
               WHERE r.destination_offer_id = ?1 \
               UNION SELECT offer.id, offer.name, r.id FROM forwarding_rule r \
               JOIN offer ON offer.id = r.offer_id AND offer.time_deleted = 0 \
               WHERE r.destination_offer_id = ?1 AND r.time_deleted = 0 ORDER BY 1, 3";
    let read = |row: &Row<'_>| {
        Ok(SendingOffer { id: row.get(0)?, name: row.get(1)?, rule_id: row.get(2)? })
    };
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([offer_id], read)?.collect::<Result<_, _>>()?)
}
