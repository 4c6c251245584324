//! Coupon codes: edits, and the rules that involve other rows.
//!
//! (code, offer) is unique among the codes that are not deleted. The rows of one code belong to at
//! most one partner at the end of each request. All rows that a request writes have one change
//! sequence, which selects the rows for the checks. A code of a former partner is issued again only
//! if the request allows the re-issue. A change of partner does not move earlier clicks.

use std::collections::{HashMap, HashSet};

use serde_json::Map;

mod checks;
mod generate;
mod moved;
mod slices;
mod status;

pub use checks::{check_ids, owned_message, reissue_message};
pub use generate::{PatternPreview, generate, preview};
pub use moved::{MovedPage, put_moved};
pub use slices::{EditedSlice, RowEdit, edit_slice};
pub use status::set_status;

use super::{Change, EditError, Saved, audit, check_if_match, check_restorable, not_restorable};
use crate::catalog::{CheckedCode, CouponCodeEdit};
use crate::json::Each;
use crate::store::coupon_codes::{self, CodeRow};
use crate::store::{StoreError, WriteTx};
use checks::{
    NAME, check_each, check_owners, check_references, check_reissues, duplicate, existing,
    refuse_duplicates,
};

/// The audit's name for the object.
const OBJECT: &str = "coupon_code";

/// Fields of the answer that edits ignore.
pub(crate) const READ_ONLY_FIELDS: &[&str] = &[
    "network_coupon_code_id",
    "network_id",
    "tracking_link",
    "tracking_link_unavailable_reason",
    "time_created",
    "time_saved",
    "time_deleted",
    "relationship",
];

/// Creates one code.
///
/// # Errors
/// When a rule is violated.
pub fn create(tx: &WriteTx<'_>, edit: CouponCodeEdit) -> Result<Saved<CodeRow>, EditError> {
    let Saved { mut now, sequence } = create_all(tx, vec![edit], "")?;
    let row = now.pop().ok_or(StoreError::Aborted)?;
    audit::record_created(tx, OBJECT, row.stored.id, &row.stored.object)?;
    Ok(Saved { now: row, sequence })
}

/// Creates all codes of a JSON array, or none.
///
/// # Errors
/// All wrong rows, with paths such as `[3].coupon_code`.
pub fn create_bulk(
    tx: &WriteTx<'_>,
    array: Each<CouponCodeEdit>,
) -> Result<Saved<Vec<CodeRow>>, EditError> {
    if !array.wrong.is_empty() {
        return Err(EditError::Invalid(array.wrong));
    }
    let saved = create_all(tx, array.read, "[]")?;
    let sequence = saved.sequence.unwrap_or_default();
    audit::record_codes(tx, "created", sequence, &Map::new())?;
    Ok(saved)
}

/// With the shape `[]`, error paths begin with the index of the row.
fn create_all(
    tx: &WriteTx<'_>,
    edits: Vec<CouponCodeEdit>,
    shape: &str,
) -> Result<Saved<Vec<CodeRow>>, EditError> {
    let path = |index: usize| if shape.is_empty() { String::new() } else { format!("[{index}].") };
    let reissued: HashSet<usize> = edits
        .iter()
        .enumerate()
        .filter(|(_, edit)| edit.allow_reissue)
        .map(|(index, _)| index)
        .collect();
    let codes = check_each(tx, edits, &path)?;
    let sequence = tx.next_code_sequence()?;
    let mut row_of = HashMap::new();
    let mut taken = Vec::new();
    for (index, code) in codes.iter().enumerate() {
        match coupon_codes::on_offer(tx, &code.code.folded(), code.offer_id)? {
            Some(other) => {
                taken.push(duplicate(&path(index), code, other, row_of.get(&other).copied()))
            }
            None => drop(row_of.insert(coupon_codes::insert(tx, code, sequence)?, index)),
        }
    }
    refuse_duplicates(taken)?;
    let name = |id: u32| row_of.get(&id).map(|index| path(*index)).unwrap_or_default();
    check_owners(tx, sequence, name)?;
    check_reissues(tx, sequence, name, |id| {
        row_of.get(&id).is_some_and(|index| reissued.contains(index))
    })?;
    let mut ids: Vec<u32> = row_of.into_keys().collect();
    ids.sort_unstable();
    let now = ids.into_iter().map(|id| existing(tx, id)).collect::<Result<_, _>>()?;
    Ok(Saved { now, sequence: Some(sequence) })
}

