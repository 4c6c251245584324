//! What the feeds have in common: a body in, and an answer as soon as there is something to say.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use super::{Answer, json_answer};

const MAX_WAIT: Duration = Duration::from_secs(30);
/// How long an asker may take to send its question; the accept loop leaves that to its handlers.
const BODY_DEADLINE: Duration = Duration::from_secs(2);
const DEFAULT_BYTES: usize = 4 << 20;
const MAX_BYTES: usize = 64 << 20;

/// What an asker may say in the query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// How long the answer may be waited for.
    pub(crate) wait: Duration,
    /// How long the answer may be.
    pub(crate) max_bytes: usize,
}

/// Reads `wait_ms=&max_bytes=` and a body of at most so many bytes.
pub(crate) async fn question<B>(
    request: Request<B>,
    max_bytes: usize,
) -> Result<(Parameters, Bytes), Answer>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let parameters = parse_query(request.uri().query().unwrap_or_default())
        .map_err(|problem| refusal(StatusCode::BAD_REQUEST, &problem))?;
    let body = Limited::new(request.into_body(), max_bytes).collect();
    match timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => Ok((parameters, body.to_bytes())),
        Ok(Err(error)) => Err(refusal(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "the question did not come in time")),
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

/// An answer of bytes.
pub(crate) fn bytes_answer(bytes: Vec<u8>) -> Answer {
    let mut answer = Response::new(Bytes::from(bytes).into());
    let octets = HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(CONTENT_TYPE, octets);
    answer
}

/// An answer that says why there is none.
pub(crate) fn refusal(status: StatusCode, problem: &str) -> Answer {
    json_answer(status, &json!({ "error": problem }))
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
