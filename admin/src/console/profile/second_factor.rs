//! The second factor of the own account: an authenticator app and recovery codes.

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::{back_to, broken_edit, with_session, write_as};
use crate::accounts::password::Password;
use crate::accounts::totp::{self, Enrolment};
use crate::accounts::{self, SignInError};
use crate::console::ConsoleState;
use crate::console::confirm::require_recent_password;
use crate::console::form::{Form, Submitted};
use crate::console::frame::Menu;
use crate::console::guard::Connection;
use crate::console::page::{Page, PageResult, html, refused};
use crate::console::qr::QrPicture;
use crate::console::secret;
use crate::console::sign_in::{self, Refusal, client_of};
use crate::console::viewer::Viewer;
use crate::edit::EditError;
use crate::store::WriteTx;

pub(super) fn routes() -> Router<ConsoleState> {
    Router::new()
        .route("/profile/second-factor", get(show).post(begin))
        .route("/profile/second-factor/code", post(confirm))
        .route("/profile/second-factor/off", get(ask_off).post(switch_off))
        .route_layer(from_fn(require_recent_password))
}

/// The name of this service in authenticator apps.
const ISSUER: &str = "coupond";

#[derive(Template)]
#[template(path = "profile/second_factor.html")]
struct SecondFactorPage {
    page: Page,
    form: Form,
    /// A new secret, shown once.
    enrolment: Option<Enrolment>,
    /// Whether a secret was made before this page, so a code can be typed.
    is_begun: bool,
}

impl SecondFactorPage {
    fn new(viewer: &Viewer, form: Form, enrolment: Option<Enrolment>) -> SecondFactorPage {
        let page = Page::new(viewer, Menu::Profile, "Second factor – Profile");
        let is_begun = enrolment.is_some() || form.is_refused();
        SecondFactorPage { page, form, enrolment, is_begun }
    }

    /// The picture for the app's camera.
    fn picture(&self) -> Option<QrPicture> {
        QrPicture::new(&self.enrolment.as_ref()?.url)
    }
}

async fn show(viewer: Viewer) -> Response {
    html(&SecondFactorPage::new(&viewer, Form::default(), None))
}

async fn begin(State(state): State<ConsoleState>, viewer: Viewer) -> PageResult {
    let id = viewer.user().id;
    let begin = move |tx: &WriteTx<'_>| totp::begin(tx, id, ISSUER);
    let enrolment = write_as(&state, &viewer, begin).await.map_err(|error| broken_edit(&error))?;
    let page = SecondFactorPage::new(&viewer, Form::default(), Some(enrolment));
    Ok(secret::uncompressed(html(&page)))
}

#[derive(Template)]
#[template(path = "profile/recovery_codes.html")]
struct RecoveryCodesPage {
    page: Page,
    codes: Vec<String>,
}

async fn confirm(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let id = viewer.user().id;
    let code: String = submitted.value("code").split_whitespace().collect();
    let confirm = move |tx: &WriteTx<'_>| totp::confirm(tx, id, &code);
    match write_as(&state, &viewer, confirm).await {
        Ok(codes) => {
            let page = Page::new(&viewer, Menu::Profile, "Recovery codes – Profile");
            Ok(secret::uncompressed(html(&RecoveryCodesPage { page, codes })))
        }
        Err(EditError::Invalid(errors)) => {
            let form = Form::with_errors(&submitted, &errors);
            Ok(refused(&SecondFactorPage::new(&viewer, form, None)))
        }
        Err(error) => Err(broken_edit(&error)),
    }
}

#[derive(Template)]
#[template(path = "profile/off.html")]
struct OffPage {
    page: Page,
    form: Form,
}

fn off_page(viewer: &Viewer, form: Form) -> OffPage {
    let page = Page::new(viewer, Menu::Profile, "Switch the second factor off – Profile");
    OffPage { page, form }
}

async fn ask_off(viewer: Viewer) -> Response {
    html(&off_page(&viewer, Form::default()))
}

/// Switches the second factor off, after the password and a code.
async fn switch_off(
    State(state): State<ConsoleState>,
    Extension(connection): Extension<Connection>,
    viewer: Viewer,
    headers: HeaderMap,
    submitted: Submitted,
) -> PageResult {
    let password = Password::new(submitted.value("password").to_owned());
    let (code, client) = (submitted.value("code").to_owned(), client_of(&connection, &headers));
    let session = viewer.session();
    let off = accounts::switch_off_second_factor(&state.store, session, password, code, client);
    match off.await {
        Ok(token) => {
            let response = back_to(&viewer, "second-factor-off");
            Ok(with_session(response, &viewer, &connection, &token))
        }
        Err(SignInError::Store(error)) => Err(sign_in::broken(error)),
        Err(error) => {
            let refusal = Refusal::of_password_and_code(&error);
            let mut form = Form::default();
            form.set_problem(&refusal.sentence);
            Ok(refusal.answer(refused(&off_page(&viewer, form))))
        }
    }
}
