//! Validates staged rows against each other and the store, and describes each error in a sentence
//! with the other row or the owner.

use crate::catalog::BulkMode;
use crate::edit::coupon_codes::{owned_message, reissue_message};
use crate::store::staging::cross_row_checks::{self as checks, Scope};
use crate::store::staging::{FaultKind, Intent, add_fault};
use crate::store::{StagingTx, StoreError};

/// Validates the rows in `scope` without errors of their own.
pub fn validate_rows(
    connection: &StagingTx<'_>,
    intent: Intent,
    scope: Scope<'_>,
) -> Result<(), StoreError> {
    checks::fill(connection, intent.mode, scope)?;
    checks::delete_faults(connection, scope)?;
    let note = |number: u32, column: &str, reason: &str| {
        add_fault(connection, number, FaultKind::Judged, column, reason)
    };
    check_offers_and_partners(connection, &note)?;
    check_owners(connection, &note)?;
    match intent.mode {
        BulkMode::Add if intent.allow_reissue => Ok(()),
        BulkMode::Add => checks::each_once_anothers(connection, |claim| {
            let how = "upload the file with allow_reissue";
            note(claim.id, "coupon_code", &reissue_message(&claim, how))
        }),
        BulkMode::Update => check_updates(connection, scope, &note),
    }
}

type Note<'a> = &'a dyn Fn(u32, &str, &str) -> Result<(), StoreError>;

/// Offers and partners must exist, and a code occurs once on an offer.
fn check_offers_and_partners(connection: &StagingTx<'_>, note: Note<'_>) -> Result<(), StoreError> {
    checks::each_missing_offer(connection, |(number, id)| {
        note(number, "offer_id", &format!("there is no offer {id}"))
    })?;
    checks::each_missing_affiliate(connection, |(number, id)| {
        note(number, "affiliate_id", &format!("there is no affiliate {id}"))
    })?;
    checks::each_repeated(connection, |(number, other)| {
        let reason = format!("stands on this offer twice in this file; the other is row {other}");
        note(number, "coupon_code", &reason)
    })?;
    checks::each_taken(connection, |(number, id)| {
        note(number, "coupon_code", &format!("stands on this offer already, as coupon code {id}"))
    })
}

/// The rows of one code belong to one partner.
fn check_owners(connection: &StagingTx<'_>, note: Note<'_>) -> Result<(), StoreError> {
    checks::each_owned_by_another(connection, |claim| {
        note(claim.id, "affiliate_id", &owned_message(&claim))
    })?;
    checks::each_owner_conflict(connection, |rival| {
        let reason = format!(
            "the code {} belongs to partner {} in row {}; all rows of a code belong to one partner",
            rival.code, rival.partner_id, rival.other
        );
        note(rival.number, "affiliate_id", &reason)
    })
}

fn check_updates(
    connection: &StagingTx<'_>,
    scope: Scope<'_>,
    note: Note<'_>,
) -> Result<(), StoreError> {
    checks::each_unmatched(connection, scope, |row| {
        let code = row.code;
        let (column, reason) = match (row.code_id, row.ids) {
            (_, None) => ("coupon_code", format!("there is no coupon code {code}")),
            (None, Some(ids)) => (
                "coupon_code_id",
                format!("the code {code} stands on several offers; say which is meant: {ids}"),
            ),
            (Some(id), Some(ids)) => (
                "coupon_code_id",
                format!("coupon code {id} is not {code}; the coupon codes of {code} are: {ids}"),
            ),
        };
        note(row.number, column, &reason)
    })?;
    checks::each_selected_twice(connection, |(number, other)| {
        let reason = format!("is changed twice in this file; the other is row {other}");
        note(number, "coupon_code", &reason)
    })?;
    checks::each_ended_before_its_start(connection, |number| {
        note(number, "end_date", "is before start_date, with the day that is kept")
    })?;
    checks::each_other_kind(connection, |number| {
        note(number, "conversion_only", "cannot be changed by a file; edit the coupon code")
    })?;
    checks::each_affected(connection, |(number, other)| {
        let reason = format!("row {other} has the same code and is wrong; mend or remove it first");
        note(number, "coupon_code", &reason)
    })
}
