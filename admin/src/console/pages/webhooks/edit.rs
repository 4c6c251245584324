//! The form of a webhook. Each type of events has a box.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde_json::{Value, json};

use super::webhook::show_secret;
use super::{API, LIST};
use crate::access::Right;
use crate::catalog::{EventType, WordSet as _};
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::frame::Menu;
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::viewer::Viewer;

/// Inputs of the form, without the boxes of types.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("url", Kind::Text),
    FormField::new("webhook_status", Kind::Choice),
];
/// The group of a type is the part before the dot.
const GROUPS: [(&str, &str); 6] = [
    ("conversion", "Sales"),
    ("coupon_code", "Coupon codes"),
    ("cap", "Caps"),
    ("smart_switch", "SmartSwitch"),
    ("code", "Code leaks"),
    ("certificate", "Certificates"),
];

#[derive(Template)]
#[template(path = "webhooks/edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    /// The webhook; `None` for a new one.
    id: Option<u32>,
}

impl EditPage {
    /// The groups with the types in them.
    fn groups(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        let of_group = |group: &str| {
            let types = EventType::WORDS.iter().copied();
            types.filter(|kind| kind.split('.').next() == Some(group)).collect()
        };
        GROUPS.iter().map(|(group, label)| (*label, of_group(group))).collect()
    }

    fn input_of(&self, kind: &str) -> String {
        box_of(kind)
    }
}

/// The name of a type's box.
fn box_of(kind: &str) -> String {
    format!("event.{kind}")
}

fn edit_page(viewer: &Viewer, id: Option<u32>, form: Form) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let title = match id {
        None => "New webhook".to_owned(),
        Some(id) => format!("Edit webhook {id} – Webhooks"),
    };
    Ok(EditPage { page: Page::new(viewer, Menu::Webhooks, title), form, id })
}

/// The object of the form. Without a ticked box all events are sent.
fn object_of(submitted: &Submitted) -> Value {
    let mut object = submitted.to_json(FIELDS);
    let ticked = EventType::WORDS.iter().filter(|kind| submitted.has(&box_of(kind)));
    object["events"] = ticked.map(|kind| json!(kind)).collect();
    object
}

pub(super) async fn show_new(viewer: Viewer) -> PageResult {
    Ok(html(&edit_page(&viewer, None, Form::new(&[("webhook_status", "active")]))?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request =
        ApiRequest::post(API, object_of(&submitted)).idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(show_secret(&viewer, "The webhook is made", &answer)),
        Err(refusal) => refuse(&viewer, None, &submitted, refusal),
    }
}

fn refuse(viewer: &Viewer, id: Option<u32>, submitted: &Submitted, refusal: Refusal) -> PageResult {
    Ok(refused(&edit_page(viewer, id, Form::refused(submitted, refusal)?)?))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::new(Method::GET, format!("{API}/{id}"));
    let answer = state.api.send(&viewer, request).await?;
    let mut form = Form::of_object(&answer.body, &answer.etag);
    for kind in answer.body["events"].as_array().into_iter().flatten() {
        form.set(&box_of(kind.as_str().unwrap_or_default()), "true");
    }
    Ok(html(&edit_page(&viewer, Some(id), form)?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{API}/{id}");
    let request = ApiRequest::patch(&path, object_of(&submitted)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved(&format!("{LIST}/{id}"), "saved", None)),
        Err(refusal) if refusal.is_stale() => {
            let now = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
            Ok(conflict(&viewer, Menu::Webhooks, FIELDS, &submitted, &now))
        }
        Err(refusal) => refuse(&viewer, Some(id), &submitted, refusal),
    }
}
