//! One connection: parked without buffers, or served by hyper with a watch on the client's progress.
//!
//! Invariant: while no handler works on a request, the client has to make progress: complete a
//! request head or take bytes of an answer. Bytes of an incomplete head do not count, so a slow
//! sender gains no time. Hyper's own header time-out stays off: it arms and disarms a timer on
//! every request and does not cover a client that never reads.
//!
//! A connection begins parked, and is parked again after about a second without a request. hyper's
//! connection and its buffers exist from the first byte of a request until then.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::{HttpService, Service};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, ReadBuf};

use crate::limits::Limits;
use crate::listener::{ClientStream, PeerAddress};
use crate::open::{ConnectionSlot, Order, RoomRequest};
use crate::request_line::RequestLines;
use crate::watched_service::WatchedService;
use crate::watched_stream::WatchedStream;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Size of a first read, as of hyper's.
const FIRST_READ_BYTES: usize = 8 * 1024;

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

/// The task of one connection.
#[must_use = "a connection does nothing unless it is spawned"]
pub struct Connection<T, P, S>
where
    WatchedService<S>: HttpService<Incoming>,
{
    stage: Stage<T, S>,
    peer: P,
    builder: Arc<http1::Builder>,
    slot: ConnectionSlot,
    finishing: bool,
}

enum Stage<T, S>
where
    WatchedService<S>: HttpService<Incoming>,
{
    /// No byte of the next request was read.
    Parked(RequestLines<T>, WatchedService<S>),
    /// Boxed, so that a parked connection takes no room for hyper's.
    Serving(Box<http1::Connection<WatchedStream<T>, WatchedService<S>>>),
    Closed,
}

// The parts are boxed or moved only while they are not polled.
impl<T, P, S> Unpin for Connection<T, P, S> where WatchedService<S>: HttpService<Incoming> {}

impl<T, P, S, B> Connection<T, P, S>
where
    T: ClientStream,
    P: PeerAddress,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body + 'static,
    B::Error: Into<Error>,
{
    pub(crate) fn new(
        builder: Arc<http1::Builder>,
        stream: T,
        peer: P,
        service: S,
        slot: ConnectionSlot,
    ) -> Connection<T, P, S> {
        let stream = RequestLines::new(stream, Arc::clone(&slot.watch));
        let service = WatchedService::new(service, Arc::clone(&slot.watch));
        let stage = Stage::Parked(stream, service);
        Connection { stage, peer, builder, slot, finishing: false }
    }

    /// Reads and answers requests; ready once the connection is over.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Parked(stream, _) = &mut self.stage {
            match poll_first_bytes(stream, cx) {
                Poll::Pending => {
                    self.slot.park(self.peer.ip(), stream.held_bytes());
                    return Poll::Pending;
                }
                Poll::Ready(Ok(bytes)) if !bytes.is_empty() => self.start_serving(bytes),
                // The client left between two requests.
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
        let Stage::Serving(http) = &mut self.stage else { return Poll::Ready(()) };
        let result = ready!(Pin::new(&mut **http).poll(cx));
        self.slot.counters.closed(result);
        Poll::Ready(())
    }

    fn start_serving(&mut self, first_bytes: Vec<u8>) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Parked(stream, service) => {
                self.slot.unpark(stream.held_bytes());
                let watch = Arc::clone(&self.slot.watch);
                let stream = WatchedStream::new(stream, first_bytes, watch);
                Stage::Serving(Box::new(self.builder.serve_connection(stream, service)))
            }
            other => other,
        };
    }

    /// Takes the stream out of hyper and frees the buffers, unless a request has begun.
    fn park(&mut self) {
        if !self.slot.watch.can_park() {
            self.slot.decline_parking();
            return;
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Serving(http) => {
                // At most empty lines are left unread: `can_park` excludes the rest.
                let parts = http.into_parts();
                Stage::Parked(parts.io.into_inner(), parts.service)
            }
            other => other,
        };
    }

    fn obey_room_request(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.slot.watch.take_room_request() {
            RoomRequest::None => Poll::Pending,
            RoomRequest::Park => {
                self.park();
                self.poll_requests(cx)
            }
            request => self.close_if_waiting(request, cx),
        }
    }

    /// Closes in favour of other connections, unless the client has gone on.
    fn close_if_waiting(&mut self, request: RoomRequest, cx: &mut Context<'_>) -> Poll<()> {
        self.park();
        if self.poll_requests(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.slot.watch.is_still_waiting() && !self.has_unread() {
            match request {
                RoomRequest::CloseForMemory => self.slot.counters.evicted_for_memory(),
                _ => self.slot.counters.evicted(),
            }
            self.say_goodbye(cx);
            return Poll::Ready(());
        }
        self.slot.decline_eviction();
        Poll::Pending
    }

    fn obey_order(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.slot.watch.order() {
            Order::Serve | Order::LastRequest => Poll::Pending,
            Order::Cut => Poll::Ready(()),
            // A request that arrived at the last moment is still answered.
            Order::TimedOut if self.has_unread() => Poll::Pending,
            Order::TimedOut if !self.slot.watch.is_answering() => {
                self.slot.counters.timed_out();
                self.say_goodbye(cx);
                Poll::Ready(())
            }
            Order::Finish | Order::TimedOut if self.finishing => Poll::Pending,
            Order::Finish | Order::TimedOut => {
                self.finishing = true;
                self.start_serving(Vec::new());
                if let Stage::Serving(http) = &mut self.stage {
                    Pin::new(&mut **http).graceful_shutdown();
                }
                self.poll_requests(cx)
            }
        }
    }

    /// Tells the client that the connection ends, as far as that needs no wait. A client that still
    /// takes an answer is told nothing: the answer is not whole.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) {
        let mut stream = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Parked(stream, _) => stream,
            Stage::Serving(http) if self.slot.watch.is_waiting() => {
                http.into_parts().io.into_inner()
            }
            _ => return,
        };
        // The stream is dropped in any case, so nobody has to learn of an error.
        let _ = stream.stream_mut().poll_close(cx);
    }

    /// Whether bytes have arrived on a parked connection that the runtime has not reported yet.
    fn has_unread(&self) -> bool {
        matches!(&self.stage, Stage::Parked(stream, _) if stream.has_unread())
    }
}

impl<T, P, S, B> Future for Connection<T, P, S>
where
    T: ClientStream,
    P: PeerAddress,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body + 'static,
    B::Error: Into<Error>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.slot.watch.set_waker(cx.waker());
        // The client's bytes first, so that a request which has arrived is answered under any
        // order.
        if this.poll_requests(cx).is_ready() || this.obey_room_request(cx).is_ready() {
            return Poll::Ready(());
        }
        this.obey_order(cx)
    }
}

/// Reads the first bytes of a request without a buffer that lasts; none at the stream's end.
fn poll_first_bytes<T: AsyncRead + Unpin>(
    stream: &mut RequestLines<T>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Vec<u8>>> {
    let mut bytes = [MaybeUninit::uninit(); FIRST_READ_BYTES];
    let mut read = ReadBuf::uninit(&mut bytes);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    Poll::Ready(Ok(read.filled().to_vec()))
}
