//! The form of an offer group.

use std::sync::LazyLock;

use askama::Template;
use axum::extract::{Path, State};

use super::OFFER_GROUPS;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::pages::caps::limits::{self, LimitGroup};
use crate::console::pages::catalog_object::{ObjectKind, Submission};
use crate::console::viewer::Viewer;

static FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let own = [
        FormField::new("name", Kind::Text),
        FormField::new("network_advertiser_id", Kind::Reference),
        FormField::new("offer_group_status", Kind::Choice),
    ];
    own.into_iter().chain(limits::FIELDS.iter().copied()).collect()
});

#[derive(Template)]
#[template(path = "offer_groups/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The group; `None` for a new one.
    id: Option<u32>,
    advertisers: Options,
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
    let advertisers = Options::load(&state.api, viewer, Referred::Advertiser).await?;
    let page = Page::new(viewer, OFFER_GROUPS.menu, OFFER_GROUPS.edit_title(id, &form));
    let (kind, groups) = (&OFFER_GROUPS, limits::groups());
    Ok(EditPage { page, kind, form, id, advertisers, groups })
}

pub(super) async fn show_new(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let form = Form::new(&[("offer_group_status", "active")]);
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
    let answer = OFFER_GROUPS.read(&state, &viewer, id, "").await?;
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
    match OFFER_GROUPS.submit(state, viewer, id, &FIELDS, &submitted).await? {
        Submission::Saved(response) => Ok(response),
        Submission::Refused(form) => Ok(refused(&edit_page(state, viewer, id, form).await?)),
    }
}
