//! Sets one status for many codes, chosen by ids or by the filters of the list.
//!
//! Codes with the status already stay untouched, so a repetition changes nothing. Ownership does
//! not depend on the status, so no owner check is needed.

use serde_json::{Map, json};

use super::super::{EditError, Saved, audit};
use super::checks::check_ids;
use crate::catalog::CouponStatus;
use crate::store::WriteTx;
use crate::store::coupon_codes::{self, Chosen, StatusChange};

/// More rows would block other writers for too long.
const MAX_ROWS: u64 = 250_000;

///
/// # Errors
/// When an id does not exist, or too many codes match; nothing is changed then.
pub fn set_status(
    tx: &WriteTx<'_>,
    chosen: &Chosen,
    status: CouponStatus,
) -> Result<Saved<StatusChange>, EditError> {
    if let Chosen::Ids(ids) = chosen {
        check_ids(tx, ids)?;
    }
    let matched = coupon_codes::count_chosen(tx, chosen)?;
    if matched > MAX_ROWS {
        return Err(EditError::field(
            "filter",
            format!("{matched} codes match; at most {MAX_ROWS} are changed at once, so narrow it"),
        ));
    }
    if !coupon_codes::has_another_status(tx, chosen, status)? {
        return Ok(Saved { now: StatusChange { matched, changed: 0 }, sequence: None });
    }
    let sequence = tx.next_code_sequence()?;
    let changed = coupon_codes::set_status(tx, chosen, status, sequence)?;
    let to = Map::from_iter([("coupon_status".into(), json!(status))]);
    audit::record_codes(tx, "changed", sequence, &to)?;
    Ok(Saved { now: StatusChange { matched, changed }, sequence: Some(sequence) })
}
