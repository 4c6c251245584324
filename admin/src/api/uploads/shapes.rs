//! Answers and bodies for uploads and their rows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::answer::{Answer, Paging};
use crate::api::error::ApiError;
use crate::api::schema::{Row, field, merged};
use crate::catalog::{BulkMode, COLUMNS, Cells};
use crate::import::edit::{CellEdit, NamedCells};
use crate::import::{CommitPhase, Layout, Separator};
use crate::store::rows::{Listed, Page};
use crate::store::staging::{self, Counts, FaultGroup, Summary};
use crate::store::uploads::Outcome;
use crate::uploads::{Counted, Uploads};

/// An upload.
#[derive(Serialize)]
pub(super) struct Upload {
    upload_id: u32,
    mode: BulkMode,
    allow_reissue: bool,
    /// `unread` until it is said how to read the file, `staged`, `saving` while a commit runs, or
    /// `committed`.
    status: &'static str,
    #[serde(flatten)]
    counts: Counts,
    /// What was left out of the file, such as columns that no field has.
    warnings: Vec<String>,
    time_created: i64,
    /// The time of automatic removal.
    time_expires: i64,
    /// The progress of a commit that waits or runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    saving: Option<SavingProgress>,
    /// The result of the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<UploadOutcome>,
    /// The layout that the request described, in the answer to an upload with the status `unread`.
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<UploadLayout>,
}

/// The parameters of an upload for the whole file. The next requests repeat them, since a file that
/// is not read yet is kept without them.
#[derive(Serialize, utoipa::ToSchema)]
struct UploadLayout {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    delimiter: Option<Separator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    sheet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    date_format: Option<String>,
}

impl From<Layout> for UploadLayout {
    fn from(layout: Layout) -> UploadLayout {
        let date_format = layout.date_format.map(|format| format.to_string());
        UploadLayout { delimiter: layout.separator, sheet: layout.sheet, date_format }
    }
}

/// The progress of a commit.
#[derive(Serialize, utoipa::ToSchema)]
struct SavingProgress {
    phase: CommitPhase,
    /// Rows written so far.
    rows_written: u64,
}

/// The result of a commit.
#[derive(Serialize, utoipa::ToSchema)]
struct UploadOutcome {
    /// The job by which the codes of the upload can be reverted; 0 if no code changed.
    network_job_id: u32,
    time_committed: i64,
    created: u64,
    updated: u64,
    unchanged: u64,
    skipped: u64,
}

impl PartialSchema for Upload {
    fn schema() -> RefOr<Schema> {
        let mut upload = merged([Counts::schema()]);
        for name in ["upload_id", "time_created", "time_expires"] {
            upload = field::<u64>(upload, name);
        }
        let upload = field::<BulkMode>(field::<bool>(upload, "allow_reissue"), "mode");
        let mut upload = field::<Vec<String>>(field::<String>(upload, "status"), "warnings");
        upload.properties.insert("saving".into(), SavingProgress::schema());
        upload.properties.insert("committed".into(), UploadOutcome::schema());
        upload.properties.insert("layout".into(), UploadLayout::schema());
        upload.into()
    }
}

impl ToSchema for Upload {
    fn name() -> Cow<'static, str> {
        "Upload".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        SavingProgress::schemas(schemas);
        UploadLayout::schemas(schemas);
    }
}

impl Row for Upload {
    const PLURAL: &'static str = "uploads";
}

impl Answer for Upload {}

impl From<Counted> for Upload {
    fn from((upload, Summary { counts, warnings }): Counted) -> Upload {
        Upload {
            upload_id: upload.id,
            mode: upload.intent.mode,
            allow_reissue: upload.intent.allow_reissue,
            status: match (upload.unread, upload.outcome) {
                (Some(_), _) => "unread",
                (None, None) => "staged",
                (None, Some(_)) => "committed",
            },
            counts,
            warnings,
            time_created: upload.time_created,
            time_expires: upload.time_expires,
            saving: None,
            committed: upload.outcome.map(UploadOutcome::from),
            layout: None,
        }
    }
}

