//! The filters of an offer: sub ids and sources whose visits it refuses.

use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::OFFERS;
use super::rules_change::RulesChange;
use crate::access::Right;
use crate::catalog::FieldError;
use crate::console::ConsoleState;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::viewer::Viewer;
use crate::console::{format, words};

const LIST: &str = "traffic_filters";
/// Rows for new filters: a page without scripts cannot add one.
const BLANK_ROWS: usize = 3;

const FIELDS: &[FormField] = &[
    FormField::new("traffic_filters[].parameter", Kind::Choice),
    FormField::new("traffic_filters[].match_type", Kind::Choice),
    FormField::new("traffic_filters[].value", Kind::Text),
    FormField::new("traffic_filters[].action", Kind::Choice),
];

/// Words of the API for the parts of a link, and their names on the page.
const PARAMETERS: [(&str, &str); 7] = [
    ("", "–"),
    ("sub1", "Sub id 1"),
    ("sub2", "Sub id 2"),
    ("sub3", "Sub id 3"),
    ("sub4", "Sub id 4"),
    ("sub5", "Sub id 5"),
    ("source_id", "Source"),
];

/// Choices of each row whose usual word is blank on the page: a row of blanks alone is no filter.
const USUAL: [(&str, &str); 2] = [("match_type", "exact_match"), ("action", "block")];

const ACTIONS: [(&str, &str); 2] =
    [("", "To the fallback"), ("fail_traffic", "To the fail traffic, else to the fallback")];

#[derive(Template)]
#[template(path = "offers/traffic_filters.html")]
struct FiltersPage {
    page: Page,
    id: u32,
    name: String,
    form: Form,
}

impl FiltersPage {
    fn rows(&self) -> Vec<usize> {
        self.form.rows(LIST, BLANK_ROWS)
    }

    fn input(&self, row: &usize, part: &str) -> String {
        format!("{LIST}[{row}].{part}")
    }

    fn comparisons(&self) -> Vec<(&'static str, &'static str)> {
        let usual = |word: &'static str| if word == "exact_match" { "" } else { word };
        words::COMPARISONS.into_iter().map(|(word, name)| (usual(word), name)).collect()
    }
}

async fn filters_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    form: Form,
) -> Result<FiltersPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let page = Page::new(viewer, OFFERS.menu, format!("Filtered sources of {name} – Offers"));
    Ok(FiltersPage { page, id, name, form })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&inputs(&offer.body), &offer.etag);
    Ok(html(&filters_page(&state, &viewer, id, form).await?))
}

pub(super) async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let submitted = submitted.without_removed(LIST);
    let body = match body(&submitted) {
        Ok(body) => body,
        Err(errors) => {
            let form = Form::with_errors(&submitted, &errors);
            return Ok(refused(&filters_page(&state, &viewer, id, form).await?));
        }
    };
    let change = RulesChange { offer_id: id, submitted: &submitted, body, fields: FIELDS, inputs };
    match change.save(&state, &viewer).await? {
        Ok(response) => Ok(response),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&filters_page(&state, &viewer, id, form).await?))
        }
    }
}

fn filters(offer: &Value) -> &[Value] {
    offer[LIST].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The filters of an offer in words.
pub(super) fn summary(offer: &Value) -> Vec<String> {
    let word = |names: &[(&str, &str)], word: &Value| {
        let found = names.iter().find(|(known, _)| word == known);
        found.map_or_else(|| word.to_string(), |(_, name)| (*name).to_owned())
    };
    let sentence = |filter: &Value| {
        let parameter = word(&PARAMETERS, &filter["parameter"]);
        let comparison = word(&words::COMPARISONS, &filter["match_type"]);
        let value = filter["value"].as_str().unwrap_or_default();
        let value = if value.is_empty() { String::new() } else { format!(" “{value}”") };
        let over = if filter["action"] == "fail_traffic" { " (to the fail traffic)" } else { "" };
        format::visible(&format!("{parameter} {comparison}{value}{over}"))
    };
    filters(offer).iter().map(sentence).collect()
}

/// The values of the form's inputs.
fn inputs(offer: &Value) -> Value {
    let rows = filters(offer).iter().map(|filter| {
        let mut row = filter.clone();
        for (part, usual) in USUAL {
            if row[part] == usual {
                row[part] = "".into();
            }
        }
        row
    });
    json!({LIST: rows.collect::<Vec<_>>()})
}

/// The change of a submitted form.
fn body(submitted: &Submitted) -> Result<Value, Vec<FieldError>> {
    let mut body = submitted.to_json(FIELDS);
    let mut errors = Vec::new();
    for (number, row) in body[LIST].as_array_mut().into_iter().flatten().enumerate() {
        for (part, usual) in USUAL {
            if row[part].is_null() {
                row[part] = usual.into();
            }
        }
        if row["parameter"].is_null() {
            errors.push(FieldError {
                field: format!("{LIST}[{number}].parameter"),
                error: "choose the part of the link".into(),
            });
        }
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_stay_the_same_through_the_form_and_blank_rows_are_none() {
        let offer = json!({LIST: [
            {"parameter": "sub2", "match_type": "starts_with", "value": "bad", "action": "block"},
            {"parameter": "source_id", "match_type": "exact_match", "value": "x", "action": "fail_traffic"},
        ]});
        let mut pairs = Vec::new();
        for (number, row) in inputs(&offer)[LIST].as_array().unwrap().iter().enumerate() {
            for (part, value) in row.as_object().unwrap() {
                let input = format!("{LIST}[{number}].{part}");
                pairs.push((input, value.as_str().unwrap().to_owned()));
            }
        }
        let submitted = Submitted::of_pairs(pairs);
        assert_eq!(body(&submitted).unwrap(), offer);
        assert_eq!(
            summary(&offer),
            ["Sub id 2 starts with “bad”", "Source is “x” (to the fail traffic)"]
        );
    }
}
