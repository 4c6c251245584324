//! The form of a partner.

use askama::Template;
use axum::extract::{Path, State};

use super::PARTNERS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::pages::catalog_object::{ObjectKind, Submission};
use crate::console::viewer::Viewer;

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("account_status", Kind::Choice),
    FormField::new("internal_notes", Kind::Text),
];

#[derive(Template)]
#[template(path = "partners/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The partner; `None` for a new one.
    id: Option<u32>,
}

fn edit_page(viewer: &Viewer, id: Option<u32>, form: Form) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let page = Page::new(viewer, PARTNERS.menu, PARTNERS.edit_title(id, &form));
    Ok(EditPage { page, kind: &PARTNERS, form, id })
}

pub(super) async fn show_new(viewer: Viewer) -> PageResult {
    let form = Form::new(&[("account_status", "active")]);
    Ok(html(&edit_page(&viewer, None, form)?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, None, &submitted).await
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = PARTNERS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&viewer, Some(id), form)?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, Some(id), &submitted).await
}

async fn submit(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    submitted: &Submitted,
) -> PageResult {
    match PARTNERS.submit(state, viewer, id, FIELDS, submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(viewer, id, form)?)),
    }
}
