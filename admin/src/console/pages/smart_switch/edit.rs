//! The form of a SmartSwitch rule.

use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::RULES;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::page::{Page, PageResult, conflict, html, refused, saved};
use crate::console::pages::catalog_object::ObjectKind;
use crate::console::switch_labels::{self as labels, Labels};
use crate::console::viewer::Viewer;

/// Inputs of the form that are fields of the API.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("rule_status", Kind::Choice),
    FormField::new("start_date", Kind::Text),
    FormField::new("end_date", Kind::Text),
    FormField::new("targeted_entity_type", Kind::Choice),
    FormField::new("variable", Kind::Choice),
    FormField::new("run_frequency", Kind::Choice),
    FormField::new("data_lookback_window", Kind::Choice),
    FormField::new("data_collection_threshold.min_clicks", Kind::Number),
    FormField::new("data_collection_threshold.min_conversions", Kind::Number),
    FormField::new("data_collection_threshold.conversion_statuses", Kind::Lines),
    FormField::new("conditions[].metric", Kind::Choice),
    FormField::new("conditions[].operator", Kind::Choice),
    FormField::new("conditions[].value", Kind::Text),
    FormField::new("action", Kind::Choice),
    FormField::new("delay_minutes", Kind::Number),
    FormField::new("is_notify_employees", Kind::Truth),
    FormField::new("is_notify_partners", Kind::Truth),
    FormField::new("is_dry_run", Kind::Truth),
    FormField::new("unblock.mode", Kind::Choice),
    FormField::new("unblock.after_hours", Kind::Number),
];

const TARGETS: &str = "targeted_entity_ids";
/// Conditions of a rule at most.
const MAX_CONDITIONS: usize = 10;

#[derive(Template)]
#[template(path = "smart_switch/edit.html")]
struct EditPage {
    page: Page,
    kind: &'static ObjectKind,
    form: Form,
    /// The rule; `None` for a new one.
    id: Option<u32>,
}

impl EditPage {
    /// The numbers of the conditions' rows, with a blank one.
    fn conditions(&self) -> Vec<usize> {
        let mut rows = self.form.rows("conditions", 2);
        rows.truncate(MAX_CONDITIONS);
        rows
    }

    fn has_error(&self, input: &str) -> bool {
        self.form.error(input).is_some()
    }

    fn variables(&self) -> &'static Labels {
        labels::VARIABLES
    }
}

fn edit_page(viewer: &Viewer, id: Option<u32>, form: Form) -> Result<EditPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let page = Page::new(viewer, RULES.menu, RULES.edit_title(id, &form));
    Ok(EditPage { page, kind: &RULES, form, id })
}

/// The object of the form.
fn object_of(submitted: &Submitted) -> Value {
    let mut object = submitted.to_json(FIELDS);
    object[TARGETS] = submitted.references(TARGETS);
    // Absent numbers are none, also where a patch would keep them.
    for (name, part) in [
        ("data_collection_threshold", "min_clicks"),
        ("data_collection_threshold", "min_conversions"),
        ("unblock", "after_hours"),
    ] {
        if object[name][part].is_null() {
            object[name][part] = json!(0);
        }
    }
    if object["delay_minutes"].is_null() {
        object["delay_minutes"] = json!(0);
    }
    object
}

pub(super) async fn show_new(viewer: Viewer) -> PageResult {
    let form = Form::new(&[
        ("rule_status", "active"),
        ("is_dry_run", "true"),
        ("is_notify_employees", "true"),
        ("targeted_entity_type", "offer"),
        ("variable", "source_id"),
        ("run_frequency", "1_hour"),
        ("data_lookback_window", "24_hours"),
        ("data_collection_threshold.min_clicks", "500"),
        ("data_collection_threshold.conversion_statuses", "approved\npending"),
        ("conditions[0].metric", "cvr"),
        ("conditions[0].operator", "lt"),
        ("conditions[0].value", "0.1"),
        ("action", "block"),
        ("unblock.mode", "manual"),
    ]);
    Ok(html(&edit_page(&viewer, None, form)?))
}

pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(RULES.api, object_of(&submitted))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => {
            let id = answer.number(RULES.id_field);
            Ok(saved(&format!("{}/{id}", RULES.list_path()), "created", None))
        }
        Err(refusal) => refuse(&viewer, None, &submitted, refusal),
    }
}

fn refuse(viewer: &Viewer, id: Option<u32>, submitted: &Submitted, refusal: Refusal) -> PageResult {
    let form = Form::refused(submitted, refusal)?;
    Ok(refused(&edit_page(viewer, id, form)?))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let answer = RULES.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    Ok(html(&edit_page(&viewer, Some(id), form)?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let path = format!("{}/{id}", RULES.api);
    let request = ApiRequest::patch(path, object_of(&submitted)).if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved(&RULES.at(id), "saved", None)),
        Err(refusal) if refusal.is_stale() => {
            let now = RULES.read(&state, &viewer, id, "").await?;
            Ok(conflict(&viewer, RULES.menu, FIELDS, &submitted, &now))
        }
        Err(refusal) => refuse(&viewer, Some(id), &submitted, refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SmartSwitchRule;

    #[test]
    fn a_rule_stays_the_same_through_the_form() {
        let rule = json!({
            "name": "Bad", "rule_status": "inactive", "start_date": "2026-12-01", "end_date": "",
            "targeted_entity_type": "offer", "targeted_entity_ids": [3, 7], "variable": "sub1",
            "run_frequency": "3_hours", "data_lookback_window": "7_days",
            "data_collection_threshold": {
                "min_clicks": 0, "min_conversions": 10, "conversion_statuses": ["pending"],
            },
            "conditions": [
                {"metric": "cvr", "operator": "gt", "value": "30"},
                {"metric": "bot_rate", "operator": "lte", "value": "1.5"},
            ],
            "action": "alert", "delay_minutes": 0, "is_notify_employees": false,
            "is_notify_partners": true, "is_dry_run": true,
            "unblock": {"mode": "after", "after_hours": 72},
        });
        let before: SmartSwitchRule = serde_json::from_value(rule).unwrap();
        let form = Form::of_object(&serde_json::to_value(&before).unwrap(), "");
        let inputs = FIELDS.iter().flat_map(|field| form.inputs(field)).chain([TARGETS.into()]);
        let pairs = inputs.map(|input: String| {
            let value = form.value(&input).to_owned();
            (input, value)
        });
        let sent = object_of(&Submitted::of_pairs(pairs.collect()));
        let after: SmartSwitchRule =
            serde_json::from_value(sent.clone()).unwrap_or_else(|error| panic!("{error}: {sent}"));
        assert_eq!(after, before);
    }
}
