//! The changed fields of a conversion, as its history and the audit record them.

use serde_json::{Value, json};

use crate::store::audit::FieldChange;
use crate::store::conversions::Conversion;

pub(super) fn field_change(field: &str, before: Value, after: Value) -> FieldChange {
    FieldChange { field: field.into(), before, after }
}

/// Changes of status and error code.
pub(super) fn status_changes(before: &Conversion, after: &Conversion) -> Vec<FieldChange> {
    changed([
        ("status", json!(before.status), json!(after.status)),
        ("error_code", json!(before.error_code), json!(after.error_code)),
    ])
}

/// Changes of amounts and notes: the fields that a person can edit or a later postback can add.
pub(super) fn amount_changes(before: &Conversion, after: &Conversion) -> Vec<FieldChange> {
    changed([
        ("amount", json!(before.amount), json!(after.amount)),
        ("sale_amount", json!(before.sale_amount), json!(after.sale_amount)),
        ("payout", json!(before.payout), json!(after.payout)),
        ("revenue", json!(before.revenue), json!(after.revenue)),
        ("notes", json!(before.notes), json!(after.notes)),
    ])
}

fn changed<const N: usize>(fields: [(&str, Value, Value); N]) -> Vec<FieldChange> {
    let changed = fields.into_iter().filter(|(_, before, after)| before != after);
    changed.map(|(field, before, after)| field_change(field, before, after)).collect()
}
