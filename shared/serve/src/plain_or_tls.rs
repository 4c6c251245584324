//! The bytes of a client's connection behind a PROXY protocol header and TLS, where it has them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::ClientStream;
use crate::proxy_protocol::ProxiedStream;
use crate::tls::TlsStream;

/// A client's connection. One type for all listeners, so that the code of a connection exists once;
/// the choice costs a predictable branch for each read and write.
#[derive(Debug)]
pub enum PlainOrTls<T> {
    Plain(ProxiedStream<T>),
    Tls(TlsStream<ProxiedStream<T>>),
}

impl<T: ClientStream> ClientStream for PlainOrTls<T> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            PlainOrTls::Plain(stream) => stream.poll_readable(cx),
            PlainOrTls::Tls(stream) => stream.poll_readable(cx),
        }
    }

    fn has_unread(&self) -> bool {
        match self {
            PlainOrTls::Plain(stream) => stream.has_unread(),
            PlainOrTls::Tls(stream) => stream.has_unread(),
        }
    }

    fn held_bytes(&self) -> u32 {
        match self {
            PlainOrTls::Plain(stream) => stream.held_bytes(),
            PlainOrTls::Tls(stream) => stream.held_bytes(),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            PlainOrTls::Plain(stream) => stream.poll_close(cx),
            PlainOrTls::Tls(stream) => stream.poll_close(cx),
        }
    }
}

impl<T: ClientStream> AsyncRead for PlainOrTls<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            PlainOrTls::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            PlainOrTls::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<T: ClientStream> AsyncWrite for PlainOrTls<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            PlainOrTls::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            PlainOrTls::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            PlainOrTls::Plain(stream) => Pin::new(stream).poll_flush(cx),
            PlainOrTls::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            PlainOrTls::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            PlainOrTls::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
