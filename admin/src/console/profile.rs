//! The own account of a user, for staff and partners alike: name, preferences, password, second
//! factor and sessions.

mod second_factor;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use jiff::Timestamp;
use serde_json::json;

use super::ConsoleState;
use super::browser;
use super::cookies;
use super::error_page::PageError;
use super::form::{Form, Submitted};
use super::format;
use super::frame::Menu;
use super::guard::Connection;
use super::list::ListQuery;
use super::page::{Page, PageResult, html, notice_of, refused, saved};
use super::sign_in::{self, Refusal, client_of, side_of};
use super::viewer::Viewer;
use crate::accounts::password::Password;
use crate::accounts::session::{self, SessionRow};
use crate::accounts::{self, SessionToken, SignInError, totp};
use crate::catalog::{FieldError, Preferences, UnknownWord};
use crate::edit::{Change, EditError};
use crate::json::Fields;
use crate::store::origin::{self, Actor, Origin};
use crate::store::{StoreError, WriteTx};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/profile", get(show))
        .route("/profile/name", post(rename))
        .route("/profile/preferences", post(set_preferences))
        .route("/profile/password", post(change_password))
        .route("/profile/sessions/{id}/end", post(end_session))
        .route("/profile/sessions/end-others", post(end_other_sessions))
        .merge(second_factor::routes())
}

#[derive(Template)]
#[template(path = "profile/profile.html")]
struct ProfilePage {
    page: Page,
    /// Name and passwords have separate forms; a refused one is shown with its errors.
    form: Form,
    sessions: Vec<SessionRow>,
    recovery_codes: u64,
}

impl ProfilePage {
    fn browser(&self, session: &SessionRow) -> String {
        browser::in_words(&session.user_agent)
    }

    fn is_this(&self, session: &SessionRow) -> bool {
        session.id == self.page.viewer.session().id
    }
}

async fn profile_page(
    state: &ConsoleState,
    viewer: &Viewer,
    form: Option<Form>,
) -> Result<ProfilePage, PageError> {
    let (user, lifetimes) = (viewer.user().clone(), state.config.lifetimes);
    let now = Timestamp::now().as_second();
    let read = state.store.read(move |tx| {
        let sessions = session::list(tx, &user, &lifetimes, now)?;
        Ok::<_, StoreError>((sessions, totp::count_recovery_codes(tx, user.id)?))
    });
    let (sessions, recovery_codes) = read.await.map_err(sign_in::broken)?;
    let mut form = form.unwrap_or_else(|| Form::new(&[("name", viewer.name())]));
    fill_preferences(&mut form, viewer.preferences());
    let page = Page::new(viewer, Menu::Profile, "Profile");
    Ok(ProfilePage { page, form, sessions, recovery_codes })
}

