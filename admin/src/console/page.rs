//! The frame that pages share, and their rendering.

use askama::Template;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::api_client::ApiAnswer;
use super::assets::{self, Asset};
use super::error_page::PageError;
use super::form::{Form, FormField, Submitted};
use super::frame::{MENU, Menu, MenuGroup, PORTAL_MENU};
use super::list::encode;
use super::viewer::Viewer;
use super::{format, words};
use crate::catalog::Role;

/// The result of a handler.
pub(crate) type PageResult = Result<Response, PageError>;

/// Everything that the frame shows around a page's own part.
pub(crate) struct Page {
    pub(crate) viewer: Viewer,
    pub(crate) title: String,
    /// The active entry of the menu.
    pub(crate) active: Menu,
    /// A sentence about the change that led here.
    pub(crate) notice: Option<Notice>,
}

/// A sentence on top of a page.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    /// `good`, `warning`, `bad` or `info`; the class of the box.
    pub(crate) kind: &'static str,
    pub(crate) sentence: String,
    /// A form with a single button, such as Undo: its address and its label.
    pub(crate) action: Option<(String, &'static str)>,
}

impl Page {
    pub(crate) fn new(viewer: &Viewer, active: Menu, title: impl Into<String>) -> Page {
        Page { viewer: viewer.clone(), title: title.into(), active, notice: None }
    }

    pub(crate) fn with_notice(mut self, notice: Option<Notice>) -> Page {
        self.notice = notice;
        self
    }

    /// The address of an icon in the sprite.
    pub(crate) fn icon(&self, name: &str) -> String {
        format!("{}#{name}", assets::address(Asset::Icons))
    }

    pub(crate) fn menu(&self) -> &'static [MenuGroup] {
        if self.is_portal() { PORTAL_MENU } else { MENU }
    }

    pub(crate) fn is_portal(&self) -> bool {
        self.viewer.role() == Role::Partner
    }

    /// The offers that coupond closes because it is too old, for pages of the network that do not
    /// say so themselves.
    pub(crate) fn closed_offers(&self) -> Option<String> {
        let closed = self.viewer.closed_offers();
        let is_shown = closed > 0 && !self.is_portal() && self.active != Menu::Status;
        is_shown.then(|| format::counted(closed, "offers"))
    }

    /// The prefix of the pages of this viewer.
    pub(crate) fn home(&self) -> &'static str {
        if self.is_portal() { "/portal" } else { "/console" }
    }
}

/// The address of the style sheet, for the frames of pages.
pub(crate) fn style_address() -> &'static str {
    assets::address(Asset::Style)
}

/// The address of the script.
pub(crate) fn script_address() -> &'static str {
    assets::address(Asset::Script)
}

/// Renders a page.
pub(crate) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page cannot be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Renders a form that was refused.
pub(crate) fn refused(template: &impl Template) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, html(template)).into_response()
}

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage<'a> {
    page: Page,
    /// Inputs with the same value on both sides.
    same: Vec<(String, String)>,
    differing: Vec<Differing>,
    etag: &'a str,
}

/// An input with different values on both sides.
struct Differing {
    name: String,
    label: String,
    mine: String,
    theirs: String,
}

/// The page for an object that somebody else changed in the meantime: both values of each field
/// that differs, to choose from. It sends the same form again.
pub(crate) fn conflict(
    viewer: &Viewer,
    active: Menu,
    fields: &'static [FormField],
    submitted: &Submitted,
    now: &ApiAnswer,
) -> Response {
    let theirs = Form::of_object(&now.body, &now.etag);
    let (mut same, mut differing) = (Vec::new(), Vec::new());
    let names = fields.iter().flat_map(|field| {
        let mut names = submitted.inputs(field);
        let theirs = theirs.inputs(field);
        names.extend(theirs.into_iter().skip(names.len()));
        names
    });
    for name in names {
        let (mine, theirs) = (submitted.value(&name).to_owned(), theirs.value(&name).to_owned());
        if is_same(&mine, &theirs) {
            same.push((name, theirs));
        } else {
            let label = words::label_in_row(&name);
            differing.push(Differing { name, label, mine, theirs });
        }
    }
    let page = Page::new(viewer, active, "Changed in the meantime");
    let etag = &now.etag;
    let shown = ConflictPage { page, same, differing, etag };
    (StatusCode::PRECONDITION_FAILED, html(&shown)).into_response()
}

/// A blank input is the API's 0, `false` or empty text.
fn is_same(mine: &str, theirs: &str) -> bool {
    let blank = |value: &str| matches!(value, "" | "0" | "false");
    let digits = |value: &str| value.split(' ').next().unwrap_or_default().to_owned();
    mine == theirs
        || (blank(mine) && blank(theirs))
        || (mine.contains(" – ") && digits(mine) == theirs)
}

/// Leads to a page after a change; `notice` is a word of [`notice_of`].
pub(crate) fn saved(path: &str, notice: &str, is_live: Option<bool>) -> Response {
    let live = match is_live {
        Some(true) => "&live=yes",
        Some(false) => "&live=no",
        None => "",
    };
    let mark = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{path}{mark}notice={}{live}", encode(notice))).into_response()
}

/// The sentence for the words that [`saved`] put into the address. Only known words become
/// sentences, so a link cannot make a page say something else.
pub(crate) fn notice_of(query: &[(String, String)]) -> Option<Notice> {
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let done = match value("notice")? {
        "created" => "Created",
        "saved" => "Saved",
        "deleted" => "Deleted",
        "restored" => "Restored",
        "paused" => "Paused",
        "activated" => "Set to active",
        "generated" => "Generated",
        "committed" => "The upload is saved",
        "discarded" => "The upload was discarded",
        "rotated" => "The key has a new secret; the old one stopped working",
        "revoked" => "Revoked",
        "approved" => "Approved",
        "rejected" => "Rejected",
        "sales-held" => "The sales are held",
        "sales-released" => "The sales are released",
        "requested" => "Requested",
        "replayed" => "Queued to be sent again",
        "enabled" => "Enabled",
        "disabled" => "Disabled; the sessions of the account have ended",
        "session-ended" => "The session has ended",
        "second-factor-off" => "The second factor is off",
        "signed-out-others" => "All other sessions are signed out",
        "password-changed" => "The password is changed, and all other sessions are signed out",
        _ => return None,
    };
    let (kind, sentence) = match value("live") {
        Some("yes") => ("good", format!("{done}, and live.")),
        Some("no") => (
            "warning",
            format!(
                "{done}. coupond does not serve the change yet; Control Center, Status says why."
            ),
        ),
        _ => ("good", format!("{done}.")),
    };
    Some(Notice { kind, sentence, action: None })
}