impl Upload {
    /// Adds the layout of the request to an upload that is not read yet.
    pub(super) fn with_layout(mut self, layout: Layout) -> Upload {
        if self.status == "unread" {
            self.layout = Some(layout.into());
        }
        self
    }

    pub(super) fn with_saving(mut self, uploads: &Uploads) -> Upload {
        if self.committed.is_none()
            && let Some(progress) = uploads.commit_progress(self.upload_id)
        {
            self.status = "saving";
            let rows_written = progress.rows().min(self.counts.rows);
            self.saving = Some(SavingProgress { phase: progress.phase(), rows_written });
        }
        self
    }
}

impl From<Outcome> for UploadOutcome {
    fn from(outcome: Outcome) -> UploadOutcome {
        let Outcome { time_committed, created, updated, unchanged, skipped, job_id, .. } = outcome;
        let network_job_id = job_id.unwrap_or(0);
        UploadOutcome { network_job_id, time_committed, created, updated, unchanged, skipped }
    }
}

/// An upload with a page of its rows.
#[derive(Serialize)]
pub(super) struct UploadPage {
    #[serde(flatten)]
    upload: Upload,
    rows_on_page: Vec<UploadRow>,
    paging: Paging,
}

impl PartialSchema for UploadPage {
    fn schema() -> RefOr<Schema> {
        let rows = ArrayBuilder::new().items(Ref::from_schema_name(UploadRow::name()));
        let mut list = field::<Paging>(merged([Upload::schema()]), "paging");
        list.properties.insert("rows_on_page".into(), rows.into());
        list.required.push("rows_on_page".into());
        list.into()
    }
}

impl ToSchema for UploadPage {
    fn name() -> Cow<'static, str> {
        "UploadRows".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((UploadRow::name().into_owned(), UploadRow::schema()));
        Upload::schemas(schemas);
        UploadRow::schemas(schemas);
    }
}

impl Answer for UploadPage {}

impl UploadPage {
    pub(super) fn new(upload: Upload, rows: Listed<staging::ShownRow>, page: Page) -> UploadPage {
        UploadPage {
            upload,
            rows_on_page: rows.rows.into_iter().map(UploadRow::from).collect(),
            paging: Paging::new(page, rows.total_count),
        }
    }
}

/// A row with its errors.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UploadRow)]
pub(super) struct UploadRow {
    row: u32,
    /// Absent for rows that were added later.
    line: Option<u64>,
    /// `valid` or `invalid`.
    verdict: &'static str,
    /// Cells as in a file.
    values: BTreeMap<&'static str, String>,
    errors: Vec<CellError>,
}

/// The error of a cell, or of the whole row if there is no column.
#[derive(Serialize, utoipa::ToSchema)]
struct CellError {
    column: String,
    error: String,
}

impl Answer for UploadRow {}

impl From<staging::ShownRow> for UploadRow {
    fn from(row: staging::ShownRow) -> UploadRow {
        let Cells(cells) = row.cells;
        let errors = row.faults.into_iter();
        UploadRow {
            row: row.number,
            line: row.line,
            verdict: if errors.len() == 0 { "valid" } else { "invalid" },
            values: COLUMNS.into_iter().zip(cells).collect(),
            errors: errors.map(|e| CellError { column: e.field, error: e.error }).collect(),
        }
    }
}

/// The errors of an upload's rows.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UploadErrors)]
pub(super) struct ErrorGroups {
    /// The most frequent first.
    errors: Vec<ErrorGroup>,
}

/// An error, with the number of its rows.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UploadErrorGroup)]
struct ErrorGroup {
    column: String,
    error: String,
    rows: u64,
}

impl Answer for ErrorGroups {}

impl From<Vec<FaultGroup>> for ErrorGroups {
    fn from(groups: Vec<FaultGroup>) -> ErrorGroups {
        let groups = groups.into_iter().map(|FaultGroup { fault, rows }| ErrorGroup {
            column: fault.field,
            error: fault.error,
            rows,
        });
        ErrorGroups { errors: groups.collect() }
    }
}

