//! Audit entries for edits: each changed field with its values before and after. For secrets only
//! their presence is recorded.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::catalog::SECRET_FIELDS;
use crate::store::audit::{AuditEntry, FieldChange, IMPORTED, record};
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

/// Records what an import from another network changed.
pub(crate) fn record_imported<T: Serialize>(
    tx: &WriteTx<'_>,
    object: &str,
    id: u32,
    before: Option<&T>,
    after: &T,
) -> Result<(), StoreError> {
    let before = before.map(fields).unwrap_or_default();
    one(tx, object, IMPORTED, id, changes(&before, &fields(after)))
}

/// Names of the fields in which two objects differ.
pub(crate) fn differing_fields<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    changes(&fields(before), &fields(after)).into_iter().map(|change| change.field).collect()
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
        .map(|name| {
            let (before, after) = recorded(name, before.get(name), after.get(name));
            FieldChange { field: name.clone(), before, after }
        })
        .collect()
}

/// Longest list of texts that is recorded whole. A list of thousands of values that changes each
/// hour would fill the audit, so of longer ones only the differing entries are recorded.
const MAX_WHOLE_LIST: usize = 100;

/// The values of a field before and after, as recorded.
fn recorded(field: &str, before: Option<&Value>, after: Option<&Value>) -> (Value, Value) {
    match (texts(before), texts(after)) {
        (Some(removed), Some(added)) if removed.len().max(added.len()) > MAX_WHOLE_LIST => {
            (without(removed, added), without(added, removed))
        }
        _ => (redact(field, before), redact(field, after)),
    }
}

fn texts(value: Option<&Value>) -> Option<&[Value]> {
    let entries = value.and_then(Value::as_array)?;
    entries.iter().all(Value::is_string).then_some(entries)
}

/// The entries of a list that another list does not have.
fn without(list: &[Value], other: &[Value]) -> Value {
    let other: HashSet<&str> = other.iter().filter_map(Value::as_str).collect();
    let is_new = |entry: &&Value| entry.as_str().is_none_or(|text| !other.contains(text));
    list.iter().filter(is_new).cloned().collect()
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

    #[test]
    fn of_a_long_list_of_texts_only_the_difference_is_recorded() {
        let list = |numbers: std::ops::Range<u32>| json!({"values": numbers.map(|number| number.to_string()).collect::<Vec<_>>()});
        let recorded = |before: Value, after: Value| {
            let found = changes(&fields(&before), &fields(&after)).remove(0);
            (found.before, found.after)
        };
        assert_eq!(recorded(list(0..101), list(2..102)), (json!(["0", "1"]), json!(["101"])));
        assert_eq!(recorded(list(0..2), list(1..3)), (json!(["0", "1"]), json!(["1", "2"])));
    }
}
