//! One edit inside its transaction: read what is there, change it, ask the rules, write, take the
//! next value of the change sequence.
//!
//! An edit is judged on the state that the whole request leaves. Whatever is refused leaves
//! nothing, because the transaction's savepoint goes with it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalog::FieldError;
use crate::store::meta::Sequence;
use crate::store::rows::{self, Kept, Stored, Times};
use crate::store::{StoreError, WriteTx};

pub(crate) mod audit;
mod change;
pub mod idempotency;

mod advertisers;
mod affiliates;
pub mod api_keys;
pub mod bot_list;
pub mod coupon_codes;
mod domains;
mod offers;
mod own_address;
pub mod pixels;
pub mod settings;
pub mod visibility;

pub use change::Change;

/// Why an edit was refused.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such object, or it was deleted.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What kind of object.
        what: &'static str,
        /// The id asked for.
        id: u32,
    },
    /// Fields are wrong.
    #[error("{}", summarize(.0))]
    Invalid(Vec<FieldError>),
    /// It cannot be beside what is already there.
    #[error("{message}")]
    Conflict {
        /// A stable word for it.
        code: &'static str,
        /// What it collides with, and what to do.
        message: String,
        /// Where in the request.
        fields: Vec<FieldError>,
    },
    /// The edit was meant for another state of the object.
    #[error(
        "{what}{} changed since this edit was begun; read again, and send the edit with the new ETag", numbered(*id)
    )]
    Stale {
        /// What kind of object.
        what: &'static str,
        /// Its id.
        id: u32,
    },
    /// A key that says "this is a repetition" came with another request.
    #[error(
        "this Idempotency-Key was used for another request less than a day ago; send each new request with a key of its own"
    )]
    NotARepetition,
    /// Too many repeatable requests.
    #[error(
        "{kept} requests of the last day can be repeated already; send this one without Idempotency-Key, or later"
    )]
    TooManyRepeatable {
        /// How many are kept.
        kept: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The settings are one, and have no number.
fn numbered(id: u32) -> String {
    if id == 0 { String::new() } else { format!(" {id}") }
}

fn summarize(fields: &[FieldError]) -> String {
    match fields {
        [_] | [] => first(fields),
        many => format!("{} fields are wrong; {}", many.len(), first(many)),
    }
}

fn first(fields: &[FieldError]) -> String {
    fields.first().map(|e| format!("{}: {}", e.field, e.error)).unwrap_or_default()
}

impl EditError {
    /// One wrong field.
    pub(crate) fn field(field: impl Into<String>, error: impl Into<String>) -> EditError {
        EditError::Invalid(vec![FieldError { field: field.into(), error: error.into() }])
    }

    /// A collision that one field stands for.
    pub(crate) fn conflict(
        code: &'static str,
        field: &str,
        message: impl Into<String>,
    ) -> EditError {
        let message = message.into();
        let fields = vec![FieldError { field: field.into(), error: message.clone() }];
        EditError::Conflict { code, message, fields }
    }
}

/// An object of the catalog that can be created, changed and removed.
pub trait Editable: Kept + Serialize + DeserializeOwned {
    /// What it is called in sentences.
    const NAME: &'static str;
    /// Fields of its answer that are not edited; in a request they are ignored.
    const ANSWERED_ONLY: &'static [&'static str];
    /// Whether visitors meet its changes.
    const IS_PUBLISHED: bool = true;

    /// Whether it may be saved: by itself, and beside the other rows.
    ///
    /// # Errors
    /// Why not.
    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError>;

    /// Whether it may be removed.
    ///
    /// # Errors
    /// Why not.
    fn check_removal(_tx: &WriteTx<'_>, _id: u32, _removal: Removal) -> Result<(), EditError> {
        Ok(())
    }

    /// Whether saving it as it is means removing it. If so, it gets back what it had instead of the
    /// mark of its removal, so that a restored object is as it was.
    fn take_removal(&mut self, _before: &Self) -> bool {
        false
    }
}

