//! Values whose visits are refused or whose conversions are held, by a rule or by hand.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row};

use super::rows::{Compared, Entity, FIRST, Filterable, Vocabulary, word};
use super::smart_switch::from_json;
use super::smart_switch::traffic::ValueKey;
use super::{ReadTx, StoreError, WriteTx, offers};
use crate::catalog::{
    BlockedValue, BlockedValueFacts, BlockedValueStatus, MetricReading, SmartSwitchAction,
    SwitchVariable,
};

impl Entity for BlockedValue {
    const TABLE: &'static str = "blocked_value";
    const SELECT: &'static str = "variable, value, offer_id, advertiser_id, affiliate_id, action, status, notes, \
        ifnull(rule_id, 0), ifnull((SELECT name FROM smart_switch_rule r WHERE r.id = rule_id), ''), \
        run_id, measured, time_due, time_blocked, time_released, exempt_until";
    const FILTERS: &'static [Filterable] = &[
        Filterable { field: "network_blocked_value_id", column: "id", kind: Compared::Number },
        Filterable {
            field: "network_smart_switch_rule_id",
            column: "rule_id",
            kind: Compared::OptionalId,
        },
        Filterable {
            field: "variable",
            column: "variable",
            kind: Compared::Word(Vocabulary::from_word_set::<SwitchVariable>()),
        },
        SEARCH,
        Filterable { field: "network_offer_id", column: "offer_id", kind: Compared::Number },
        Filterable {
            field: "network_advertiser_id",
            column: "advertiser_id",
            kind: Compared::Number,
        },
        Filterable {
            field: "network_affiliate_id",
            column: "affiliate_id",
            kind: Compared::Number,
        },
        Filterable {
            field: "action",
            column: "action",
            kind: Compared::Word(Vocabulary::from_word_set::<SmartSwitchAction>()),
        },
        Filterable {
            field: "blocked_value_status",
            column: "status",
            kind: Compared::Word(Vocabulary::from_word_set::<BlockedValueStatus>()),
        },
        Filterable { field: "time_blocked", column: "time_blocked", kind: Compared::Time },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<BlockedValue> {
        Ok(BlockedValue {
            variable: word(row, FIRST)?,
            value: row.get(FIRST + 1)?,
            network_offer_id: row.get(FIRST + 2)?,
            network_advertiser_id: row.get(FIRST + 3)?,
            network_affiliate_id: row.get(FIRST + 4)?,
            action: word(row, FIRST + 5)?,
            blocked_value_status: word(row, FIRST + 6)?,
            notes: row.get(FIRST + 7)?,
            facts: BlockedValueFacts {
                network_smart_switch_rule_id: row.get(FIRST + 8)?,
                rule_name: row.get(FIRST + 9)?,
                run_id: row.get(FIRST + 10)?,
                measured: from_json(row, FIRST + 11)?,
                time_due: row.get(FIRST + 12)?,
                time_blocked: row.get(FIRST + 13)?,
                time_released: row.get(FIRST + 14)?,
                exempt_until: row.get(FIRST + 15)?,
            },
        })
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("variable", self.variable.as_str().to_owned().into()),
            ("value", self.folded_value().into()),
            ("offer_id", i64::from(self.network_offer_id).into()),
            ("advertiser_id", i64::from(self.network_advertiser_id).into()),
            ("affiliate_id", i64::from(self.network_affiliate_id).into()),
            ("action", self.action.as_str().to_owned().into()),
            ("status", self.blocked_value_status.as_str().to_owned().into()),
            ("notes", self.notes.clone().into()),
        ]
    }
}

/// The text that `search` looks into.
pub const SEARCH: Filterable = Filterable { field: "value", column: "value", kind: Compared::Text };

/// Finds the value that was blocked by hand in the same scope.
pub fn find_by_hand(
    connection: &ReadTx<'_>,
    value: &BlockedValue,
) -> Result<Option<u32>, StoreError> {
    let sql = "SELECT id FROM blocked_value WHERE variable = ?1 AND value = ?2 AND offer_id = ?3
         AND advertiser_id = ?4 AND affiliate_id = ?5 AND ifnull(rule_id, 0) = 0";
    let key = (
        value.variable.as_str(),
        value.folded_value(),
        value.network_offer_id,
        value.network_advertiser_id,
        value.network_affiliate_id,
    );
    Ok(connection.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?)
}

/// A value that a rule blocked, warned of or released, or that is exempt from all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownValue {
    pub id: u32,
    pub key: ValueKey,
    pub status: BlockedValueStatus,
    pub time_due: i64,
    pub time_blocked: i64,
    pub exempt_until: i64,
    /// Whether the rule made the row.
    pub is_of_rule: bool,
}

