//! Coupon codes: what a row must be beside the other rows.
//!
//! (code, offer) is unique among the codes not deleted. The rows of one code belong to at most one
//! partner at the end of each request; all that the request wrote carries one sequence, and the
//! rows are judged by that. A code that once belonged to another partner is issued anew only on
//! demand. A partner is changed only by naming him; what was clicked before stays his.

use std::collections::{HashMap, HashSet};

use serde_json::Map;

mod generate;
mod status;

pub use generate::generate;
pub use status::set_status;

use super::{Change, EditError, Saved, audit, check_if_match, check_restorable, not_restorable};
use crate::catalog::{Affiliate, CheckedCode, CouponCodeEdit, FieldError, Offer};
use crate::json::Each;
use crate::store::coupon_codes::{self, Claim, CodeRow};
use crate::store::meta::Sequence;
use crate::store::{StoreError, WriteTx, rows};

/// In the audit.
const OBJECT: &str = "coupon_code";
/// In sentences.
const NAME: &str = "coupon code";

const ANSWERED_ONLY: &[&str] = &[
    "network_coupon_code_id",
    "network_id",
    "tracking_link",
    "tracking_link_unavailable_reason",
    "time_created",
    "time_saved",
    "time_deleted",
    "relationship",
];

/// What is wrong is told for at most this many rows of a request.
const MAX_REPORTED: usize = 1000;

/// Creates one code.
///
/// # Errors
/// When it may not be saved.
pub fn create(tx: &WriteTx<'_>, edit: CouponCodeEdit) -> Result<Saved<CodeRow>, EditError> {
    let Saved { mut now, sequence } = create_all(tx, vec![edit], "")?;
    let row = now.pop().ok_or(StoreError::BrokenOff)?;
    audit::record_created(tx, OBJECT, row.stored.id, &row.stored.object)?;
    Ok(Saved { now: row, sequence })
}

/// Creates all codes of a JSON array, or none.
///
/// # Errors
/// With every row that is wrong, as `[3].coupon_code`.
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

