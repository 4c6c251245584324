//! One edit inside its transaction: read the row, change the object, check the rules, write, take
//! the next value of the change sequence.
//!
//! The rules check the state that the whole request leaves. A refused edit leaves nothing, because
//! the transaction's savepoint is rolled back.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalog::{Affiliate, PARTNER_LIST, Problems};
use crate::store::meta::Sequence;
use crate::store::rows::{self, Entity, Stored, Times};
use crate::store::{StoreError, WriteTx};

pub(crate) mod audit;
mod change;
mod error;
pub mod idempotency;

mod advertisers;
mod affiliates;
pub mod api_keys;
pub mod blocked_values;
pub mod bot_list;
pub mod coupon_codes;
pub mod custom_caps;
pub mod domains;
pub mod forwarding_rules;
pub mod jobs;
pub mod moved;
pub mod offer_copies;
mod offer_groups;
mod offer_urls;
mod offers;
mod own_address;
pub mod pixels;
pub mod settings;
mod smart_switch;
mod target_values;
mod traffic_controls;
pub mod visibility;
pub mod webhooks;

pub use change::Change;
pub use error::EditError;

/// An object of the catalog that can be created, changed and removed.
pub trait Editable: Entity + Clone + Serialize + DeserializeOwned {
    /// The name in error texts.
    const NAME: &'static str;
    /// Fields of the answer that edits ignore.
    const READ_ONLY_FIELDS: &'static [&'static str];
    /// Whether the published index depends on the object.
    const IS_PUBLISHED: bool = true;

    /// Completes values that a client may name by a number or in words.
    ///
    /// # Errors
    /// The values that nobody knows.
    fn complete(&mut self, _tx: &WriteTx<'_>, _id: Option<u32>) -> Result<(), EditError> {
        Ok(())
    }

    /// Checks the object by itself and against the other rows.
    ///
    /// # Errors
    /// The violated rules.
    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError>;

    /// Checks whether the object may be deleted.
    ///
    /// # Errors
    /// The violated rules.
    fn check_removal(_tx: &WriteTx<'_>, _id: u32, _removal: Removal) -> Result<(), EditError> {
        Ok(())
    }

    /// Whether saving the object in this state means deleting it. If so, the former value replaces
    /// the mark of deletion, so that a restored object has its former state.
    fn take_removal(&mut self, _before: &Self) -> bool {
        false
    }
}

/// Whether a deletion may end working links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Refuse the deletion if links would end.
    Checked,
    /// The client accepts the end of links.
    Forced,
}

/// The result of an edit.
#[derive(Debug)]
pub struct Saved<T> {
    /// The state after the edit.
    pub now: T,
    /// The position in the change sequence; `None` if nothing of the edit is published.
    pub sequence: Option<Sequence>,
}

/// Creates an object.
///
/// # Errors
/// When a rule is violated.
pub fn create<T: Editable>(tx: &WriteTx<'_>, object: &T) -> Result<Saved<Stored<T>>, EditError> {
    let mut object = object.clone();
    object.complete(tx, None)?;
    object.check(tx, None)?;
    let id = rows::insert(tx, &object)?;
    let sequence = next_sequence::<T>(tx)?;
    // Read back, because the store sets times and ids of entries, and normalises URLs.
    let now = existing::<T>(tx, id)?;
    audit::record_created(tx, T::TABLE, id, &now.object)?;
    Ok(Saved { now, sequence })
}

/// Replaces or patches an object.
///
/// # Errors
/// When the object does not exist, or a rule is violated.
pub fn change<T: Editable>(
    tx: &WriteTx<'_>,
    id: u32,
    change: Change,
) -> Result<Saved<Stored<T>>, EditError> {
    change_or_remove(tx, id, change, Removal::Checked)
}

/// Replaces or patches an object; the new state may mean its deletion.
///
/// # Errors
/// When the object does not exist, a rule is violated, or the object must not be deleted.
pub fn change_or_remove<T: Editable>(
    tx: &WriteTx<'_>,
    id: u32,
    change: Change,
    removal: Removal,
) -> Result<Saved<Stored<T>>, EditError> {
    let before = existing::<T>(tx, id)?;
    // Before the body is read, so that a stale edit is 412 even if its body is invalid.
    check_if_match(tx, T::NAME, id, before.times.revision)?;
    let mut object: T = change.apply(&before.object, T::READ_ONLY_FIELDS)?;
    let is_removal = object.take_removal(&before.object);
    object.complete(tx, Some(id))?;
    object.check(tx, Some(id))?;
    rows::update(tx, id, &object)?;
    let sequence = next_sequence::<T>(tx)?;
    let now = existing::<T>(tx, id)?;
    audit::record_changed(tx, T::TABLE, id, &before.object, &now.object)?;
    if !is_removal {
        return Ok(Saved { now, sequence });
    }
    T::check_removal(tx, id, removal)?;
    rows::delete::<T>(tx, id)?;
    audit::record_action(tx, T::TABLE, "deleted", id)?;
    Ok(Saved { now: rows::find_including_deleted(tx, id)?.unwrap_or(now), sequence })
}