/// The values of a rule, and all exempt values of its variable.
pub fn known_to_rule(
    connection: &ReadTx<'_>,
    rule_id: u32,
    variable: SwitchVariable,
) -> Result<Vec<KnownValue>, StoreError> {
    let sql = "SELECT id, value, offer_id, advertiser_id, affiliate_id, status, time_due,
             time_blocked, exempt_until, rule_id IS ?1
         FROM blocked_value WHERE variable = ?2 AND (rule_id IS ?1 OR status = 'exempt')";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((rule_id, variable.as_str()), |row| {
        Ok(KnownValue {
            id: row.get(0)?,
            key: ValueKey {
                value: row.get(1)?,
                offer_id: row.get(2)?,
                advertiser_id: row.get(3)?,
                affiliate_id: row.get(4)?,
            },
            status: word(row, 5)?,
            time_due: row.get(6)?,
            time_blocked: row.get(7)?,
            exempt_until: row.get(8)?,
            is_of_rule: row.get(9)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A value that a run warns of, or acts on.
#[derive(Debug)]
pub struct NewBlock<'a> {
    pub rule_id: u32,
    pub variable: SwitchVariable,
    pub key: &'a ValueKey,
    pub action: SmartSwitchAction,
    pub status: BlockedValueStatus,
    pub is_shown_to_partner: bool,
    pub run_id: u64,
    pub measured: &'a [MetricReading],
    pub window_s: u64,
    /// Of a warned value; else 0.
    pub time_due: i64,
}

/// Writes the row of a value in place of an earlier one, and returns its id.
pub fn put(tx: &WriteTx<'_>, new: &NewBlock<'_>) -> Result<u32, StoreError> {
    let sql = "INSERT INTO blocked_value (rule_id, variable, value, offer_id, advertiser_id,
             affiliate_id, action, status, is_shown_to_partner, run_id, measured, window_s,
             time_due, time_created, time_saved)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?14)
         ON CONFLICT (variable, value, offer_id, advertiser_id, affiliate_id, ifnull(rule_id, 0))
         DO UPDATE SET action = excluded.action, status = excluded.status,
             is_shown_to_partner = excluded.is_shown_to_partner, run_id = excluded.run_id,
             measured = excluded.measured, window_s = excluded.window_s,
             time_due = excluded.time_due, time_saved = excluded.time_saved
         RETURNING id";
    let measured = serde_json::to_string(new.measured)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let ValueKey { value, offer_id, advertiser_id, affiliate_id } = new.key;
    let row = (
        new.rule_id,
        new.variable.as_str(),
        value,
        offer_id,
        advertiser_id,
        affiliate_id,
        new.action.as_str(),
        new.status.as_str(),
        new.is_shown_to_partner,
        new.run_id,
        measured,
        new.window_s,
        new.time_due,
        tx.now(),
    );
    Ok(tx.prepare_cached(sql)?.query_row(row, |row| row.get(0))?)
}

/// Sets the status of a value.
pub fn set_status(tx: &WriteTx<'_>, id: u32, status: BlockedValueStatus) -> Result<(), StoreError> {
    let sql = "UPDATE blocked_value SET status = ?2, time_due = 0, time_saved = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, status.as_str(), tx.now()))?;
    Ok(())
}

/// Keeps a value from its rule for the rule's window.
pub fn exempt_for_window(tx: &WriteTx<'_>, id: u32) -> Result<(), StoreError> {
    let sql = "UPDATE blocked_value SET exempt_until = ?2 + window_s WHERE id = ?1";
    tx.prepare_cached(sql)?.execute((id, tx.now()))?;
    Ok(())
}

/// An exempt row ends all blocks of its value within its own scope.
const IS_IN_FORCE: &str = "b.status = 'active' AND NOT EXISTS (SELECT 1 FROM blocked_value e
         WHERE e.status = 'exempt' AND e.variable = b.variable AND e.value = b.value
         AND e.offer_id IN (0, b.offer_id) AND e.advertiser_id IN (0, b.advertiser_id)
         AND e.affiliate_id IN (0, b.affiliate_id))";

/// Values whose visits are refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedValue {
    /// 0 if blocked by hand.
    pub rule_id: u32,
    pub variable: String,
    pub offer_id: u32,
    pub advertiser_id: u32,
    pub affiliate_id: u32,
    pub fails_over: bool,
    /// In lower case.
    pub value: String,
    pub id: u32,
}

/// All values whose visits are refused, equal scopes beside each other.
pub fn refused(connection: &ReadTx<'_>) -> Result<Vec<RefusedValue>, StoreError> {
    let sql = format!(
        "SELECT ifnull(b.rule_id, 0), b.variable, b.offer_id, b.advertiser_id, b.affiliate_id,
             b.action = 'fail_traffic', b.value, b.id FROM blocked_value b
         WHERE b.action IN ('block', 'fail_traffic') AND {IS_IN_FORCE}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| {
        Ok(RefusedValue {
            rule_id: row.get(0)?,
            variable: row.get(1)?,
            offer_id: row.get(2)?,
            advertiser_id: row.get(3)?,
            affiliate_id: row.get(4)?,
            fails_over: row.get(5)?,
            value: row.get(6)?,
            id: row.get(7)?,
        })
    })?;
    let mut refused: Vec<RefusedValue> = rows.collect::<Result<_, _>>()?;
    refused.sort_unstable();
    Ok(refused)
}

