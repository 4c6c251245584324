//! Path and query parameters of uploads.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use crate::api::download;
use crate::api::error::ApiError;
use crate::api::request::{Id, Wait, parameters, parse_bool, unknown};
use crate::api::schema::parameter;
use crate::catalog::{BulkMode, COLUMNS, DateFormatError, Encoding, FieldError, UnknownWord};
use crate::import::{ColumnChoice, ColumnRef, FieldValue, Layout, Separator, field_place};
use crate::store::staging::Intent;
use crate::table_file::FileStyle;

/// The parameters of a new upload.
pub(super) struct UploadParameters {
    pub(super) intent: Intent,
    pub(super) layout: Layout,
    pub(super) keeps_unclear: bool,
}

impl UploadParameters {
    /// Sets a parameter from a field of the form that brings the file; a blank one is not set.
    pub(super) fn set_field(&mut self, name: &str, text: &str) -> Result<(), ApiError> {
        match name {
            _ if text.trim().is_empty() => Ok(()),
            "allow_reissue" => {
                self.intent.allow_reissue = parse_bool(name, text)?;
                Ok(())
            }
            _ if read_layout(&mut self.layout, name, text.trim())? => Ok(()),
            _ => Err(unknown(name, format!("allow_reissue, {LAYOUT_NAMES}, file"))),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for UploadParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut mode, mut allow_reissue, mut keeps_unclear) = (None, false, false);
        let mut layout = Layout::default();
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => mode = Some(parse_mode(&value)?),
                "allow_reissue" => allow_reissue = parse_bool(&name, &value)?,
                "keep_unclear" => keeps_unclear = parse_bool(&name, &value)?,
                _ if read_layout(&mut layout, &name, &value)? => {}
                _ => {
                    let known = format!("mode, allow_reissue, keep_unclear, {LAYOUT_NAMES}");
                    return Err(unknown(&name, known));
                }
            }
        }
        let mode = mode.ok_or_else(|| ApiError::field("mode", "must be `add` or `update`"))?;
        let intent = Intent { mode, allow_reissue };
        Ok(UploadParameters { intent, layout, keeps_unclear })
    }
}

impl IntoParams for UploadParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let flag = |name, about| parameter(name, ParameterIn::Query, about, bool::schema());
        let mut mode =
            parameter("mode", ParameterIn::Query, "What the rows do", BulkMode::schema());
        mode.required = Required::True;
        let reissue =
            flag("allow_reissue", "Codes that once belonged to another partner are issued anew");
        let keep = flag(
            "keep_unclear",
            "A file whose columns or encoding are in doubt is kept with the status `unread`, not refused",
        );
        [vec![mode, reissue, keep], LayoutParameters::into_params(place)].concat()
    }
}

/// How a file is read: `encoding`, `delimiter`, `sheet`, `column`, `value` and
/// `date_format`.
pub(super) struct LayoutParameters(pub(super) Layout);

const LAYOUT_NAMES: &str = "encoding, delimiter, sheet, column, value, date_format";

impl<S: Sync> FromRequestParts<S> for LayoutParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut layout = Layout::default();
        for (name, value) in parameters(parts) {
            if !read_layout(&mut layout, &name, &value)? {
                return Err(unknown(&name, LAYOUT_NAMES));
            }
        }
        Ok(LayoutParameters(layout))
    }
}

