//! Signing in and out, and one-time links that set a password.

use askama::Template;
use axum::Extension;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{HeaderName, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::Timestamp;

use super::ConsoleState;
use super::cookies::{self, Side};
use super::error_page::PageError;
use super::form::{Form, Submitted};
use super::format;
use super::guard::{self, Connection};
use super::page::{PageResult, html, refused};
use crate::accounts::link::{self, Link, LinkPurpose, RedeemError, Redemption};
use crate::accounts::password::{HashError, Password};
use crate::accounts::session::{self, Client};
use crate::accounts::{self, Attempt, LinkToken, SessionToken, SignInError, User};
use crate::catalog::Role;
use crate::edit::EditError;
use crate::store::StoreError;
use crate::store::origin::{self, Actor, Origin};

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/setup/{token}", get(show_link).post(use_link))
        .route("/link/{token}", get(show_link).post(use_link))
}

/// Parts of a form that waits for its user to sign in again: prefix of the hidden inputs.
const KEPT: &str = "keep.";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    form: &'a Form,
    next: &'a str,
    /// The form to send after signing in.
    kept: &'a [(String, String)],
}

#[derive(Template)]
#[template(path = "sign_in_resume.html")]
struct ResumePage<'a> {
    path: &'a str,
    fields: &'a [(String, String)],
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    form: &'a Form,
    name: &'a str,
    login: &'a str,
    expires: String,
    is_setup: bool,
}

/// `/`: leads to the start page of the session, or to the sign-in page.
pub(super) async fn start(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> PageResult {
    for side in [Side::Staff, Side::Partner] {
        let found = guard::viewer(&state, side, &connection, &headers).await;
        if found.map_err(broken)?.is_some() {
            return Ok(Redirect::to(side.home()).into_response());
        }
    }
    Ok(Redirect::to("/sign-in").into_response())
}

pub(super) fn broken(error: StoreError) -> PageError {
    tracing::error!(%error, "account not read");
    let sentence = "The accounts could not be read; the log says more. Try again.";
    PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
}

async fn show(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let next = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next");
    let next = next.map(|(_, next)| next.into_owned()).unwrap_or_default();
    html(&SignInPage { form: &Form::default(), next: &next, kept: &[] })
}

/// The sign-in page over a form that was sent without a session. Its fields wait in the page, apart
/// from passwords.
pub(super) fn keep_form(uri: &Uri, submitted: &Submitted) -> Response {
    let kept = fields_to_keep(submitted);
    let mut form = Form::default();
    form.set_problem("Your session has ended. Sign in again; what you typed is kept.");
    let page = SignInPage { form: &form, next: uri.path(), kept: &kept };
    (StatusCode::UNAUTHORIZED, html(&page)).into_response()
}

/// The hidden inputs that keep a form. Passwords are not kept.
pub(super) fn fields_to_keep(submitted: &Submitted) -> Vec<(String, String)> {
    let fields = submitted.pairs().iter().filter(|(name, _)| !name.contains("password"));
    fields.map(|(name, value)| (format!("{KEPT}{name}"), value.clone())).collect()
}

/// The hidden inputs of a form that waits already.
pub(super) fn kept_fields(submitted: &Submitted) -> Vec<(String, String)> {
    submitted.pairs().iter().filter(|(name, _)| name.starts_with(KEPT)).cloned().collect()
}

async fn sign_in(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let attempt = Attempt {
        login: submitted.value("login").trim().to_owned(),
        password: Password::new(submitted.value("password").to_owned()),
        totp_code: Some(submitted.value("code").trim().to_owned()).filter(|code| !code.is_empty()),
        client: client_of(&connection, &headers),
        device: cookies::device(&headers, connection.transport),
    };
    match accounts::sign_in(&state.store, attempt).await {
        Ok(signed_in) => {
            let side = side_of(signed_in.user.role);
            let mut response = go_on(side, &submitted);
            let session = cookies::set_session(side, connection.transport, &signed_in.session);
            let device = cookies::set_device(connection.transport, &signed_in.device);
            response.headers_mut().append(SET_COOKIE, session);
            response.headers_mut().append(SET_COOKIE, device);
            Ok(response)
        }
        Err(SignInError::Store(error)) => Err(broken(error)),
        Err(error) => Ok(refuse(&submitted, &error)),
    }
}

pub(super) fn side_of(role: Role) -> Side {
    if role == Role::Partner { Side::Partner } else { Side::Staff }
}

pub(super) fn client_of(connection: &Connection, headers: &HeaderMap) -> Client {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    Client { address: connection.address, user_agent: agent.chars().take(256).collect() }
}

/// The page that the user wanted, or the form that waited.
pub(super) fn go_on(side: Side, submitted: &Submitted) -> Response {
    let next = submitted.value("next");
    let is_own_page = is_page_of(side, next);
    let kept: Vec<(String, String)> = submitted
        .pairs()
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(KEPT)?.to_owned(), value.clone())))
        .collect();
    if is_own_page && !kept.is_empty() {
        return html(&ResumePage { path: next, fields: &kept });
    }
    Redirect::to(if is_own_page { next } else { side.home() }).into_response()
}

