//! The form of a traffic control. Values, offers, partners and advertisers are text areas with one
//! entry a line; each variable is a box to tick.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::TRAFFIC_CONTROLS;
use super::control::Names;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::options::Options;
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::pages::catalog_object::ObjectKind;
use crate::console::viewer::Viewer;
use crate::console::words;

/// Inputs that are fields of the API.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("status", Kind::Choice),
    FormField::new("control_type", Kind::Choice),
    FormField::new("targeting_action", Kind::Choice),
    FormField::new("comparison_method", Kind::Choice),
    FormField::new("values", Kind::Lines),
    FormField::new("is_apply_all_offers", Kind::Truth),
    FormField::new("is_apply_all_affiliates", Kind::Truth),
    FormField::new("date_valid_from", Kind::Text),
    FormField::new("date_valid_to", Kind::Text),
];

/// Inputs with one object a line, by its id.
const REFERENCES: [&str; 3] =
    ["network_offer_ids", "network_advertiser_ids", "network_affiliate_ids"];

/// All inputs, as a conflict with somebody else's edit compares them.
static ALL_FIELDS: LazyLock<Vec<FormField>> = LazyLock::new(|| {
    let boxes = words::TRAFFIC_VARIABLES.iter().map(|(_, input, _)| *input);
    let others = boxes.chain(REFERENCES).map(|name| FormField::new(name, Kind::Text));
    FIELDS.iter().copied().chain(others).collect()
});

#[derive(Template)]
#[template(path = "traffic_controls/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The control; `None` for a new one.
    id: Option<u32>,
    names: Names,
}

impl EditPage {
    /// The objects that the form may name, by kind.
    fn choices(&self) -> [(&'static str, &Options); 3] {
        let Names { offers, advertisers, partners } = &self.names;
        [("Offers", offers), ("Advertisers", advertisers), ("Partners", partners)]
    }

    /// Inputs and names of the variables.
    fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let label =
            |(_, input, name): &(&str, &'static str, &str)| (*input, words::capitalised(name));
        words::TRAFFIC_VARIABLES.iter().map(label)
    }
}

async fn edit_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: Option<u32>,
    form: Form,
) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let names = Names::load(state, viewer).await?;
    let title = TRAFFIC_CONTROLS.edit_title(id, &form);
    let page = Page::new(viewer, TRAFFIC_CONTROLS.menu, title);
    Ok(EditPage { page, kind: &TRAFFIC_CONTROLS, form, id, names })
}

