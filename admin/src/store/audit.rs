//! The audit: who changed what and when. Entries are added in the transaction of the change; no
//! entry is changed or removed.

use rusqlite::types::Type;
use rusqlite::{Row, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::rows::{Compared, Filter, Filterable, Listed, Page, Query, Vocabulary, conditions};
use super::{ReadTx, StoreError, WriteTx, events};
use crate::catalog::{EventType, UnknownWord, WordSet};

/// Filters of the audit.
pub const FILTERS: &[Filterable] = &[
    Filterable { field: "network_audit_id", column: "id", kind: Compared::Number },
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
    Filterable {
        field: "actor",
        column: "actor",
        kind: Compared::Word(Vocabulary::from_word_set::<AuditActors>()),
    },
    Filterable { field: "network_api_key_id", column: "api_key_id", kind: Compared::OptionalId },
    Filterable { field: "network_user_id", column: "user_id", kind: Compared::OptionalId },
    Filterable { field: "user_name", column: "user_name", kind: Compared::Text },
    Filterable { field: "request_id", column: "request_id", kind: Compared::Text },
    Filterable {
        field: "object",
        column: "object",
        kind: Compared::Word(Vocabulary::from_word_set::<AuditObjects>()),
    },
    Filterable {
        field: "action",
        column: "action",
        kind: Compared::Word(Vocabulary::from_word_set::<AuditActions>()),
    },
    Filterable { field: "first_id", column: "first_id", kind: Compared::Number },
    Filterable { field: "last_id", column: "last_id", kind: Compared::Number },
];

/// Defines the words of a column of the audit.
macro_rules! audit_words {
    ($(#[$doc:meta])* $name:ident: $($word:literal)+) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl WordSet for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn canonical(word: &str) -> Result<&'static str, UnknownWord> {
                let known = Self::WORDS.iter().copied().find(|known| *known == word);
                known.ok_or_else(|| UnknownWord {
                    found: word.into(),
                    allowed: concat!($("`", $word, "` "),+).trim_ascii_end(),
                })
            }
        }
    };
}

audit_words! {
    /// Actors.
    AuditActors: "api_key" "user" "command_line" "program"
}

audit_words! {
    /// Kinds of objects.
    AuditObjects:
        "address" "advertiser" "affiliate" "api_key" "blocked_value" "bot_list" "certificate" "click" "click_archive"
        "conversion" "coupon_code" "custom_cap" "edge" "forwarding_rule" "job" "offer" "offer_group" "offer_url" "offer_visibility" "personal_data" "pixel" "pixel_delivery"
        "postback" "settings" "smart_switch_rule" "store" "tracking_domain" "traffic_control" "unidentified_postback" "user" "webhook" "webhook_delivery"
}

audit_words! {
    /// Actions.
    AuditActions:
        "adjusted" "approved" "blocked" "changed" "counted" "created" "deleted" "erased" "generated" "imported" "invalid"
        "invited" "password_reset" "password_set" "pending" "rejected" "released" "removed" "replayed"
        "requested" "restored" "reverted" "rotated" "searched" "session_ended" "sign_in_failed"
        "signed_in" "stopped" "taken_over"
        "totp_off" "totp_on" "totp_reset" "truncated" "warned"
}

/// A field of an object, before and after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Name of the field.
    pub field: String,
    /// Value before; null for none.
    pub before: Json,
    /// Value after; null for none.
    pub after: Json,
}

/// A new entry, without actor and time.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry<'a> {
    /// Kind of object.
    pub object: &'a str,
    /// The action.
    pub action: &'a str,
    /// Number of objects.
    pub objects: u64,
    /// Lowest id.
    pub first_id: u32,
    /// Highest id.
    pub last_id: u32,
    /// Changes by field, if the objects are few.
    pub changes: Vec<FieldChange>,
}

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Recorded {
    /// Ascending in the order of the changes.
    pub network_audit_id: u64,
    /// Time, in Unix seconds.
    pub time_created: i64,
    /// `api_key`, `user`, `command_line` or `program`.
    pub actor: String,
    /// Id of the API key; 0 for other actors.
    pub network_api_key_id: u32,
    /// Name of the API key at that time.
    pub api_key_name: String,
    /// Id of the user; 0 for other actors.
    pub network_user_id: u32,
    /// Name of the user at that time.
    pub user_name: String,
    /// Id of the request.
    pub request_id: String,
    /// Kind of object.
    pub object: String,
    /// The action.
    pub action: String,
    /// Number of objects.
    pub objects: u64,
    /// Lowest id.
    pub first_id: u32,
    /// Highest id.
    pub last_id: u32,
    /// Changes by field.
    pub changes: Vec<FieldChange>,
}

