//! Control Center – API keys. A secret is shown once, right after it was made.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::from_fn;
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest};
use crate::console::confirm::require_recent_password;
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::secret::{self, OneTimeSecret};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/apikeys";
const LIST: &str = "/console/keys";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/keys", get(list))
        .route("/keys/new", get(show_new).post(create))
        .route("/keys/{id}/rotate", get(show_rotate).post(rotate))
        .route("/keys/{id}/revoke", get(show_revoke).post(revoke))
        .route_layer(from_fn(require_recent_password))
}

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("name", Kind::Text),
    FormField::new("role", Kind::Choice),
    FormField::new("network_affiliate_id", Kind::Reference),
    FormField::new("network_advertiser_id", Kind::Reference),
];

#[derive(Debug, Deserialize)]
struct KeyRow {
    network_api_key_id: u32,
    name: String,
    role: String,
    network_affiliate_id: u32,
    network_advertiser_id: u32,
    hint: String,
    time_created: i64,
    time_saved: i64,
    time_last_used: i64,
    last_used_address: String,
}

impl KeyRow {
    /// The last use in words: `2 h 5 min ago by 10.0.0.7`.
    fn last_use(&self) -> String {
        if self.time_last_used == 0 {
            return "Never".into();
        }
        let ago = Timestamp::now().as_second() - self.time_last_used;
        // Uses are written once a minute.
        let ago = if ago < 120 { "just now".into() } else { format::duration(ago) + " ago" };
        // An erasure blanks the address.
        match self.last_used_address.as_str() {
            "" => ago,
            address => format!("{ago} by {address}"),
        }
    }

    fn shown_name(&self) -> String {
        format::visible(&self.name)
    }

    /// The label of the partner or advertiser, or a dash.
    fn owner(&self, owners: &Owners) -> String {
        let label =
            |options: &Options, id: u32| format::visible(&options.label_of(&id.to_string()));
        match (self.network_affiliate_id, self.network_advertiser_id) {
            (0, 0) => "-".into(),
            (0, id) => label(&owners.advertisers, id),
            (id, _) => label(&owners.partners, id),
        }
    }
}

/// The partners and advertisers that keys may have.
struct Owners {
    partners: Options,
    advertisers: Options,
}

impl Owners {
    async fn load(state: &ConsoleState, viewer: &Viewer) -> Result<Owners, PageError> {
        Ok(Owners {
            partners: Options::load(&state.api, viewer, Referred::Partner).await?,
            advertisers: Options::load(&state.api, viewer, Referred::Advertiser).await?,
        })
    }
}

#[derive(Deserialize)]
struct KeyList {
    api_keys: Vec<KeyRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "keys/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    keys: Vec<KeyRow>,
    paging: Paging,
    owners: Owners,
}

async fn list(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    viewer.require(Right::ManageKeys)?;
    let path = format!("{API}{}", query.api_query());
    let KeyList { api_keys: keys, paging } = state.api.get(&viewer, &path).await?;
    let owners = Owners::load(&state, &viewer).await?;
    let page = Page::new(&viewer, Menu::Keys, "API keys").with_notice(notice_of(query.pairs()));
    Ok(html(&ListPage { page, query, keys, paging, owners }))
}

#[derive(Template)]
#[template(path = "keys/new.html")]
struct NewPage {
    page: Page,
    form: Form,
    partners: Options,
    advertisers: Options,
}

async fn new_page(state: &ConsoleState, viewer: &Viewer, form: Form) -> Result<NewPage, PageError> {
    viewer.require(Right::ManageKeys)?;
    let Owners { partners, advertisers } = Owners::load(state, viewer).await?;
    let page = Page::new(viewer, Menu::Keys, "New API key");
    Ok(NewPage { page, form, partners, advertisers })
}

async fn show_new(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    query: ListQuery,
) -> PageResult {
    let advertiser = query.value("network_advertiser_id");
    let role = if advertiser.is_empty() { "manager" } else { "advertiser" };
    let form = Form::new(&[("role", role), ("network_advertiser_id", advertiser)]);
    Ok(html(&new_page(&state, &viewer, form).await?))
}

async fn create(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::post(API, submitted.to_json(FIELDS))
        .idempotency_key(submitted.value("form_id"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(show_secret(&viewer, "The API key is made", &answer)),
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&new_page(&state, &viewer, form).await?))
        }
    }
}

fn show_secret(viewer: &Viewer, title: &str, answer: &ApiAnswer) -> axum::response::Response {
    let portal = match answer.body["role"].as_str() {
        Some("advertiser") => "/v1/advertisers",
        Some("partner") => "/v1/affiliates",
        _ => "/v1/networks",
    };
    let advice = format!(
        "Programs send the key in the header X-Eflow-API-Key to addresses that begin with {portal}. If it \
         gets lost or into wrong hands, rotate it: the key then gets a new secret."
    );
    let shown = OneTimeSecret {
        title,
        label: "API key",
        secret: answer.body["api_key"].as_str().unwrap_or_default(),
        advice: &advice,
        back: LIST,
        back_label: "API keys",
    };
    secret::show(viewer, Menu::Keys, shown)
}

/// The question before a key is changed for good.
#[derive(Template)]
#[template(path = "keys/confirm.html")]
struct ConfirmPage {
    page: Page,
    key: KeyRow,
    owners: Owners,
    is_rotation: bool,
    /// Why the API refused, or empty.
    problem: String,
}

async fn confirm_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    is_rotation: bool,
) -> Result<ConfirmPage, PageError> {
    viewer.require(Right::ManageKeys)?;
    let key: KeyRow = state.api.get(viewer, &format!("{API}/{id}")).await?;
    let owners = Owners::load(state, viewer).await?;
    let verb = if is_rotation { "Rotate" } else { "Revoke" };
    let page = Page::new(viewer, Menu::Keys, format!("{verb} {} – API keys", key.shown_name()));
    Ok(ConfirmPage { page, key, owners, is_rotation, problem: String::new() })
}

async fn show_rotate(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(html(&confirm_page(&state, &viewer, id, true).await?))
}

async fn rotate(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/rotate"), json!({}));
    let answer = state.api.send(&viewer, request).await?;
    Ok(show_secret(&viewer, "The API key has a new secret", &answer))
}

async fn show_revoke(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(html(&confirm_page(&state, &viewer, id, false).await?))
}

async fn revoke(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    match state.api.send(&viewer, ApiRequest::delete(format!("{API}/{id}"))).await {
        Ok(_) => Ok(saved(LIST, "revoked", None)),
        Err(refusal) if refusal.is_of_form() => {
            let problem = words::reason(&refusal);
            let page = confirm_page(&state, &viewer, id, false).await?;
            Ok(refused(&ConfirmPage { problem, ..page }))
        }
        Err(refusal) => Err(refusal.into()),
    }
}