/// Writes as the viewer, so the audit names the user.
pub(super) async fn write_as<T, E>(
    state: &ConsoleState,
    viewer: &Viewer,
    work: impl FnOnce(&WriteTx<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let origin = Origin::new(Actor::User(viewer.user().id));
    origin::scope(origin, state.store.write(work)).await
}

async fn show(State(state): State<ConsoleState>, viewer: Viewer, query: ListQuery) -> PageResult {
    let mut page = profile_page(&state, &viewer, None).await?;
    page.page.notice = notice_of(query.pairs());
    Ok(html(&page))
}

fn back_to(viewer: &Viewer, notice: &str) -> Response {
    saved(&format!("{}/profile", side_of(viewer.role()).home()), notice, None)
}

async fn rename(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let id = viewer.user().id;
    let named = json!({"name": submitted.value("name")});
    let fields = Fields::from_object(&named).map_err(|error| {
        tracing::error!(%error, "a name is no field");
        PageError::not_found()
    })?;
    let change = move |tx: &WriteTx<'_>| accounts::change(tx, id, Change::Patch(fields));
    match write_as(&state, &viewer, change).await {
        Ok(_) => Ok(back_to(&viewer, "saved")),
        Err(EditError::Invalid(errors)) => {
            let form = Form::with_errors(&submitted, &errors);
            Ok(refused(&profile_page(&state, &viewer, Some(form)).await?))
        }
        Err(error) => Err(broken_edit(&error)),
    }
}

fn fill_preferences(form: &mut Form, preferences: &Preferences) {
    let Preferences { theme, density, decimal_mark, has_single_key_actions } = preferences;
    form.set("theme", theme.as_str());
    form.set("density", density.as_str());
    form.set("decimal_mark", decimal_mark.as_str());
    form.set("has_single_key_actions", has_single_key_actions.to_string());
}

async fn set_preferences(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let preferences = read_preferences(&submitted)?;
    let user_id = viewer.user().id;
    let save = move |tx: &WriteTx<'_>| accounts::save_preferences(tx, user_id, preferences);
    write_as(&state, &viewer, save).await.map_err(sign_in::broken)?;
    Ok(back_to(&viewer, "saved"))
}

fn read_preferences(submitted: &Submitted) -> Result<Preferences, PageError> {
    let read = || {
        Ok(Preferences {
            theme: submitted.value("theme").parse()?,
            density: submitted.value("density").parse()?,
            decimal_mark: submitted.value("decimal_mark").parse()?,
            has_single_key_actions: submitted.has("has_single_key_actions"),
        })
    };
    // The page offers only known words, so another program sent the form.
    read().map_err(|error: UnknownWord| {
        let sentence = format!("The preferences were not saved: {error}.");
        PageError::new(StatusCode::UNPROCESSABLE_ENTITY, sentence)
    })
}

fn broken_edit(error: &EditError) -> PageError {
    tracing::error!(%error, "the own account was not changed");
    let sentence = "The change could not be saved; the log says more. Try again.";
    PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
}

async fn change_password(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    viewer: Viewer,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let new = submitted.value("new_password");
    if new != submitted.value("new_password_again") {
        let form = Form::wrong(&submitted, "new_password_again", "The two new passwords differ.");
        return refuse_password(&state, &viewer, form).await;
    }
    let present = Password::new(submitted.value("password").to_owned());
    let (new, client) = (Password::new(new.to_owned()), client_of(&connection, &headers));
    let session = viewer.session();
    match accounts::change_password(&state.store, session, present, new, client).await {
        Ok(token) => {
            let response = back_to(&viewer, "password-changed");
            Ok(with_session(response, &viewer, &connection, &token))
        }
        Err(SignInError::Invalid(EditError::Invalid(errors))) => {
            let errors: Vec<FieldError> = errors
                .into_iter()
                .map(|error| FieldError { field: "new_password".into(), ..error })
                .collect();
            refuse_password(&state, &viewer, Form::with_errors(&submitted, &errors)).await
        }
        Err(SignInError::Store(error)) => Err(sign_in::broken(error)),
        Err(error) => {
            let refusal = Refusal::of_password(&error);
            let form = Form::wrong(&submitted, "password", &refusal.sentence);
            Ok(refusal.answer(refuse_password(&state, &viewer, form).await?))
        }
    }
}

/// The profile with the errors of a new password; passwords are typed again.
async fn refuse_password(state: &ConsoleState, viewer: &Viewer, mut form: Form) -> PageResult {
    for name in ["password", "new_password", "new_password_again"] {
        form.set(name, "");
    }
    form.set("name", viewer.name());
    Ok(refused(&profile_page(state, viewer, Some(form)).await?))
}

/// Gives the browser the new secret of its session.
fn with_session(
    mut response: Response,
    viewer: &Viewer,
    connection: &Connection,
    token: &SessionToken,
) -> Response {
    let side = side_of(viewer.role());
    let cookie = cookies::set_session(side, connection.transport, token);
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

async fn end_session(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(session_id): Path<u32>,
) -> PageResult {
    let user_id = viewer.user().id;
    let end = move |tx: &WriteTx<'_>| session::end(tx, user_id, session_id);
    match write_as(&state, &viewer, end).await {
        // Another tab may have ended the session a moment before.
        Ok(()) | Err(EditError::NotFound { .. }) => Ok(back_to(&viewer, "session-ended")),
        Err(error) => Err(broken_edit(&error)),
    }
}

async fn end_other_sessions(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let (user_id, own) = (viewer.user().id, viewer.session().id);
    let end = move |tx: &WriteTx<'_>| session::end_all_but(tx, user_id, Some(own));
    write_as(&state, &viewer, end).await.map_err(sign_in::broken)?;
    Ok(back_to(&viewer, "signed-out-others"))
}
