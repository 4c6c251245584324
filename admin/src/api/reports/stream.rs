//! `GET /v1/networks/stream`: clicks and conversions as server-sent events, while they come.
//!
//! One task reads what is new for all readers ([`feed`]). Each reader has a bounded queue: one that
//! is slow loses events, and is sent the number that it lost. The number of readers is bounded
//! ([`readers`]).
//!
//! A stream ends when its reader takes nothing for 10 seconds, when its key or session is no longer
//! good, and when the program stops.

mod feed;
mod readers;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

pub use feed::{EventFeed, FeedSources};

use crate::accounts::session::Lifetimes;
use crate::api::auth::{Authenticated, Credential};
use crate::api::error::ApiError;
use crate::catalog::Caller;
use crate::store::{Store, StoreError};
use feed::gap;
use readers::Place;

const EVENT_STREAM: &str = "text/event-stream";
/// The reader's key or session is checked this often, and something is written.
const BEAT: Duration = Duration::from_secs(2);
/// A comment, so that proxies and this server see the connection in use.
const BEAT_TEXT: &[u8] = b":\n\n";
/// Longest time without a reader taking anything.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Pieces between the task of a reader and its connection.
const PIECES: usize = 16;

/// Clicks and conversions as they come, as server-sent events.
///
/// Events are `click` with a click, `conversion` with a conversion, and `gap` with the number
/// `missed` of events that were left out, because the reader was slow or because more came than are
/// sent. Clicks of more than an hour ago are left out without a gap. Two streams for each key or
/// session, 64 in all. Ask with `Accept: text/event-stream`.
#[utoipa::path(get, path = "/stream", responses((status = 200, body = String, content_type = "text/event-stream"), (status = 406, body = crate::api::error::ErrorBody)))]
pub(super) async fn stream(
    State(feed): State<EventFeed>,
    State(store): State<Store>,
    State(lifetimes): State<Lifetimes>,
    Authenticated(caller): Authenticated,
    Extension(credential): Extension<Credential>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check_accept(&headers)?;
    let place = feed.readers().take(credential.holder(caller)).map_err(too_many)?;
    let events = feed.subscribe().await;
    let (sender, pieces) = mpsc::channel(PIECES);
    let reader = Reader { sender, credential, caller, store, lifetimes, _place: place };
    tokio::spawn(reader.run(events, feed));
    let mut response = Body::new(Pieces(pieces)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    // A proxy that collects the answer would show nothing.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Refuses a client that waits for the end of the answer, such as a browser's address bar.
fn check_accept(headers: &HeaderMap) -> Result<(), ApiError> {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(EVENT_STREAM))
    {
        return Ok(());
    }
    let message = "this answer does not end; ask with the header Accept: text/event-stream";
    Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "request.not_acceptable", message))
}

fn too_many(error: readers::TooManyReaders) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "stream.too_many", error.to_string())
}

/// The task of one reader.
struct Reader {
    sender: mpsc::Sender<Bytes>,
    credential: Credential,
    /// Rights at the start; a stream ends with any change of them.
    caller: Caller,
    store: Store,
    lifetimes: Lifetimes,
    /// Given back when the task ends.
    _place: Place,
}

impl Reader {
    async fn run(self, mut events: Receiver<Bytes>, feed: EventFeed) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let piece = tokio::select! {
                biased;
                () = feed.closed() => return,
                () = self.sender.closed() => return,
                _ = beat.tick() => match self.is_still_good().await {
                    Ok(true) => Bytes::from_static(BEAT_TEXT),
                    Ok(false) => return,
                    Err(error) => return tracing::warn!(%error, "a stream ended: reader not checked"),
                },
                event = events.recv() => match event {
                    Ok(event) => event,
                    Err(RecvError::Lagged(missed)) => gap(missed),
                    Err(RecvError::Closed) => return,
                },
            };
            if !matches!(timeout(STALLED_AFTER, self.sender.send(piece)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn is_still_good(&self) -> Result<bool, StoreError> {
        let (credential, lifetimes) = (self.credential.clone(), self.lifetimes);
        let now = jiff::Timestamp::now().as_second();
        let caller = self.store.read(move |tx| credential.caller(tx, &lifetimes, now)).await?;
        Ok(caller == Some(self.caller))
    }
}

/// The body of a stream.
struct Pieces(mpsc::Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
