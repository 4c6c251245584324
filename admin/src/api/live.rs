//! Answers to writes. The change is durable before this is asked; with `?wait=live` the answer
//! waits until the daemon serves it, and says in a header whether it does.

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::AppState;
use super::request::Wait;
use crate::edit::Saved;
use crate::store::meta::Sequence;

/// Whether the daemon serves the change.
const LIVE: HeaderName = HeaderName::from_static("x-coupon-live");
/// The generation in which it does.
const GENERATION: HeaderName = HeaderName::from_static("x-coupon-generation");
/// Why it does not yet.
const NOT_LIVE: HeaderName = HeaderName::from_static("x-coupon-live-error");

/// Renders what was saved, once the wish to wait is met or given up.
pub(super) async fn answer<T, R: Serialize>(
    state: &AppState,
    wait: Wait,
    saved: Saved<T>,
    render: impl FnOnce(T) -> R,
) -> Response {
    let mut response = Json(render(saved.now)).into_response();
    if let Some(sequence) = saved.sequence {
        settle(state, wait, sequence, &mut response).await;
    }
    response
}

/// Tells the publisher of the change, and waits for it where that is wanted.
async fn settle(state: &AppState, wait: Wait, sequence: Sequence, response: &mut Response) {
    state.publisher.changed();
    if wait != Wait::Live {
        return;
    }
    let live = state.publisher.wait_live(sequence).await;
    let headers = response.headers_mut();
    headers.insert(LIVE, HeaderValue::from_static(if live.is_ok() { "true" } else { "false" }));
    match live {
        Ok(generation) => drop(headers.insert(GENERATION, generation.into())),
        Err(error) => {
            tracing::warn!(%error, sequence, "a caller waited in vain");
            headers.extend(HeaderValue::try_from(error.to_string()).map(|why| (NOT_LIVE, why)));
        }
    }
}
