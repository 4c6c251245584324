//! The invitation of a user, and the change of name, sign-in name, role and partner.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};

use super::user::show_link;
use super::{API, LIST};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("login", Kind::Text),
    FormField::new("role", Kind::Choice),
    FormField::new("network_affiliate_id", Kind::Reference),
];

#[derive(Template)]
#[template(path = "users/edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    /// The user; `None` for an invitation.
    id: Option<u32>,
    partners: Options,
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    form: Form,
) -> Result<EditPage, PageError> {
    viewer.require(Right::ManageUsers)?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let title = if id.is_some() { "Edit a user – Users" } else { "Invite a user" };
    Ok(EditPage { page: Page::new(viewer, Menu::Users, title), form, id, partners })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let partner = query.value("network_affiliate_id");
    let role = if partner.is_empty() { "manager" } else { "partner" };
    let form = Form::new(&[("role", role), ("network_affiliate_id", partner)]);
    Ok(html(&edit_page(&state, &viewer, None, form).await?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(API, submitted.to_json(FIELDS))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(show_link(&state, &viewer, &headers, "The user is invited", &answer)),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&edit_page(&state, &viewer, None, form).await?))
        }
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::new(Method::GET, format!("{API}/{id}"));
    let answer = state.api.send(&viewer, request).await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&state, &viewer, Some(id), form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{API}/{id}");
    let request =
        ApiRequest::patch(&path, submitted.to_json(FIELDS)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        // The session of an own account ends with its role.
        Ok(_) => Ok(saved(&format!("{LIST}/{id}"), "saved", None)),
        Err(refusal) if refusal.is_stale() => {
            let now = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
            Ok(conflict(&viewer, Menu::Users, FIELDS, &submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&edit_page(&state, &viewer, Some(id), form).await?))
        }
    }
}
