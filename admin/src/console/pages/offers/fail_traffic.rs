//! The fail traffic of an offer: the offers for visitors whom this one refuses.

use askama::Template;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::rules_change::RulesChange;
use super::{OFFERS, ruleset_text};
use crate::access::Right;
use crate::catalog::FieldError;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;

const LIST: &str = "internal_redirects";

const FIELDS: &[FormField] = &[
    FormField::new("is_fail_traffic_enabled", Kind::Truth),
    FormField::new("redirect_internal_routing_type", Kind::Choice),
    FormField::new("internal_redirects[].network_offer_redirect_id", Kind::Number),
    FormField::new("internal_redirects[].redirect_network_offer_id", Kind::Reference),
    FormField::new("internal_redirects[].redirect_network_offer_url_id", Kind::Reference),
    FormField::new("internal_redirects[].routing_value", Kind::Number),
    FormField::new("internal_redirects[].offer_expired", Kind::Truth),
    FormField::new("internal_redirects[].caps", Kind::Truth),
    FormField::new("internal_redirects[].geotargeting", Kind::Truth),
    FormField::new("internal_redirects[].other", Kind::Truth),
    FormField::new("internal_redirects[].ruleset", Kind::Text),
    FormField::new("internal_redirects[].further", Kind::Text),
];

/// Words of the API for groups of reasons, and their names on the page.
const REASONS: [(&str, &str); 4] = [
    ("offer_expired", "The offer is over"),
    ("caps", "A cap is reached"),
    ("geotargeting", "The visitor is elsewhere"),
    ("other", "Any other reason"),
];

/// Words of the API for the choice among redirects, and their names on the page.
const ROUTINGS: [(&str, &str); 4] = [
    ("priority", "The first offer that takes the visitor"),
    ("weight", "By weight"),
    ("priority_global", "The first offer that takes the visitor, else the global URL"),
    ("weight_global", "By weight, else the global URL"),
];

/// A redirect in the list that orders them.
struct Place {
    id: u64,
    offer: String,
}

#[derive(Template)]
#[template(path = "offers/fail_traffic.html")]
struct FailTrafficPage {
    page: Page,
    id: u32,
    name: String,
    form: Form,
    offers: Options,
    urls: Options,
    /// The saved redirects; the form may have other ones.
    places: Vec<Place>,
    etag: String,
}

impl FailTrafficPage {
    /// The redirects of the form and one blank row.
    fn rows(&self) -> Vec<usize> {
        self.form.rows(LIST, 1)
    }

    fn input(&self, row: &usize, part: &str) -> String {
        format!("{LIST}[{row}].{part}")
    }

    fn reasons(&self, row: &usize) -> [(String, &'static str); 4] {
        REASONS.map(|(word, name)| (self.input(row, word), name))
    }
}

async fn fail_traffic_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    form: Form,
) -> Result<FailTrafficPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let offer = OFFERS.read(state, viewer, id, "").await?;
    let name = format::visible(OFFERS.name_of(&offer.body));
    let offers = Options::load(&state.api, viewer, Referred::Offer).await?;
    let urls = Options::load(&state.api, viewer, Referred::OfferUrl).await?;
    let place = |redirect: &Value| Place {
        id: redirect["network_offer_redirect_id"].as_u64().unwrap_or_default(),
        offer: offers.label_of(&redirect["redirect_network_offer_id"].to_string()),
    };
    let places = redirects(&offer.body).iter().map(place).collect();
    let page = Page::new(viewer, OFFERS.menu, format!("Fail traffic of {name} – Offers"));
    Ok(FailTrafficPage { page, id, name, form, offers, urls, places, etag: offer.etag })
}

fn redirects(offer: &Value) -> &[Value] {
    offer[LIST].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fail traffic of an offer in words.
pub(super) fn summary(offer: &Value) -> String {
    if offer["is_fail_traffic_enabled"] != true {
        return "Refused visitors get the fallback.".into();
    }
    let routing = offer["redirect_internal_routing_type"].as_str().unwrap_or_default();
    let named = ROUTINGS.iter().find(|(word, _)| *word == routing);
    let count = format::counted(redirects(offer).len() as u64, "redirects");
    format!("{}; {count}.", named.map_or("", |(_, name)| name))
}

fn page_path(id: u32) -> String {
    format!("{}/failtraffic", OFFERS.at(id))
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "").await?;
    let form = Form::of_object(&inputs(&offer.body), &offer.etag);
    let mut page = fail_traffic_page(&state, &viewer, id, form).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
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
            return Ok(refused(&fail_traffic_page(&state, &viewer, id, form).await?));
        }
    };
    let change = RulesChange { offer_id: id, submitted: &submitted, body, fields: FIELDS, inputs };
    match change.save(&state, &viewer).await? {
        Ok(response) => Ok(response),
        Err(refusal) => {
            let form = Form::refused(&submitted, at_inputs(refusal, &submitted))?;
            Ok(refused(&fail_traffic_page(&state, &viewer, id, form).await?))
        }
    }
}