/// Whether a path is a page of a side. Anything else could lead to another site.
fn is_page_of(side: Side, path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let rest = path.strip_prefix(side.home());
    is_plain && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn refuse(submitted: &Submitted, error: &SignInError) -> Response {
    let mut form = Form::default();
    form.set("login", submitted.value("login"));
    let refusal = Refusal::of_sign_in(error);
    form.set_problem(&refusal.sentence);
    let kept = kept_fields(submitted);
    let page = SignInPage { form: &form, next: submitted.value("next"), kept: &kept };
    refusal.answer(html(&page))
}

/// The answer to a sign-in, or to a password of a signed-in user, that was refused.
pub(super) struct Refusal {
    status: StatusCode,
    pub(super) sentence: String,
    retry_after_s: Option<u32>,
}

impl Refusal {
    fn of_sign_in(error: &SignInError) -> Refusal {
        let sentence = match error {
            SignInError::CodeNeeded => {
                "This account has a second factor. Type the password again, and the code that your \
                 authenticator shows."
            }
            _ => "The sign-in name, the password or the code is not right.",
        };
        Refusal::new(error, sentence)
    }

    pub(super) fn of_password(error: &SignInError) -> Refusal {
        Refusal::new(error, "This is not your present password.")
    }

    /// Does not say which of both is wrong, so neither can be guessed alone.
    pub(super) fn of_password_and_code(error: &SignInError) -> Refusal {
        Refusal::new(error, "The password or the code is not right. A code is good once.")
    }

    /// `wrong` is the sentence for a mistake of the user.
    fn new(error: &SignInError, wrong: &str) -> Refusal {
        let (status, sentence, retry_after_s) = match error {
            SignInError::Throttled { retry_after_s } => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "There were too many failed attempts. Try again in {retry_after_s} seconds."
                ),
                Some(*retry_after_s),
            ),
            SignInError::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many people are signing in at this moment. Try again in 5 seconds.".into(),
                Some(5),
            ),
            SignInError::SecondFactorRequired => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Your role needs a second factor, so you can only move it to another app.".into(),
                None,
            ),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, wrong.to_owned(), None),
        };
        Refusal { status, sentence, retry_after_s }
    }

    /// The page with the status of the refusal.
    pub(super) fn answer(&self, page: Response) -> Response {
        let mut response = (self.status, page).into_response();
        let seconds = self.retry_after_s.map(HeaderValue::from);
        response.headers_mut().extend(seconds.map(|seconds| (RETRY_AFTER, seconds)));
        response
    }
}

async fn sign_out(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let side = if submitted.value("side") == "portal" { Side::Partner } else { Side::Staff };
    let viewer = guard::viewer(&state, side, &connection, &headers).await.map_err(broken)?;
    if let Some(viewer) = viewer {
        let (user_id, session_id) = (viewer.user().id, viewer.session().id);
        let end = state.store.write(move |tx| session::end(tx, user_id, session_id));
        match origin::scope(Origin::new(Actor::User(user_id)), end).await {
            // Another tab may have ended the session a moment before.
            Ok(()) | Err(EditError::NotFound { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "session not ended");
                let sentence = "The session could not be ended; the log says more. Try again.";
                return Err(PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence));
            }
        }
    }
    let mut response = Redirect::to("/sign-in").into_response();
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, cookies::end_session(side, connection.transport));
    // Otherwise Back would show the pages that the browser still holds.
    let clear = HeaderValue::from_static("\"cache\", \"storage\"");
    headers.insert(HeaderName::from_static("clear-site-data"), clear);
    Ok(response)
}

