//! Connections that do not begin like TLS, and the last words to a refused client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::forward_writes;

/// First byte of a TLS record that carries a handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// The answer to a request in plain HTTP.
pub(super) const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain\r\ncontent-length: 53\r\nconnection: close\r\n\r\n\
    This port speaks TLS: write https:// before the host\n";

/// A record with the fatal alert `unrecognized_name`: no certificate is for that server name.
pub(super) const UNKNOWN_NAME_ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 112];

/// Bytes that a refused client may still send before the connection is closed.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// The connection began with another protocol.
#[derive(Debug, thiserror::Error)]
#[error("the connection does not begin like TLS")]
pub(super) struct NotTls {
    /// The first byte could begin a request of HTTP.
    pub(super) looks_like_http: bool,
}

/// Refuses to read from a stream whose first byte is none of TLS.
#[derive(Debug)]
pub(super) struct FirstByte<T> {
    stream: T,
    is_checked: bool,
}

impl<T> FirstByte<T> {
    pub(super) fn new(stream: T) -> FirstByte<T> {
        FirstByte { stream, is_checked: false }
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.stream
    }

    pub(super) fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FirstByte<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if !self.is_checked
            && let Some(first) = buf.filled().get(before)
        {
            self.is_checked = true;
            if *first != HANDSHAKE_RECORD {
                let looks_like_http = first.is_ascii_uppercase();
                return Poll::Ready(Err(io::Error::other(NotTls { looks_like_http })));
            }
        }
        Poll::Ready(Ok(()))
    }
}

forward_writes!(FirstByte, stream);

/// Writes the last bytes to a refused client, then reads and drops what the client still sends:
/// closing with unread bytes would make the kernel reset the connection and lose the answer.
#[derive(Debug)]
pub(super) struct Refusal<T> {
    stream: T,
    rest: &'static [u8],
    is_shut: bool,
    unread: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Refusal<T> {
    pub(super) fn new(stream: T, answer: &'static [u8]) -> Refusal<T> {
        Refusal { stream, rest: answer, is_shut: false, unread: MAX_UNREAD_BYTES }
    }

    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, self.rest))?;
            self.rest = &self.rest[written..];
        }
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
        }
        loop {
            let mut bytes = [0; 1024];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut bytes))?;
            let count = bytes.filled().len();
            if count == 0 || count >= self.unread {
                return Poll::Ready(Ok(()));
            }
            self.unread -= count;
        }
    }
}
