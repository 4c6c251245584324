//! Rows of bulk jobs: chosen and written in slices, in the order of codes.
//!
//! A slice never divides the rows of a code: they belong to one partner at the end of each
//! transaction, so a new partner reaches all of them together. The order is the order of the widest
//! index, so a whole job reads that index once.

use jiff::civil::Date;
use rusqlite::types::Value;
use rusqlite::{Row, params_from_iter};
use serde::{Deserialize, Serialize};

use super::{Chosen, FILTERS, SEARCH, read_edit};
use crate::catalog::words::words;
use crate::catalog::{CheckedCode, CouponCodeEdit, CouponStatus};
use crate::store::meta::Sequence;
use crate::store::rows::{FilterTextError, day_text, parse_filter};
use crate::store::{ReadTx, StoreError, WriteTx};

/// A choice of codes as requested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// By id.
    Ids(Vec<u32>),
    /// By the filters of the list; all must match, and there is at least one.
    Filtered {
        /// Such as `coupon_status=active`.
        filter: Vec<String>,
        /// A part of the code, or empty.
        search: String,
        /// The beginning of the code, or empty.
        prefix: String,
    },
}

impl Choice {
    /// The conditions of the choice.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn chosen(&self) -> Result<Chosen, FilterTextError> {
        let (filter, search, prefix) = match self {
            Choice::Ids(ids) => return Ok(Chosen::Ids(ids.clone())),
            Choice::Filtered { filter, search, prefix } => (filter, search, prefix),
        };
        let mut filters =
            filter.iter().map(|text| parse_filter(text, FILTERS)).collect::<Result<Vec<_>, _>>()?;
        filters.extend(Some(SEARCH.contains(search)).filter(|_| !search.is_empty()));
        filters.extend(Some(SEARCH.begins_with(prefix)).filter(|_| !prefix.is_empty()));
        Ok(Chosen::Filtered(filters))
    }
}

words! {
    /// Columns that bulk work changes, and that a revert gives back.
    Column {
        /// The offer.
        OfferId = "offer_id",
        /// The partner.
        AffiliateId = "affiliate_id",
        /// The status.
        Status = "status",
        /// The first day.
        StartDate = "start_date",
        /// The last day.
        EndDate = "end_date",
        /// The description.
        Description = "description",
        /// The form of the description.
        IsDescriptionPlainText = "is_description_plain_text",
        /// The notes.
        InternalNotes = "internal_notes",
    }
}

impl Column {
    /// All columns.
    pub const ALL: [Column; 8] = [
        Column::OfferId,
        Column::AffiliateId,
        Column::Status,
        Column::StartDate,
        Column::EndDate,
        Column::Description,
        Column::IsDescriptionPlainText,
        Column::InternalNotes,
    ];

    /// The value as stored.
    pub(in crate::store) fn value(self, code: &CheckedCode) -> Value {
        match self {
            Column::OfferId => code.offer_id.into(),
            Column::AffiliateId => code.affiliate_id.into(),
            Column::Status => code.status.as_str().to_owned().into(),
            Column::StartDate => day_text(code.start_date).into(),
            Column::EndDate => day_text(code.end_date).into(),
            Column::Description => code.description.clone().into(),
            Column::IsDescriptionPlainText => code.is_description_plain_text.into(),
            Column::InternalNotes => code.internal_notes.clone().into(),
        }
    }
}

/// The next chosen codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenSlice {
    /// In the order of codes.
    pub ids: Vec<u32>,
    /// The last code of the slice, folded; `None` if no code is left.
    pub through: Option<String>,
}

/// Chooses the codes behind `after`, about `most` rows: the last code is complete.
pub fn next_chosen(
    connection: &ReadTx<'_>,
    chosen: &Chosen,
    after: &str,
    last_id: u32,
    most: usize,
) -> Result<ChosenSlice, StoreError> {
    let (condition, mut values) = chosen.condition();
    let at = values.len();
    values.extend([after.to_owned().into(), last_id.into()]);
    let index = match chosen {
        Chosen::Ids(_) => "NOT INDEXED",
        Chosen::Filtered(_) => "INDEXED BY coupon_code_published",
    };
    let sql = format!(
        "SELECT id, folded FROM coupon_code {index} WHERE {condition} AND folded > ?{} AND id <= ?{} \
         ORDER BY folded, id",
        at + 1,
        at + 2
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut slice = ChosenSlice { ids: Vec::new(), through: None };
    while let Some(row) = rows.next()? {
        let folded: String = row.get(1)?;
        let is_next_code = slice.through.as_ref() != Some(&folded);
        if is_next_code && slice.ids.len() >= most {
            break;
        }
        if is_next_code {
            slice.through = Some(folded);
        }
        slice.ids.push(row.get(0)?);
    }
    Ok(slice)
}

/// A row as bulk work finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditableRow {
    /// The id.
    pub id: u32,
    /// The editable fields.
    pub edit: CouponCodeEdit,
    /// Unix seconds.
    pub time_saved: i64,
    /// Unix seconds; 0 for none.
    pub time_deleted: i64,
    /// The last change.
    pub change_seq: Sequence,
}

const EDITABLE: &str = "id, code, offer_id, affiliate_id, status, start_date, end_date, description, \
     is_description_plain_text, internal_notes, conversion_only, time_saved, time_deleted, change_seq";

fn read_editable(row: &Row<'_>) -> rusqlite::Result<EditableRow> {
    let edit = read_edit(row, 1)?;
    let (id, time_saved, time_deleted) = (row.get(0)?, row.get(11)?, row.get(12)?);
    Ok(EditableRow { id, edit, time_saved, time_deleted, change_seq: row.get(13)? })
}

