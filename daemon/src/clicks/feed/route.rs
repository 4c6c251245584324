//! `POST /clicks/feed?wait_ms=&max_bytes=`: the request's body is a cursor, the answer's body is
//! blocks.

use std::sync::Arc;

use coupon_shared::feed::{Cursor, MAX_CURSOR_ENTRIES, OLDEST_INCARNATION_HEADER};
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{Feed, FeedAnswer, FeedError};
use crate::http_answer::{HttpAnswer, json_error, octets};
use crate::long_poll::{PollParameters, read_poll_request};

const MAX_CURSOR_BYTES: usize = 64 + 16 * MAX_CURSOR_ENTRIES;

/// Answers a poll of the admin.
pub(crate) async fn answer<B>(feed: Arc<Feed>, request: Request<B>) -> HttpAnswer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parameters, body) = match read_poll_request(request, MAX_CURSOR_BYTES).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let cursor = match Cursor::decode(&body) {
        Ok(cursor) => cursor,
        Err(error) => return json_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match wait_for_blocks(feed, cursor, parameters).await {
        Ok(answer) => blocks_answer(answer),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_blocks(
    feed: Arc<Feed>,
    cursor: Cursor,
    PollParameters { wait, max_bytes }: PollParameters,
) -> Result<FeedAnswer, FeedError> {
    let deadline = Instant::now() + wait;
    let mut wal_changed = feed.state.wal_changed.subscribe();
    let cursor = Arc::new(cursor);
    loop {
        wal_changed.borrow_and_update();
        let (feed, cursor) = (Arc::clone(&feed), Arc::clone(&cursor));
        let collecting = tokio::task::spawn_blocking(move || feed.collect(&cursor, max_bytes));
        // The task neither panics nor is cancelled; if it did, the admin would poll again.
        let answer = collecting.await.unwrap_or(Err(FeedError::NotOpen))?;
        if !answer.blocks.is_empty() {
            return Ok(answer);
        }
        match timeout_at(deadline, wal_changed.changed()).await {
            Ok(Ok(())) => {}
            _ => return Ok(answer),
        }
    }
}

fn blocks_answer(answer: FeedAnswer) -> HttpAnswer {
    let mut response = octets(answer.blocks);
    let oldest = HeaderValue::from(answer.oldest_incarnation);
    response.headers_mut().insert(OLDEST_INCARNATION_HEADER, oldest);
    response
}
