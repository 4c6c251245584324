//! TCP connections with few system calls.
//!
//! tokio registers each socket with the system's event queue when it is accepted, and removes it
//! before it is closed. A visitor whose request arrives together with the connection needs neither:
//! the first read is tried at once, and the socket is registered only before a wait. So a visit of
//! one request takes the calls `accept4`, `read`, `sendto` and `close`.
//!
//! Invariant: a read that is neither tried nor registered wakes the task, so that the next poll
//! registers the socket. hyper asks for more bytes while it makes an answer; if the answer is the
//! last one, the next poll never comes.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::ioctl_fionread;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::listener::{ClientStream, Listener};

/// Bytes of a read without registration.
const READ_BYTES: usize = 8 * 1024;

/// A listening socket whose connections are registered only before they wait.
#[derive(Debug)]
pub struct TcpAcceptor {
    socket: AsyncFd<TcpListener>,
}

impl TcpAcceptor {
    /// `listener` must be non-blocking.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    #[expect(deprecated, reason = "the listener owns its descriptor and keeps it open")]
    pub fn from_std(listener: TcpListener) -> io::Result<TcpAcceptor> {
        Ok(TcpAcceptor { socket: AsyncFd::new(listener)? })
    }
}

impl Listener for TcpAcceptor {
    type Stream = TcpConnection;
    type Peer = SocketAddr;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpConnection, SocketAddr)>> {
        loop {
            let mut readable = ready!(self.socket.poll_read_ready(cx))?;
            if let Ok(accepted) = readable.try_io(|socket| accept(socket.get_ref())) {
                return Poll::Ready(accepted);
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<(TcpConnection, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or_else(|| io::Error::other("a connection without an address"))?;
    Ok((TcpConnection(Socket::Unregistered(socket.into(), NextRead::Try)), peer))
}

/// A connection, registered with the runtime only once it has to wait.
#[derive(Debug)]
pub struct TcpConnection(Socket);

#[derive(Debug)]
enum Socket {
    Unregistered(std::net::TcpStream, NextRead),
    Registered(TcpStream),
    /// Could not be registered.
    Lost,
}

/// The way of the next read of an unregistered socket.
#[derive(Debug, Clone, Copy)]
enum NextRead {
    /// Try; the request may have arrived.
    Try,
    /// All bytes were read, so a poll later.
    Postpone,
    /// Register and wait.
    Register,
}

impl TcpConnection {
    fn registered(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let Socket::Unregistered(..) = self.0 {
            self.0 = match std::mem::replace(&mut self.0, Socket::Lost) {
                Socket::Unregistered(socket, _) => Socket::Registered(TcpStream::from_std(socket)?),
                other => other,
            };
        }
        match &mut self.0 {
            Socket::Registered(stream) => Ok(Pin::new(stream)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Calls `operation` on the unregistered socket; `None` if the socket is registered, or must be
    /// because the operation would block.
    fn try_now<R>(
        &self,
        operation: impl FnOnce(&std::net::TcpStream) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let Socket::Unregistered(socket, _) = &self.0 else { return None };
        let result = operation(socket);
        let would_block =
            result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        (!would_block).then_some(result)
    }
}

fn read_now(socket: &std::net::TcpStream, buf: &mut ReadBuf<'_>) -> io::Result<NextRead> {
    let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
    let room = buf.remaining().min(READ_BYTES);
    let (read, rest) = rustix::io::read(socket, &mut bytes[..room])?;
    buf.put_slice(read);
    Ok(if rest.is_empty() { NextRead::Register } else { NextRead::Postpone })
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Socket::Unregistered(_, NextRead::Try) => {
                if let Some(read) = self.try_now(|socket| read_now(socket, buf)) {
                    let read = read?;
                    if let Socket::Unregistered(_, next) = &mut self.0 {
                        *next = read;
                    }
                    return Poll::Ready(Ok(()));
                }
            }
            Socket::Unregistered(_, next @ NextRead::Postpone) => {
                *next = NextRead::Register;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            _ => {}
        }
        self.registered()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.try_now(|mut socket| socket.write(bytes)) {
            Some(written) => Poll::Ready(written),
            None => self.registered()?.poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.try_now(|mut socket| socket.write_vectored(pieces)) {
            Some(written) => Poll::Ready(written),
            None => self.registered()?.poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.try_now(|socket| socket.shutdown(Shutdown::Write)) {
            Some(result) => Poll::Ready(result),
            None => self.registered()?.poll_shutdown(cx),
        }
    }
}

impl ClientStream for TcpConnection {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_read_ready(cx)
    }

    fn has_unread(&self) -> bool {
        let unread = match &self.0 {
            Socket::Unregistered(socket, _) => ioctl_fionread(socket),
            Socket::Registered(stream) => ioctl_fionread(stream),
            Socket::Lost => Ok(0),
        };
        unread.is_ok_and(|unread| unread > 0)
    }

    fn held_bytes(&self) -> u32 {
        0
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
