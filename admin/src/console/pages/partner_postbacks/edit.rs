//! The form of a partner postback.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde_json::{Value, json};

use super::{API, LIST, Names};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::viewer::Viewer;

/// Inputs of the form, without the signing key.
const FIELDS: &[FormField] = &[
    FormField::new("network_affiliate_id", Kind::Reference),
    FormField::new("network_offer_id", Kind::Reference),
    FormField::new("pixel_type", Kind::Choice),
    FormField::new("network_offer_payout_revenue_id", Kind::Reference),
    FormField::new("pixel_status", Kind::Choice),
    FormField::new("postback_url", Kind::Text),
    FormField::new("delay_ms", Kind::Number),
    FormField::new("description", Kind::Text),
];

#[derive(Template)]
#[template(path = "partner_postbacks/edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    /// The postback; `None` for a new one.
    id: Option<u32>,
    names: Names,
    /// Whether the user may remove the signing key.
    may_see_secrets: bool,
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    mut form: Form,
) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    // A present key is never written into the page; a blank input keeps it.
    if !form.is_refused() {
        form.set("signing_key", "");
    }
    for name in ["network_offer_id", "network_offer_payout_revenue_id"] {
        if form.is(name, "0") {
            form.set(name, "");
        }
    }
    let names = Names::load(state, viewer).await?;
    let title = match id {
        None => "New partner postback".to_owned(),
        Some(id) => format!("Edit postback {id} – Partner postbacks"),
    };
    let page = Page::new(viewer, Menu::PartnerPostbacks, title);
    let may_see_secrets = viewer.may(Right::ViewSecrets);
    Ok(EditPage { page, form, id, names, may_see_secrets })
}

/// The object of the form. A blank signing key keeps the present one.
fn object_of(submitted: &Submitted) -> Value {
    let mut object = submitted.to_json(FIELDS);
    let key = submitted.value("signing_key");
    if submitted.has("remove_signing_key") {
        object["signing_key"] = json!("");
    } else if !key.is_empty() {
        object["signing_key"] = json!(key);
    }
    object
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let mut form =
        Form::new(&[("pixel_status", "active"), ("pixel_type", "conversion"), ("delay_ms", "0")]);
    for name in ["network_affiliate_id", "network_offer_id"] {
        form.set(name, query.value(name));
    }
    Ok(html(&edit_page(&state, &viewer, None, form).await?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request =
        ApiRequest::post(API, object_of(&submitted)).idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => {
            let id = answer.number("network_pixel_id");
            Ok(saved(&format!("{LIST}/{id}"), "created", None))
        }
        Err(refusal) => refuse(&state, &viewer, None, &submitted, refusal).await,
    }
}

async fn refuse(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    submitted: &Submitted,
    refusal: Refusal,
) -> PageResult {
    let form = Form::refused(submitted, refusal)?;
    Ok(refused(&edit_page(state, viewer, id, form).await?))
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
    let request = ApiRequest::patch(&path, object_of(&submitted)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved(&format!("{LIST}/{id}"), "saved", None)),
        Err(refusal) if refusal.is_stale() => {
            let now = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
            Ok(conflict(&viewer, Menu::PartnerPostbacks, FIELDS, &submitted, &now))
        }
        Err(refusal) => refuse(&state, &viewer, Some(id), &submitted, refusal).await,
    }
}
