//! The service above hyper: records when a handler works on a request, or its answer is not whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, Version};
use pin_project_lite::pin_project;

use crate::open::{ConnectionState, Order};

/// A service that marks in the connection's state when it works on a request.
#[derive(Debug)]
pub struct WatchedService<S> {
    service: S,
    watch: Arc<ConnectionState>,
}

impl<S> WatchedService<S> {
    pub(crate) fn new(service: S, watch: Arc<ConnectionState>) -> WatchedService<S> {
        WatchedService { service, watch }
    }
}

impl<S, B> Service<Request<Incoming>> for WatchedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body,
{
    type Response = Response<WatchedBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.watch.set_answering(true);
        self.watch.set_last_request(is_clients_last(&request));
        let is_last = !self.watch.heads.read(request.body().size_hint().exact());
        ResponseFuture {
            answer: self.service.call(request),
            watch: Arc::clone(&self.watch),
            is_last,
        }
    }
}

/// Whether the client's protocol rules out a further request. A list of options counts as no.
fn is_clients_last<B>(request: &Request<B>) -> bool {
    match request.headers().get(CONNECTION) {
        Some(option) => option.as_bytes().eq_ignore_ascii_case(b"close"),
        None => request.version() == Version::HTTP_10,
    }
}

pin_project! {
    /// The future of one answer.
    pub struct ResponseFuture<F> {
        #[pin]
        answer: F,
        watch: Arc<ConnectionState>,
        is_last: bool,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<WatchedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        this.watch.set_answering(false);
        Poll::Ready(answer.map(|mut answer| {
            if *this.is_last || this.watch.order() != Order::Serve {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer.map(|body| WatchedBody::new(body, this.watch))
        }))
    }
}

pin_project! {
    /// The body of an answer.
    pub struct WatchedBody<B> {
        #[pin]
        body: B,
        streaming: Option<Streaming>,
    }
}

impl<B: Body> WatchedBody<B> {
    fn new(body: B, watch: &Arc<ConnectionState>) -> WatchedBody<B> {
        let streaming = (!body.is_end_stream()).then(|| {
            watch.set_streaming(true);
            Streaming(Arc::clone(watch))
        });
        WatchedBody { body, streaming }
    }
}

/// Lasts until hyper has buffered the body's last byte.
struct Streaming(Arc<ConnectionState>);

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.set_streaming(false);
    }
}

impl<B: Body> Body for WatchedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