/// Reads one parameter of a layout; `false` if it is none.
fn read_layout(layout: &mut Layout, name: &str, value: &str) -> Result<bool, ApiError> {
    let refused = |error: UnknownWord| ApiError::field(name, error.to_string());
    match name {
        "encoding" => layout.encoding = Some(value.parse().map_err(refused)?),
        "delimiter" => layout.separator = Some(value.parse().map_err(refused)?),
        "sheet" => layout.sheet = Some(value.to_owned()),
        "date_format" => {
            let format = value
                .parse()
                .map_err(|error: DateFormatError| ApiError::field(name, error.to_string()));
            layout.date_format = Some(format?);
        }
        "column" | "value" if layout.columns.len() + layout.values.len() >= MAX_CHOICES => {
            return Err(ApiError::field(
                name,
                format!("at most {MAX_CHOICES} can be sent at once"),
            ));
        }
        "column" => layout.columns.push(column_choice(value)?),
        "value" => layout.values.push(field_value(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Day, month and year once each, for the OpenAPI description.
const DATE_FORMAT: &str =
    "^(dd?/mm?/|mm?/dd?/|dd?[.]mm?[.]|mm?[.]dd?[.]|dd?-mm?-|mm?-dd?-)(yyyy|yy)$";

/// Columns and values of one request; far more than fields.
const MAX_CHOICES: usize = 1_000;
/// The field of a column that is not read.
const IGNORE: &str = "ignore";

fn column_choice(value: &str) -> Result<ColumnChoice, ApiError> {
    let Some((field, column)) = value.split_once(':') else {
        let sentence = "must look like coupon_code:Code, status:#3 or ignore:Colour";
        return Err(ApiError::field("column", sentence));
    };
    let field = if field == IGNORE { None } else { Some(field_named("column", field)?) };
    let position = column.strip_prefix('#').and_then(|number| number.parse().ok());
    let column = match position {
        Some(position) => ColumnRef::Position(position),
        None => ColumnRef::Name(column.to_owned()),
    };
    Ok(ColumnChoice { column, field })
}

fn field_value(value: &str) -> Result<FieldValue, ApiError> {
    let Some((field, value)) = value.split_once(':') else {
        return Err(ApiError::field("value", "must look like status:active"));
    };
    if value.contains('\0') {
        return Err(ApiError::field("value", "contains a NUL character; remove it"));
    }
    Ok(FieldValue { field: field_named("value", field)?, value: value.to_owned() })
}

fn field_named(parameter: &str, name: &str) -> Result<usize, ApiError> {
    field_place(name).ok_or_else(|| {
        let error = format!("`{name}` is not a field; known: {}", COLUMNS.join(", "));
        ApiError::field(parameter, error)
    })
}

impl IntoParams for LayoutParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about, schema| parameter(name, ParameterIn::Query, about, schema);
        let fields = COLUMNS.join("|");
        let text = |pattern: String| {
            ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build()
        };
        let texts =
            |pattern: String| -> RefOr<Schema> { ArrayBuilder::new().items(text(pattern)).into() };
        vec![
            query("encoding", "As the file shows where it is not said", Encoding::schema()),
            query("delimiter", "As the file shows where it is not said", Separator::schema()),
            query(
                "sheet",
                "The sheet of a workbook (XLSX); the first visible one with rows where it is not said",
                String::schema(),
            ),
            query(
                "column",
                "`field:column`, the column by its name or as `#3`; `ignore:column` leaves it out",
                texts(format!("^({fields}|notes|{IGNORE}):")),
            ),
            query(
                "value",
                "`field:value`, for all rows of a file without a column for the field",
                texts(format!("^({fields}|notes):[^\\x00]*$")),
            ),
            query(
                "date_format",
                "The form of days that do not begin with the year, such as `dd/mm/yyyy`",
                text(DATE_FORMAT.to_owned()).into(),
            ),
        ]
    }
}

/// `mode`, `add` by default, and the style of the file.
pub(super) struct TemplateParameters {
    pub(super) mode: BulkMode,
    pub(super) style: FileStyle,
}

impl<S: Sync> FromRequestParts<S> for TemplateParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut found = TemplateParameters { mode: BulkMode::Add, style: FileStyle::CSV };
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "mode" => found.mode = parse_mode(&value)?,
                _ if download::read_style(&mut found.style, &name, &value)? => {}
                _ => return Err(unknown(&name, "mode, format, bom")),
            }
        }
        Ok(found)
    }
}