/// Shows the purpose of a one-time link. Only the form uses the link, so a scanner of mails that
/// opens the address uses nothing up.
async fn show_link(State(state): State<ConsoleState>, Path(token): Path<String>) -> PageResult {
    let (_, link) = find_link(&state, &token).await?;
    let login = link.user.as_ref().map(|user| user.login.as_str()).unwrap_or_default();
    Ok(html(&link_page(&Form::new(&[("login", login)]), &link)))
}

fn link_page<'a>(form: &'a Form, link: &'a Link) -> LinkPage<'a> {
    let user = link.user.as_ref();
    LinkPage {
        form,
        name: user.map(|user| user.name.as_str()).unwrap_or_default(),
        login: user.map(|user| user.login.as_str()).unwrap_or_default(),
        expires: format::utc(link.time_expires),
        is_setup: link.purpose == LinkPurpose::Setup,
    }
}

async fn find_link(state: &ConsoleState, token: &str) -> Result<(LinkToken, Link), PageError> {
    let token = LinkToken::parse(token).ok_or_else(used_link)?;
    let (sought, now) = (token.clone(), Timestamp::now().as_second());
    let found = state.store.read(move |tx| link::find(tx, &sought, now)).await;
    let link = found.map_err(broken)?.ok_or_else(used_link)?;
    Ok((token, link))
}

fn used_link() -> PageError {
    let sentence = "This link was used already or has expired: a link works once, for a day. Ask an \
                    administrator of the network for another, or make one on the machine with: \
                    coupon-admin user reset";
    PageError::new(StatusCode::NOT_FOUND, sentence)
}

async fn use_link(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    Path(token): Path<String>,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let (token, link) = find_link(&state, &token).await?;
    if submitted.value("password") != submitted.value("password_again") {
        let form = Form::wrong(&submitted, "password_again", "The two passwords differ.");
        return Ok(refused(&link_page(&without_passwords(form), &link)));
    }
    let given = Redemption {
        login: submitted.value("login").trim().to_owned(),
        name: submitted.value("name").trim().to_owned(),
        password: Password::new(submitted.value("password").to_owned()),
    };
    match link::redeem(&state.store, &token, given).await {
        Ok(user) => {
            if user.has_totp {
                // A link replaces the password only.
                return Ok(Redirect::to("/sign-in").into_response());
            }
            let session = start_session(&state, &user, client_of(&connection, &headers)).await?;
            let side = side_of(user.role);
            let mut response = Redirect::to(side.home()).into_response();
            let cookie = cookies::set_session(side, connection.transport, &session);
            response.headers_mut().append(SET_COOKIE, cookie);
            Ok(response)
        }
        Err(RedeemError::Edit(EditError::Invalid(fields))) => {
            let form = without_passwords(Form::with_errors(&submitted, &fields));
            Ok(refused(&link_page(&form, &link)))
        }
        Err(RedeemError::NotValid) => Err(used_link()),
        Err(RedeemError::Hash(HashError::Busy)) => Err(PageError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many people are signing in at this moment. Try again in 5 seconds.",
        )),
        Err(error) => {
            tracing::error!(%error, "one-time link not used");
            let sentence = "The password could not be saved; the log says more. Try again.";
            Err(PageError::new(StatusCode::INTERNAL_SERVER_ERROR, sentence))
        }
    }
}

async fn start_session(
    state: &ConsoleState,
    user: &User,
    client: Client,
) -> Result<SessionToken, PageError> {
    let id = user.id;
    let start = state.store.write(move |tx| session::start(tx, id, &client));
    origin::scope(Origin::new(Actor::User(id)), start).await.map_err(broken)
}

fn without_passwords(mut form: Form) -> Form {
    form.set("password", "");
    form.set("password_again", "");
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_pages_of_the_same_side_only() {
        for path in ["/console", "/console?x=1", "/console/coupon-codes?prefix=win"] {
            assert!(is_page_of(Side::Staff, path), "{path}");
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "/console\\evil",
            "/consoles",
            "https://evil.example/console",
            "/portal",
            "/console\r\nSet-Cookie: x",
        ] {
            assert!(!is_page_of(Side::Staff, path), "{path}");
        }
        assert!(is_page_of(Side::Partner, "/portal/codes"));
    }
}
