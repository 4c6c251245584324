//! Sources of connections, the connections' streams and peers, and the executor of one thread.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};

/// A source of connections.
pub trait Listener {
    type Stream: ClientStream;
    type Peer: PeerAddress + Clone;

    fn poll_accept(&mut self, cx: &mut Context<'_>)
    -> Poll<io::Result<(Self::Stream, Self::Peer)>>;
}

/// The bytes of one connection in both directions.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {
    /// Ready once a read would return bytes, the end, or an error, without taking any byte of the
    /// conversation; bytes buffered above the socket count. May also be ready early: the next read
    /// is then pending.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether bytes of the client have arrived that were not read, here or below, without asking
    /// the runtime. The end of the stream does not count.
    fn has_unread(&self) -> bool;

    /// Estimated bytes of memory behind this value, without the kernel's. They grow as the client
    /// sends bytes.
    fn held_bytes(&self) -> u32;

    /// Ends a conversation whose client sends nothing any more, so that the stream can be dropped
    /// without waiting for the client's end. A stream that has to say goodbye shuts down.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}

impl ClientStream for UnixStream {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn has_unread(&self) -> bool {
        ioctl_fionread(self).is_ok_and(|unread| unread > 0)
    }

    fn held_bytes(&self) -> u32 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The other end of a connection.
pub trait PeerAddress {
    /// The peer's address. Where a proxy names the client in the connection's first bytes, the
    /// proxy's own address until those bytes were read.
    fn ip(&self) -> IpAddr;
}

impl PeerAddress for SocketAddr {
    fn ip(&self) -> IpAddr {
        SocketAddr::ip(self)
    }
}

/// The peers of a Unix socket have one address together.
impl PeerAddress for () {
    fn ip(&self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Peer = ();

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, ())>> {
        let (stream, _) = ready!(UnixListener::poll_accept(self, cx))?;
        Poll::Ready(Ok((stream, ())))
    }
}

/// Runs connections on the thread of the accept loop, so that a service need not be `Send`.
/// Runtimes with many threads use [`hyper_util::rt::TokioExecutor`].
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, connection: F) {
        tokio::task::spawn_local(connection);
    }
}