/// Replaces or patches one code.
///
/// # Errors
/// When the code does not exist, or a rule is violated.
pub fn change(tx: &WriteTx<'_>, id: u32, change: Change) -> Result<Saved<CodeRow>, EditError> {
    let before = find_for_edit(tx, id)?;
    let edit: CouponCodeEdit = change.apply(&before, READ_ONLY_FIELDS)?;
    let allow_reissue = edit.allow_reissue;
    let is_renamed = !edit.coupon_code.eq_ignore_ascii_case(&before.coupon_code);
    let after = if is_renamed { edit.check_new() } else { edit.check() };
    let after = after.map_err(EditError::Invalid)?;
    let old = before.clone().check().map_err(EditError::Invalid)?;
    check_references(tx, &after, Some(&old))?;
    let other = coupon_codes::on_offer(tx, &after.code.folded(), after.offer_id)?
        .filter(|other| *other != id);
    refuse_duplicates(other.map(|other| duplicate("", &after, other, None)).into_iter().collect())?;
    let sequence = tx.next_code_sequence()?;
    coupon_codes::update(tx, id, &after, sequence)?;
    check_owners(tx, sequence, |_| String::new())?;
    if is_renamed {
        check_reissues(tx, sequence, |_| String::new(), |_| allow_reissue)?;
    }
    remember_former_owner(tx, &old, Some(&after))?;
    let now = existing(tx, id)?;
    audit::record_changed(tx, OBJECT, id, &before, &now.stored.object)?;
    Ok(Saved { now, sequence: Some(sequence) })
}

/// Deletes one code.
///
/// # Errors
/// When the code does not exist.
pub fn remove(tx: &WriteTx<'_>, id: u32) -> Result<Saved<()>, EditError> {
    let before = find_for_edit(tx, id)?;
    let old = before.clone().check().map_err(EditError::Invalid)?;
    let sequence = tx.next_code_sequence()?;
    coupon_codes::delete(tx, id, sequence)?;
    remember_former_owner(tx, &old, None)?;
    audit::record_deleted(tx, OBJECT, id, &before)?;
    Ok(Saved { now: (), sequence: Some(sequence) })
}

/// Restores a deleted code in its former state, with the checks of a new code.
///
/// # Errors
/// When the code never existed, is not deleted, or violates a rule.
pub fn restore(
    tx: &WriteTx<'_>,
    id: u32,
    allow_reissue: bool,
) -> Result<Saved<CodeRow>, EditError> {
    let found = coupon_codes::find_including_deleted(tx, id)?;
    let stored = found.ok_or(EditError::NotFound { what: NAME, id })?.stored;
    check_restorable(tx, NAME, id, stored.times)?;
    let refused = |error| not_restorable(NAME, id, error);
    let code = stored.object.check().map_err(EditError::Invalid).map_err(refused)?;
    check_references(tx, &code, None).map_err(refused)?;
    let other = coupon_codes::on_offer(tx, &code.code.folded(), code.offer_id)?;
    refuse_duplicates(other.map(|other| duplicate("", &code, other, None)).into_iter().collect())?;
    let sequence = tx.next_code_sequence()?;
    coupon_codes::restore(tx, id, sequence)?;
    check_owners(tx, sequence, |_| String::new())?;
    check_reissues(tx, sequence, |_| String::new(), |_| allow_reissue)?;
    audit::record_action(tx, OBJECT, "restored", id)?;
    Ok(Saved { now: existing(tx, id)?, sequence: Some(sequence) })
}

/// Finds the code and checks `If-Match`.
fn find_for_edit(tx: &WriteTx<'_>, id: u32) -> Result<CouponCodeEdit, EditError> {
    let stored = existing(tx, id)?.stored;
    check_if_match(tx, NAME, id, stored.times.revision)?;
    Ok(stored.object)
}

fn remember_former_owner(
    tx: &WriteTx<'_>,
    old: &CheckedCode,
    new: Option<&CheckedCode>,
) -> Result<(), StoreError> {
    let Some(owner) = old.affiliate_id else { return Ok(()) };
    let is_kept = new.is_some_and(|new| {
        new.affiliate_id == Some(owner) && new.code.folded() == old.code.folded()
    });
    if is_kept { Ok(()) } else { coupon_codes::remember_owner(tx, &old.code.folded(), owner) }
}
