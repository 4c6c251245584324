//! The stream below hyper: records the client's progress, and closes without a reset.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use crate::listener::ClientStream;
use crate::open::ConnectionState;
use crate::request_line::RequestLines;

/// Bytes that a client may still send after our last byte.
const MAX_LINGER_BYTES: usize = 256 * 1024;

/// A stream that records when the client sends or takes bytes, and that closes without a reset:
/// first our half, then the client's remaining bytes are read and dropped. Closing with unread
/// bytes would make the kernel send a reset that can overtake the last answer. Where the client has
/// ended its half, or has announced its last request and all its bytes were read, no byte can be
/// unread, so the stream closes at once.
#[derive(Debug)]
pub(crate) struct WatchedStream<T> {
    stream: TokioIo<RequestLines<T>>,
    watch: Arc<ConnectionState>,
    /// Bytes that were read from the stream before hyper had buffers.
    first_bytes: Vec<u8>,
    /// Bytes that the client may still send; `None` until our half is closed.
    linger_bytes: Option<usize>,
}

impl<T> WatchedStream<T> {
    pub(crate) fn new(
        stream: RequestLines<T>,
        first_bytes: Vec<u8>,
        watch: Arc<ConnectionState>,
    ) -> WatchedStream<T> {
        WatchedStream { stream: TokioIo::new(stream), watch, first_bytes, linger_bytes: None }
    }

    pub(crate) fn into_inner(self) -> RequestLines<T> {
        self.stream.into_inner()
    }
}

impl<T: AsyncRead + Unpin> Read for WatchedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.first_bytes.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let count = this.first_bytes.len().min(buf.remaining());
            buf.put_slice(&this.first_bytes[..count]);
            this.first_bytes = this.first_bytes.split_off(count);
        }
        this.watch.client_sent_bytes();
        Poll::Ready(Ok(()))
    }
}

impl<T: ClientStream> Write for WatchedStream<T> {
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
            None if this.stream.inner_mut().is_clients_end() => {
                return this.stream.inner_mut().stream_mut().poll_close(cx);
            }
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
