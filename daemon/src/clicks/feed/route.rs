//! `POST /clicks/feed?wait_ms=&max_bytes=`: a cursor in, blocks out.

use std::sync::Arc;

use coupon_shared::feed::{Cursor, MAX_CURSOR_ENTRIES, OLDEST_INCARNATION_HEADER};
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{Feed, FeedAnswer, FeedError};
use crate::control::Answer;
use crate::control::long_poll::{Parameters, bytes_answer, question, refusal};

const MAX_CURSOR_BYTES: usize = 64 + 16 * MAX_CURSOR_ENTRIES;

/// Answers a request of the admin.
pub(in crate::clicks) async fn answer<B>(feed: Arc<Feed>, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parameters, body) = match question(request, MAX_CURSOR_BYTES).await {
        Ok(question) => question,
        Err(refusal) => return refusal,
    };
    let cursor = match Cursor::decode(&body) {
        Ok(cursor) => cursor,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match wait_for_blocks(feed, cursor, parameters).await {
        Ok(answer) => blocks_answer(answer),
        Err(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_blocks(
    feed: Arc<Feed>,
    cursor: Cursor,
    Parameters { wait, max_bytes }: Parameters,
) -> Result<FeedAnswer, FeedError> {
    let deadline = Instant::now() + wait;
    let mut committed = feed.state.committed.subscribe();
    let cursor = Arc::new(cursor);
    loop {
        committed.borrow_and_update();
        let (feed, cursor) = (Arc::clone(&feed), Arc::clone(&cursor));
        let collecting = tokio::task::spawn_blocking(move || feed.collect(&cursor, max_bytes));
        // It neither panics nor is cancelled; were it so, the asker asks again.
        let answer = collecting.await.unwrap_or(Err(FeedError::NotOpen))?;
        if !answer.blocks.is_empty() {
            return Ok(answer);
        }
        match timeout_at(deadline, committed.changed()).await {
            Ok(Ok(())) => {}
            _ => return Ok(answer),
        }
    }
}

fn blocks_answer(answer: FeedAnswer) -> Answer {
    let mut response = bytes_answer(answer.blocks);
    let oldest = HeaderValue::from(answer.oldest_incarnation);
    response.headers_mut().insert(OLDEST_INCARNATION_HEADER, oldest);
    response
}