/// Deletes an object. The row stays, and can be restored.
///
/// # Errors
/// When the object does not exist, or other objects need it.
pub fn remove<T: Editable>(
    tx: &WriteTx<'_>,
    id: u32,
    removal: Removal,
) -> Result<Saved<()>, EditError> {
    let before = existing::<T>(tx, id)?;
    check_if_match(tx, T::NAME, id, before.times.revision)?;
    T::check_removal(tx, id, removal)?;
    rows::delete::<T>(tx, id)?;
    audit::record_deleted(tx, T::TABLE, id, &before.object)?;
    Ok(Saved { now: (), sequence: next_sequence::<T>(tx)? })
}

/// Restores a deleted object in its former state. Objects created since may prevent that.
///
/// # Errors
/// When the object never existed, is not deleted, or violates a rule beside the present rows.
pub fn restore<T: Editable>(tx: &WriteTx<'_>, id: u32) -> Result<Saved<Stored<T>>, EditError> {
    let found = rows::find_including_deleted::<T>(tx, id)?;
    let found = found.ok_or(EditError::NotFound { what: T::NAME, id })?;
    check_restorable(tx, T::NAME, id, found.times)?;
    found.object.check(tx, Some(id)).map_err(|error| not_restorable(T::NAME, id, error))?;
    rows::restore::<T>(tx, id)?;
    audit::record_action(tx, T::TABLE, "restored", id)?;
    let sequence = next_sequence::<T>(tx)?;
    Ok(Saved { now: existing(tx, id)?, sequence })
}

/// Checks that an object is deleted, and checks `If-Match`.
fn check_restorable(
    tx: &WriteTx<'_>,
    what: &'static str,
    id: u32,
    times: Times,
) -> Result<(), EditError> {
    check_if_match(tx, what, id, times.revision)?;
    if times.time_deleted != 0 {
        return Ok(());
    }
    let message = format!("{what} {id} is not deleted, so there is nothing to restore");
    Err(EditError::conflict("object.not_deleted", "deleted", message))
}

/// Turns field errors into a conflict: later changes cause them, not the request.
fn not_restorable(what: &'static str, id: u32, error: EditError) -> EditError {
    match error {
        EditError::Invalid(fields) => EditError::Conflict {
            code: "object.not_restorable",
            message: format!("{what} {id} cannot be restored: {}", error::first(&fields)),
            fields,
        },
        other => other,
    }
}

/// Checks that no live code would end with the object, unless the client forces the deletion.
fn check_live_codes(
    codes: u64,
    removal: Removal,
    (code, field): (&'static str, &str),
    told: impl FnOnce(u64) -> String,
) -> Result<(), EditError> {
    match (codes, removal) {
        (0, _) | (_, Removal::Forced) => Ok(()),
        (codes, Removal::Checked) => Err(EditError::conflict(code, field, told(codes))),
    }
}

fn next_sequence<T: Editable>(tx: &WriteTx<'_>) -> Result<Option<Sequence>, StoreError> {
    T::IS_PUBLISHED.then(|| tx.next_catalog_sequence()).transpose()
}

fn existing<T: Editable>(tx: &WriteTx<'_>, id: u32) -> Result<Stored<T>, EditError> {
    rows::find(tx, id)?.ok_or(EditError::NotFound { what: T::NAME, id })
}

/// Checks `If-Match` against the row's revision.
pub(crate) fn check_if_match(
    tx: &WriteTx<'_>,
    what: &'static str,
    id: u32,
    revision: u64,
) -> Result<(), EditError> {
    if tx.origin().is_meant_for(revision) { Ok(()) } else { Err(EditError::Stale { what, id }) }
}

/// Checks that a field names an existing object.
pub(crate) fn check_reference<T: Editable>(
    tx: &WriteTx<'_>,
    field: &str,
    id: u32,
) -> Result<(), EditError> {
    if rows::exists::<T>(tx, id)? {
        return Ok(());
    }
    Err(EditError::field(field, format!("there is no {} {id}", T::NAME)))
}

/// Checks the partners of an object's list that it did not name before: one that is deleted since
/// may stay.
fn check_partners(tx: &WriteTx<'_>, partners: &[u32], before: &[u32]) -> Result<(), EditError> {
    let mut problems = Problems::default();
    for (index, partner) in partners.iter().enumerate() {
        if !before.contains(partner) && !rows::exists::<Affiliate>(tx, *partner)? {
            let field = format!("{PARTNER_LIST}[{index}]");
            problems.add(field, format!("there is no affiliate {partner}"));
        }
    }
    problems.finish().map_err(EditError::Invalid)
}
