//! Answers of server-sent events that go on for ever.
//!
//! The number of readers of each stream is bounded ([`readers`]). A stream ends when its reader
//! takes nothing for 10 seconds, when its key or session is no longer good, and when the program
//! stops.

mod readers;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Extension, FromRequestParts};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::auth::{Authenticated, Credential};
use super::error::ApiError;
use super::state::AppState;
use crate::accounts::session::Lifetimes;
use crate::catalog::Caller;
use crate::store::{Store, StoreError};
pub(super) use readers::{Place, Readers};

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// The reader's key or session is checked this often.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A comment, so that proxies and this server see the connection in use.
pub(super) const BEAT: &[u8] = b":\n\n";
/// Longest time without a reader taking anything.
const STALLED_AFTER: Duration = Duration::from_secs(10);
/// Pieces between the task of a reader and its connection.
const PIECES: usize = 16;

/// Whether a request asks for server-sent events.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(EVENT_STREAM))
}

/// The client of a stream.
pub(super) struct StreamClient {
    credential: Credential,
    /// Rights at the start; a stream ends with any change of them.
    caller: Caller,
}

impl FromRequestParts<AppState> for StreamClient {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<StreamClient, ApiError> {
        let Authenticated(caller) = Authenticated::from_request_parts(parts, state).await?;
        let credential = Extension::<Credential>::from_request_parts(parts, state).await;
        let Extension(credential) = credential.map_err(|_| ApiError::inside())?;
        Ok(StreamClient { credential, caller })
    }
}

impl StreamClient {
    /// Takes a place among the readers.
    ///
    /// # Errors
    /// 429 when the client, or all together, have too many streams.
    pub(super) fn take_place(&self, readers: &Readers) -> Result<Place, ApiError> {
        readers.take(self.credential.holder(self.caller)).map_err(|error| {
            let status = StatusCode::TOO_MANY_REQUESTS;
            ApiError::new(status, "stream.too_many", error.to_string())
        })
    }
}

/// The writing end of a stream.
pub(super) struct StreamWriter {
    sender: mpsc::Sender<Bytes>,
    client: StreamClient,
    store: Store,
    lifetimes: Lifetimes,
    /// Given back when the stream ends.
    _place: Place,
}

impl StreamWriter {
    /// A writer, and the answer that its reader gets.
    pub(super) fn new(
        client: StreamClient,
        place: Place,
        store: Store,
        lifetimes: Lifetimes,
    ) -> (StreamWriter, Response) {
        let (sender, pieces) = mpsc::channel(PIECES);
        let mut response = Body::new(Pieces(pieces)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        // A proxy that collects the answer would show nothing.
        let buffering = HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        (StreamWriter { sender, client, store, lifetimes, _place: place }, response)
    }

    /// Waits until the reader has gone.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Returns whether the reader took the piece.
    pub(super) async fn send(&self, piece: Bytes) -> bool {
        matches!(timeout(STALLED_AFTER, self.sender.send(piece)).await, Ok(Ok(())))
    }

    /// Whether the reader's key or session has the rights of the start.
    pub(super) async fn is_still_good(&self) -> bool {
        match self.read_caller().await {
            Ok(caller) => caller == Some(self.client.caller),
            Err(error) => {
                tracing::warn!(%error, "a stream ended: reader not checked");
                false
            }
        }
    }

    async fn read_caller(&self) -> Result<Option<Caller>, StoreError> {
        let (credential, lifetimes) = (self.client.credential.clone(), self.lifetimes);
        let now = jiff::Timestamp::now().as_second();
        self.store.read(move |tx| credential.caller(tx, &lifetimes, now)).await
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