/// Adds an entry; the actor is the transaction's.
pub fn record(tx: &WriteTx<'_>, entry: &AuditEntry<'_>) -> Result<(), StoreError> {
    debug_assert!(
        AuditObjects::canonical(entry.object).is_ok(),
        "{} is not in its set",
        entry.object
    );
    debug_assert!(
        AuditActions::canonical(entry.action).is_ok(),
        "{} is not in its set",
        entry.action
    );
    let origin = tx.origin();
    let changes = serde_json::to_string(&entry.changes).map_err(unwritable)?;
    let sql = "INSERT INTO audit (time_created, actor, api_key_id, api_key_name, user_id, user_name, \
               request_id, object, action, objects, first_id, last_id, changes) \
               VALUES (?1, ?2, ?3, ifnull((SELECT name FROM api_key WHERE id = ?3), ''), \
               ?4, ifnull((SELECT name FROM user WHERE id = ?4), ''), ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    tx.prepare_cached(sql)?.execute((
        tx.now(),
        origin.actor.as_str(),
        origin.actor.api_key_id(),
        origin.actor.user_id(),
        &origin.request_id,
        entry.object,
        entry.action,
        entry.objects,
        entry.first_id,
        entry.last_id,
        changes,
    ))?;
    if entry.object == CODES { record_code_event(tx, entry) } else { Ok(()) }
}

/// The action of an import that keeps the ids of another network.
pub const IMPORTED: &str = "imported";

/// Whether imports from other networks wrote an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportHistory {
    /// Imports alone.
    OnlyImported,
    /// An import, and others since.
    EditedSince,
    /// No import.
    NeverImported,
}

/// Who wrote an object. An entry about a range of ids counts for all ids in the range.
pub fn import_history(
    connection: &ReadTx<'_>,
    object: &str,
    id: u32,
) -> Result<ImportHistory, StoreError> {
    let sql = "SELECT ifnull(max(action = ?3), 0), ifnull(min(action = ?3), 0) FROM audit \
               WHERE object = ?1 AND first_id <= ?2 AND last_id >= ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let (any, all): (bool, bool) =
        statement.query_row((object, id, IMPORTED), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(match (any, all) {
        (_, true) => ImportHistory::OnlyImported,
        (true, false) => ImportHistory::EditedSince,
        (false, false) => ImportHistory::NeverImported,
    })
}

/// The audit's name for coupon codes.
const CODES: &str = "coupon_code";
/// Longest value, as JSON, that an event has beside its field.
const MAX_EVENT_VALUE_BYTES: usize = 512;

/// Every change of codes has an audit entry: one for all codes of a request or a job.
fn record_code_event(tx: &WriteTx<'_>, entry: &AuditEntry<'_>) -> Result<(), StoreError> {
    let is_short = |value: &&Json| value.to_string().len() <= MAX_EVENT_VALUE_BYTES;
    let change = |change: &FieldChange| {
        json!({
            "field": change.field,
            "before": Some(&change.before).filter(is_short),
            "after": Some(&change.after).filter(is_short),
        })
    };
    let data = json!({
        "action": entry.action, "codes": entry.objects,
        "first_network_coupon_code_id": entry.first_id,
        "last_network_coupon_code_id": entry.last_id,
        "changes": entry.changes.iter().map(change).collect::<Vec<_>>(),
    });
    events::record(tx, EventType::CouponCodeChanged, &data)
}

fn unwritable(error: serde_json::Error) -> StoreError {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error)).into()
}

/// One page of the entries, newest first.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Recorded>, StoreError> {
    let (condition, values) = conditions("true", &query.filters);
    let count = format!("SELECT count(*) FROM audit WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let Page { number, size } = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let sql = format!(
        "SELECT {COLUMNS} FROM audit WHERE {condition} ORDER BY id DESC LIMIT {size} OFFSET {offset}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), read)?.collect::<Result<_, _>>()?;
    Ok(Listed::new(rows, total_count))
}

/// Calls `work` with each entry that matches all filters, newest first.
pub fn each<E: From<StoreError>>(
    connection: &ReadTx<'_>,
    filters: &[Filter],
    mut work: impl FnMut(Recorded) -> Result<(), E>,
) -> Result<(), E> {
    let (condition, values) = conditions("true", filters);
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE {condition} ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql).map_err(StoreError::from)?;
    let rows = statement.query_map(params_from_iter(&values), read).map_err(StoreError::from)?;
    for row in rows {
        work(row.map_err(StoreError::from)?)?;
    }
    Ok(())
}

const COLUMNS: &str = "id, time_created, actor, ifnull(api_key_id, 0), api_key_name, \
     ifnull(user_id, 0), user_name, request_id, object, action, objects, first_id, last_id, changes";

fn read(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    let changes = serde_json::from_str(row.get_ref(13)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(13, Type::Text, Box::new(error))
    })?;
    Ok(Recorded {
        network_audit_id: row.get(0)?,
        time_created: row.get(1)?,
        actor: row.get(2)?,
        network_api_key_id: row.get(3)?,
        api_key_name: row.get(4)?,
        network_user_id: row.get(5)?,
        user_name: row.get(6)?,
        request_id: row.get(7)?,
        object: row.get(8)?,
        action: row.get(9)?,
        objects: row.get(10)?,
        first_id: row.get(11)?,
        last_id: row.get(12)?,
        changes,
    })
}
