//! Asks a signed-in user for the password again before pages that show or make secrets, so that an
//! unlocked screen alone gives nobody the network's keys.

use askama::Template;
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use jiff::Timestamp;

use super::ConsoleState;
use super::cookies;
use super::form::{Form, Submitted};
use super::frame::Menu;
use super::guard::Connection;
use super::list::{ListQuery, encode};
use super::page::{Page, PageResult, html};
use super::sign_in::{self, client_of, side_of};
use super::viewer::Viewer;
use crate::accounts::password::Password;
use crate::accounts::{self, SignInError};

/// Validity of a password for such pages.
const VALID_S: i64 = 15 * 60;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new().route("/confirm", get(show).post(confirm))
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    page: Page,
    form: &'a Form,
    /// The page to go on to.
    next: &'a str,
    /// The form to send afterwards.
    kept: &'a [(String, String)],
}

fn confirm_page<'a>(
    viewer: &Viewer,
    form: &'a Form,
    next: &'a str,
    kept: &'a [(String, String)],
) -> ConfirmPage<'a> {
    let page = Page::new(viewer, Menu::Profile, "Confirm your password");
    ConfirmPage { page, form, next, kept }
}

/// Layer of pages that take a password of the last 15 minutes. A form that comes later waits in the
/// page that asks for the password, apart from passwords.
pub(super) async fn require_recent_password(
    viewer: Viewer,
    OriginalUri(uri): OriginalUri,
    request: Request,
    next: Next,
) -> Response {
    if Timestamp::now().as_second() - viewer.session().time_authenticated < VALID_S {
        return next.run(request).await;
    }
    if request.method() != Method::GET {
        return keep_form(&viewer, &uri, request).await;
    }
    let path = uri.path_and_query().map_or(uri.path(), |path| path.as_str());
    let home = sign_in::side_of(viewer.role()).home();
    Redirect::to(&format!("{home}/confirm?next={}", encode(path))).into_response()
}

async fn keep_form(viewer: &Viewer, uri: &Uri, request: Request) -> Response {
    let kind = request.headers().get(CONTENT_TYPE);
    let is_form =
        kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let submitted = if is_form {
        match Submitted::read(request.into_body()).await {
            Ok(submitted) => submitted,
            Err(error) => return error.into_response(),
        }
    } else {
        Submitted::default()
    };
    let kept = sign_in::fields_to_keep(&submitted);
    let page = html(&confirm_page(viewer, &Form::default(), uri.path(), &kept));
    (StatusCode::UNAUTHORIZED, page).into_response()
}

async fn show(viewer: Viewer, query: ListQuery) -> Response {
    html(&confirm_page(&viewer, &Form::default(), query.value("next"), &[]))
}

async fn confirm(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    viewer: Viewer,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let password = Password::new(submitted.value("password").to_owned());
    let client = client_of(&connection, &headers);
    let side = side_of(viewer.role());
    match accounts::step_up(&state.store, viewer.session(), password, client).await {
        Ok(token) => {
            let mut response = sign_in::go_on(side, &submitted);
            let cookie = cookies::set_session(side, connection.transport, &token);
            response.headers_mut().append(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(SignInError::Store(error)) => Err(sign_in::broken(error)),
        Err(error) => {
            let mut form = Form::default();
            let refusal = sign_in::Refusal::of_password(&error);
            form.set_problem(&refusal.sentence);
            let kept = sign_in::kept_fields(&submitted);
            let page = confirm_page(&viewer, &form, submitted.value("next"), &kept);
            Ok(refusal.answer(html(&page)))
        }
    }
}
