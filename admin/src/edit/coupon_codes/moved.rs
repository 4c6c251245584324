//! Coupon codes of another network, under the ids of that network.

use std::collections::HashSet;

use serde_json::Map;

use super::super::moved::{MoveConflict, Moved, check_writable};
use super::super::{EditError, audit};
use super::checks::{check_references, duplicate, owned_message, reissue_message};
use super::{OBJECT, remember_former_owner};
use crate::catalog::{CheckedCode, CouponCodeEdit, FieldError};
use crate::store::audit::IMPORTED;
use crate::store::coupon_codes;
use crate::store::meta::Sequence;
use crate::store::{StoreError, WriteTx};

/// The result for each row of a page, in the order of the rows.
#[derive(Debug)]
pub struct MovedPage {
    /// The results; `Err` has the wrong fields.
    pub rows: Vec<Result<Moved, Vec<FieldError>>>,
    /// Rows that cannot stand beside the others. With violations, the caller must roll the
    /// transaction back, and repeat the page without these rows.
    pub violations: Vec<(u32, MoveConflict)>,
}

/// Creates or replaces codes under the ids of their network. The rows of one code belong to one
/// partner in the state after the whole page.
///
/// # Errors
/// None but the store's: wrong rows are part of the result.
pub fn put_moved(
    tx: &WriteTx<'_>,
    codes: &[(u32, CouponCodeEdit)],
    overwrite: bool,
) -> Result<MovedPage, StoreError> {
    let mut page =
        PageWriter { tx, overwrite, sequence: None, written: Vec::new(), issued: HashSet::new() };
    let mut rows = Vec::with_capacity(codes.len());
    for (id, code) in codes {
        rows.push(match page.put(*id, code) {
            Ok(moved) => Ok(moved),
            Err(EditError::Invalid(fields)) => Err(fields),
            Err(EditError::Store(error)) => return Err(error),
            Err(other) => Ok(Moved::Conflict(MoveConflict::OtherRow(other.to_string()))),
        });
    }
    let violations = page.violations()?;
    if violations.is_empty() {
        page.record()?;
    }
    Ok(MovedPage { rows, violations })
}

struct PageWriter<'t, 'c> {
    tx: &'t WriteTx<'c>,
    overwrite: bool,
    /// Taken with the first row that is written.
    sequence: Option<Sequence>,
    written: Vec<u32>,
    /// Written rows with a code that the row did not have before.
    issued: HashSet<u32>,
}

impl PageWriter<'_, '_> {
    fn put(&mut self, id: u32, code: &CouponCodeEdit) -> Result<Moved, EditError> {
        let tx = self.tx;
        let Some(stored) = coupon_codes::find_including_deleted(tx, id)? else {
            let checked = code.clone().check_new().map_err(EditError::Invalid)?;
            self.check_beside(id, &checked, None)?;
            coupon_codes::insert_with_id(tx, id, &checked, self.sequence()?)?;
            self.written.push(id);
            self.issued.insert(id);
            return Ok(Moved::Created);
        };
        if stored.stored.times.time_deleted != 0 {
            return Ok(Moved::Conflict(MoveConflict::Deleted));
        }
        let before = stored.stored.object;
        let fields = audit::differing_fields(&before, code);
        if fields.is_empty() {
            return Ok(Moved::Equal);
        }
        if let Some(conflict) = check_writable(tx, OBJECT, id, fields, self.overwrite)? {
            return Ok(Moved::Conflict(conflict));
        }
        let checked = code.clone().check().map_err(EditError::Invalid)?;
        let old = before.check().map_err(EditError::Invalid)?;
        self.check_beside(id, &checked, Some(&old))?;
        coupon_codes::update(tx, id, &checked, self.sequence()?)?;
        remember_former_owner(tx, &old, Some(&checked))?;
        self.written.push(id);
        if old.code.folded() != checked.code.folded() {
            self.issued.insert(id);
        }
        Ok(Moved::Updated)
    }

    fn check_beside(
        &self,
        id: u32,
        code: &CheckedCode,
        before: Option<&CheckedCode>,
    ) -> Result<(), EditError> {
        check_references(self.tx, code, before)?;
        let other = coupon_codes::on_offer(self.tx, &code.code.folded(), code.offer_id)?;
        match other.filter(|other| *other != id) {
            None => Ok(()),
            Some(other) => {
                let message = duplicate("", code, other, None).error;
                Err(EditError::conflict("coupon_code.duplicate", "coupon_code", message))
            }
        }
    }

    fn sequence(&mut self) -> Result<Sequence, StoreError> {
        match self.sequence {
            Some(sequence) => Ok(sequence),
            None => {
                let sequence = self.tx.next_code_sequence()?;
                self.sequence = Some(sequence);
                Ok(sequence)
            }
        }
    }

    fn violations(&self) -> Result<Vec<(u32, MoveConflict)>, StoreError> {
        let mut found = Vec::new();
        let Some(sequence) = self.sequence else { return Ok(found) };
        coupon_codes::each_owned_by_another(self.tx, sequence, |claim| {
            found.push((claim.id, MoveConflict::OtherRow(owned_message(&claim))));
            true
        })?;
        if found.is_empty() {
            coupon_codes::each_once_anothers(self.tx, sequence, |claim| {
                let how = "create it here with allow_reissue: true";
                if self.issued.contains(&claim.id) {
                    let message = reissue_message(&claim, how);
                    found.push((claim.id, MoveConflict::OtherRow(message)));
                }
                true
            })?;
        }
        Ok(found)
    }

    /// Writes a single audit entry for all rows of the page, as for other changes of many codes.
    fn record(&self) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (self.written.iter().min(), self.written.iter().max())
        else {
            return Ok(());
        };
        let count = self.written.len() as u64;
        audit::record_range(self.tx, OBJECT, IMPORTED, count, (*first, *last), &Map::new())
    }
}
