//! Writes of handlers and their answers. A change is durable before its answer is built; with
//! `?wait=live` the answer also waits until the daemon serves the change, and a header tells the
//! result.

use axum::extract::FromRef;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::answer::Answer;
use super::conditions;
use super::error::ApiError;
use super::request::Wait;
use super::state::AppState;
use crate::edit::idempotency::{self, CreationAnswer};
use crate::edit::{EditError, Saved};
use crate::publish::{LiveNodes, PublisherHandle};
use crate::store::meta::Sequence;
use crate::store::{Store, WriteTx};

/// `true` when the daemon serves the change.
const LIVE: HeaderName = HeaderName::from_static("x-coupon-live");
/// The published generation that holds the change.
const GENERATION: HeaderName = HeaderName::from_static("x-coupon-generation");
/// Set when the answer repeats the answer of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How many of several daemons serve the change, such as `2/3`.
const LIVE_NODES: HeaderName = HeaderName::from_static("x-coupon-live-nodes");
/// The names of the others of several daemons.
const LIVE_MISSING: HeaderName = HeaderName::from_static("x-coupon-live-missing");
/// Most names in this header.
const MAX_MISSING_NAMES: usize = 8;
/// The reason for `x-coupon-live: false`.
const NOT_LIVE: HeaderName = HeaderName::from_static("x-coupon-live-error");

/// Saves changes and has them published.
#[derive(Clone)]
pub(super) struct Edits {
    store: Store,
    publisher: PublisherHandle,
}

impl FromRef<AppState> for Edits {
    fn from_ref(state: &AppState) -> Edits {
        Edits { store: state.store.clone(), publisher: state.publisher.clone() }
    }
}

impl Edits {
    /// Saves a change and renders the state after it.
    pub(super) async fn change<T: Send + 'static, R: Answer>(
        &self,
        wait: Wait,
        work: impl FnOnce(&WriteTx<'_>) -> Result<Saved<T>, EditError> + Send + 'static,
        render: impl FnOnce(T) -> R,
    ) -> Result<Response, ApiError> {
        let saved = self.store.write(work).await?;
        Ok(self.answer(wait, saved, render).await)
    }

    /// Renders a change that is saved already.
    pub(super) async fn answer<T, R: Answer>(
        &self,
        wait: Wait,
        saved: Saved<T>,
        render: impl FnOnce(T) -> R,
    ) -> Response {
        let mut response = render(saved.now).into_answer();
        if let Some(sequence) = saved.sequence {
            self.await_publication(wait, sequence, &mut response).await;
        }
        response
    }

    /// Creates an object. A repetition of the request, recognised by its `Idempotency-Key`, creates
    /// nothing and gets the first answer.
    pub(super) async fn create<T, R: Answer>(
        &self,
        wait: Wait,
        work: impl FnOnce(&WriteTx<'_>) -> Result<Saved<T>, EditError> + Send + 'static,
        render: impl FnOnce(T) -> R + Send + 'static,
    ) -> Result<Response, ApiError> {
        // The answer is rendered inside the transaction, so object and stored answer commit
        // together.
        let create = move |tx: &WriteTx<'_>| {
            let Saved { now, sequence } = work(tx)?;
            render(now).snapshot(sequence)
        };
        let created = self.store.write(move |tx| idempotency::idempotent(tx, || create(tx)));
        let CreationAnswer { body, etag, sequence, is_repetition, .. } = created.await?;
        let mut response = ([(CONTENT_TYPE, "application/json")], body).into_response();
        response.headers_mut().extend(conditions::header(&etag).map(|etag| (ETAG, etag)));
        if is_repetition {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(sequence) = sequence {
            self.await_publication(wait, sequence, &mut response).await;
        }
        Ok(response)
    }

    /// Notifies the publisher, and waits for the daemon if `wait` says so.
    async fn await_publication(&self, wait: Wait, sequence: Sequence, response: &mut Response) {
        self.publisher.changed();
        if wait != Wait::Live {
            return;
        }
        let live = self.publisher.wait_live(sequence).await;
        let headers = response.headers_mut();
        headers.insert(LIVE, HeaderValue::from_static(if live.is_ok() { "true" } else { "false" }));
        if let Some(nodes) = self.publisher.live_nodes(sequence) {
            headers.extend(node_headers(&nodes));
        }
        match live {
            Ok(generation) => drop(headers.insert(GENERATION, generation.into())),
            Err(error) => {
                tracing::warn!(%error, sequence, "wait for publication failed");
                headers.extend(HeaderValue::try_from(error.to_string()).map(|why| (NOT_LIVE, why)));
            }
        }
    }
}

/// How many daemons serve a change, and the names of the others: the first ones, and the number of
/// further ones.
fn node_headers(nodes: &LiveNodes) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let LiveNodes { live, all, missing } = nodes;
    let mut names = missing.iter().take(MAX_MISSING_NAMES).cloned().collect::<Vec<_>>().join(", ");
    if missing.len() > MAX_MISSING_NAMES {
        names.push_str(&format!(" (+{})", missing.len() - MAX_MISSING_NAMES));
    }
    let count = HeaderValue::try_from(format!("{live}/{all}")).ok();
    let names = (!names.is_empty()).then_some(names);
    let names = names.and_then(|names| HeaderValue::try_from(names).ok());
    let count = count.map(|count| (LIVE_NODES, count));
    count.into_iter().chain(names.map(|names| (LIVE_MISSING, names)))
}
