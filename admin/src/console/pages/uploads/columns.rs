//! How to read a file: shown where its columns or its encoding are in doubt, before any row is read.

use std::fmt::Write as _;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use serde::Deserialize;

use super::bulk::{DATE_FORMATS, sentence};
use super::upload::{Upload, UploadRows};
use super::{API, page_of, rows_page};
use crate::access::Right;
use crate::catalog::COLUMNS;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, encode};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::viewer::Viewer;
use crate::console::words;

/// The choice of a column that is not read.
const IGNORE: &str = "ignore";

/// A name that probably means a field, though it could be the id of any object.
const DOUBTFUL_NAME: (&str, &str) = ("id", "coupon_code_id");

/// The beginning of a file as the API answers it.
#[derive(Debug, Deserialize)]
struct FilePreview {
    encoding: String,
    delimiter: String,
    columns: Vec<FileColumn>,
    rows: Vec<PreviewRow>,
    missing_fields: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct FileColumn {
    name: String,
    field: Option<String>,
    is_ignored: bool,
}

#[derive(Debug, Deserialize)]
struct PreviewRow {
    line: u64,
    cells: Vec<String>,
}

impl PreviewRow {
    fn cell(&self, place: &usize) -> String {
        self.cells.get(*place).map(|cell| format::visible(cell)).unwrap_or_default()
    }
}

impl FileColumn {
    /// The field that the name means, or that it probably means.
    fn guess(&self) -> &str {
        if let Some(field) = &self.field {
            return field;
        }
        let is_name = |other: &str| other.eq_ignore_ascii_case(&self.name);
        let by_label = COLUMNS.into_iter().find(|column| is_name(&words::label(column)));
        let by_name = Some(DOUBTFUL_NAME).filter(|(name, _)| is_name(name)).map(|(_, field)| field);
        if self.is_ignored { IGNORE } else { by_name.or(by_label).unwrap_or(IGNORE) }
    }

    fn shown_name(&self) -> String {
        if self.name.is_empty() { "(no name)".into() } else { format::visible(&self.name) }
    }
}

#[derive(Template)]
#[template(path = "uploads/columns.html")]
struct ColumnsPage {
    page: Page,
    form: Form,
    upload: Upload,
    preview: FilePreview,
    offers: Options,
    partners: Options,
}

impl ColumnsPage {
    /// Fields that a column can have, with their labels.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let is_shown = |column: &&str| self.upload.columns().contains(column);
        let shown = COLUMNS.into_iter().filter(is_shown);
        shown.map(|column| (column, words::label(column))).collect()
    }

    fn encodings(&self) -> [(&'static str, &'static str); 3] {
        [
            ("utf-8", "UTF-8"),
            ("utf-16", "UTF-16"),
            ("windows-1252", "Windows-1252 (western Europe)"),
        ]
    }

    fn delimiters(&self) -> [(&'static str, &'static str); 4] {
        [("comma", "Comma"), ("semicolon", "Semicolon"), ("tab", "Tab"), ("pipe", "Vertical bar |")]
    }

    fn date_formats(&self) -> [(&'static str, &'static str); 5] {
        DATE_FORMATS
    }

    /// What is in doubt.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.preview.encoding == "windows-1252" {
            doubts.push(
                "The text is not UTF-8. It is shown as Windows-1252: see whether letters such as \
                 ä or é are right."
                    .to_owned(),
            );
        }
        let mut seen = Vec::new();
        for column in &self.preview.columns {
            let name = column.shown_name();
            match (&column.field, column.guess()) {
                (Some(field), _) if seen.contains(&field) => {
                    doubts.push(format!("Two columns are “{}”.", words::label(field)));
                }
                (Some(field), _) => seen.push(field),
                (None, IGNORE) if column.is_ignored => {}
                (None, IGNORE) => doubts.push(format!("No field has the name “{name}”.")),
                (None, guess) => {
                    doubts.push(format!("“{name}” is probably “{}”.", words::label(guess)));
                }
            }
        }
        for field in self.preview.missing_fields.iter().filter(|field| self.needs(field)) {
            let label = words::label(field);
            doubts.push(format!("No column has the name “{label}”, which is needed."));
        }
        doubts
    }

    /// Whether a needed field has no column.
    fn needs(&self, field: &str) -> bool {
        let is_missing = self.preview.missing_fields.iter().any(|missing| missing == field);
        let mut inputs = (1..=self.preview.columns.len()).map(|at| format!("column.{at}"));
        is_missing && !inputs.any(|input| self.form.is(&input, field))
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    if !viewer.may(Right::EditCatalog) {
        return Err(PageError::forbidden());
    }
    let upload = find(&state, &viewer, id).await?;
    if !upload.is_unread() {
        return Ok(Redirect::to(&page_of(id)).into_response());
    }
    let said = SAID.map(|name| (name, query.value(name)));
    let (preview, refusal) = preview_or_found(&state, &viewer, id, &said).await?;
    let mut form = form_of(&preview);
    for (name, value) in &said[2..] {
        form.set(name, *value);
    }
    let Some(refusal) = refusal else {
        return Ok(html(&columns_page(&state, &viewer, upload, form, preview).await?));
    };
    form.set_problem(&sentence(&refusal));
    Ok(refused(&columns_page(&state, &viewer, upload, form, preview).await?))
}

/// Parameters of the whole file, which are the names of inputs, too.
const SAID: [&str; 4] = ["encoding", "delimiter", "date_format", "sheet"];