/// The number of changed rows, and the numbers of all rows.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = UploadRowsChanged)]
pub(super) struct ChangedRows {
    changed_rows: u64,
    #[serde(flatten)]
    counts: Counts,
}

impl Answer for ChangedRows {}

impl From<(usize, Counts)> for ChangedRows {
    fn from((changed, counts): (usize, Counts)) -> ChangedRows {
        ChangedRows { changed_rows: changed as u64, counts }
    }
}

/// Cells by column, as in a file; numbers and truth values need no quotes. An object edits the cell
/// instead of setting it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct RowCells(BTreeMap<String, CellBody>);

/// One cell, as in a file, or its edit.
struct CellBody(CellEdit);

/// The edit of a cell.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged, deny_unknown_fields)]
enum EditBody {
    /// Replaces each occurrence of a text in the cell.
    Replace { replace: String, by: String },
    /// Removes white space around the text.
    Trim {
        #[serde(rename = "trim")]
        #[schema(value_type = bool)]
        _trim: True,
    },
}

/// `true`
#[derive(Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(truth: bool) -> Result<True, &'static str> {
        if truth { Ok(True) } else { Err("must be true") }
    }
}

impl<'de> Deserialize<'de> for CellBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CellBody, D::Error> {
        deserializer.deserialize_any(AnyCell).map(CellBody)
    }
}

struct AnyCell;

impl<'de> Visitor<'de> for AnyCell {
    type Value = CellEdit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_unit<E>(self) -> Result<CellEdit, E> {
        Ok(CellEdit::Set(String::new()))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<CellEdit, E> {
        Ok(CellEdit::Set(truth.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<CellEdit, E> {
        Ok(CellEdit::Set(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<CellEdit, E> {
        Ok(CellEdit::Set(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<CellEdit, E> {
        let number = serde_json::Number::from_f64(number);
        Ok(CellEdit::Set(number.map(|number| number.to_string()).unwrap_or_default()))
    }

    fn visit_str<E>(self, text: &str) -> Result<CellEdit, E> {
        Ok(CellEdit::Set(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CellEdit, A::Error> {
        let body = EditBody::deserialize(MapAccessDeserializer::new(map));
        match body.map_err(|_| A::Error::custom(format!("must be {EXPECTED}")))? {
            EditBody::Replace { replace, .. } if replace.is_empty() => {
                Err(A::Error::custom("replace must not be empty"))
            }
            EditBody::Replace { replace, by } => Ok(CellEdit::Replace { text: replace, by }),
            EditBody::Trim { .. } => Ok(CellEdit::Trim),
        }
    }
}

/// What a cell can be.
const EXPECTED: &str =
    "text, a number, a truth value, {\"replace\": text, \"by\": text} or {\"trim\": true}";

impl PartialSchema for RowCells {
    fn schema() -> RefOr<Schema> {
        let kinds = [Type::String, Type::Number, Type::Boolean, Type::Null];
        let text =
            || ObjectBuilder::new().schema_type(SchemaType::from_iter(kinds.clone())).build();
        let cell = || -> RefOr<Schema> {
            Schema::OneOf(OneOfBuilder::new().item(text()).item(EditBody::schema()).build()).into()
        };
        let columns = COLUMNS.iter().chain([&"notes"]);
        let cells =
            columns.fold(ObjectBuilder::new(), |cells, column| cells.property(*column, cell()));
        cells.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
    }
}

impl ToSchema for RowCells {
    fn name() -> Cow<'static, str> {
        "UploadCells".into()
    }
}

impl RowCells {
    pub(super) fn named(self) -> Result<NamedCells, ApiError> {
        let mut named = NamedCells::new();
        for (column, CellBody(cell)) in self.0 {
            let text = match &cell {
                CellEdit::Set(text) | CellEdit::Replace { by: text, .. } => text,
                CellEdit::Trim => "",
            };
            if text.contains('\0') {
                return Err(ApiError::field(column, "contains a NUL character; remove it"));
            }
            let column = if column == "notes" { "internal_notes".into() } else { column };
            named.insert(column, cell);
        }
        Ok(named)
    }
}
