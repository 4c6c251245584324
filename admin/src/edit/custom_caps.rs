//! Custom caps.

use super::{Change, EditError, Editable, Saved, change, check_reference};
use crate::catalog::{Affiliate, CustomCap, FieldError, Offer};
use crate::json::Fields;
use crate::store::{WriteTx, caps, coupon_codes};

/// Caps that one request changes.
const MAX_AT_ONCE: usize = 1_000;

impl Editable for CustomCap {
    const NAME: &'static str = "custom cap";
    const READ_ONLY_FIELDS: &'static [&'static str] = &[
        "network_custom_cap_setting_id",
        "network_id",
        "time_created",
        "time_saved",
        "time_deleted",
        "relationship",
        "warnings",
    ];

    fn check(&self, tx: &WriteTx<'_>, id: Option<u32>) -> Result<(), EditError> {
        CustomCap::check(self).map_err(EditError::Invalid)?;
        check_reference::<Offer>(tx, "network_offer_id", self.network_offer_id)?;
        if self.network_affiliate_id != 0 {
            check_reference::<Affiliate>(tx, "network_affiliate_id", self.network_affiliate_id)?;
        }
        check_code(self, tx)?;
        if !caps::has_same_scope(tx, self, id)? {
            return Ok(());
        }
        let message = "there is a custom cap of this offer, partner and code; change that one";
        Err(EditError::conflict("custom_cap.exists", "network_offer_id", message))
    }
}

/// Checks that the code is one of the offer and partner.
fn check_code(cap: &CustomCap, tx: &WriteTx<'_>) -> Result<(), EditError> {
    let id = cap.network_coupon_code_id;
    if id == 0 {
        return Ok(());
    }
    let Some(found) = coupon_codes::find(tx, id)? else {
        let message = format!("there is no coupon code {id}");
        return Err(EditError::field("network_coupon_code_id", message));
    };
    let code = &found.stored.object;
    if code.network_offer_id != cap.network_offer_id {
        let message = format!("coupon code {id} is one of offer {}", code.network_offer_id);
        return Err(EditError::field("network_offer_id", message));
    }
    let (named, owner) = (cap.network_affiliate_id, code.network_affiliate_id.unwrap_or_default());
    if named != 0 && named != owner {
        let message = format!("coupon code {id} is not one of partner {named}");
        return Err(EditError::field("network_affiliate_id", message));
    }
    Ok(())
}

/// Sets the same fields of several caps.
///
/// # Errors
/// When a cap does not exist, or a rule is violated; then no cap is changed.
pub fn change_many(tx: &WriteTx<'_>, ids: &[u32], fields: &Fields) -> Result<Saved<()>, EditError> {
    let field = "network_custom_cap_setting_ids";
    if ids.is_empty() || ids.len() > MAX_AT_ONCE {
        let message = format!("must name 1 to {MAX_AT_ONCE} caps, and names {}", ids.len());
        return Err(EditError::field(field, message));
    }
    let mut sequence = None;
    for id in ids {
        let changed = change::<CustomCap>(tx, *id, Change::Patch(fields.clone()));
        sequence = changed.map_err(|error| of_cap(error, field, *id))?.sequence.max(sequence);
    }
    Ok(Saved { now: (), sequence })
}

/// A missing cap is an error of the request's list.
fn of_cap(error: EditError, field: &str, id: u32) -> EditError {
    match error {
        EditError::NotFound { what, id } => {
            EditError::field(field, format!("there is no {what} {id}"))
        }
        EditError::Invalid(fields) => {
            let named = |field: FieldError| FieldError {
                error: format!("of custom cap {id} {}", field.error),
                ..field
            };
            EditError::Invalid(fields.into_iter().map(named).collect())
        }
        other => other,
    }
}
