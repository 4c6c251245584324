//! Client sockets, optionally bound to a source address.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Starts connecting a non-blocking socket; it becomes writable when it is connected.
pub(crate) fn start_connecting(
    target: SocketAddr,
    source: Option<Ipv4Addr>,
) -> io::Result<TcpStream> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    match rustix::net::connect(&socket, &target) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

/// Connects within `timeout`; the socket is non-blocking.
pub(crate) fn connect_within(
    target: SocketAddr,
    source: Option<Ipv4Addr>,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let socket = start_connecting(target, source)?;
    let limit = Timespec::try_from(timeout).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut watched = [PollFd::new(&socket, PollFlags::OUT)];
    if poll(&mut watched, Some(&limit))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    match socket.take_error()? {
        None => Ok(socket),
        Some(error) => Err(error),
    }
}
