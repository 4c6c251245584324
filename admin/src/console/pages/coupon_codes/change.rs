//! Changes of many codes: of the ticked ones, or of all that the list's filters select. Each change
//! is a job of the API.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect};
use serde::Deserialize;
use serde_json::{Value, json};

use super::listing::API;
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::ApiRequest;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, refused, saved};
use crate::console::pages::jobs::{self, codes};
use crate::console::viewer::Viewer;

/// From this number on, the number of codes is typed as a confirmation.
const TYPED_FROM: u64 = 1_001;
/// Ticked codes that the page lists.
const MAX_LISTED: usize = 20;

/// What becomes of the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Status,
    Partner,
    Offer,
    Dates,
    Delete,
}

impl Action {
    fn from_word(word: &str) -> Action {
        match word {
            "partner" => Action::Partner,
            "offer" => Action::Offer,
            "dates" => Action::Dates,
            "delete" => Action::Delete,
            _ => Action::Status,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Action::Status => "status",
            Action::Partner => "partner",
            Action::Offer => "offer",
            Action::Dates => "dates",
            Action::Delete => "delete",
        }
    }

    fn heading(self, codes: &str) -> String {
        match self {
            Action::Status => format!("Change the status of {codes}"),
            Action::Partner => format!("Assign {codes} to a partner"),
            Action::Offer => format!("Move {codes} to an offer"),
            Action::Dates => format!("Set the dates of {codes}"),
            Action::Delete => format!("Delete {codes}"),
        }
    }

    fn button(self) -> &'static str {
        match self {
            Action::Status => "Change Status",
            Action::Partner => "Assign partner",
            Action::Offer => "Move to the offer",
            Action::Dates => "Set dates",
            Action::Delete => "Delete",
        }
    }

    fn fields(self) -> &'static [FormField] {
        const STATUS: &[FormField] = &[FormField::new("coupon_status", Kind::Choice)];
        const PARTNER: &[FormField] = &[FormField::new("network_affiliate_id", Kind::Reference)];
        const OFFER: &[FormField] = &[FormField::new("network_offer_id", Kind::Reference)];
        match self {
            Action::Status => STATUS,
            Action::Partner => PARTNER,
            Action::Offer => OFFER,
            Action::Dates | Action::Delete => &[],
        }
    }
}

/// The chosen codes.
struct Chosen {
    /// Ticked codes; empty if all that match are meant.
    ids: Vec<u32>,
    /// The list from which they were chosen.
    list: ListQuery,
}

impl Chosen {
    fn new(ids: &[&str], is_all: bool, list: &str) -> Result<Chosen, PageError> {
        let list = ListQuery::parse("/console/coupon-codes", list);
        if is_all {
            return Ok(Chosen { ids: Vec::new(), list });
        }
        let ids: Vec<u32> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() {
            let sentence =
                "No code was ticked. Go back, tick the codes, and choose the action again.";
            return Err(PageError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence));
        }
        Ok(Chosen { ids, list })
    }

    fn is_all(&self) -> bool {
        self.ids.is_empty()
    }

    /// The choice as the API takes it.
    fn to_json(&self) -> Value {
        if !self.is_all() {
            return json!({"network_coupon_code_ids": self.ids});
        }
        let list = &self.list;
        let mut filters = list.filters();
        if !list.is_narrowed() {
            // Without a filter, all codes are meant; the API wants that to be said.
            filters.push("network_coupon_code_id>0");
        }
        json!({"filter": filters, "search": list.value("search"), "prefix": list.value("prefix")})
    }
}

#[derive(Template)]
#[template(path = "coupon_codes/change.html")]
struct ChangePage {
    page: Page,
    action: Action,
    chosen: Chosen,
    form: Form,
    /// Number of chosen codes.
    count: u64,
    /// Number of active ones among them.
    active: u64,
    /// Some of the ticked codes.
    named: Vec<String>,
    options: Option<Options>,
}

impl ChangePage {
    fn heading(&self) -> String {
        self.action.heading(&codes(self.count))
    }

    fn must_type(&self) -> bool {
        self.count >= TYPED_FROM
    }

    fn typed_label(&self) -> String {
        format!("Type {} to confirm", self.count)
    }

    /// What the change does to visitors, in numbers.
    fn consequence(&self) -> String {
        let verb = if self.active == 1 { "is" } else { "are" };
        let active = match (self.active, self.count) {
            (0, _) => "None of them is active now.".to_owned(),
            (active, count) if active == count => "All of them are active now.".to_owned(),
            (active, _) => format!("{} of them {verb} active now.", format::count(active)),
        };
        let then = match self.action {
            Action::Status => "A paused code leads its visitors to the fallback.",
            Action::Delete => "Their links will lead visitors to the fallback.",
            Action::Offer => "Their links will lead to the new offer.",
            Action::Partner => "Later clicks and sales will be the new partner's.",
            Action::Dates => "Outside of its dates a code leads its visitors to the fallback.",
        };
        format!("{active} {then} The job can be reverted for 30 days.")
    }
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    viewer.require(Right::EditCatalog)?;
    let is_all = !query.value("all").is_empty();
    let chosen = Chosen::new(&query.values("id"), is_all, query.value("selection"))?;
    let mut form = Form::new(&[]);
    form.set("coupon_status", query.value("coupon_status"));
    let action = Action::from_word(query.value("action"));
    Ok(html(&change_page(&state, &viewer, action, chosen, form).await?))
}

