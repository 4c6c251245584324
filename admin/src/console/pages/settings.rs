//! Control Center – Settings of the network.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use jiff::Timestamp;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{Form, FormField, Kind, Submitted};
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, conflict, html, notice_of, refused, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/settings";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/settings", get(show).post(save))
}

/// Inputs of the form.
const FIELDS: &[FormField] = &[
    FormField::new("time_zone", Kind::Text),
    FormField::new("currency", Kind::Text),
    FormField::new("default_tracking_domain_id", Kind::Reference),
    FormField::new("fallback_url", Kind::Text),
    FormField::new("code_leak_guard.action", Kind::Choice),
    FormField::new("code_leak_guard.spike_factor", Kind::Number),
    FormField::new("code_leak_guard.spike_minimum", Kind::Number),
    FormField::new("second_factor_required.admin", Kind::Truth),
    FormField::new("second_factor_required.manager", Kind::Truth),
    FormField::new("second_factor_required.read_only", Kind::Truth),
    FormField::new("second_factor_required.partner", Kind::Truth),
    FormField::new("is_global_fail_traffic_enabled", Kind::Truth),
    FormField::new("global_fail_traffic_url", Kind::Text),
    FormField::new("is_fail_traffic_on_paused_enabled", Kind::Truth),
    FormField::new("ip_blocklist", Kind::Lines),
    FormField::new("cap_alert_percentage", Kind::Number),
    FormField::new("address_alert_percentage", Kind::Number),
    FormField::new("address_alert_minimum", Kind::Number),
];

const LEAK_ACTIONS: [(&str, &str); 3] = [
    ("off", "Off: nothing is looked at"),
    ("flag", "Flag: such sales are marked under Code leaks"),
    ("hold", "Hold: such sales are marked, and wait for your decision"),
];

/// The inputs of the roles that can be made to have a second factor.
const SECOND_FACTOR_ROLES: [(&str, &str); 4] = [
    ("second_factor_required.admin", "admin"),
    ("second_factor_required.manager", "manager"),
    ("second_factor_required.read_only", "read_only"),
    ("second_factor_required.partner", "partner"),
];

#[derive(Template)]
#[template(path = "settings/settings.html")]
struct SettingsPage {
    page: Page,
    form: Form,
    domains: Options,
    /// The names of all time zones.
    zones: Vec<String>,
    may_edit: bool,
}

impl SettingsPage {
    /// The present time in the network's zone.
    fn now(&self) -> String {
        format::time(Timestamp::now().as_second(), self.page.viewer.time_zone())
    }

    /// The roles that must have a second factor, for readers.
    fn second_factor_roles(&self) -> String {
        let roles = SECOND_FACTOR_ROLES
            .iter()
            .filter(|(field, _)| self.form.is_ticked(field))
            .map(|(_, role)| words::role(role))
            .collect::<Vec<_>>();
        if roles.is_empty() { "–".into() } else { roles.join(", ") }
    }

    fn leak_action(&self) -> &'static str {
        let found =
            LEAK_ACTIONS.iter().find(|(word, _)| self.form.is("code_leak_guard.action", word));
        found.map_or("", |(_, text)| text)
    }
}

async fn settings_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Form,
) -> Result<SettingsPage, PageError> {
    let domains = Options::load(&state.api, viewer, Referred::Domain).await?;
    let zones = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let page = Page::new(viewer, Menu::Settings, "Settings");
    Ok(SettingsPage { page, form, domains, zones, may_edit: viewer.may(Right::EditSettings) })
}

async fn read(state: &ConsoleState, viewer: &Viewer) -> Result<ApiAnswer, Refusal> {
    state.api.send(viewer, ApiRequest::new(Method::GET, API)).await
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let answer = read(&state, &viewer).await?;
    let form = Form::of_object(&answer.body, &answer.etag);
    let mut page = settings_page(&state, &viewer, form).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
}

async fn save(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let request = ApiRequest::patch(format!("{API}?wait=live"), submitted.to_json(FIELDS))
        .if_match(submitted.value("etag"));
    match state.api.send(&viewer, request).await {
        Ok(answer) => Ok(saved("/console/settings", "saved", answer.is_live)),
        Err(refusal) if refusal.is_stale() => {
            let now = read(&state, &viewer).await?;
            Ok(conflict(&viewer, Menu::Settings, FIELDS, &submitted, &now))
        }
        Err(refusal) => {
            let form = Form::refused(&submitted, refusal)?;
            Ok(refused(&settings_page(&state, &viewer, form).await?))
        }
    }
}
