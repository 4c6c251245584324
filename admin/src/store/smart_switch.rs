//! SmartSwitch rules and their runs.

use rusqlite::types::{Type, Value};
use rusqlite::{OptionalExtension, Row};

use super::rows::{
    Compared, DELETED, Entity, FIRST, Filterable, Listed, NAME, Page, Query, Stored, Vocabulary,
};
use super::{ReadTx, StoreError, WriteTx, rows};
use crate::catalog::{SmartSwitchAction, SmartSwitchRule, SmartSwitchStatus, SwitchVariable};

mod run;
pub mod traffic;

pub use run::{Finding, FindingOutcome, RunOutcome, SmartSwitchRun};

/// Runs of a rule that are kept.
const KEPT_RUNS: u32 = 1_000;

impl Entity for SmartSwitchRule {
    const TABLE: &'static str = "smart_switch_rule";
    const SELECT: &'static str = "body";
    const FILTERS: &'static [Filterable] = &[
        DELETED,
        Filterable { field: "network_smart_switch_rule_id", column: "id", kind: Compared::Number },
        NAME,
        Filterable {
            field: "rule_status",
            column: "rule_status",
            kind: Compared::Word(Vocabulary::from_word_set::<SmartSwitchStatus>()),
        },
        Filterable {
            field: "variable",
            column: "variable",
            kind: Compared::Word(Vocabulary::from_word_set::<SwitchVariable>()),
        },
        Filterable {
            field: "action",
            column: "action",
            kind: Compared::Word(Vocabulary::from_word_set::<SmartSwitchAction>()),
        },
        Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
        Filterable { field: "time_saved", column: "time_saved", kind: Compared::Time },
    ];

    fn read(row: &Row<'_>) -> rusqlite::Result<SmartSwitchRule> {
        from_json(row, FIRST)
    }

    fn columns(&self) -> Vec<(&'static str, Value)> {
        // All fields are numbers and texts, so the object always has a text.
        let body = serde_json::to_string(self).unwrap_or_default();
        vec![
            ("name", self.name.clone().into()),
            ("rule_status", self.rule_status.as_str().to_owned().into()),
            ("variable", self.variable.as_str().to_owned().into()),
            ("action", self.action.as_str().to_owned().into()),
            ("body", body.into()),
        ]
    }
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    at: usize,
) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(at)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, Box::new(error)))
}

/// Number of rules other than `id`.
pub fn count_others(connection: &ReadTx<'_>, id: Option<u32>) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM smart_switch_rule WHERE time_deleted = 0 AND id IS NOT ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

/// All rules that are active, by id. They are few.
pub fn active(connection: &ReadTx<'_>) -> Result<Vec<Stored<SmartSwitchRule>>, StoreError> {
    let listed = rows::list::<SmartSwitchRule>(connection, &Query::default())?;
    let is_active =
        |row: &Stored<SmartSwitchRule>| row.object.rule_status == SmartSwitchStatus::Active;
    Ok(listed.rows.into_iter().filter(is_active).collect())
}

/// The last runs of a rule, as far as its next run depends on them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleClock {
    /// The end of the last measured time, as a quarter hour; `None` before the first run.
    pub measured_to: Option<u64>,
    /// The quarter hour of the last attempt, which may have been skipped.
    pub attempted_at: Option<u64>,
    /// When the first warned value is checked again, in Unix seconds.
    pub next_check: Option<i64>,
}

/// Reads when a rule ran.
pub fn clock(connection: &ReadTx<'_>, rule_id: u32) -> Result<RuleClock, StoreError> {
    let last = |condition: &str| -> Result<Option<u64>, StoreError> {
        let sql = format!(
            "SELECT to_slot FROM smart_switch_run WHERE rule_id = ?1 AND {condition}
             ORDER BY id DESC LIMIT 1"
        );
        Ok(connection.prepare_cached(&sql)?.query_row([rule_id], |row| row.get(0)).optional()?)
    };
    let sql = "SELECT min(time_due) FROM blocked_value WHERE rule_id = ?1 AND status = 'warned'";
    Ok(RuleClock {
        measured_to: last("outcome NOT IN ('skipped', 'failed')")?,
        attempted_at: last("true")?,
        next_check: connection.prepare_cached(sql)?.query_row([rule_id], |row| row.get(0))?,
    })
}

/// The id that the next run gets. Runs are not concurrent.
pub fn next_run_id(connection: &ReadTx<'_>) -> Result<u64, StoreError> {
    let sql = "SELECT ifnull(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'smart_switch_run'";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Records a run, and removes runs beyond the last [`KEPT_RUNS`].
pub fn record_run(tx: &WriteTx<'_>, run: &SmartSwitchRun) -> Result<(), StoreError> {
    let body = serde_json::to_string(run)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    let sql = "INSERT INTO smart_switch_run (rule_id, outcome, body, time_started, to_slot)
         VALUES (?1, ?2, ?3, ?4, ?5)";
    let rule_id = run.network_smart_switch_rule_id;
    let row = (rule_id, run.outcome.as_str(), body, run.time_started, run.to_slot());
    tx.prepare_cached(sql)?.execute(row)?;
    let sql = "DELETE FROM smart_switch_run WHERE rule_id = ?1 AND id <= (
         SELECT id FROM smart_switch_run WHERE rule_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    tx.prepare_cached(sql)?.execute((rule_id, KEPT_RUNS))?;
    Ok(())
}

/// One page of the runs of a rule, newest first.
pub fn runs(
    connection: &ReadTx<'_>,
    rule_id: u32,
    page: Option<Page>,
) -> Result<Listed<SmartSwitchRun>, StoreError> {
    let count = "SELECT count(*) FROM smart_switch_run WHERE rule_id = ?1";
    let total = connection.prepare_cached(count)?.query_row([rule_id], |row| row.get(0))?;
    let Page { number, size } = page.unwrap_or(Page { number: 1, size: KEPT_RUNS });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let sql = "SELECT id, body FROM smart_switch_run WHERE rule_id = ?1
         ORDER BY id DESC LIMIT ?2 OFFSET ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((rule_id, size, offset), |row| {
        Ok(SmartSwitchRun { run_id: row.get(0)?, ..from_json(row, 1)? })
    })?;
    Ok(Listed::new(rows.collect::<Result<_, _>>()?, total))
}
