//! The audit: who changed what and when. Entries are added in the transaction of what they tell of;
//! nothing changes or removes one.

use rusqlite::types::Type;
use rusqlite::{Row, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::origin::Actor;
use super::rows::{Compared, Filterable, Listed, Page, Query, Vocabulary, conditions};
use super::{ReadTx, StoreError, WriteTx};
use crate::catalog::{UnknownWord, WordSet};

/// What the audit can be filtered by.
pub const FILTERS: &[Filterable] = &[
    Filterable { field: "network_audit_id", column: "id", kind: Compared::Number },
    Filterable { field: "time_created", column: "time_created", kind: Compared::Time },
    Filterable {
        field: "actor",
        column: "actor",
        kind: Compared::Word(Vocabulary::from_word_set::<AuditActors>()),
    },
    Filterable { field: "network_api_key_id", column: "api_key_id", kind: Compared::OptionalId },
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

/// Defines what a column of the audit can say.
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
    /// Who can have done something.
    AuditActors: "api_key" "command_line" "program"
}

audit_words! {
    /// What something can have been done to.
    AuditObjects:
        "address" "advertiser" "affiliate" "api_key" "bot_list" "click" "click_archive" "conversion"
        "coupon_code" "offer" "offer_visibility" "personal_data" "pixel" "pixel_delivery"
        "postback" "settings" "store" "tracking_domain" "unidentified_postback"
}

audit_words! {
    /// What can have been done.
    AuditActions:
        "adjusted" "approved" "changed" "counted" "created" "deleted" "erased" "generated" "invalid"
        "pending" "rejected" "removed" "replayed" "requested" "restored" "rotated" "searched"
        "truncated"
}

/// One field of an object, before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Its name.
    pub field: String,
    /// As it was; null where there was nothing.
    pub before: Json,
    /// As it is; null where there is nothing.
    pub after: Json,
}

/// What is recorded, beside who and when.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry<'a> {
    /// What kind of object.
    pub object: &'a str,
    /// What was done.
    pub action: &'a str,
    /// To how many.
    pub objects: u64,
    /// The lowest id.
    pub first_id: u32,
    /// The highest id.
    pub last_id: u32,
    /// Field by field, where the objects are few.
    pub changes: Vec<FieldChange>,
}

/// An entry as read.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Recorded {
    /// In the order of what happened.
    pub network_audit_id: u64,
    /// When, in Unix seconds.
    pub time_created: i64,
    /// `api_key`, `command_line` or `program`.
    pub actor: String,
    /// Of an API key: which; 0 otherwise.
    pub network_api_key_id: u32,
    /// As it was called then.
    pub api_key_name: String,
    /// Of a request: its id.
    pub request_id: String,
    /// What kind of object.
    pub object: String,
    /// What was done.
    pub action: String,
    /// To how many.
    pub objects: u64,
    /// The lowest id.
    pub first_id: u32,
    /// The highest id.
    pub last_id: u32,
    /// Field by field.
    pub changes: Vec<FieldChange>,
}

/// Adds an entry; who did it stands in the transaction.
///
/// # Errors
/// When SQLite fails.
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
    let (actor, key) = match origin.actor {
        Actor::ApiKey(id) => ("api_key", Some(id)),
        Actor::CommandLine => ("command_line", None),
        Actor::Program => ("program", None),
    };
    let changes = serde_json::to_string(&entry.changes).map_err(unwritable)?;
    let sql = "INSERT INTO audit (time_created, actor, api_key_id, api_key_name, request_id, object, action, \
               objects, first_id, last_id, changes) \
               VALUES (?1, ?2, ?3, ifnull((SELECT name FROM api_key WHERE id = ?3), ''), ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    tx.prepare_cached(sql)?.execute((
        tx.now(),
        actor,
        key,
        &origin.request_id,
        entry.object,
        entry.action,
        entry.objects,
        entry.first_id,
        entry.last_id,
        changes,
    ))?;
    Ok(())
}

fn unwritable(error: serde_json::Error) -> StoreError {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error)).into()
}

/// One page of the entries, the newest first.
///
/// # Errors
/// When SQLite fails.
pub fn list(connection: &ReadTx<'_>, query: &Query) -> Result<Listed<Recorded>, StoreError> {
    let (condition, values) = conditions("true", &query.filters);
    let count = format!("SELECT count(*) FROM audit WHERE {condition}");
    let total_count = connection
        .prepare_cached(&count)?
        .query_row(params_from_iter(&values), |row| row.get(0))?;
    let Page { number, size } = query.page.unwrap_or(Page { number: 1, size: u32::MAX });
    let offset = u64::from(number.saturating_sub(1)) * u64::from(size);
    let sql = format!(
        "SELECT id, time_created, actor, ifnull(api_key_id, 0), api_key_name, request_id, object, action, \
         objects, first_id, last_id, changes FROM audit WHERE {condition} \
         ORDER BY id DESC LIMIT {size} OFFSET {offset}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(&values), read)?.collect::<Result<_, _>>()?;
    Ok(Listed { rows, total_count })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    let changes = serde_json::from_str(row.get_ref(11)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(11, Type::Text, Box::new(error))
    })?;
    Ok(Recorded {
        network_audit_id: row.get(0)?,
        time_created: row.get(1)?,
        actor: row.get(2)?,
        network_api_key_id: row.get(3)?,
        api_key_name: row.get(4)?,
        request_id: row.get(5)?,
        object: row.get(6)?,
        action: row.get(7)?,
        objects: row.get(8)?,
        first_id: row.get(9)?,
        last_id: row.get(10)?,
        changes,
    })
}