/// Whether a removal may end links that lead somewhere now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It may not.
    Checked,
    /// Its caller knows of them.
    Forced,
}

/// What an edit left.
#[derive(Debug)]
pub struct Saved<T> {
    /// As it now stands.
    pub now: T,
    /// The change's place in the sequence; `None` when nothing of it is published.
    pub sequence: Option<Sequence>,
}

/// Creates an object.
///
/// # Errors
/// When it may not be saved.
pub fn create<T: Editable>(tx: &WriteTx<'_>, object: &T) -> Result<Saved<Stored<T>>, EditError> {
    object.check(tx, None)?;
    let id = rows::insert(tx, object)?;
    let sequence = next_sequence::<T>(tx)?;
    let now = existing::<T>(tx, id)?;
    audit::record_created(tx, T::TABLE, id, &now.object)?;
    Ok(Saved { now, sequence })
}

/// Replaces or patches an object.
///
/// # Errors
/// When it is not there, or may not be saved.
pub fn change<T: Editable>(
    tx: &WriteTx<'_>,
    id: u32,
    change: Change,
) -> Result<Saved<Stored<T>>, EditError> {
    change_or_remove(tx, id, change, Removal::Checked)
}

/// Replaces or patches an object; what is saved may also mean its removal.
///
/// # Errors
/// When it is not there, may not be saved, or not be removed.
pub fn change_or_remove<T: Editable>(
    tx: &WriteTx<'_>,
    id: u32,
    change: Change,
    removal: Removal,
) -> Result<Saved<Stored<T>>, EditError> {
    let before = existing::<T>(tx, id)?;
    check_if_match(tx, T::NAME, id, before.times.revision)?;
    let mut object: T = change.apply(&before.object, T::ANSWERED_ONLY)?;
    let is_removal = object.take_removal(&before.object);
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
    Ok(Saved { now: rows::find_ever(tx, id)?.unwrap_or(now), sequence })
}

/// Removes an object. It is kept, and can be restored.
///
/// # Errors
/// When it is not there, or something needs it.
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

/// Brings a removed object back as it was. What has come since may stand in its way.
///
/// # Errors
/// When it was never there, was not removed, or may not be saved beside what is there now.
pub fn restore<T: Editable>(tx: &WriteTx<'_>, id: u32) -> Result<Saved<Stored<T>>, EditError> {
    let found = rows::find_ever::<T>(tx, id)?;
    let found = found.ok_or(EditError::NotFound { what: T::NAME, id })?;
    check_restorable(tx, T::NAME, id, found.times)?;
    found.object.check(tx, Some(id)).map_err(|error| not_restorable(T::NAME, id, error))?;
    rows::restore::<T>(tx, id)?;
    audit::record_action(tx, T::TABLE, "restored", id)?;
    let sequence = next_sequence::<T>(tx)?;
    Ok(Saved { now: existing(tx, id)?, sequence })
}

/// That an object was removed, and is in the state that the request is meant for.
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

/// What is wrong with a removed object is the fault of what has changed since, not of the request.
fn not_restorable(what: &'static str, id: u32, error: EditError) -> EditError {
    match error {
        EditError::Invalid(fields) => EditError::Conflict {
            code: "object.not_restorable",
            message: format!("{what} {id} cannot be restored: {}", first(&fields)),
            fields,
        },
        other => other,
    }
}

/// That no code is live which would end with an object, or that this is known.
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

/// That the request, where it says which state of an object it is meant for, means this one.
fn check_if_match(
    tx: &WriteTx<'_>,
    what: &'static str,
    id: u32,
    revision: u64,
) -> Result<(), EditError> {
    if tx.origin().is_meant_for(revision) { Ok(()) } else { Err(EditError::Stale { what, id }) }
}

/// That a field names an object which is there.
fn check_reference<T: Editable>(tx: &WriteTx<'_>, field: &str, id: u32) -> Result<(), EditError> {
    if rows::exists::<T>(tx, id)? {
        return Ok(());
    }
    Err(EditError::field(field, format!("there is no {} {id}", T::NAME)))
}
