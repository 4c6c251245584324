//! One connection: hyper's, with a watch on the client's progress.
//!
//! Invariant: while no handler works on a request, the client has to make progress: complete a
//! request head or take bytes of an answer. Bytes of an incomplete head do not count, so a slow
//! sender gains no time. Hyper's own header time-out stays off: it arms and disarms a timer on
//! every request and does not cover a client that never reads.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::Limits;
use crate::open::{ConnectionSlot, ConnectionState, Order};
use crate::request_line::RequestLines;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes that a client may still send after our last byte.
const MAX_LINGER_BYTES: usize = 256 * 1024;

pub(crate) fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .pipeline_flush(false)
        // Answers are a head and at most one small body: copying beats a gathering write.
        .writev(false)
        .max_buf_size(limits.max_head_bytes.max(8 * 1024))
        .header_read_timeout(None);
    builder
}

pin_project! {
    /// The task of one connection.
    #[must_use = "a connection does nothing unless it is spawned"]
    pub struct Connection<T, S>
    where
        WatchedService<S>: HttpService<Incoming>,
    {
        #[pin]
        http: http1::Connection<WatchedStream<T>, WatchedService<S>>,
        slot: ConnectionSlot,
        finishing: bool,
    }
}

impl<T, S, B> Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body + 'static,
    B::Error: Into<Error>,
{
    pub(crate) fn new(
        builder: &http1::Builder,
        stream: T,
        service: S,
        slot: ConnectionSlot,
    ) -> Connection<T, S> {
        let stream = WatchedStream {
            stream: TokioIo::new(RequestLines::new(stream, Arc::clone(&slot.watch))),
            watch: Arc::clone(&slot.watch),
            linger_bytes: None,
        };
        let service = WatchedService { service, watch: Arc::clone(&slot.watch) };
        let http = builder.serve_connection(stream, service);
        Connection { http, slot, finishing: false }
    }
}

impl<T, S, B> Future for Connection<T, S>
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body + 'static,
    B::Error: Into<Error>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        this.slot.watch.set_waker(cx.waker());
        // The client's bytes first, so that a request which has arrived is answered under any
        // order.
        if let Poll::Ready(result) = this.http.as_mut().poll(cx) {
            this.slot.counters.closed(result);
            return Poll::Ready(());
        }
        match this.slot.watch.order() {
            Order::Serve | Order::LastRequest => Poll::Pending,
            Order::Cut => Poll::Ready(()),
            // A request that arrived at the last moment is still answered.
            Order::TimedOut if !this.slot.watch.is_answering() => {
                this.slot.counters.timed_out();
                Poll::Ready(())
            }
            Order::Finish | Order::TimedOut if *this.finishing => Poll::Pending,
            Order::Finish | Order::TimedOut => {
                *this.finishing = true;
                this.http.as_mut().graceful_shutdown();
                this.http.poll(cx).map(|result| this.slot.counters.closed(result))
            }
        }
    }
}

/// A service that marks in the connection's state when it works on a request.
#[derive(Debug)]
pub struct WatchedService<S> {
    service: S,
    watch: Arc<ConnectionState>,
}

impl<S, B> Service<Request<Incoming>> for WatchedService<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.watch.set_answering(true);
        let is_last = !self.watch.heads.read(request.body().size_hint().exact());
        ResponseFuture {
            answer: self.service.call(request),
            watch: Arc::clone(&self.watch),
            is_last,
        }
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
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        this.watch.set_answering(false);
        if (*this.is_last || this.watch.order() != Order::Serve)
            && let Ok(answer) = &mut answer
        {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(answer)
    }
}

/// A stream that records when the client sends or takes bytes, and that closes without a reset:
/// first our half, then the client's remaining bytes are read and dropped. Closing with unread
/// bytes would make the kernel send a reset that can overtake the last answer.
#[derive(Debug)]
pub(crate) struct WatchedStream<T> {
    stream: TokioIo<RequestLines<T>>,
    watch: Arc<ConnectionState>,
    /// Bytes that the client may still send; `None` until our half is closed.
    linger_bytes: Option<usize>,
}

impl<T: AsyncRead + Unpin> Read for WatchedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.watch.client_sent_bytes();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Write for WatchedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        match &written {
            Poll::Ready(Ok(_)) => self.watch.client_took_bytes(),
            Poll::Pending => self.watch.client_stopped_taking(),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut left = match this.linger_bytes {
            Some(left) => left,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
                this.watch.set_lingering();
                MAX_LINGER_BYTES
            }
        };
        loop {
            this.linger_bytes = Some(left);
            let mut bytes = [MaybeUninit::uninit(); 4096];
            let mut unread = ReadBuf::uninit(&mut bytes);
            let read = Pin::new(this.stream.inner_mut().stream_mut()).poll_read(cx, &mut unread);
            ready!(read)?;
            let count = unread.filled().len();
            if count == 0 || count >= left {
                return Poll::Ready(Ok(()));
            }
            left -= count;
        }
    }
}