/// `shape` says how rows are named: `[]` by their index, else not at all.
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
    judge_owners(tx, sequence, name)?;
    judge_reissues(tx, sequence, name, |id| {
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
/// When it is not there, or may not be saved.
pub fn change(tx: &WriteTx<'_>, id: u32, change: Change) -> Result<Saved<CodeRow>, EditError> {
    let before = meant(tx, id)?;
    let edit: CouponCodeEdit = change.apply(&before, ANSWERED_ONLY)?;
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
    judge_owners(tx, sequence, |_| String::new())?;
    if is_renamed {
        judge_reissues(tx, sequence, |_| String::new(), |_| allow_reissue)?;
    }
    remember(tx, &old, Some(&after))?;
    let now = existing(tx, id)?;
    audit::record_changed(tx, OBJECT, id, &before, &now.stored.object)?;
    Ok(Saved { now, sequence: Some(sequence) })
}

/// Removes one code.
///
/// # Errors
/// When it is not there.
pub fn remove(tx: &WriteTx<'_>, id: u32) -> Result<Saved<()>, EditError> {
    let before = meant(tx, id)?;
    let old = before.clone().check().map_err(EditError::Invalid)?;
    let sequence = tx.next_code_sequence()?;
    coupon_codes::delete(tx, id, sequence)?;
    remember(tx, &old, None)?;
    audit::record_deleted(tx, OBJECT, id, &before)?;
    Ok(Saved { now: (), sequence: Some(sequence) })
}

/// Brings a removed code back as it was, judged beside the codes there are now as a new one would be.
///
/// # Errors
/// When it was never there, was not removed, or may not be saved.
pub fn restore(
    tx: &WriteTx<'_>,
    id: u32,
    allow_reissue: bool,
) -> Result<Saved<CodeRow>, EditError> {
    let found = coupon_codes::find_ever(tx, id)?;
    let stored = found.ok_or(EditError::NotFound { what: NAME, id })?.stored;
    check_restorable(tx, NAME, id, stored.times)?;
    let refused = |error| not_restorable(NAME, id, error);
    let code = stored.object.check().map_err(EditError::Invalid).map_err(refused)?;
    check_references(tx, &code, None).map_err(refused)?;
    let other = coupon_codes::on_offer(tx, &code.code.folded(), code.offer_id)?;
    refuse_duplicates(other.map(|other| duplicate("", &code, other, None)).into_iter().collect())?;
    let sequence = tx.next_code_sequence()?;
    coupon_codes::restore(tx, id, sequence)?;
    judge_owners(tx, sequence, |_| String::new())?;
    judge_reissues(tx, sequence, |_| String::new(), |_| allow_reissue)?;
    audit::record_action(tx, OBJECT, "restored", id)?;
    Ok(Saved { now: existing(tx, id)?, sequence: Some(sequence) })
}

/// In the state that the request is meant for.
fn meant(tx: &WriteTx<'_>, id: u32) -> Result<CouponCodeEdit, EditError> {
    let stored = existing(tx, id)?.stored;
    check_if_match(tx, NAME, id, stored.times.revision)?;
    Ok(stored.object)
}

fn existing(tx: &WriteTx<'_>, id: u32) -> Result<CodeRow, EditError> {
    coupon_codes::find(tx, id)?.ok_or(EditError::NotFound { what: NAME, id })
}

/// Each row by itself, and that what it names is there.
fn check_each(
    tx: &WriteTx<'_>,
    edits: Vec<CouponCodeEdit>,
    path: &impl Fn(usize) -> String,
) -> Result<Vec<CheckedCode>, EditError> {
    let (mut codes, mut wrong) = (Vec::new(), Vec::new());
    for (index, edit) in edits.into_iter().enumerate() {
        let checked = edit.check_new().map_err(EditError::Invalid).and_then(|code| {
            check_references(tx, &code, None)?;
            Ok(code)
        });
        match checked {
            Ok(code) => codes.push(code),
            Err(EditError::Invalid(fields)) => {
                wrong.extend(
                    fields
                        .into_iter()
                        .map(|e| FieldError { field: format!("{}{}", path(index), e.field), ..e }),
                );
            }
            Err(other) => return Err(other),
        }
    }
    if wrong.is_empty() { Ok(codes) } else { Err(EditError::Invalid(wrong)) }
}

/// What did not change may name what was deleted since, so that such a code can still be paused.
fn check_references(
    tx: &WriteTx<'_>,
    code: &CheckedCode,
    before: Option<&CheckedCode>,
) -> Result<(), EditError> {
    let mut wrong = Vec::new();
    let is_new_offer = before.is_none_or(|before| before.offer_id != code.offer_id);
    if is_new_offer && !rows::exists::<Offer>(tx, code.offer_id)? {
        wrong.push(missing("network_offer_id", "offer", code.offer_id));
    }
    if let Some(affiliate_id) = code.affiliate_id
        && before.is_none_or(|before| before.affiliate_id != code.affiliate_id)
        && !rows::exists::<Affiliate>(tx, affiliate_id)?
    {
        wrong.push(missing("network_affiliate_id", "affiliate", affiliate_id));
    }
    if wrong.is_empty() { Ok(()) } else { Err(EditError::Invalid(wrong)) }
}

fn missing(field: &str, what: &str, id: u32) -> FieldError {
    FieldError { field: field.into(), error: format!("there is no {what} {id}") }
}

fn duplicate(
    path: &str,
    code: &CheckedCode,
    other: u32,
    other_in_request: Option<usize>,
) -> FieldError {
    let (code, offer) = (code.code.as_str(), code.offer_id);
    let error = match other_in_request {
        Some(index) => format!(
            "the code {code} stands on offer {offer} twice in this request; the other is [{index}]"
        ),
        None => format!(
            "the code {code} stands on offer {offer} already, as coupon code {other}; \
             change that one, or choose another code"
        ),
    };
    FieldError { field: format!("{path}coupon_code"), error }
}

fn refuse_duplicates(fields: Vec<FieldError>) -> Result<(), EditError> {
    conflict("coupon_code.duplicate", fields)
}

fn judge_owners(
    tx: &WriteTx<'_>,
    sequence: Sequence,
    name: impl Fn(u32) -> String,
) -> Result<(), EditError> {
    let mut fields = Vec::new();
    coupon_codes::each_owned_by_another(tx, sequence, |claim| {
        let field = format!("{}network_affiliate_id", name(claim.id));
        fields.push(FieldError { field, error: owned_message(&claim) });
        fields.len() < MAX_REPORTED
    })?;
    conflict("coupon_code.owned_by_another_partner", fields)
}

fn judge_reissues(
    tx: &WriteTx<'_>,
    sequence: Sequence,
    name: impl Fn(u32) -> String,
    is_allowed: impl Fn(u32) -> bool,
) -> Result<(), EditError> {
    let mut fields = Vec::new();
    coupon_codes::each_once_anothers(tx, sequence, |claim| {
        if !is_allowed(claim.id) {
            let field = format!("{}allow_reissue", name(claim.id));
            fields.push(FieldError {
                field,
                error: reissue_message(&claim, "send allow_reissue: true"),
            });
        }
        fields.len() < MAX_REPORTED
    })?;
    conflict("coupon_code.once_another_partners", fields)
}

/// Says whose a code is.
#[must_use]
pub fn owned_message(claim: &Claim) -> String {
    format!(
        "the code {} belongs to partner {} ({}); all rows of a code belong to one partner",
        claim.code, claim.owner_id, claim.owner_name
    )
}

/// Says whose a code was, and how to issue it nevertheless.
#[must_use]
pub fn reissue_message(claim: &Claim, how: &str) -> String {
    format!(
        "the code {} once belonged to partner {} ({}), whose links may still be about; {how} to issue it anew",
        claim.code, claim.owner_id, claim.owner_name
    )
}

fn conflict(code: &'static str, fields: Vec<FieldError>) -> Result<(), EditError> {
    match fields.first() {
        None => Ok(()),
        Some(first) => Err(EditError::Conflict { code, message: first.error.clone(), fields }),
    }
}

fn remember(
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
