//! `POST /clicks/feed?wait_ms=&max_bytes=`: the request's body is a cursor, the answer's body is
//! blocks.

use std::sync::Arc;

use coupon_shared::feed::{Cursor, MAX_CURSOR_ENTRIES, OLDEST_INCARNATION_HEADER};
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

use super::{Feed, FeedAnswer, FeedError};
use crate::http_answer::{HttpAnswer, json_error, octets};
use crate::long_poll::{PollEnd, PollParameters, read_poll_request};

const MAX_CURSOR_BYTES: usize = 64 + 16 * MAX_CURSOR_ENTRIES;

/// Answers a poll of the admin.
pub(crate) async fn answer<B>(
    feed: Arc<Feed>,
    request: Request<B>,
    stopping: CancellationToken,
) -> HttpAnswer
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
    feed.state.last_poll.mark();
    let PollParameters { wait, max_bytes } = parameters;
    match wait_for_blocks(feed, cursor, max_bytes, PollEnd::after(wait, stopping)).await {
        Ok(answer) => blocks_answer(answer),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_blocks(
    feed: Arc<Feed>,
    cursor: Cursor,
    max_bytes: usize,
    end: PollEnd,
) -> Result<FeedAnswer, FeedError> {
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
        if !end.wait_for(&mut wal_changed).await {
            return Ok(answer);
        }
    }
}

fn blocks_answer(answer: FeedAnswer) -> HttpAnswer {
    let mut response = octets(answer.blocks);
    let oldest = HeaderValue::from(answer.oldest_incarnation);
    response.headers_mut().insert(OLDEST_INCARNATION_HEADER, oldest);
    response
}
