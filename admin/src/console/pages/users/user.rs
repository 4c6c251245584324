//! The page of a user: facts and sessions, one-time links, and the end of an account.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{API, LIST, UserRow};
use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiAnswer, ApiRequest, Refusal};
use crate::console::browser;
use crate::console::error_page::PageError;
use crate::console::form::Submitted;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::ListQuery;
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of, refused, saved};
use crate::console::secret::{self, OneTimeSecret};
use crate::console::viewer::Viewer;
use crate::console::words;

/// A browser in which the user is signed in.
#[derive(Debug, Deserialize)]
struct SessionRow {
    session_id: u32,
    address: String,
    user_agent: String,
    time_created: i64,
    time_seen: i64,
}

impl SessionRow {
    fn browser(&self) -> String {
        browser::in_words(&self.user_agent)
    }
}

#[derive(Deserialize)]
struct SessionList {
    sessions: Vec<SessionRow>,
}

#[derive(Template)]
#[template(path = "users/user.html")]
struct UserPage {
    page: Page,
    user: UserRow,
    sessions: Vec<SessionRow>,
    partners: Options,
    /// Why the API refused a change, or empty.
    problem: String,
}

impl UserPage {
    fn is_this(&self, session: &SessionRow) -> bool {
        session.session_id == self.page.viewer.session().id
    }

    fn is_own(&self) -> bool {
        self.user.network_user_id == self.page.viewer.user().id
    }
}

async fn user_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    problem: String,
) -> Result<UserPage, PageError> {
    viewer.require(Right::ManageUsers)?;
    let user: UserRow = state.api.get(viewer, &format!("{API}/{id}")).await?;
    let SessionList { sessions } = state.api.get(viewer, &format!("{API}/{id}/sessions")).await?;
    let partners = Options::load(&state.api, viewer, Referred::Partner).await?;
    let page = Page::new(viewer, Menu::Users, format!("{} – Users", user.shown_name()));
    Ok(UserPage { page, user, sessions, partners, problem })
}

pub(super) async fn show(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    query: ListQuery,
) -> PageResult {
    let mut page = user_page(&state, &viewer, id, String::new()).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
}

/// The user's page with the reason why nothing was changed.
async fn refuse(state: &ConsoleState, viewer: &Viewer, id: u32, refusal: Refusal) -> PageResult {
    if !refusal.is_of_form() {
        return Err(refusal.into());
    }
    Ok(refused(&user_page(state, viewer, id, words::reason(&refusal)).await?))
}

pub(super) async fn set_status(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
    submitted: Submitted,
) -> PageResult {
    let status = submitted.value("user_status");
    let request = ApiRequest::patch(format!("{API}/{id}"), json!({"user_status": status}));
    let notice = if status == "active" { "enabled" } else { "disabled" };
    match state.api.send(&viewer, request).await {
        Ok(_) => Ok(saved(&format!("{LIST}/{id}"), notice, None)),
        Err(refusal) => refuse(&state, &viewer, id, refusal).await,
    }
}

pub(super) async fn make_link(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    headers: HeaderMap,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/reset"), json!({}));
    let answer = state.api.send(&viewer, request).await?;
    Ok(show_link(&state, &viewer, &headers, "The link is made", &answer))
}

/// Shows the one-time link of an answer.
pub(super) fn show_link(
    state: &ConsoleState,
    viewer: &Viewer,
    headers: &HeaderMap,
    title: &str,
    answer: &ApiAnswer,
) -> Response {
    let token = answer.body["link_token"].as_str().unwrap_or_default();
    let base = base_address(&state.config.public_url, headers);
    let link = if token.is_empty() { String::new() } else { format!("{base}/link/{token}") };
    let name = format::visible(answer.body["name"].as_str().unwrap_or_default());
    let advice = format!(
        "Send it to {name} by a way that others do not read. The link lets whoever opens it first \
         choose the password of this account. It works once, for a day; the page of the user makes \
         another one."
    );
    let back = format!("{LIST}/{}", answer.number("network_user_id"));
    let shown = OneTimeSecret {
        title,
        label: "One-time link",
        secret: &link,
        advice: &advice,
        back: &back,
        back_label: &name,
    };
    secret::show(viewer, Menu::Users, shown)
}

/// The address under which the administrator's browser reaches the console, without a slash.
fn base_address(public_url: &str, headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(ORIGIN).filter(|origin| origin.contains("://"));
    match (public_url, origin) {
        ("", Some(origin)) => origin.to_owned(),
        ("", None) => format!("http://{}", text(HOST).unwrap_or_default()),
        (public_url, _) => public_url.trim_end_matches('/').to_owned(),
    }
}

pub(super) async fn end_session(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path((id, session)): Path<(u32, u32)>,
) -> PageResult {
    let request = ApiRequest::delete(format!("{API}/{id}/sessions/{session}"));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{id}"), "session-ended", None))
}

/// The question before something that cannot be undone.
#[derive(Template)]
#[template(path = "users/confirm.html")]
struct ConfirmPage {
    page: Page,
    user: UserRow,
    sessions: usize,
    is_deletion: bool,
    /// Why the API refused, or empty.
    problem: String,
}

async fn confirm_page(
    state: &ConsoleState,
    viewer: &Viewer,
    id: u32,
    is_deletion: bool,
    problem: String,
) -> Result<ConfirmPage, PageError> {
    let UserPage { user, sessions, .. } = user_page(state, viewer, id, String::new()).await?;
    let verb = if is_deletion { "Delete" } else { "Reset the second factor of" };
    let page = Page::new(viewer, Menu::Users, format!("{verb} {} – Users", user.shown_name()));
    Ok(ConfirmPage { page, user, sessions: sessions.len(), is_deletion, problem })
}

pub(super) async fn ask_reset(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(html(&confirm_page(&state, &viewer, id, false, String::new()).await?))
}

pub(super) async fn reset_second_factor(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    let request = ApiRequest::post(format!("{API}/{id}/reset-totp"), json!({}));
    state.api.send(&viewer, request).await?;
    Ok(saved(&format!("{LIST}/{id}"), "second-factor-off", None))
}

pub(super) async fn ask_delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    Ok(html(&confirm_page(&state, &viewer, id, true, String::new()).await?))
}

pub(super) async fn delete(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<u32>,
) -> PageResult {
    match state.api.send(&viewer, ApiRequest::delete(format!("{API}/{id}"))).await {
        Ok(_) => Ok(saved(LIST, "deleted", None)),
        Err(refusal) if refusal.is_of_form() => {
            let problem = words::reason(&refusal);
            Ok(refused(&confirm_page(&state, &viewer, id, true, problem).await?))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_link_leads_to_the_address_that_browsers_use() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8090"));
        assert_eq!(base_address("", &headers), "http://127.0.0.1:8090");
        headers.insert(ORIGIN, HeaderValue::from_static("https://admin.example"));
        assert_eq!(base_address("", &headers), "https://admin.example");
        assert_eq!(base_address("https://public.example/", &headers), "https://public.example");
    }
}
