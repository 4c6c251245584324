//! The form of a URL of an offer.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde_json::{Value, json};

use super::OFFERS;
use super::urls::page_path;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/offerurls";

const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("url_status", Kind::Choice),
    FormField::new("destination_url", Kind::Text),
    FormField::new("preview_url", Kind::Text),
    FormField::new("is_apply_specific_affiliates", Kind::Truth),
    FormField::new("partners[].network_affiliate_id", Kind::Reference),
    FormField::new("is_hidden_affiliate", Kind::Truth),
];

/// Blank rows of the list of partners.
const BLANK_ROWS: usize = 3;

#[derive(Template)]
#[template(path = "offers/url.html")]
struct UrlPage {
    page: Page,
    id: u32,
    name: String,
    /// The URL; `None` for a new one.
    url: Option<u32>,
    form: Form,
    partners: Options,
}

impl UrlPage {
    fn action(&self) -> String {
        match self.url {
            Some(url) => format!("{}/{url}", page_path(self.id)),
            None => format!("{}/new", page_path(self.id)),
        }
    }

    fn back(&self) -> String {
        page_path(self.id)
    }

    /// Label and name of the input of each partner.
    fn partner_inputs(&self) -> Vec<(String, String)> {
        let rows = self.form.rows("partners", BLANK_ROWS).into_iter();
        let input =
            |row| (format!("Partner {}", row + 1), format!("partners[{row}].network_affiliate_id"));
        rows.map(input).collect()
    }
}

async fn url_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    url: Option<u32>,
    form: Form,
) -> Result<UrlPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let title = if url.is_some() { "URL" } else { "New URL" };
    let page = Page::new(viewer, OFFERS.menu, format!("{title} of {name} – Offers"));
    Ok(UrlPage { page, id, name, url, form, partners })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let form = Form::new(&[("url_status", "active")]);
    Ok(html(&url_page(&state, &viewer, id, None, form).await?))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, url)): Path<(u32, u32)>,
) -> PageResult {
    let path = format!("{API}/{url}");
    let found = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
    let form = Form::of_object(&inputs(&found.body), &found.etag);
    Ok(html(&url_page(&state, &viewer, id, Some(url), form).await?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, id, None, &submitted).await
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, url)): Path<(u32, u32)>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, id, Some(url), &submitted).await
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, url)): Path<(u32, u32)>,
) -> PageResult {
    let request = ApiRequest::delete(format!("{API}/{url}?wait=live"));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&page_path(id), "deleted", answer.is_live))
}

async fn submit(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    url: Option<u32>,
    submitted: &Submitted,
) -> PageResult {
    let body = body(submitted, id);
    let request = match url {
        None => ApiRequest::post(format!("{API}?wait=live"), body)
            .idempotency_key(submitted.value("form_id")),
        Some(url) => ApiRequest::patch(format!("{API}/{url}?wait=live"), body)
            .if_match(submitted.value("etag")),
    };
    let notice = if url.is_some() { "saved" } else { "created" };
    match state.api.send(viewer, request).await {
        Ok(answer) => Ok(saved(&page_path(id), notice, answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let path = format!("{API}/{}", url.unwrap_or_default());
            let mut now = state.api.send(viewer, ApiRequest::new(Method::GET, path)).await?;
            now.body = inputs(&now.body);
            Ok(conflict(viewer, OFFERS.menu, FIELDS, submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(submitted, at_inputs(refusal))?;
            Ok(refused(&url_page(state, viewer, id, url, form).await?))
        }
    }
}

/// The values of the form's inputs.
fn inputs(url: &Value) -> Value {
    let mut inputs = url.clone();
    let partners = url["network_affiliate_ids"].as_array().into_iter().flatten();
    inputs["partners"] = partners.map(|id| json!({ "network_affiliate_id": id })).collect();
    inputs
}

/// The URL of a submitted form.
fn body(submitted: &Submitted, id: u32) -> Value {
    let mut body = submitted.to_json(FIELDS);
    if let Value::Object(fields) = &mut body {
        let partners = fields.remove("partners").unwrap_or_default();
        let partners = partners.as_array().into_iter().flatten();
        let ids: Value = partners.map(|row| row["network_affiliate_id"].clone()).collect();
        fields.insert("network_affiliate_ids".into(), ids);
        fields.insert("network_offer_id".into(), id.into());
    }
    body
}

/// The errors of the API at the inputs of the page.
fn at_inputs(mut refusal: Refusal) -> Refusal {
    for error in &mut refusal.fields {
        if error.field == "network_affiliate_ids" {
            error.field = "partners[0].network_affiliate_id".into();
        } else if let Some(row) = error.field.strip_prefix("network_affiliate_ids[") {
            error.field = format!("partners[{row}.network_affiliate_id");
        }
    }
    refusal
}
