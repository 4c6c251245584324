//! The form of an advertiser.

use askama::Template;
use axum::extract::{Path, State};

use super::ADVERTISERS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::pages::catalog_object::{ObjectKind, Submission};
use crate::console::viewer::Viewer;

/// Inputs of the form. Without the right to see secrets, a viewer gets no inputs for secrets; fields
/// without an input keep the stored value.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("account_status", Kind::Choice),
    FormField::new("attribution_priority", Kind::Choice),
    FormField::new("attribution_method", Kind::Choice),
    FormField::new("ip_allow_list", Kind::Lines),
    FormField::new("verification_token", Kind::Text),
    FormField::new("signing_key", Kind::Text),
];

#[derive(Template)]
#[template(path = "advertisers/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The advertiser; `None` for a new one.
    id: Option<u32>,
    has_secrets: bool,
}

fn edit_page(viewer: &Viewer, id: Option<u32>, form: Form) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let page = Page::new(viewer, ADVERTISERS.menu, ADVERTISERS.edit_title(id, &form));
    let has_secrets = id.is_none() || viewer.may(Right::ViewSecrets);
    Ok(EditPage { page, kind: &ADVERTISERS, form, id, has_secrets })
}

pub(super) async fn show_new(viewer: Viewer) -> PageResult {
    let form = Form::new(&[
        ("account_status", "active"),
        ("attribution_priority", "click"),
        ("attribution_method", "last_touch"),
    ]);
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
    let answer = ADVERTISERS.read(&state, &viewer, id, "").await?;
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
    match ADVERTISERS.submit(state, viewer, id, FIELDS, submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(viewer, id, form)?)),
    }
}