async fn change_page(
    state: &ConsoleState,
    viewer: &Viewer,
    action: Action,
    chosen: Chosen,
    form: Form,
) -> Result<ChangePage, PageError> {
    let (count, active, named) = numbers(state, viewer, &chosen).await?;
    let referred = match action {
        Action::Partner => Some(Referred::Partner),
        Action::Offer => Some(Referred::Offer),
        Action::Status | Action::Dates | Action::Delete => None,
    };
    let options = match referred {
        Some(referred) => Some(Options::load(&state.api, viewer, referred).await?),
        None => None,
    };
    let title = format!("{} – Coupon Codes", action.heading(&codes(count)));
    let page = Page::new(viewer, Menu::CouponCodes, title);
    Ok(ChangePage { page, action, chosen, form, count, active, named, options })
}

#[derive(Deserialize)]
struct Counted {
    paging: Paging,
}

#[derive(Deserialize)]
struct NamedCode {
    coupon_code: String,
    coupon_status: String,
}

/// Numbers of the chosen codes and of the active ones, and the first ticked codes.
async fn numbers(
    state: &ConsoleState,
    viewer: &Viewer,
    chosen: &Chosen,
) -> Result<(u64, u64, Vec<String>), PageError> {
    let api = &state.api;
    if chosen.is_all() {
        let count = async |more: &str| {
            let selection = chosen.list.selection();
            let mark = if selection.is_empty() { '?' } else { '&' };
            let path = format!("{API}{selection}{mark}page_size=1{more}");
            api.get::<Counted>(viewer, &path).await.map(|counted| counted.paging.total_count)
        };
        let active = count("&filter=coupon_status%3Dactive").await?;
        return Ok((count("").await?, active, Vec::new()));
    }
    let (mut active, mut named) = (0, Vec::new());
    for id in &chosen.ids {
        let code: NamedCode = api.get(viewer, &format!("{API}/{id}")).await?;
        active += u64::from(code.coupon_status == "active");
        named.push(code.coupon_code);
    }
    named.truncate(MAX_LISTED);
    Ok((chosen.ids.len() as u64, active, named))
}

/// Begins the job. The status of ticked codes changes at once, because Undo gives it back; other
/// changes come from the page with their consequences.
pub(super) async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let is_all = submitted.has("all");
    let selection = submitted.value("selection");
    let chosen = Chosen::new(&submitted.values("id"), is_all, selection)?;
    let action = Action::from_word(submitted.value("action"));
    if is_all && !submitted.has("expected_count") {
        let page = ListQuery::parse("/console/coupon-codes/change", "").with_all(&[
            ("action", action.word()),
            ("coupon_status", submitted.value("coupon_status")),
            ("all", "true"),
            ("selection", selection),
        ]);
        return Ok(Redirect::to(&page).into_response());
    }
    let body = match body(action, &chosen, &submitted) {
        Ok(body) => body,
        Err(form) => {
            return Ok(refused(&change_page(&state, &viewer, action, chosen, form).await?));
        }
    };
    let request =
        ApiRequest::post(format!("{API}/jobs"), body).idempotency_key(submitted.value("form_id"));
    let answer = match state.api.send(&viewer, request).await {
        Ok(answer) => answer,
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            return Ok(refused(&change_page(&state, &viewer, action, chosen, form).await?));
        }
    };
    let id = u32::try_from(answer.number("network_job_id")).unwrap_or_default();
    let (job, is_live) = jobs::wait_for_end(&state, &viewer, id).await?;
    if job.is_unfinished() || job.skipped_count > 0 {
        return Ok(Redirect::to(&jobs::page_of(id)).into_response());
    }
    Ok(saved(&chosen.list.with("job", &id.to_string()), "job", is_live))
}

/// The body for the API, or the form with an error of the page itself.
fn body(action: Action, chosen: &Chosen, submitted: &Submitted) -> Result<Value, Form> {
    let wrong = |field: &str, error: &str| Err(Form::wrong(submitted, field, error));
    let mut body = submitted.to_json(action.fields());
    match action {
        Action::Partner if submitted.has("no_partner") => body["network_affiliate_id"] = 0.into(),
        Action::Partner if submitted.value("network_affiliate_id").is_empty() => {
            return wrong("network_affiliate_id", "Partner: choose one, or tick “No partner”");
        }
        Action::Offer if submitted.value("network_offer_id").is_empty() => {
            return wrong("network_offer_id", "Offer: choose one");
        }
        Action::Dates => {
            for (field, none) in [("start_date", "no_start"), ("end_date", "no_end")] {
                let day = submitted.value(field);
                if submitted.has(none) {
                    body[field] = "".into();
                } else if !day.is_empty() {
                    body[field] = day.into();
                }
            }
            if body.as_object().is_none_or(serde_json::Map::is_empty) {
                return wrong("start_date", "Start: choose a start or an end");
            }
        }
        Action::Delete => body["delete"] = true.into(),
        Action::Status | Action::Partner | Action::Offer => {}
    }
    if submitted.has("expected_count") {
        let typed: String =
            submitted.value("expected_count").chars().filter(char::is_ascii_digit).collect();
        let Ok(expected) = typed.parse::<u64>() else {
            return wrong("expected_count", "Type the number of codes to confirm");
        };
        body["expected_count"] = expected.into();
    }
    if let (Value::Object(body), Value::Object(choice)) = (&mut body, chosen.to_json()) {
        body.extend(choice);
    }
    Ok(body)
}
