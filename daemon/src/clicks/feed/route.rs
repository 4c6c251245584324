//! `POST /clicks/feed?wait_ms=&max_bytes=`: a cursor in, blocks out.

use std::sync::Arc;
use std::time::Duration;

use coupon_shared::feed::{Cursor, MAX_CURSOR_ENTRIES, OLDEST_INCARNATION_HEADER};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Feed, FeedAnswer, FeedError};

const MAX_CURSOR_BYTES: usize = 64 + 16 * MAX_CURSOR_ENTRIES;
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long an asker may take to send its cursor; the accept loop leaves that to its handlers.
const BODY_DEADLINE: Duration = Duration::from_secs(2);
const DEFAULT_BYTES: usize = 4 << 20;
const MAX_BYTES: usize = 64 << 20;

/// What an asker may say in the query.
#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    wait: Duration,
    max_bytes: usize,
}

/// Answers a request of the admin.
pub(in crate::clicks) async fn answer<B>(
    feed: Arc<Feed>,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let parameters = match parse_query(request.uri().query().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(problem) => return refusal(StatusCode::BAD_REQUEST, &problem),
    };
    let body = Limited::new(request.into_body(), MAX_CURSOR_BYTES).collect();
    let body = match timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) => return refusal(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(_) => return refusal(StatusCode::REQUEST_TIMEOUT, "the cursor did not come in time"),
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
    let mut committed = feed.progress.committed.subscribe();
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

fn parse_query(query: &str) -> Result<Parameters, String> {
    let mut parameters = Parameters { wait: Duration::ZERO, max_bytes: DEFAULT_BYTES };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let number = || {
            let number = value.parse::<usize>();
            number.map_err(|_| format!("`{name}` must be a number, not `{value}`"))
        };
        match name {
            "wait_ms" => parameters.wait = Duration::from_millis(number()? as u64).min(MAX_WAIT),
            "max_bytes" => parameters.max_bytes = number()?.min(MAX_BYTES),
            _ => return Err(format!("there is no parameter `{name}`")),
        }
    }
    Ok(parameters)
}

fn blocks_answer(answer: FeedAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.blocks)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(OLDEST_INCARNATION_HEADER, HeaderValue::from(answer.oldest_incarnation));
    response
}

fn refusal(status: StatusCode, problem: &str) -> Response<Full<Bytes>> {
    let body = format!("{}\n", serde_json::json!({ "error": problem }));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_bounded() {
        let parsed = parse_query("wait_ms=1000&max_bytes=4194304").unwrap();
        assert_eq!(parsed, Parameters { wait: Duration::from_secs(1), max_bytes: 4 << 20 });
        let bounded = parse_query("wait_ms=99999999&max_bytes=99999999999").unwrap();
        assert_eq!(bounded, Parameters { wait: MAX_WAIT, max_bytes: MAX_BYTES });
        assert_eq!(parse_query("").unwrap().max_bytes, DEFAULT_BYTES);
        for wrong in ["wait_ms=soon", "max_bytes=-1", "limit=3", "wait_ms"] {
            parse_query(wrong).unwrap_err();
        }
    }
}
