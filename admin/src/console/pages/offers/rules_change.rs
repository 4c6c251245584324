//! Saves the rules of an offer. Each kind of rule has a page with a form of its own.

use axum::response::Response;
use serde_json::Value;

use super::OFFERS;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::error_page::PageError;
use crate::console::form::{FormField, Submitted};
use crate::console::page::{conflict, saved};
use crate::console::viewer::Viewer;

/// A submitted form with rules of an offer.
pub(super) struct RulesChange<'a> {
    pub(super) offer_id: u32,
    pub(super) submitted: &'a Submitted,
    /// The fields to change.
    pub(super) body: Value,
    /// The inputs that a conflict with somebody else's edit shows.
    pub(super) fields: &'static [FormField],
    /// The values of these inputs for an offer.
    pub(super) inputs: fn(&Value) -> Value,
}

impl RulesChange<'_> {
    /// Saves the rules, or shows the conflict with somebody else's edit. Another refusal is returned:
    /// it belongs to the inputs of the page.
    pub(super) async fn save(
        self,
        state: &ConsoleState,
        viewer: &Viewer,
    ) -> Result<Result<Response, Refusal>, PageError> {
        let RulesChange { offer_id: id, submitted, body, fields, inputs } = self;
        let path = submitted.live_path_of_rules(&format!("{}/{id}", OFFERS.api));
        let request = ApiRequest::patch(path, body).if_match(submitted.value("etag"));
        match state.api.send(viewer, request).await {
            Ok(answer) => Ok(Ok(saved(&OFFERS.at(id), "saved", answer.is_live))),
            Err(refusal) if refusal.is_stale() => {
                let mut now = OFFERS.read(state, viewer, id, "").await?;
                now.body = inputs(&now.body);
                Ok(Ok(conflict(viewer, OFFERS.menu, fields, submitted, &now)))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}
