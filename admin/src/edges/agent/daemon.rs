//! Requests to the coupond beside the agent.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::AgentShared;
use crate::edges::pieces::MAX_MESSAGE_BYTES;

/// Deadline of coupond's answer; the control plane's own ones are shorter.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(130);

/// Passes a request to coupond; returns its answer, or an error in its place.
pub(super) async fn pass_on(shared: &AgentShared, mut request: Request<Bytes>) -> Response<Bytes> {
    request.headers_mut().insert(HOST, HeaderValue::from_static("coupond"));
    let answer = shared.daemon.exchange(request, MAX_MESSAGE_BYTES);
    match timeout(DAEMON_TIMEOUT, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => explain(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        Err(_elapsed) => explain(StatusCode::GATEWAY_TIMEOUT, "coupond does not answer"),
    }
}

/// An answer of the agent itself.
pub(super) fn explain(status: StatusCode, reason: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "error": reason }).to_string();
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer
}