/// The rows with these ids that the choice still selects.
pub fn rows_chosen(
    connection: &ReadTx<'_>,
    chosen: &Chosen,
    ids: &[u32],
) -> Result<Vec<EditableRow>, StoreError> {
    let (condition, mut values) = chosen.condition();
    values.push(super::json_array(ids).into());
    // By id: another index would read all rows of a value for each slice.
    let sql = format!(
        "SELECT {EDITABLE} FROM (SELECT value AS wanted FROM json_each(?{})) CROSS JOIN coupon_code NOT INDEXED \
         ON id = wanted WHERE {condition}",
        values.len()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), read_editable)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A row by id, deleted or not.
pub fn row_to_edit(connection: &ReadTx<'_>, id: u32) -> Result<Option<EditableRow>, StoreError> {
    use rusqlite::OptionalExtension as _;
    let sql = format!("SELECT {EDITABLE} FROM coupon_code WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read_editable).optional()?)
}

/// Present rows whose last change is this one, at most `most`.
pub fn rows_last_changed_by(
    connection: &ReadTx<'_>,
    sequence: Sequence,
    most: usize,
) -> Result<Vec<EditableRow>, StoreError> {
    let sql = format!(
        "SELECT {EDITABLE} FROM coupon_code INDEXED BY coupon_code_change_seq \
         WHERE change_seq = ?1 AND time_deleted = 0 LIMIT {most}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([sequence], read_editable)?.collect::<Result<_, _>>()?)
}

/// Writes some columns of a row. SQLite then leaves the indexes of the other columns alone.
pub fn update_columns(
    tx: &WriteTx<'_>,
    id: u32,
    code: &CheckedCode,
    columns: &[Column],
    sequence: Sequence,
) -> Result<(), StoreError> {
    let mut values: Vec<Value> = columns.iter().map(|column| column.value(code)).collect();
    let set = set_clause(columns);
    let at = values.len();
    values.extend([Value::Integer(sequence.cast_signed()), tx.now().into(), id.into()]);
    let sql = format!(
        "UPDATE coupon_code SET {set}change_seq = ?{}, time_saved = ?{} WHERE id = ?{}",
        at + 1,
        at + 2,
        at + 3
    );
    tx.prepare_cached(&sql)?.execute(params_from_iter(values))?;
    Ok(())
}

/// Gives rows the state that they had when they were read, as if this transaction had not changed
/// them. All rows that the transaction moved to another offer must be among them.
pub fn put_back<'r>(
    tx: &WriteTx<'_>,
    rows: impl Iterator<Item = (&'r EditableRow, &'r CheckedCode)> + Clone,
    columns: &[Column],
) -> Result<(), StoreError> {
    if columns.contains(&Column::OfferId) {
        // Rows that go to each other's places would collide, so all leave before any arrives.
        let sql = "UPDATE coupon_code SET time_deleted = -1 WHERE id = ?1";
        let mut leave = tx.prepare_cached(sql)?;
        for (row, _) in rows.clone() {
            leave.execute([row.id])?;
        }
    }
    let (set, at) = (set_clause(columns), columns.len());
    let sql = format!(
        "UPDATE coupon_code SET {set}change_seq = ?{}, time_saved = ?{}, time_deleted = ?{} WHERE id = ?{}",
        at + 1,
        at + 2,
        at + 3,
        at + 4
    );
    let mut update = tx.prepare_cached(&sql)?;
    for (row, code) in rows {
        let sequence = Value::Integer(row.change_seq.cast_signed());
        let state = [sequence, row.time_saved.into(), row.time_deleted.into(), row.id.into()];
        let values = columns.iter().map(|column| column.value(code)).chain(state);
        update.execute(params_from_iter(values))?;
    }
    Ok(())
}

fn set_clause(columns: &[Column]) -> String {
    let set = columns.iter().enumerate();
    set.map(|(at, column)| format!("{} = ?{}, ", column.as_str(), at + 1)).collect()
}

/// The highest id of all codes; 0 without codes.
pub fn highest_id(connection: &ReadTx<'_>) -> Result<u32, StoreError> {
    let sql = "SELECT ifnull(max(id), 0) FROM coupon_code";
    Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Values of some columns of a row before a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValuesBefore {
    pub(in crate::store) offer_id: Option<u32>,
    pub(in crate::store) affiliate_id: Option<u32>,
    pub(in crate::store) status: Option<CouponStatus>,
    pub(in crate::store) start_date: Option<Date>,
    pub(in crate::store) end_date: Option<Date>,
    pub(in crate::store) description: Option<String>,
    pub(in crate::store) is_description_plain_text: Option<bool>,
    pub(in crate::store) internal_notes: Option<String>,
}

impl ValuesBefore {
    /// Gives a code the values of these columns back.
    pub fn restore(self, columns: &[Column], edit: &mut CouponCodeEdit) {
        for column in columns {
            match column {
                Column::OfferId => edit.network_offer_id = self.offer_id.unwrap_or_default(),
                Column::AffiliateId => edit.network_affiliate_id = self.affiliate_id,
                Column::Status => {
                    edit.coupon_status = self.status.unwrap_or(edit.coupon_status);
                }
                Column::StartDate => edit.start_date = self.start_date,
                Column::EndDate => edit.end_date = self.end_date,
                Column::Description => {
                    edit.description = self.description.clone().unwrap_or_default();
                }
                Column::IsDescriptionPlainText => {
                    edit.is_description_plain_text = self.is_description_plain_text.unwrap_or(true);
                }
                Column::InternalNotes => {
                    edit.internal_notes = self.internal_notes.clone().unwrap_or_default();
                }
            }
        }
    }
}
