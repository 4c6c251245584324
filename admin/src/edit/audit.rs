//! Audit entries for edits: each changed field with its values before and after. For secrets only
//! their presence is recorded.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::catalog::SECRET_FIELDS;
use crate::store::audit::{AuditEntry, FieldChange, record};
use crate::store::coupon_codes::{self, Written};
use crate::store::meta::Sequence;
use crate::store::{StoreError, WriteTx};

pub(crate) fn record_created<T: Serialize>(
    tx: &WriteTx<'_>,
    object: &str,
    id: u32,
    after: &T,
) -> Result<(), StoreError> {
    one(tx, object, "created", id, changes(&Map::new(), &fields(after)))
}

/// Writes no entry without a changed field.
pub(crate) fn record_changed<T: Serialize>(
    tx: &WriteTx<'_>,
    object: &str,
    id: u32,
    before: &T,
    after: &T,
) -> Result<(), StoreError> {
    one(tx, object, "changed", id, changes(&fields(before), &fields(after)))
}

pub(crate) fn record_deleted<T: Serialize>(
    tx: &WriteTx<'_>,
    object: &str,
    id: u32,
    before: &T,
) -> Result<(), StoreError> {
    one(tx, object, "deleted", id, changes(&fields(before), &Map::new()))
}

/// Records another action on an object.
pub(crate) fn record_action(
    tx: &WriteTx<'_>,
    object: &str,
    action: &str,
    id: u32,
) -> Result<(), StoreError> {
    one(tx, object, action, id, Vec::new())
}

/// Records an action on all coupon codes with this change sequence, so an entry costs the same for
/// a row and for a million rows. `after` holds the new values of all rows, such as a status.
pub(crate) fn record_codes(
    tx: &WriteTx<'_>,
    action: &str,
    sequence: Sequence,
    after: &Map<String, Value>,
) -> Result<(), StoreError> {
    let Some(Written { count, first_id, last_id }) = coupon_codes::written(tx, sequence)? else {
        return Ok(());
    };
    let changes = changes(&Map::new(), after);
    record(
        tx,
        &AuditEntry { object: "coupon_code", action, objects: count, first_id, last_id, changes },
    )
}

/// Records an action on many objects.
pub(crate) fn record_many(
    tx: &WriteTx<'_>,
    object: &str,
    action: &str,
    ids: impl IntoIterator<Item = u32>,
    after: &Map<String, Value>,
) -> Result<(), StoreError> {
    let mut range: Option<(u64, u32, u32)> = None;
    for id in ids {
        let (objects, first, last) = range.unwrap_or((0, id, id));
        range = Some((objects + 1, first.min(id), last.max(id)));
    }
    let Some((objects, first_id, last_id)) = range else { return Ok(()) };
    let changes = changes(&Map::new(), after);
    record(tx, &AuditEntry { object, action, objects, first_id, last_id, changes })
}

/// Records an action on many objects with a known lowest and highest id.
pub(crate) fn record_range(
    tx: &WriteTx<'_>,
    object: &str,
    action: &str,
    objects: u64,
    (first_id, last_id): (u32, u32),
    after: &Map<String, Value>,
) -> Result<(), StoreError> {
    let changes = changes(&Map::new(), after);
    record(tx, &AuditEntry { object, action, objects, first_id, last_id, changes })
}

fn one(
    tx: &WriteTx<'_>,
    object: &str,
    action: &str,
    id: u32,
    changes: Vec<FieldChange>,
) -> Result<(), StoreError> {
    record(tx, &AuditEntry { object, action, objects: 1, first_id: id, last_id: id, changes })
}

fn fields<T: Serialize>(object: &T) -> Map<String, Value> {
    match serde_json::to_value(object) {
        Ok(Value::Object(fields)) => fields,
        Ok(other) => Map::from_iter([("value".to_owned(), other)]),
        Err(_) => Map::new(),
    }
}

fn changes(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    differing
        .map(|name| FieldChange {
            field: name.clone(),
            before: redact(name, before.get(name)),
            after: redact(name, after.get(name)),
        })
        .collect()
}

fn redact(field: &str, value: Option<&Value>) -> Value {
    match value {
        None => Value::Null,
        Some(secret) if SECRET_FIELDS.contains(&field) && *secret != json!("") => {
            json!("(secret)")
        }
        Some(value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_of_secrets_only_that_they_are_there() {
        let before = json!({"name": "Shop", "signing_key": "old", "verification_token": ""});
        let after = json!({"name": "Shop", "signing_key": "new", "verification_token": "token"});
        let told = changes(&fields(&before), &fields(&after));
        let told: Vec<_> =
            told.iter().map(|c| (c.field.as_str(), c.before.clone(), c.after.clone())).collect();
        let secret = || json!("(secret)");
        assert_eq!(
            told,
            [("signing_key", secret(), secret()), ("verification_token", json!(""), secret())]
        );
    }
}
