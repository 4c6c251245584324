//! Forwarding rules of offers.

use rusqlite::Row;
use rusqlite::types::Value;

use super::rows::{
    self, Entity, FIRST, Filterable, Stored, day, day_text, from_json, json_column, word,
};
use super::{ReadTx, StoreError, WriteTx, rulesets};
use crate::catalog::ForwardingRule;

impl Entity for ForwardingRule {
    const TABLE: &'static str = "forwarding_rule";
    const SELECT: &'static str = "offer_id, name, status, affiliate_ids, destination_offer_id, \
                                  ruleset, variables, date_valid_from, date_valid_to, \
                                  destination_offer_url_id";
    const FILTERS: &'static [Filterable] = &[];

    fn read(row: &Row<'_>) -> rusqlite::Result<ForwardingRule> {
        Ok(ForwardingRule {
            network_offer_id: Some(row.get(FIRST)?),
            name: row.get(FIRST + 1)?,
            forwarding_rule_status: word(row, FIRST + 2)?,
            network_affiliate_ids: from_json(row, FIRST + 3)?,
            destination_network_offer_id: row.get(FIRST + 4)?,
            destination_network_offer_url_id: row.get(FIRST + 9)?,
            ruleset: from_json(row, FIRST + 5)?,
            variables: from_json(row, FIRST + 6)?,
            date_valid_from: day(row, FIRST + 7)?,
            date_valid_to: day(row, FIRST + 8)?,
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("offer_id", self.network_offer_id.into()),
            ("name", self.name.clone().into()),
            ("status", self.forwarding_rule_status.as_str().to_owned().into()),
            ("affiliate_ids", json_column(&self.network_affiliate_ids)),
            ("destination_offer_id", self.destination_network_offer_id.into()),
            ("destination_offer_url_id", self.destination_network_offer_url_id.into()),
            ("ruleset", rulesets::column(&self.ruleset)),
            ("variables", json_column(&self.variables)),
            ("date_valid_from", day_text(self.date_valid_from).into()),
            ("date_valid_to", day_text(self.date_valid_to).into()),
        ]
    }

    /// A new rule comes last.
    fn save_parts(&self, tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
        let sql = "UPDATE forwarding_rule SET position = 1 + (SELECT max(position) \
                   FROM forwarding_rule WHERE offer_id = ?2 AND time_deleted = 0) \
                   WHERE id = ?1 AND position = 0";
        tx.prepare_cached(sql)?.execute((id, self.network_offer_id))?;
        Ok(())
    }
}

/// The rules of an offer, in order.
pub fn of_offer(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<Stored<ForwardingRule>>, StoreError> {
    let mut rules = Vec::new();
    for id in ids(connection, offer_id)? {
        rules.extend(rows::find(connection, id)?);
    }
    Ok(rules)
}

/// The ids of an offer's rules, in order.
pub fn ids(connection: &ReadTx<'_>, offer_id: u32) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT id FROM forwarding_rule WHERE offer_id = ?1 AND time_deleted = 0 \
               ORDER BY position, id";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_map([offer_id], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Orders the rules of an offer.
pub fn set_order(tx: &WriteTx<'_>, ids: &[u32]) -> Result<(), StoreError> {
    let sql = "UPDATE forwarding_rule SET position = ?2 WHERE id = ?1 AND position <> ?2";
    let mut update = tx.prepare_cached(sql)?;
    for (position, id) in (1_u32..).zip(ids) {
        update.execute((id, position))?;
    }
    Ok(())
}

/// Whether active rules lead from one offer to another, over any number of offers.
pub fn leads_to(connection: &ReadTx<'_>, from: u32, to: u32) -> Result<bool, StoreError> {
    let sql = "WITH RECURSIVE reached (id) AS (SELECT ?1 UNION \
               SELECT rule.destination_offer_id FROM reached \
               JOIN forwarding_rule rule ON rule.offer_id = reached.id \
               WHERE rule.time_deleted = 0 AND rule.status = 'active') \
               SELECT 1 FROM reached WHERE id = ?2";
    Ok(connection.prepare_cached(sql)?.exists((from, to))?)
}

/// The destinations of an offer's rules that are deleted.
pub fn deleted_destinations(
    connection: &ReadTx<'_>,
    offer_id: u32,
) -> Result<Vec<(u32, u32)>, StoreError> {
    let sql = "SELECT rule.id, offer.id FROM forwarding_rule rule \
               JOIN offer ON offer.id = rule.destination_offer_id AND offer.time_deleted <> 0 \
               WHERE rule.offer_id = ?1 AND rule.time_deleted = 0 ORDER BY rule.position";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map([offer_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}
