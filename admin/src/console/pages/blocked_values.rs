//! Network – Blocked values: what rules and people blocked, with the numbers at that time.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::switch_labels::{self as labels, Labels, Reading, label};
use crate::console::viewer::Viewer;

const API: &str = "/v1/networks/blockedvalues";
const LIST: &str = "/console/blocked-values";

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("variable", Kind::Choice),
    FormField::new("value", Kind::Text),
    FormField::new("network_offer_id", Kind::Reference),
    FormField::new("network_advertiser_id", Kind::Reference),
    FormField::new("network_affiliate_id", Kind::Reference),
    FormField::new("action", Kind::Choice),
    FormField::new("blocked_value_status", Kind::Choice),
    FormField::new("notes", Kind::Text),
];

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/blocked-values", get(show))
        .route("/blocked-values/new", get(show_new).post(create))
        .route("/blocked-values/{id}/status", post(set_status))
}

/// A blocked value in an answer of the API.
#[derive(Debug, Deserialize)]
struct ValueRow {
    network_blocked_value_id: u32,
    network_smart_switch_rule_id: u32,
    rule_name: String,
    variable: String,
    value: String,
    network_offer_id: u32,
    network_advertiser_id: u32,
    network_affiliate_id: u32,
    action: String,
    blocked_value_status: String,
    notes: String,
    measured: Vec<Reading>,
    time_blocked: i64,
    time_saved: i64,
}

impl ValueRow {
    /// Class and word of the status.
    fn state(&self) -> (&'static str, &'static str) {
        let found = labels::STATES.iter().find(|(word, ..)| *word == self.blocked_value_status);
        found.map_or(("off", "Unknown"), |(_, name, class)| (class, name))
    }

    fn variable(&self) -> String {
        label(labels::VARIABLES, &self.variable)
    }

    fn action(&self) -> String {
        label(labels::ACTIONS, &self.action)
    }

    fn is(&self, status: &str) -> bool {
        self.blocked_value_status == status
    }

    /// When the action began, or the row was last saved.
    fn since(&self) -> i64 {
        if self.time_blocked > 0 { self.time_blocked } else { self.time_saved }
    }
}

/// Names of offers, advertisers and partners.
struct Names {
    offers: Options,
    advertisers: Options,
    partners: Options,
}

impl Names {
    async fn load(state: &ConsoleState, viewer: &Viewer) -> Result<Names, Refusal> {
        Ok(Names {
            offers: Options::load(&state.api, viewer, Referred::Offer).await?,
            advertisers: Options::load(&state.api, viewer, Referred::Advertiser).await?,
            partners: Options::load(&state.api, viewer, Referred::Partner).await?,
        })
    }

    /// The offers of a value.
    fn scope(&self, row: &ValueRow) -> String {
        match (row.network_offer_id, row.network_advertiser_id) {
            (0, 0) => "All offers".into(),
            (0, advertiser) => {
                format!("All of {}", visible_label(&self.advertisers, advertiser))
            }
            (offer, _) => visible_label(&self.offers, offer),
        }
    }

    fn partner(&self, row: &ValueRow) -> String {
        let by_value = row.value.parse().ok().filter(|_| row.variable == "affiliate");
        match by_value.unwrap_or(row.network_affiliate_id) {
            0 => "All partners".into(),
            partner => visible_label(&self.partners, partner),
        }
    }
}

fn visible_label(options: &Options, id: u32) -> String {
    format::visible(&options.label_of(&id.to_string()))
}

#[derive(Deserialize)]
struct ValueList {
    blocked_values: Vec<ValueRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "blocked_values/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    values: Vec<ValueRow>,
    paging: Paging,
    names: Names,
    may_edit: bool,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let path = format!("{API}{}", query.or_sorted("-network_blocked_value_id").api_query());
    let ValueList { blocked_values: values, paging } = state.api.get(&viewer, &path).await?;
    let names = Names::load(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::BlockedValues, "Blocked values");
    let page = page.with_notice(notice_of(query.pairs()));
    let may_edit = viewer.may(Right::EditCatalog);
    Ok(html(&ListPage { page, query, values, paging, names, may_edit }))
}

#[derive(Template)]
#[template(path = "blocked_values/new.html")]
struct NewPage {
    page: Page,
    form: Form,
    names: Names,
}

impl NewPage {
    fn variables(&self) -> &'static Labels {
        labels::VARIABLES
    }
}

async fn new_page(state: &ConsoleState, viewer: &Viewer, form: Form) -> Result<NewPage, PageError> {
    viewer.require(Right::EditCatalog)?;
    let names = Names::load(state, viewer).await?;
    let page = Page::new(viewer, Menu::BlockedValues, "Block a value – Blocked values");
    Ok(NewPage { page, form, names })
}

async fn show_new(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let form = Form::new(&[
        ("variable", "source_id"),
        ("action", "block"),
        ("blocked_value_status", "active"),
    ]);
    Ok(html(&new_page(&state, &viewer, form).await?))
}

async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}?wait=live"), submitted.to_json(FIELDS))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved(LIST, "created", answer.is_live)),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&new_page(&state, &viewer, form).await?))
        }
    }
}

async fn set_status(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let body = json!({"blocked_value_status": submitted.value("status")});
    let request = ApiRequest::patch(format!("{API}/{id}?wait=live"), body);
    let answer = state.api.send(&viewer, request).await?;
    Ok(saved(LIST, "saved", answer.is_live))
}