impl IntoParams for TemplateParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "`add` where it is not said";
        let mode = parameter("mode", ParameterIn::Query, about, BulkMode::schema());
        [mode].into_iter().chain(download::file_parameters()).collect()
    }
}

/// The style of a file.
pub(super) struct FileParameters(pub(super) FileStyle);

impl<S: Sync> FromRequestParts<S> for FileParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut style = FileStyle::CSV;
        for (name, value) in parameters(parts) {
            if !download::read_style(&mut style, &name, &value)? {
                return Err(unknown(&name, "format, bom"));
            }
        }
        Ok(FileParameters(style))
    }
}

impl IntoParams for FileParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        download::file_parameters().into()
    }
}

/// `skip_invalid` and `wait`.
pub(super) struct CommitParameters {
    pub(super) skip_invalid: bool,
    pub(super) wait: Wait,
}

impl<S: Sync> FromRequestParts<S> for CommitParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let mut found = CommitParameters { skip_invalid: false, wait: Wait::Saved };
        for (name, value) in parameters(parts) {
            match (name.as_str(), value.as_str()) {
                ("skip_invalid", _) => found.skip_invalid = parse_bool(&name, &value)?,
                ("wait", "live") => found.wait = Wait::Live,
                ("wait", _) => return Err(ApiError::field("wait", "can only be `live`")),
                _ => return Err(unknown(&name, "skip_invalid, wait")),
            }
        }
        Ok(found)
    }
}

impl IntoParams for CommitParameters {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let about = "Commit the valid rows and leave the others out";
        let skip = parameter("skip_invalid", ParameterIn::Query, about, bool::schema());
        [vec![skip], Wait::into_params(place)].concat()
    }
}

/// The ids of an upload and of a row. A path with other segments than numbers is 404.
pub(super) struct RowPath {
    pub(super) upload: u32,
    pub(super) row: u32,
}

impl<S: Send + Sync> FromRequestParts<S> for RowPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let nothing = || ApiError::not_found("there is no such row");
        let path = Path::<(u32, u32)>::from_request_parts(parts, state).await;
        let Path((upload, row)) = path.map_err(|_not_numbers| nothing())?;
        Ok(RowPath { upload, row })
    }
}

impl IntoParams for RowPath {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let row = parameter("row", ParameterIn::Path, "The row's number", u32::schema());
        [Id::into_params(place), vec![row]].concat()
    }
}

/// `column` and `error`: the error that the rows have; all rows without both.
pub(super) struct GroupParameters(pub(super) Option<FieldError>);

impl<S: Sync> FromRequestParts<S> for GroupParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let (mut column, mut error) = (None, None);
        for (name, value) in parameters(parts) {
            match name.as_str() {
                "column" => column = Some(value),
                "error" => error = Some(value),
                _ => return Err(unknown(&name, "column, error")),
            }
        }
        match error {
            Some(error) if !error.is_empty() => {
                Ok(GroupParameters(Some(FieldError { field: column.unwrap_or_default(), error })))
            }
            None if column.is_none() => Ok(GroupParameters(None)),
            _ => Err(no_error_named()),
        }
    }
}

fn no_error_named() -> ApiError {
    ApiError::field("error", "must be one of the errors of the upload")
}

impl GroupParameters {
    /// The error of the rows.
    pub(super) fn needed(self) -> Result<FieldError, ApiError> {
        self.0.ok_or_else(no_error_named)
    }
}

impl IntoParams for GroupParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let query = |name, about| parameter(name, ParameterIn::Query, about, String::schema());
        vec![
            query("column", "The error's column; empty for an error of whole rows"),
            query("error", "The error, as listed"),
        ]
    }
}

fn parse_mode(value: &str) -> Result<BulkMode, ApiError> {
    value.parse().map_err(|error: UnknownWord| ApiError::field("mode", error.to_string()))
}
