//! The form of a custom cap.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::{Path, State};

use super::CAPS;
use super::cap::Names;
use super::limits::{self, LimitGroup};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::pages::catalog_object::{ObjectKind, Submission};
use crate::console::viewer::Viewer;

static FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let own = [
        FormField::new("name", Kind::Text),
        FormField::new("network_offer_id", Kind::Reference),
        FormField::new("network_affiliate_id", Kind::Reference),
        FormField::new("network_coupon_code_id", Kind::Reference),
        FormField::new("is_soft_cap", Kind::Truth),
    ];
    own.into_iter().chain(limits::FIELDS.iter().copied()).collect()
});

#[derive(Template)]
#[template(path = "caps/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The cap; `None` for a new one.
    id: Option<u32>,
    names: Names,
    groups: Vec<LimitGroup>,
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    mut form: Form,
) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    limits::blank_zeros(&mut form);
    for name in ["network_affiliate_id", "network_coupon_code_id"] {
        if form.is(name, "0") {
            form.set(name, "");
        }
    }
    let names = Names::load(state, viewer).await?;
    let page = Page::new(viewer, CAPS.menu, CAPS.edit_title(id, &form));
    Ok(EditPage { page, kind: &CAPS, form, id, names, groups: limits::groups() })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let mut form = Form::new(&[]);
    for name in ["network_offer_id", "network_affiliate_id", "network_coupon_code_id"] {
        form.set(name, query.value(name));
    }
    Ok(html(&edit_page(&state, &viewer, None, form).await?))
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
    let answer = CAPS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&state, &viewer, Some(id), form).await?))
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
    let submitted = limits::with_zeros(submitted);
    match CAPS.submit(state, viewer, id, &FIELDS, &submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(state, viewer, id, form).await?)),
    }
}
