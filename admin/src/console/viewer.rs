//! The signed-in user of a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error_page::PageError;
use crate::access::Right;
use crate::accounts::User;
use crate::accounts::session::Session;
use crate::catalog::{Caller, Preferences, Role};

/// The user, with the settings that each page shows.
#[derive(Debug, Clone)]
pub(crate) struct Viewer(Arc<ViewerData>);

#[derive(Debug)]
pub(crate) struct ViewerData {
    pub(crate) session: Session,
    pub(crate) preferences: Preferences,
    /// The network's IANA time zone.
    pub(crate) time_zone: String,
    /// The network's currency.
    pub(crate) currency: String,
    /// Whether the user's role must have a second factor.
    pub(crate) is_second_factor_required: bool,
    /// Offers that are closed because coupond does not know their rules.
    pub(crate) closed_offers: u64,
}

impl Viewer {
    pub(super) fn new(data: ViewerData) -> Viewer {
        Viewer(Arc::new(data))
    }

    /// The caller that the API gets.
    pub(super) fn caller(&self) -> Caller {
        self.user().caller()
    }

    pub(crate) fn may(&self, right: Right) -> bool {
        self.user().role.may(right)
    }

    /// For pages that the API alone would not refuse, such as an empty form.
    pub(crate) fn require(&self, right: Right) -> Result<(), PageError> {
        if self.may(right) { Ok(()) } else { Err(PageError::forbidden()) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.user().name
    }

    pub(crate) fn role(&self) -> Role {
        self.user().role
    }

    pub(crate) fn user(&self) -> &User {
        &self.0.session.user
    }

    pub(crate) fn is_second_factor_required(&self) -> bool {
        self.0.is_second_factor_required
    }

    /// Whether the user has to set up a second factor before anything else.
    pub(crate) fn must_set_up_second_factor(&self) -> bool {
        self.is_second_factor_required() && !self.user().has_totp
    }

    pub(crate) fn session(&self) -> &Session {
        &self.0.session
    }

    pub(crate) fn preferences(&self) -> &Preferences {
        &self.0.preferences
    }

    pub(crate) fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    pub(crate) fn closed_offers(&self) -> u64 {
        self.0.closed_offers
    }

    pub(crate) fn currency(&self) -> &str {
        &self.0.currency
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Viewer, PageError> {
        parts.extensions.get::<Viewer>().cloned().ok_or_else(PageError::signed_out)
    }
}
