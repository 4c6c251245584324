//! `POST /clicks/feed?wait_ms=&max_bytes=`: the request's body is a question, or a cursor of an older
//! admin; the answer's body is blocks.

use std::sync::Arc;

use coupon_shared::feed::{
    FeedQuestion, MAX_QUESTION_BYTES, OLDEST_INCARNATION_HEADER, RUN_IDS_HEADER, encode_run_ids,
};
use hyper::body::{Body, Bytes};
use hyper::header::HeaderValue;
use hyper::{Request, StatusCode};
use tokio_util::sync::CancellationToken;

use super::{Feed, FeedAnswer, FeedError};
use crate::http_answer::{HttpAnswer, json_error, octets};
use crate::long_poll::{PollEnd, PollParameters, read_poll_request};

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
    let (parameters, body) = match read_poll_request(request, MAX_QUESTION_BYTES).await {
        Ok(poll) => poll,
        Err(refusal) => return refusal,
    };
    let question = match FeedQuestion::decode(&body) {
        Ok(question) => question,
        Err(error) => return json_error(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    feed.state.last_poll.mark();
    let PollParameters { wait, max_bytes } = parameters;
    match wait_for_blocks(feed, question, max_bytes, PollEnd::after(wait, stopping)).await {
        Ok(answer) => blocks_answer(answer),
        Err(error) => json_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
    }
}

async fn wait_for_blocks(
    feed: Arc<Feed>,
    question: FeedQuestion,
    max_bytes: usize,
    end: PollEnd,
) -> Result<FeedAnswer, FeedError> {
    let mut wal_changed = feed.state.wal_changed.subscribe();
    let question = Arc::new(question);
    loop {
        wal_changed.borrow_and_update();
        let (feed, question) = (Arc::clone(&feed), Arc::clone(&question));
        let collecting = tokio::task::spawn_blocking(move || feed.collect(&question, max_bytes));
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
    if let Ok(runs) = HeaderValue::try_from(encode_run_ids(&answer.runs)) {
        response.headers_mut().insert(RUN_IDS_HEADER, runs);
    }
    response
}
