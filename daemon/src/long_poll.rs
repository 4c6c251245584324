//! Long polling, for both feeds: a request with a body and a maximum wait.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes};
use hyper::{Request, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::http_answer::{HttpAnswer, json_error};

const MAX_WAIT: Duration = Duration::from_secs(30);
/// Longest time for a client to send the body; the accept loop leaves this to its handlers.
const BODY_DEADLINE: Duration = Duration::from_secs(2);
const DEFAULT_BYTES: usize = 4 << 20;
const MAX_BYTES: usize = 64 << 20;

/// The parameters in the query.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PollParameters {
    /// Longest wait for data; at most [`MAX_WAIT`].
    pub(crate) wait: Duration,
    /// Size limit of the answer; at most [`MAX_BYTES`].
    pub(crate) max_bytes: usize,
}

/// Reads `wait_ms=&max_bytes=` from the query and a body of at most `max_bytes` bytes.
pub(crate) async fn read_poll_request<B>(
    request: Request<B>,
    max_bytes: usize,
) -> Result<(PollParameters, Bytes), HttpAnswer>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let parameters = parse_query(request.uri().query().unwrap_or_default())
        .map_err(|problem| json_error(StatusCode::BAD_REQUEST, &problem))?;
    let body = Limited::new(request.into_body(), max_bytes).collect();
    match timeout(BODY_DEADLINE, body).await {
        Ok(Ok(body)) => Ok((parameters, body.to_bytes())),
        Ok(Err(error)) => Err(json_error(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(_) => Err(json_error(StatusCode::REQUEST_TIMEOUT, "the question did not come in time")),
    }
}

/// How long a poll waits.
#[derive(Debug, Clone)]
pub(crate) struct PollEnd {
    deadline: Instant,
    stopping: CancellationToken,
}

impl PollEnd {
    /// After `wait`, or at once when the program stops: a stop would otherwise wait for polls.
    pub(crate) fn after(wait: Duration, stopping: CancellationToken) -> PollEnd {
        PollEnd { deadline: Instant::now() + wait, stopping }
    }

    /// Waits for a change; false if the poll ends before.
    pub(crate) async fn wait_for(&self, changed: &mut watch::Receiver<()>) -> bool {
        tokio::select! {
            changed = timeout_at(self.deadline, changed.changed()) => matches!(changed, Ok(Ok(()))),
            () = self.stopping.cancelled() => false,
        }
    }
}

fn parse_query(query: &str) -> Result<PollParameters, String> {
    let mut parameters = PollParameters { wait: Duration::ZERO, max_bytes: DEFAULT_BYTES };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_and_bounded() {
        let parsed = parse_query("wait_ms=1000&max_bytes=4194304").unwrap();
        assert_eq!(parsed, PollParameters { wait: Duration::from_secs(1), max_bytes: 4 << 20 });
        let bounded = parse_query("wait_ms=99999999&max_bytes=99999999999").unwrap();
        assert_eq!(bounded, PollParameters { wait: MAX_WAIT, max_bytes: MAX_BYTES });
        assert_eq!(parse_query("").unwrap().max_bytes, DEFAULT_BYTES);
        for wrong in ["wait_ms=soon", "max_bytes=-1", "limit=3", "wait_ms"] {
            parse_query(wrong).unwrap_err();
        }
    }
}