pub(super) async fn show_new(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let form = Form::new(&[
        ("status", "active"),
        ("control_type", "blacklist"),
        ("targeting_action", "block"),
        ("comparison_method", "exact_match"),
        ("variable.source_id", "true"),
        ("is_apply_all_offers", "true"),
        ("is_apply_all_affiliates", "true"),
    ]);
    Ok(html(&edit_page(&state, &viewer, None, form).await?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{}?wait=live", TRAFFIC_CONTROLS.api);
    let request =
        ApiRequest::post(path, object(&submitted)).idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => {
            let id = answer.number(TRAFFIC_CONTROLS.id_field);
            let path = format!("{}/{id}", TRAFFIC_CONTROLS.list_path());
            Ok(saved(&path, "created", answer.is_live))
        }
        Err(refusal) => refuse(&state, &viewer, None, &submitted, refusal).await,
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = TRAFFIC_CONTROLS.read(&state, &viewer, id, "").await?;
    let mut form = Form::of_object(&json!({}), &answer.etag);
    let names = Names::load(&state, &viewer).await?;
    for (input, value) in inputs(&answer.body) {
        form.set(&input, labelled(&names, &input, value));
    }
    Ok(html(&edit_page(&state, &viewer, Some(id), form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{}/{id}?wait=live", TRAFFIC_CONTROLS.api);
    let request = ApiRequest::patch(path, object(&submitted)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(&TRAFFIC_CONTROLS.at(id), "saved", answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let mut now = TRAFFIC_CONTROLS.read(&state, &viewer, id, "").await?;
            let names = Names::load(&state, &viewer).await?;
            let theirs = inputs(&now.body).into_iter().map(|(input, value)| {
                let value = labelled(&names, &input, value);
                (input, value)
            });
            now.body = json!(theirs.collect::<BTreeMap<String, String>>());
            Ok(conflict(&viewer, TRAFFIC_CONTROLS.menu, &ALL_FIELDS, &submitted, &now))
        }
        Err(refusal) => refuse(&state, &viewer, Some(id), &submitted, refusal).await,
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

/// The values of the inputs for a control.
fn inputs(control: &Value) -> BTreeMap<String, String> {
    let mut inputs = BTreeMap::new();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for FormField { name, .. } in FIELDS {
        let value = match &control[*name] {
            Value::Array(lines) => lines.iter().map(text).collect::<Vec<_>>().join("\n"),
            value => text(value),
        };
        inputs.insert((*name).into(), value);
    }
    for name in REFERENCES {
        let ids = control[name].as_array().into_iter().flatten().map(text);
        inputs.insert(name.into(), ids.collect::<Vec<_>>().join("\n"));
    }
    let compared = control["variables"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (word, input, _) in words::TRAFFIC_VARIABLES {
        let is_ticked = compared.iter().any(|variable| variable == word);
        inputs.insert(input.into(), is_ticked.to_string());
    }
    inputs
}

/// The ids of an input with their names, one object a line; other values as they are.
fn labelled(names: &Names, input: &str, value: String) -> String {
    let options = match input {
        "network_offer_ids" => &names.offers,
        "network_affiliate_ids" => &names.partners,
        "network_advertiser_ids" => &names.advertisers,
        _ => return value,
    };
    value.lines().map(|id| options.label_of(id)).collect::<Vec<_>>().join("\n")
}

/// The object of a submitted form.
fn object(submitted: &Submitted) -> Value {
    let mut object = submitted.to_json(FIELDS);
    for name in REFERENCES {
        object[name] = submitted.references(name);
    }
    let ticked = words::TRAFFIC_VARIABLES
        .iter()
        .filter(|(_, input, _)| !matches!(submitted.value(input), "" | "false"));
    object["variables"] = ticked.map(|(word, ..)| *word).collect();
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ComparisonMethod, TrafficControl, TrafficVariable, WordSet as _};

    #[test]
    fn a_control_stays_the_same_through_the_form() {
        let control = json!({
            "name": "Bad", "status": "inactive", "control_type": "whitelist",
            "targeting_action": "fail_traffic", "comparison_method": "contains",
            "is_apply_all_affiliates": true, "is_apply_all_offers": false,
            "variables": ["sub1", "asn"], "network_offer_ids": [3, 7],
            "network_affiliate_ids": [], "network_advertiser_ids": [2], "values": ["a", "b c"],
            "date_valid_from": "2026-12-01", "date_valid_to": "",
        });
        let before: TrafficControl = serde_json::from_value(control).unwrap();
        let mut pairs: Vec<(String, String)> =
            inputs(&serde_json::to_value(&before).unwrap()).into_iter().collect();
        for (_, value) in pairs.iter_mut().filter(|(name, _)| name == "network_offer_ids") {
            *value = "3 – Winter Jackets\n\n 7".into();
        }
        let sent = object(&Submitted::of_pairs(pairs));
        let after: TrafficControl =
            serde_json::from_value(sent.clone()).unwrap_or_else(|error| panic!("{error}: {sent}"));
        assert_eq!(after, before);
    }

    #[test]
    fn each_variable_and_comparison_has_a_name() {
        let named: Vec<&str> = words::TRAFFIC_VARIABLES.iter().map(|(word, ..)| *word).collect();
        assert_eq!(named, TrafficVariable::WORDS);
        let named: Vec<&str> = words::COMPARISONS.iter().map(|(word, _)| *word).collect();
        assert_eq!(named, ComparisonMethod::WORDS);
        for (word, input, _) in words::TRAFFIC_VARIABLES {
            assert_eq!(input, format!("variable.{word}"));
        }
    }
}
