//! Edits of many codes in one transaction, by the rules of single edits. A code that the rules
//! refuse stays as it was, and the others are edited.
//!
//! All edited rows have one change sequence. The rules about the rows of a code are checked when all
//! rows are written, so a code gets another partner on all its offers at once. Rows that violate
//! these rules are put back.

use std::collections::{BTreeMap, HashMap};

use super::checks::{check_references, duplicate, refuse_duplicates};
use super::{EditError, owned_message, reissue_message, remember_former_owner};
use crate::catalog::{CheckedCode, CouponCodeEdit};
use crate::store::coupon_codes;
use crate::store::coupon_codes::slice::{Column, EditableRow, put_back, update_columns};
use crate::store::jobs::RowReason;
use crate::store::meta::Sequence;
use crate::store::{StoreError, WriteTx};

/// The edit of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowEdit {
    /// The row becomes this one.
    Change(CouponCodeEdit),
    /// The row is deleted.
    Delete,
    /// The deleted row is restored as it was.
    Restore,
}

/// The result of a slice.
#[derive(Debug, Default)]
pub struct EditedSlice {
    /// The edited rows before the edit, by id.
    pub edited: BTreeMap<u32, CheckedCode>,
    /// Number of rows that were already as wanted.
    pub unchanged: u64,
    /// Rows that the rules refused.
    pub refused: Vec<RowReason>,
    /// The change sequence; `None` without an edited row.
    pub sequence: Option<Sequence>,
}

/// Edits rows, each in its way; changes write these columns only.
pub fn edit_slice(
    tx: &WriteTx<'_>,
    rows: impl IntoIterator<Item = (EditableRow, RowEdit)>,
    columns: &[Column],
) -> Result<EditedSlice, StoreError> {
    let mut slice =
        SliceInWork { tx, columns, written: BTreeMap::new(), result: EditedSlice::default() };
    for (row, edit) in rows {
        slice.edit(row, edit)?;
    }
    slice.withdraw_conflicts()?;
    slice.finish()
}

struct WrittenRow {
    row: EditableRow,
    before: CheckedCode,
    /// `None` after a deletion.
    after: Option<CheckedCode>,
    is_restored: bool,
}

struct SliceInWork<'a, 'c> {
    tx: &'a WriteTx<'c>,
    columns: &'a [Column],
    written: BTreeMap<u32, WrittenRow>,
    result: EditedSlice,
}

impl SliceInWork<'_, '_> {
    fn edit(&mut self, row: EditableRow, edit: RowEdit) -> Result<(), StoreError> {
        match self.write(&row, edit) {
            Ok(Some(written)) => drop(self.written.insert(row.id, written)),
            Ok(None) => self.result.unchanged += 1,
            Err(EditError::Store(error)) => return Err(error),
            Err(refused) => self.refuse(&row, refused.to_string()),
        }
        Ok(())
    }

    /// Writes a row after the checks that need no other row of the slice; `None` if nothing differs.
    fn write(&mut self, row: &EditableRow, edit: RowEdit) -> Result<Option<WrittenRow>, EditError> {
        let before = row.edit.clone().check().map_err(EditError::Invalid)?;
        let is_restored = edit == RowEdit::Restore;
        let after = match edit {
            RowEdit::Change(after) => Some(after.check().map_err(EditError::Invalid)?),
            RowEdit::Delete => None,
            RowEdit::Restore => Some(before.clone()),
        };
        if !is_restored && after.as_ref() == Some(&before) {
            return Ok(None);
        }
        if let Some(after) = &after {
            check_references(self.tx, after, Some(&before).filter(|_| !is_restored))?;
            self.check_duplicate(row.id, after)?;
        }
        let sequence = self.sequence()?;
        match &after {
            None => coupon_codes::delete(self.tx, row.id, sequence)?,
            Some(_) if is_restored => coupon_codes::restore(self.tx, row.id, sequence)?,
            Some(after) => update_columns(self.tx, row.id, after, self.columns, sequence)?,
        }
        Ok(Some(WrittenRow { row: row.clone(), before, after, is_restored }))
    }

    fn check_duplicate(&self, id: u32, after: &CheckedCode) -> Result<(), EditError> {
        let other = coupon_codes::on_offer(self.tx, &after.code.folded(), after.offer_id)?;
        let other = other.filter(|other| *other != id);
        refuse_duplicates(
            other.map(|other| duplicate("", after, other, None)).into_iter().collect(),
        )
    }

    /// Taken with the first edited row, so a slice without edits publishes nothing.
    fn sequence(&mut self) -> Result<Sequence, StoreError> {
        match self.result.sequence {
            Some(sequence) => Ok(sequence),
            None => Ok(*self.result.sequence.insert(self.tx.next_code_sequence()?)),
        }
    }

    fn refuse(&mut self, row: &EditableRow, error: String) {
        self.result.refused.push(RowReason {
            network_coupon_code_id: row.id,
            coupon_code: row.edit.coupon_code.clone(),
            error,
        });
    }

    /// Withdraws codes that would belong to two partners, until no such code is left.
    fn withdraw_conflicts(&mut self) -> Result<(), StoreError> {
        let Some(sequence) = self.result.sequence else { return Ok(()) };
        loop {
            let mut conflicts = BTreeMap::new();
            coupon_codes::each_owned_by_another(self.tx, sequence, |owned| {
                conflicts.insert(owned.id, owned_message(&owned));
                true
            })?;
            let has_restored = self.written.values().any(|written| written.is_restored);
            if has_restored {
                coupon_codes::each_once_anothers(self.tx, sequence, |owned| {
                    let how = "restore it alone with allow_reissue: true";
                    conflicts.insert(owned.id, reissue_message(&owned, how));
                    true
                })?;
            }
            if conflicts.is_empty() {
                return Ok(());
            }
            self.withdraw(&conflicts)?;
        }
    }

    /// Puts back all rows of the codes in conflict: the other rows of such a code may stand in the
    /// places where the conflicting ones came from.
    fn withdraw(&mut self, conflicts: &BTreeMap<u32, String>) -> Result<(), StoreError> {
        let mut errors = HashMap::new();
        for (id, error) in conflicts {
            let written = self.written.get(id).ok_or(StoreError::Aborted)?;
            errors.insert(written.before.code.folded(), error.clone());
        }
        let is_in_conflict =
            |_: &u32, written: &mut WrittenRow| errors.contains_key(&written.before.code.folded());
        let withdrawn: Vec<WrittenRow> =
            self.written.extract_if(.., is_in_conflict).map(|(_, written)| written).collect();
        let places = withdrawn.iter().map(|written| (&written.row, &written.before));
        put_back(self.tx, places, self.columns)?;
        for WrittenRow { row, before, .. } in withdrawn {
            let error = errors.get(&before.code.folded()).cloned().unwrap_or_default();
            self.refuse(&row, error);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<EditedSlice, StoreError> {
        for (id, WrittenRow { before, after, is_restored, .. }) in self.written {
            if !is_restored {
                remember_former_owner(self.tx, &before, after.as_ref())?;
            }
            self.result.edited.insert(id, before);
        }
        if self.result.edited.is_empty() {
            self.result.sequence = None;
        }
        Ok(self.result)
    }
}
