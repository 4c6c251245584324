//! Partners, and their approvals on offers.

use std::collections::HashMap;

use rusqlite::Row;
use rusqlite::types::Value;

use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, Vocabulary, from_json, json_column, word,
};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{AccountStatus, Affiliate, PartnerVisibility};

impl Entity for Affiliate {
    const TABLE: &'static str = "affiliate";
    const SELECT: &'static str = "name, account_status, internal_notes, kept_fields";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_affiliate_id", column: "id", kind: Compared::Number },
        Filterable { field: "name", column: "name", kind: Compared::Text },
        Filterable {
            field: "account_status",
            column: "account_status",
            kind: Compared::Word(Vocabulary::from_word_set::<AccountStatus>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<Affiliate> {
        Ok(Affiliate {
            name: row.get(FIRST)?,
            account_status: word(row, FIRST + 1)?,
            internal_notes: row.get(FIRST + 2)?,
            kept: from_json(row, FIRST + 3)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("name", self.name.clone().into()),
            ("account_status", self.account_status.as_str().to_owned().into()),
            ("internal_notes", self.internal_notes.clone().into()),
            ("kept_fields", json_column(&self.kept)),
        ]
    }
}

/// Approvals of all partners on one offer, by partner.
pub fn visibility_on(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<(u32, PartnerVisibility)>, StoreError> {
    let sql = "SELECT affiliate_id, status FROM offer_visibility WHERE offer_id = ?1 ORDER BY affiliate_id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([offer_id], |row| Ok((row.get(0)?, word(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Approvals of one partner on all offers, by offer.
pub fn visibility_of(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
) -> Result<Vec<(u32, PartnerVisibility)>, StoreError> {
    let sql =
        "SELECT offer_id, status FROM offer_visibility WHERE affiliate_id = ?1 ORDER BY offer_id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([affiliate_id], |row| Ok((row.get(0)?, word(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes the approval of one partner on one offer.
pub fn remove_visibility(
    tx: &WriteTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM offer_visibility WHERE offer_id = ?1 AND affiliate_id = ?2";
    tx.prepare_cached(sql)?.execute((offer_id, affiliate_id))?;
    Ok(())
}

/// Sets the approval of one partner on one offer.
pub fn set_visibility(
    tx: &WriteTx<'_>,
    offer_id: u32,
    affiliate_id: u32,
    status: PartnerVisibility,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO offer_visibility (offer_id, affiliate_id, status, time_saved) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO UPDATE SET status = excluded.status, time_saved = excluded.time_saved";
    tx.prepare_cached(sql)?.execute((offer_id, affiliate_id, status.as_str(), tx.now()))?;
    Ok(())
}

/// Removes the approvals of all partners on one offer.
pub fn clear_visibility(tx: &WriteTx<'_>, offer_id: u32) -> Result<(), StoreError> {
    tx.execute("DELETE FROM offer_visibility WHERE offer_id = ?1", [offer_id])?;
    Ok(())
}

/// Name and status of partners, deleted ones included, for answers about other objects.
pub fn labels(
    connection: &ReadTx<'_>,
    ids: &[u32],
) -> Result<HashMap<u32, (String, String)>, StoreError> {
    super::rows::labels(connection, "SELECT name, account_status FROM affiliate WHERE id = ?1", ids)
}
