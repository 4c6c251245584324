//! Control Center – Users: the people who sign in, their roles and sessions.

mod edit;
mod user;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::access::Right;
use crate::console::ConsoleState;
use crate::console::confirm::require_recent_password;
use crate::console::format;
use crate::console::frame::Menu;
use crate::console::list::{ListQuery, Paging};
use crate::console::options::{Options, Referred};
use crate::console::page::{Page, PageResult, html, notice_of};
use crate::console::viewer::Viewer;
use crate::console::words;

const API: &str = "/v1/networks/users";
const LIST: &str = "/console/users";

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/users", get(show))
        .route("/users/new", get(edit::show_new).post(edit::create))
        .route("/users/{id}", get(user::show))
        .route("/users/{id}/edit", get(edit::show).post(edit::save))
        .route("/users/{id}/status", post(user::set_status))
        .route("/users/{id}/link", post(user::make_link))
        .route("/users/{id}/second-factor", get(user::ask_reset).post(user::reset_second_factor))
        .route("/users/{id}/delete", get(user::ask_delete).post(user::delete))
        .route("/users/{id}/sessions/{session}/end", post(user::end_session))
        .route_layer(from_fn(require_recent_password))
}

/// A user as the API answers it.
#[derive(Debug, Deserialize)]
struct UserRow {
    network_user_id: u32,
    name: String,
    login: String,
    role: String,
    network_affiliate_id: u32,
    user_status: String,
    has_password: bool,
    has_totp: bool,
    time_last_sign_in: i64,
    time_created: i64,
}

impl UserRow {
    fn shown_name(&self) -> String {
        format::visible(&self.name)
    }

    fn shown_login(&self) -> String {
        format::visible(&self.login)
    }

    fn is_active(&self) -> bool {
        self.user_status == "active"
    }

    /// Class and word of the state.
    fn state(&self) -> (&'static str, &'static str) {
        match (self.is_active(), self.has_password) {
            (false, _) => ("off", "Disabled"),
            (true, false) => ("wait", "Invited"),
            (true, true) => ("good", "Active"),
        }
    }

    /// The partner's label, or a dash.
    fn partner(&self, partners: &Options) -> String {
        match self.network_affiliate_id {
            0 => "-".into(),
            id => format::visible(&partners.label_of(&id.to_string())),
        }
    }
}

#[derive(Deserialize)]
struct UserList {
    users: Vec<UserRow>,
    #[serde(default)]
    paging: Paging,
}

#[derive(Template)]
#[template(path = "users/list.html")]
struct ListPage {
    page: Page,
    query: ListQuery,
    users: Vec<UserRow>,
    paging: Paging,
    partners: Options,
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    viewer.require(Right::ManageUsers)?;
    let path = format!("{API}{}", query.api_query());
    let UserList { users, paging } = state.api.get(&viewer, &path).await?;
    let partners = Options::load(&state.api, &viewer, Referred::Partner).await?;
    let page = Page::new(&viewer, Menu::Users, "Users").with_notice(notice_of(query.pairs()));
    Ok(html(&ListPage { page, query, users, paging, partners }))
}
