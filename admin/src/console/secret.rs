//! The page that shows a new secret, such as an API key or a one-time link, the only time.

use askama::Template;
use axum::response::Response;

use super::compress::ShowsSecret;
use super::frame::Menu;
use super::page::{Page, html};
use super::viewer::Viewer;

/// A secret that the store keeps as a hash only.
pub(super) struct OneTimeSecret<'a> {
    pub(super) title: &'a str,
    /// The label of the secret's field.
    pub(super) label: &'a str,
    /// Empty for a form that was sent twice: only the first answer holds the secret.
    pub(super) secret: &'a str,
    /// Where to put the secret, and how to get another.
    pub(super) advice: &'a str,
    pub(super) back: &'a str,
    pub(super) back_label: &'a str,
}

#[derive(Template)]
#[template(path = "secret.html")]
struct SecretPage<'a> {
    page: Page,
    shown: OneTimeSecret<'a>,
}

/// Shows a secret. The page follows the form at once, because an address must not hold a secret.
pub(super) fn show(viewer: &Viewer, active: Menu, shown: OneTimeSecret<'_>) -> Response {
    let page = Page::new(viewer, active, shown.title);
    uncompressed(html(&SecretPage { page, shown }))
}

/// Keeps a page with a secret from being compressed.
pub(super) fn uncompressed(mut page: Response) -> Response {
    page.extensions_mut().insert(ShowsSecret);
    page
}
