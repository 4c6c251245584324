//! Pages for requests that cannot be answered otherwise.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::api_client::Refusal;
use super::page::html;
use super::words;

/// A request that ends in an error page.
#[derive(Debug)]
pub(crate) struct PageError {
    status: StatusCode,
    heading: &'static str,
    sentence: String,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    heading: &'a str,
    sentence: &'a str,
    status: u16,
}

impl PageError {
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> PageError {
        PageError { status, heading: heading(status), sentence: sentence.into() }
    }

    pub(crate) fn not_found() -> PageError {
        PageError::new(StatusCode::NOT_FOUND, "Check the address, or go back to the start page.")
    }

    pub(crate) fn forbidden() -> PageError {
        let sentence = "Your role does not allow this. An administrator of the network can change \
                        your role under Control Center, Users.";
        PageError::new(StatusCode::FORBIDDEN, sentence)
    }

    /// An answer of the API that a page does not understand.
    pub(crate) fn inside(error: serde_json::Error) -> PageError {
        Refusal::inside(&error).into()
    }

    /// A page without a session; the guard redirects before a handler can meet this.
    pub(crate) fn signed_out() -> PageError {
        PageError::new(StatusCode::UNAUTHORIZED, "Sign in first.")
    }
}

fn heading(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is no such page",
        StatusCode::FORBIDDEN => "You may not do this",
        StatusCode::UNAUTHORIZED => "You are not signed in",
        StatusCode::PRECONDITION_FAILED => "Somebody changed this in the meantime",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "The store is busy",
        StatusCode::INSUFFICIENT_STORAGE => "The disk is full",
        status if status.is_server_error() => "Something went wrong",
        _ => "This request cannot be answered",
    }
}

impl From<Refusal> for PageError {
    fn from(refusal: Refusal) -> PageError {
        match refusal.status {
            StatusCode::FORBIDDEN => PageError::forbidden(),
            status => PageError::new(status, words::sentence(&refusal)),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        if self.status == StatusCode::UNAUTHORIZED {
            return Redirect::to("/sign-in").into_response();
        }
        let page = ErrorPage {
            heading: self.heading,
            sentence: &self.sentence,
            status: self.status.as_u16(),
        };
        (self.status, html(&page)).into_response()
    }
}

/// Turns a refusal of the router, such as of an id that is no number, into a page.
pub(super) async fn render_bare(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE);
    let is_bare = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match response.status() {
        // An address with a part that is no id is an address that no page has.
        StatusCode::BAD_REQUEST if is_bare => PageError::not_found().into_response(),
        StatusCode::METHOD_NOT_ALLOWED if is_bare => {
            let sentence = "This address takes another kind of request. Go back and try again.";
            PageError::new(StatusCode::METHOD_NOT_ALLOWED, sentence).into_response()
        }
        _ => response,
    }
}

/// The answer of a path that only the console could have.
pub(crate) async fn no_such_page() -> PageError {
    PageError::not_found()
}
