//! Answers to writes. The change is durable before this is asked; with `?wait=live` the answer
//! waits until the daemon serves it, and says in a header whether it does.

use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::error::ApiError;
use super::request::Wait;
use super::{AppState, conditions};
use crate::edit::idempotency::{self, CreationAnswer};
use crate::edit::{EditError, Saved};
use crate::store::WriteTx;
use crate::store::meta::Sequence;

/// Whether the daemon serves the change.
const LIVE: HeaderName = HeaderName::from_static("x-coupon-live");
/// The generation in which it does.
const GENERATION: HeaderName = HeaderName::from_static("x-coupon-generation");
/// The answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Why it does not yet.
const NOT_LIVE: HeaderName = HeaderName::from_static("x-coupon-live-error");

/// Renders what was saved, once the wish to wait is met or given up.
pub(super) async fn answer<T, R: Answer>(
    state: &AppState,
    wait: Wait,
    saved: Saved<T>,
    render: impl FnOnce(T) -> R,
) -> Response {
    let mut response = render(saved.now).answered();
    if let Some(sequence) = saved.sequence {
        await_publication(state, wait, sequence, &mut response).await;
    }
    response
}

/// Creates something and renders it in one transaction, so that a repetition of the request, known
/// by its `Idempotency-Key`, is answered the same and creates nothing.
pub(super) async fn create<T, R: Answer>(
    state: &AppState,
    wait: Wait,
    work: impl FnOnce(&WriteTx<'_>) -> Result<Saved<T>, EditError> + Send + 'static,
    render: impl FnOnce(T) -> R + Send + 'static,
) -> Result<Response, ApiError> {
    let create = move |tx: &WriteTx<'_>| {
        let Saved { now, sequence } = work(tx)?;
        render(now).snapshot(sequence)
    };
    let once = state.store.write(move |tx| idempotency::idempotent(tx, || create(tx)));
    let CreationAnswer { body, etag, sequence, is_repetition, .. } = once.await?;
    let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
    response.headers_mut().extend(conditions::header(&etag).map(|etag| (ETAG, etag)));
    if is_repetition {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(sequence) = sequence {
        await_publication(state, wait, sequence, &mut response).await;
    }
    Ok(response)
}

/// Tells the publisher of the change, and waits for it where that is wanted.
async fn await_publication(
    state: &AppState,
    wait: Wait,
    sequence: Sequence,
    response: &mut Response,
) {
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