/// A conversion that a hold may be about.
#[derive(Debug, Clone, Copy)]
pub struct HeldScope<'a> {
    /// In lower case.
    pub folded_code: &'a str,
    pub offer_id: u32,
    pub advertiser_id: u32,
    pub affiliate_id: u32,
}

/// The hold that is in force for conversions of a code: its id, and the rule's name.
pub fn hold_on(
    connection: &ReadTx<'_>,
    scope: &HeldScope<'_>,
) -> Result<Option<(u32, String)>, StoreError> {
    let sql = format!(
        "SELECT b.id, ifnull((SELECT name FROM smart_switch_rule r WHERE r.id = b.rule_id), '')
         FROM blocked_value b WHERE b.action = 'hold_conversions' AND b.variable = 'coupon_code'
         AND b.value = ?1 AND b.offer_id IN (0, ?2) AND b.advertiser_id IN (0, ?3)
         AND b.affiliate_id IN (0, ?4) AND {IS_IN_FORCE} ORDER BY b.id LIMIT 1"
    );
    let HeldScope { folded_code, offer_id, advertiser_id, affiliate_id } = *scope;
    let row = (folded_code, offer_id, advertiser_id, affiliate_id);
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(row, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

/// Ids of the codes that a value of the variable `coupon_code` means.
pub fn codes(connection: &ReadTx<'_>, key: &ValueKey) -> Result<Vec<u32>, StoreError> {
    let sql = "SELECT c.id FROM coupon_code c INDEXED BY coupon_code_published
         JOIN offer o ON o.id = c.offer_id
         WHERE c.folded = ?1 AND c.time_deleted = 0 AND ?2 IN (0, c.offer_id)
         AND ?3 IN (0, o.advertiser_id) AND ?4 IN (0, ifnull(c.affiliate_id, 0)) ORDER BY c.id";
    let ValueKey { value, offer_id, advertiser_id, affiliate_id } = key;
    let mut statement = connection.prepare_cached(sql)?;
    let ids =
        statement.query_map((value, offer_id, advertiser_id, affiliate_id), |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Changes with each change of a blocked value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64, u64);

/// Reads the fingerprint of all blocked values: rows are never removed, and revisions only grow.
pub fn fingerprint(connection: &ReadTx<'_>) -> Result<Fingerprint, StoreError> {
    let sql = "SELECT count(*), ifnull(sum(revision), 0) FROM blocked_value";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| Ok(Fingerprint(row.get(0)?, row.get(1)?)))?)
}

/// A block of a partner's own traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartnerBlock {
    pub id: u32,
    pub variable: SwitchVariable,
    /// In lower case.
    pub value: String,
    /// The offers that the partner sees; `None`: all offers.
    pub offers: Option<Vec<u32>>,
    pub time_blocked: i64,
    pub time_saved: i64,
}

/// The blocks of a partner's own traffic that partners are shown, oldest first; without those on
/// offers that the partner does not see.
pub fn of_partner(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
) -> Result<Vec<PartnerBlock>, StoreError> {
    let sql = format!(
        "SELECT b.id, b.variable, b.value, b.time_blocked, b.time_saved, b.offer_id, b.advertiser_id
         FROM blocked_value b WHERE b.action IN ('block', 'fail_traffic')
         AND b.is_shown_to_partner = 1 AND b.affiliate_id IN (0, ?1)
         AND (b.variable <> 'affiliate' OR b.value = ?2) AND {IS_IN_FORCE} ORDER BY b.id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map((affiliate_id, affiliate_id.to_string()), |row| {
        let block = PartnerBlock {
            id: row.get(0)?,
            variable: word(row, 1)?,
            value: row.get(2)?,
            offers: None,
            time_blocked: row.get(3)?,
            time_saved: row.get(4)?,
        };
        Ok((block, row.get(5)?, row.get(6)?))
    })?;
    let mut blocks = Vec::new();
    for row in rows {
        let (block, offer, advertiser) = row?;
        let offers = visible_offers(connection, affiliate_id, offer, advertiser)?;
        if offers.as_ref().is_none_or(|offers| !offers.is_empty()) {
            blocks.push(PartnerBlock { offers, ..block });
        }
    }
    Ok(blocks)
}

/// The offers of a scope that a partner sees; `None` for all offers.
fn visible_offers(
    connection: &ReadTx<'_>,
    affiliate_id: u32,
    offer: u32,
    advertiser: u32,
) -> Result<Option<Vec<u32>>, StoreError> {
    if (offer, advertiser) == (0, 0) {
        return Ok(None);
    }
    let sql = "SELECT id FROM offer WHERE time_deleted = 0
         AND (id = ?1 OR (?1 = 0 AND advertiser_id = ?2)) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map((offer, advertiser), |row| row.get(0))?;
    let mut visible = Vec::new();
    for id in ids.collect::<Result<Vec<u32>, _>>()? {
        if offers::is_visible_for(connection, id, affiliate_id)? {
            visible.push(id);
        }
    }
    Ok(Some(visible))
}