/// Moves a redirect by one place.
pub(super) async fn reorder(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let offer = OFFERS.read(&state, &viewer, id, "").await?;
    let mut moved = redirects(&offer.body).to_vec();
    let wanted: Option<u64> = submitted.value("id").parse().ok();
    let is_moved = |redirect: &Value| {
        wanted.is_some() && redirect["network_offer_redirect_id"].as_u64() == wanted
    };
    if let Some(from) = moved.iter().position(is_moved) {
        move_by_one(&mut moved, from, submitted.value("move"));
    }
    let path = format!("{}/{id}?wait=live", OFFERS.api);
    let request = ApiRequest::patch(path, json!({LIST: moved})).if_match(submitted.value("etag"));
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(&page_path(id), "saved", answer.is_live))
}

/// Exchanges an element with its neighbour; the first stays when it is moved up.
pub(super) fn move_by_one<T>(list: &mut [T], from: usize, direction: &str) {
    let to = match direction {
        "up" => from.checked_sub(1),
        _ => Some(from + 1),
    };
    if let Some(to) = to.filter(|to| *to < list.len()) {
        list.swap(from, to);
    }
}

/// The values of the form's inputs.
fn inputs(offer: &Value) -> Value {
    let rows = redirects(offer).iter().map(|redirect| {
        let mut row = redirect.clone();
        for (word, _) in REASONS {
            let reasons = redirect["fail_reasons"].as_array().into_iter().flatten();
            row[word] = reasons.filter(|reason| *reason == word).count().eq(&1).into();
        }
        row["ruleset"] = ruleset_text::text(&redirect["ruleset"]).into();
        row["further"] = ruleset_text::further(&redirect["ruleset"]).into();
        row
    });
    json!({
        "is_fail_traffic_enabled": offer["is_fail_traffic_enabled"],
        "redirect_internal_routing_type": offer["redirect_internal_routing_type"],
        LIST: rows.collect::<Vec<_>>(),
    })
}

/// The change of a submitted form.
fn body(submitted: &Submitted) -> Result<Value, Vec<FieldError>> {
    let mut body = submitted.to_json(FIELDS);
    let mut errors = Vec::new();
    let rows = body[LIST].as_array_mut().into_iter().flatten();
    for (number, row) in rows.enumerate() {
        let Value::Object(row) = row else { continue };
        let mut take = |part: &str| row.remove(part).unwrap_or_default();
        let reasons = REASONS.iter().filter(|(word, _)| take(word) == true);
        let reasons: Vec<&str> = reasons.map(|(word, _)| *word).collect();
        let (text, further) = (take("ruleset"), take("further"));
        let text = text.as_str().unwrap_or_default();
        match ruleset_text::ruleset(text, further.as_str().unwrap_or_default()) {
            Ok(ruleset) => drop(row.insert("ruleset".into(), ruleset)),
            Err(error) => errors.push(FieldError {
                field: format!("{LIST}[{number}].ruleset"),
                error: error.to_string(),
            }),
        }
        row.insert("fail_reasons".into(), reasons.into());
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

/// The errors of the API at the inputs of the page: an entry of a ruleset is a line of its text.
fn at_inputs(mut refusal: Refusal, submitted: &Submitted) -> Refusal {
    for error in &mut refusal.fields {
        let Some((redirect, field)) = error.field.split_once(".ruleset.") else { continue };
        let input = format!("{redirect}.ruleset");
        if let Some(line) = ruleset_text::line_of(submitted.value(&input), field) {
            error.error = format!("“{line}”: {}", error.error);
        }
        error.field = input;
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_move_by_one_place_within_the_list() {
        for (from, direction, expected) in
            [(0, "up", "abc"), (1, "up", "bac"), (1, "down", "acb"), (2, "down", "abc")]
        {
            let mut list = ['a', 'b', 'c'];
            move_by_one(&mut list, from, direction);
            assert_eq!(list.iter().collect::<String>(), expected, "{from} {direction}");
        }
    }
}
