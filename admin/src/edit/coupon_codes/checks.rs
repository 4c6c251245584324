//! Checks of coupon codes against the other rows.

use super::super::EditError;
use crate::catalog::{Affiliate, CheckedCode, CouponCodeEdit, FieldError, Offer};
use crate::store::coupon_codes::{self, CodeRow, OwnedCode};
use crate::store::meta::Sequence;
use crate::store::{WriteTx, rows};

/// The name in error texts.
pub(super) const NAME: &str = "coupon code";

/// Most wrong rows that one answer reports.
const MAX_REPORTED: usize = 1000;

pub(super) fn existing(tx: &WriteTx<'_>, id: u32) -> Result<CodeRow, EditError> {
    coupon_codes::find(tx, id)?.ok_or(EditError::NotFound { what: NAME, id })
}

/// Checks each row, and the existence of offers and partners.
pub(super) fn check_each(
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

/// Checks the existence of offer and partner. Unchanged fields may name deleted objects, so that
/// such a code can still be paused.
pub(super) fn check_references(
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

/// Checks the existence of the codes that a request names.
///
/// # Errors
/// All ids without a code.
pub fn check_ids(tx: &WriteTx<'_>, ids: &[u32]) -> Result<(), EditError> {
    let gone = coupon_codes::missing_ids(tx, ids)?;
    if gone.is_empty() {
        return Ok(());
    }
    let wrong = gone.into_iter().map(|(index, id)| {
        missing(&format!("network_coupon_code_ids[{index}]"), "coupon code", id)
    });
    Err(EditError::Invalid(wrong.collect()))
}

pub(super) fn missing(field: &str, what: &str, id: u32) -> FieldError {
    FieldError { field: field.into(), error: format!("there is no {what} {id}") }
}

pub(super) fn duplicate(
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

pub(super) fn refuse_duplicates(fields: Vec<FieldError>) -> Result<(), EditError> {
    conflict("coupon_code.duplicate", fields)
}

pub(super) fn check_owners(
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

pub(super) fn check_reissues(
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

/// The error text for a code of another partner.
#[must_use]
pub fn owned_message(claim: &OwnedCode) -> String {
    format!(
        "the code {} belongs to partner {} ({}); all rows of a code belong to one partner",
        claim.code, claim.owner_id, claim.owner_name
    )
}

/// The error text for a code of a former partner; `how` names the remedy.
#[must_use]
pub fn reissue_message(claim: &OwnedCode, how: &str) -> String {
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
