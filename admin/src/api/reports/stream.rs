//! `GET /v1/networks/stream`: clicks and conversions as server-sent events, while they come.
//!
//! One task reads what is new for all readers ([`feed`]). Each reader has a bounded queue: one that
//! is slow loses events, and is sent the number that it lost.

mod feed;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

pub use feed::{EventFeed, FeedSources};

use crate::accounts::session::Lifetimes;
use crate::api::error::ApiError;
use crate::api::streams::{BEAT, CHECK_INTERVAL, StreamClient, StreamWriter, accepts_events};
use crate::store::Store;
use feed::gap;

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
    client: StreamClient,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if !accepts_events(&headers) {
        // A browser's address bar would wait for the end of the answer.
        let message = "this answer does not end; ask with the header Accept: text/event-stream";
        let status = StatusCode::NOT_ACCEPTABLE;
        return Err(ApiError::new(status, "request.not_acceptable", message));
    }
    let place = client.take_place(feed.readers())?;
    let events = feed.subscribe().await;
    let (writer, response) = StreamWriter::new(client, place, store, lifetimes);
    tokio::spawn(forward(writer, events, feed));
    Ok(response)
}

async fn forward(writer: StreamWriter, mut events: Receiver<Bytes>, feed: EventFeed) {
    let mut beat = interval(CHECK_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let piece = tokio::select! {
            biased;
            () = feed.closed() => return,
            () = writer.closed() => return,
            _ = beat.tick() => match writer.is_still_good().await {
                true => Bytes::from_static(BEAT),
                false => return,
            },
            event = events.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(missed)) => gap(missed),
                Err(RecvError::Closed) => return,
            },
        };
        if !writer.send(piece).await {
            return;
        }
    }
}
