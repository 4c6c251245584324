//! A client's stream that speaks TLS; the handshake happens while the stream is read.
//!
//! Invariant: no byte reaches HTTP before the handshake is complete. Until then the connection
//! counts as one whose client has sent nothing, so `client_timeout` runs from the start over
//! handshake and first request together.
//!
//! A connection that does not begin like TLS gets a plain answer that says so, where the bytes look
//! like an HTTP request; anything else is closed without an answer.

use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::Acceptor;
use tokio::io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream as Established;
use tokio_rustls::{Accept, LazyConfigAcceptor, StartHandshake};

use super::refusal::{HelloBytes, NotTls, PLAIN_HTTP_ANSWER, Refusal, UNKNOWN_NAME_ALERT};
use super::setup::TlsSetup;
use crate::client_peer::ClientPeer;
use crate::listener::{ClientStream, PeerAddress as _};

// Estimated bytes of memory in each stage, with what the allocator adds. The daemon's test
// `the_estimate_of_a_tls_connections_memory_covers_each_stage` measures them.
/// Rustls's buffer of a hello that does not end, of the longest that is read.
const HELLO_BYTES: u32 = 40 * 1024;
/// Keys, and the transcript until the client has finished its part.
const HANDSHAKE_BYTES: u32 = 12 * 1024;
/// Keys, and rustls's buffer of the next record, which has 4 KiB also while it is empty.
const OPEN_BYTES: u32 = 10 * 1024;

/// A stream that speaks TLS over `T`.
#[derive(Debug)]
pub struct TlsStream<T> {
    stage: Stage<T>,
    setup: Arc<TlsSetup>,
    peer: ClientPeer,
}

enum Stage<T> {
    /// Nothing was read yet; a client that sends nothing costs no more than its socket.
    Silent(T),
    Hello(Box<LazyConfigAcceptor<HelloBytes<T>>>),
    Handshake(Box<Accept<HelloBytes<T>>>),
    Open(Box<Established<HelloBytes<T>>>),
    /// The client gets these last bytes in plain.
    Refused(Refusal<T>),
    Over,
}

impl<T> fmt::Debug for Stage<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Silent(_) => "Silent",
            Stage::Hello(_) => "Hello",
            Stage::Handshake(_) => "Handshake",
            Stage::Open(_) => "Open",
            Stage::Refused(_) => "Refused",
            Stage::Over => "Over",
        })
    }
}

impl<T: ClientStream> TlsStream<T> {
    pub(crate) fn new(stream: T, setup: Arc<TlsSetup>, peer: ClientPeer) -> TlsStream<T> {
        setup.counters.accepted();
        TlsStream { stage: Stage::Silent(stream), setup, peer }
    }

