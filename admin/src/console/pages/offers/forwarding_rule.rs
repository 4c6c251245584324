//! The form of a forwarding rule.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::Method;
use serde_json::{Value, json};

use super::forwarding::{api_path, page_path};
use super::{OFFERS, ruleset_text};
use crate::access::Right;
use crate::catalog::{FieldError, TrafficVariable, WordSet};
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("forwarding_rule_status", Kind::Choice),
    FormField::new("destination_network_offer_id", Kind::Reference),
    FormField::new("destination_network_offer_url_id", Kind::Reference),
    FormField::new("date_valid_from", Kind::Text),
    FormField::new("date_valid_to", Kind::Text),
    FormField::new("partners[].network_affiliate_id", Kind::Reference),
    FormField::new("variables[].variable", Kind::Choice),
    FormField::new("variables[].comparison_method", Kind::Choice),
    FormField::new("variables[].variable_value", Kind::Text),
    FormField::new("ruleset", Kind::Text),
    FormField::new("further", Kind::Text),
];

/// Blank rows of each list.
const BLANK_ROWS: usize = 2;

/// Words of the API for comparisons, and their names on the page.
const COMPARISONS: [(&str, &str); 8] = [
    ("", "–"),
    ("exact_match", "is"),
    ("does_not_match", "is not"),
    ("contains", "contains"),
    ("does_not_contain", "does not contain"),
    ("starts_with", "starts with"),
    ("ends_with", "ends with"),
    ("not_present", "is absent"),
];

#[derive(Template)]
#[template(path = "offers/forwarding_rule.html")]
struct RulePage {
    page: Page,
    id: u32,
    name: String,
    /// The rule; `None` for a new one.
    rule: Option<u32>,
    form: Form,
    offers: Options,
    urls: Options,
    partners: Options,
}

impl RulePage {
    fn action(&self) -> String {
        match self.rule {
            Some(rule) => format!("{}/{rule}", page_path(self.id)),
            None => format!("{}/new", page_path(self.id)),
        }
    }

    fn back(&self) -> String {
        page_path(self.id)
    }

    fn rows(&self, list: &str) -> Vec<usize> {
        self.form.rows(list, BLANK_ROWS)
    }

    fn input(&self, list: &str, row: &usize, part: &str) -> String {
        format!("{list}[{row}].{part}")
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let words = TrafficVariable::WORDS.iter().map(|word| (*word, words::label(word)));
        [("", "–".to_owned())].into_iter().chain(words).collect()
    }
}

async fn rule_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    rule: Option<u32>,
    form: Form,
) -> Result<RulePage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
    let urls = Options::load(&state.api, viewer, Referred::OfferUrl).await?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let title = if rule.is_some() { "Forwarding rule" } else { "New forwarding rule" };
    let page = Page::new(viewer, OFFERS.menu, format!("{title} of {name} – Offers"));
    Ok(RulePage { page, id, name, rule, form, offers, urls, partners })
}

pub(super) async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let form = Form::new(&[("forwarding_rule_status", "active")]);
    Ok(html(&rule_page(&state, &viewer, id, None, form).await?))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, rule)): Path<(u32, u32)>,
) -> PageResult {
    let path = format!("{}/{rule}", api_path(id));
    let found = state.api.send(&viewer, ApiRequest::new(Method::GET, path)).await?;
    let form = Form::of_object(&inputs(&found.body), &found.etag);
    Ok(html(&rule_page(&state, &viewer, id, Some(rule), form).await?))
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
    Path((id, rule)): Path<(u32, u32)>,
    submitted: Submitted,
) -> PageResult {
    submit(&state, &viewer, id, Some(rule), &submitted).await
}

async fn submit(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    rule: Option<u32>,
    submitted: &Submitted,
) -> PageResult {
    let body = match body(submitted) {
        Ok(body) => body,
        Err(error) => {
            let form = Form::with_errors(submitted, &[error]);
            return Ok(refused(&rule_page(state, viewer, id, rule, form).await?));
        }
    };
    let request = match rule {
        None => ApiRequest::post(submitted.live_path_of_rules(&api_path(id)), body)
            .idempotency_key(submitted.value("form_id")),
        Some(rule) => {
            let path = submitted.live_path_of_rules(&format!("{}/{rule}", api_path(id)));
            ApiRequest::patch(path, body).if_match(submitted.value("etag"))
        }
    };
    let notice = if rule.is_some() { "saved" } else { "created" };
    match state.api.send(viewer, request).await {
        Ok(answer) => Ok(saved(&page_path(id), notice, answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let path = format!("{}/{}", api_path(id), rule.unwrap_or_default());
            let mut now = state.api.send(viewer, ApiRequest::new(Method::GET, path)).await?;
            now.body = inputs(&now.body);
            Ok(conflict(viewer, OFFERS.menu, FIELDS, submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(submitted, at_inputs(refusal, submitted))?;
            Ok(refused(&rule_page(state, viewer, id, rule, form).await?))
        }
    }
}

/// The values of the form's inputs.
fn inputs(rule: &Value) -> Value {
    let mut inputs = rule.clone();
    let partners = rule["network_affiliate_ids"].as_array().into_iter().flatten();
    let partners = partners.map(|id| json!({ "network_affiliate_id": id }));
    inputs["partners"] = partners.collect();
    inputs["ruleset"] = ruleset_text::text(&rule["ruleset"]).into();
    inputs["further"] = ruleset_text::further(&rule["ruleset"]).into();
    inputs
}

/// The rule of a submitted form.
fn body(submitted: &Submitted) -> Result<Value, FieldError> {
    let mut body = submitted.to_json(FIELDS);
    let Value::Object(fields) = &mut body else { return Ok(body) };
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let partners = take("partners");
    let partners = partners.as_array().into_iter().flatten();
    let ids: Value = partners.map(|row| row["network_affiliate_id"].clone()).collect();
    let (text, further) = (take("ruleset"), take("further"));
    let text = text.as_str().unwrap_or_default();
    let ruleset = ruleset_text::ruleset(text, further.as_str().unwrap_or_default());
    let ruleset = ruleset
        .map_err(|error| FieldError { field: "ruleset".into(), error: error.to_string() })?;
    fields.insert("network_affiliate_ids".into(), ids);
    fields.insert("ruleset".into(), ruleset);
    Ok(body)
}

/// The errors of the API at the inputs of the page.
fn at_inputs(mut refusal: Refusal, submitted: &Submitted) -> Refusal {
    for error in &mut refusal.fields {
        if let Some(field) = error.field.strip_prefix("ruleset.") {
            if let Some(line) = ruleset_text::line_of(submitted.value("ruleset"), field) {
                error.error = format!("“{line}”: {}", error.error);
            }
            error.field = "ruleset".into();
        } else if let Some(row) = error.field.strip_prefix("network_affiliate_ids[") {
            error.field = format!("partners[{row}.network_affiliate_id");
        } else if error.field.starts_with("variables[") && error.field.ends_with(']') {
            error.field.push_str(".variable");
        }
    }
    refusal
}
