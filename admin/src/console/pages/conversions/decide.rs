//! Approval and rejection of a conversion, or of the ticked conversions.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect};
use serde_json::json;

use super::API;
use super::conversion::conversion_page;
use super::listing::list_page;
use crate::console::ConsoleState;
use crate::console::api_client::{ApiRequest, Refusal};
use crate::console::form::Submitted;
use crate::console::list::{ListQuery, encode};
use crate::console::page::{PageResult, saved};
use crate::console::viewer::Viewer;
use crate::console::words;

const LIST: &str = "/console/conversions";

/// Decides about a conversion, and keeps the note.
pub(super) async fn decide(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    Path(id): Path<String>,
    submitted: Submitted,
) -> PageResult {
    let decision = submitted.value("decision");
    match send(&state, &viewer, &[&id], decision).await {
        Ok(_changed) => {}
        Err(refusal) => return refused(&state, &viewer, &id, refusal).await,
    }
    let path = format!("{LIST}/{}", encode(&id));
    let notes = submitted.value("notes");
    // A note stands for itself: without one, the notes of before stay.
    if !notes.trim().is_empty() {
        let request = ApiRequest::patch(format!("{API}/{}", encode(&id)), json!({"notes": notes}));
        if let Err(refusal) = state.api.send(&viewer, request).await {
            return refused(&state, &viewer, &id, refusal).await;
        }
    }
    Ok(saved(&path, decision, None))
}

async fn refused(state: &ConsoleState, viewer: &Viewer, id: &str, refusal: Refusal) -> PageResult {
    if !refusal.is_of_form() {
        return Err(refusal.into());
    }
    let problem = Some(words::sentence(&refusal));
    conversion_page(state, viewer, id, &ListQuery::default(), problem).await
}

/// Decides about the ticked conversions; a refusal changes no conversion.
pub(super) async fn decide_ticked(
    State(state): State<ConsoleState>,
    viewer: Viewer,
    submitted: Submitted,
) -> PageResult {
    let selection = ListQuery::parse(LIST, submitted.value("selection"));
    let (ids, decision) = (submitted.values("id"), submitted.value("decision"));
    if ids.is_empty() {
        let sentence = "No conversion was ticked. Tick those that you mean, and choose again.";
        return list_page(&state, &viewer, selection, Some(sentence.into())).await;
    }
    match send(&state, &viewer, &ids, decision).await {
        Ok(changed) => {
            let changed = changed.to_string();
            let back = selection.with_all(&[("changed", &changed), ("became", decision)]);
            Ok(Redirect::to(&back).into_response())
        }
        Err(refusal) if refusal.is_of_form() => {
            let problem = format!("Nothing was changed. {}", words::sentence(&refusal));
            list_page(&state, &viewer, selection, Some(problem)).await
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Returns how many conversions had another status.
async fn send(
    state: &ConsoleState,
    viewer: &Viewer,
    ids: &[&str],
    decision: &str,
) -> Result<u64, Refusal> {
    let body = json!({"conversion_ids": ids, "conversion_status": decision});
    let answer = state.api.send(viewer, ApiRequest::patch(API, body)).await?;
    Ok(answer.number("changed"))
}
