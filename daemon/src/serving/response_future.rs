//! The future of an answer, without a box for the answers to visits.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use tokio::task::{JoinHandle, spawn_local};

use super::durability_gate::GatedAnswer;
use crate::http_answer::{self, HttpAnswer};

/// An answer that hyper polls for.
pub(super) enum ResponseFuture {
    /// The answer to a visit.
    Ready(Ready<HttpAnswer>),
    /// The answer to a visit, held back until the click is durable.
    Gated(GatedAnswer),
    /// An answer that takes time. Runs in its own task, so it completes even if the client
    /// disconnects.
    Spawned(JoinHandle<HttpAnswer>),
}

impl ResponseFuture {
    pub(super) fn ready(answer: HttpAnswer) -> ResponseFuture {
        ResponseFuture::Ready(ready(answer))
    }

    pub(super) fn spawn(answer: impl Future<Output = HttpAnswer> + 'static) -> ResponseFuture {
        ResponseFuture::Spawned(spawn_local(answer))
    }
}

impl Future for ResponseFuture {
    type Output = Result<HttpAnswer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            ResponseFuture::Ready(answer) => Pin::new(answer).poll(cx).map(Ok),
            ResponseFuture::Gated(answer) => Pin::new(answer).poll(cx).map(Ok),
            ResponseFuture::Spawned(task) => Pin::new(task).poll(cx).map(|joined| {
                // A task is never aborted, so only a panic leaves the request without an answer.
                Ok(joined.unwrap_or_else(|_| internal_error()))
            }),
        }
    }
}

fn internal_error() -> HttpAnswer {
    http_answer::with_headers(StatusCode::INTERNAL_SERVER_ERROR, HeaderMap::new(), Bytes::new())
}