    /// Goes on with the handshake. Ready once the stream is open, refused or broken.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.stage {
                Stage::Open(_) | Stage::Over => return Poll::Ready(Ok(())),
                Stage::Silent(stream) => {
                    ready!(stream.poll_readable(cx))?;
                    self.begin();
                }
                Stage::Hello(acceptor) => match ready!(Pin::new(&mut **acceptor).poll(cx)) {
                    Ok(start) => self.stage = self.answer_hello(start),
                    Err(error) => {
                        let stream = acceptor.take_io();
                        self.refuse_beginning(stream, error)?;
                    }
                },
                Stage::Handshake(accept) => {
                    let opened = ready!(Pin::new(&mut **accept).poll(cx));
                    let stream = opened.inspect_err(|_| self.setup.counters.failed())?;
                    self.setup.counters.opened(stream.get_ref().1.handshake_kind());
                    self.stage = Stage::Open(Box::new(stream));
                }
                Stage::Refused(refusal) => {
                    ready!(refusal.poll_done(cx))?;
                    self.stage = Stage::Over;
                }
            }
        }
    }

    /// The client has sent its first bytes.
    fn begin(&mut self) {
        if let Stage::Silent(stream) = mem::replace(&mut self.stage, Stage::Over) {
            let acceptor = LazyConfigAcceptor::new(Acceptor::default(), HelloBytes::new(stream));
            self.stage = Stage::Hello(Box::new(acceptor));
        }
    }

    /// Decides after the client's hello, before any costly arithmetic.
    fn answer_hello(&self, mut start: StartHandshake<HelloBytes<T>>) -> Stage<T> {
        if !self.setup.limit.admits(self.peer.ip()) {
            self.setup.counters.limited();
            return Stage::Over;
        }
        let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
        if self.setup.certificates.choose(name.as_deref()).is_none() {
            self.setup.counters.unknown_name();
            return Stage::Refused(Refusal::new(start.io.into_inner(), UNKNOWN_NAME_ALERT));
        }
        self.peer.set_tls(name);
        start.io.hello_is_over();
        let config = Arc::clone(&self.setup.config);
        Stage::Handshake(Box::new(start.into_stream(config)))
    }

    /// The first bytes were no hello, or a hello that cannot be served.
    fn refuse_beginning(
        &mut self,
        stream: Option<HelloBytes<T>>,
        error: io::Error,
    ) -> io::Result<()> {
        self.stage = Stage::Over;
        let not_tls = error.get_ref().and_then(|inner| inner.downcast_ref::<NotTls>());
        match (not_tls, stream) {
            (Some(NotTls { looks_like_http: true }), Some(stream)) => {
                self.setup.counters.plain_http();
                let stream = stream.into_inner();
                self.stage = Stage::Refused(Refusal::new(stream, PLAIN_HTTP_ANSWER));
                Ok(())
            }
            // A port check connects and goes without a byte.
            _ if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            _ => {
                self.setup.counters.failed();
                Err(error)
            }
        }
    }
}

impl<T: ClientStream> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        match &mut self.stage {
            Stage::Open(stream) => match ready!(Pin::new(&mut **stream).poll_read(cx, buf)) {
                // Many clients close without TLS's own goodbye; HTTP knows where its messages end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                read => Poll::Ready(read),
            },
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<T: ClientStream> AsyncWrite for TlsStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stage {
            Stage::Open(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stage {
            Stage::Open(stream) => Pin::new(&mut **stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stage {
            Stage::Open(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<T: ClientStream> ClientStream for TlsStream<T> {
    /// Goes through the handshake, so that only bytes of HTTP count.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        match &mut self.stage {
            Stage::Open(stream) => match ready!(Pin::new(&mut **stream).poll_fill_buf(cx)) {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Err(error))
                }
                _ => Poll::Ready(Ok(())),
            },
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Says TLS's goodbye, so that the client knows the answer is whole. The client answers a
    /// goodbye only behind the whole answer, so its own may find the socket closed.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Open(stream) = &mut self.stage else { return Poll::Ready(Ok(())) };
        stream.get_mut().1.send_close_notify();
        ready!(Pin::new(&mut **stream).poll_flush(cx))?;
        stream.get_mut().0.get_mut().poll_close(cx)
    }

    fn held_bytes(&self) -> u32 {
        match &self.stage {
            Stage::Silent(_) | Stage::Refused(_) | Stage::Over => 0,
            Stage::Hello(_) => HELLO_BYTES,
            Stage::Handshake(_) => HANDSHAKE_BYTES,
            Stage::Open(_) => OPEN_BYTES,
        }
    }

    /// Bytes of a handshake count as well, and bytes that the socket holds unread.
    fn has_unread(&self) -> bool {
        match &self.stage {
            Stage::Silent(stream) => stream.has_unread(),
            Stage::Hello(_) | Stage::Refused(_) | Stage::Over => false,
            Stage::Handshake(accept) => {
                accept.get_ref().is_some_and(|stream| stream.get_ref().has_unread())
            }
            Stage::Open(stream) => stream.get_ref().0.get_ref().has_unread(),
        }
    }
}