/// The address of the page for a file that the API keeps unread. Choices of the form that brought
/// the file are chosen there again.
pub(super) fn page_after(answer: &ApiAnswer) -> String {
    let id = u32::try_from(answer.number("upload_id")).unwrap_or_default();
    let mut path = format!("{}/columns", page_of(id));
    let layout = &answer.body["layout"];
    push_all(&mut path, SAID.into_iter().filter_map(|name| Some((name, layout[name].as_str()?))));
    path
}

/// The form as the beginning of the file fills it.
fn form_of(preview: &FilePreview) -> Form {
    let mut form = Form::new(&[
        ("encoding", &preview.encoding),
        ("delimiter", &preview.delimiter),
        ("value.status", "active"),
    ]);
    let mut taken = Vec::new();
    for (column, at) in preview.columns.iter().zip(1..) {
        let guess = column.guess();
        // A guess must not make a second column of a field.
        let is_free = guess == IGNORE || !taken.contains(&guess);
        form.set(&format!("column.{at}"), if is_free { guess } else { IGNORE });
        taken.push(guess);
    }
    form
}

async fn columns_page(
    state: &ConsoleState,
    viewer: &Viewer,
    upload: Upload,
    form: Form,
    preview: FilePreview,
) -> Result<ColumnsPage, PageError> {
    let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let title = format!("Columns of upload {} – Coupon Codes", upload.upload_id);
    let page = Page::new(viewer, Menu::CouponCodes, title);
    Ok(ColumnsPage { page, form, upload, preview, offers, partners })
}

async fn find(state: &ConsoleState, viewer: &Viewer, id: u32) -> Result<Upload, Refusal> {
    let answer: UploadRows = state.api.get(viewer, &format!("{API}/{id}?page_size=1")).await?;
    Ok(answer.upload)
}

async fn preview(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    said: &[(&str, &str)],
) -> Result<FilePreview, Refusal> {
    let mut path = format!("{API}/{id}/preview");
    push_all(&mut path, said.iter().filter(|(_, value)| !value.is_empty()).copied());
    state.api.get(viewer, &path).await
}

/// The beginning of the file as it is said; where the file is no table so, as it was found, with the
/// refusal.
async fn preview_or_found(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    said: &[(&str, &str)],
) -> Result<(FilePreview, Option<Refusal>), Refusal> {
    match preview(state, viewer, id, said).await {
        Ok(preview) => Ok((preview, None)),
        Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => {
            Ok((preview(state, viewer, id, &[]).await?, Some(refusal)))
        }
        Err(refusal) => Err(refusal),
    }
}

fn push_all<'a>(path: &mut String, parameters: impl Iterator<Item = (&'a str, &'a str)>) {
    for (place, (name, value)) in parameters.enumerate() {
        let mark = if place == 0 { '?' } else { '&' };
        let _ = write!(path, "{mark}{name}={}", encode(value));
    }
}

/// Reads the rows as the form says.
pub(super) async fn read(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let mut path = format!("{API}/{id}/read");
    let layout = layout(&submitted);
    push_all(&mut path, layout.iter().map(|(name, value)| (*name, value.as_str())));
    let request = ApiRequest::post(path, serde_json::Value::Null);
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(Redirect::to(&rows_page(&answer)).into_response()),
        // The same form sent twice.
        Err(refusal) if refusal.code == "upload.read" => {
            Ok(Redirect::to(&page_of(id)).into_response())
        }
        Err(refusal) if refusal.is_of_form() => {
            let upload = find(&state, &viewer, id).await?;
            let mut form = Form::typed(&submitted);
            form.set_problem(&sentence(&refusal));
            let said = SAID.map(|name| (name, submitted.value(name)));
            let (preview, _) = preview_or_found(&state, &viewer, id, &said).await?;
            Ok(refused(&columns_page(&state, &viewer, upload, form, preview).await?))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// The parameters that say how to read the file.
fn layout(submitted: &Submitted) -> Vec<(&'static str, String)> {
    let mut layout: Vec<(&str, String)> = SAID
        .map(|name| (name, submitted.value(name).to_owned()))
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let mut chosen = Vec::new();
    for (name, field) in submitted.pairs() {
        let Some(position) = name.strip_prefix("column.") else { continue };
        layout.push(("column", format!("{field}:#{position}")));
        chosen.push(field.as_str());
    }
    for field in VALUES.iter().filter(|field| !chosen.contains(&field.name)) {
        if let Some(value) = value(submitted, field) {
            layout.push(("value", format!("{}:{value}", field.name)));
        }
    }
    layout
}

/// Fields that can have one value for all rows.
const VALUES: &[FormField] = &[
    FormField::new("offer_id", Kind::Reference),
    FormField::new("affiliate_id", Kind::Reference),
    FormField::new("status", Kind::Choice),
];

/// The value of a field for all rows. No partner is a value, too.
fn value(submitted: &Submitted, field: &FormField) -> Option<String> {
    let input = match field.name {
        "offer_id" => FormField::new("value.offer_id", field.kind),
        "affiliate_id" => FormField::new("value.affiliate_id", field.kind),
        _ => FormField::new("value.status", field.kind),
    };
    let typed = submitted.to_json(&[input]);
    match &typed["value"][field.name] {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(id) if id.as_u64() == Some(0) => {
            (field.name == "affiliate_id").then(String::new)
        }
        serde_json::Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_programs_are_guessed() {
        let guess = |name: &str| {
            let column = FileColumn { name: name.into(), field: None, is_ignored: false };
            column.guess().to_owned()
        };
        assert_eq!(guess("ID"), "coupon_code_id");
        assert_eq!(guess("Partner"), "affiliate_id");
        assert_eq!(guess("Colour"), "ignore");
    }
}
