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

/// The client's hello is longer than any client's.
#[derive(Debug, thiserror::Error)]
#[error("the hello has more than {MAX_HELLO_BYTES} bytes")]
struct HelloTooLong;

/// Longest hello, with the headers of its records. Hellos of browsers have about 2 KiB; an unfinished
/// one is kept in memory, and anybody can send it.
const MAX_HELLO_BYTES: usize = 16 * 1024;

/// Refuses to read from a stream whose first byte is none of TLS, or whose hello does not end.
#[derive(Debug)]
pub(super) struct HelloBytes<T> {
    stream: T,
    /// Bytes of the hello so far; `None` behind it.
    read: Option<usize>,
}

impl<T> HelloBytes<T> {
    pub(super) fn new(stream: T) -> HelloBytes<T> {
        HelloBytes { stream, read: Some(0) }
    }

    /// Lets all further bytes pass.
    pub(super) fn hello_is_over(&mut self) {
        self.read = None;
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.stream
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    pub(super) fn into_inner(self) -> T {
        self.stream
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for HelloBytes<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let Some(read) = &mut self.read else { return Poll::Ready(Ok(())) };
        let bytes = &buf.filled()[before..];
        match bytes.first() {
            Some(first) if *read == 0 && *first != HANDSHAKE_RECORD => {
                let looks_like_http = first.is_ascii_uppercase();
                return Poll::Ready(Err(io::Error::other(NotTls { looks_like_http })));
            }
            _ => *read += bytes.len(),
        }
        match *read > MAX_HELLO_BYTES {
            true => Poll::Ready(Err(io::Error::other(HelloTooLong))),
            false => Poll::Ready(Ok(())),
        }
    }
}

forward_writes!(HelloBytes, stream);

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
