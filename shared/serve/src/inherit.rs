//! Listening sockets that whoever started the program bound for it, as a service manager does for a
//! socket unit (`LISTEN_FDS`).
//!
//! They outlive the program. While it restarts, its kept duplicate holds each socket open, so new
//! connections wait in the kernel and are neither refused nor reset.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// Why sockets that were passed on cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// Something else was passed on, or a socket that nobody can connect to.
    #[error(
        "socket {number} of those passed on by whoever started this program cannot be used: \
         {source}; it must be a listening TCP socket (`ListenStream=` with an address and a port \
         in the socket unit, and no `Accept=yes`)"
    )]
    NotAListener {
        /// Its place among them, from 1.
        number: usize,
        /// What is wrong.
        source: io::Error,
    },
    /// Some would collect connections that nobody accepts.
    #[error(
        "{passed} sockets were passed on, but only {wanted} threads serve: \
         remove `ListenStream=` lines from the socket unit, or raise `threads` to {passed}"
    )]
    TooMany {
        /// Sockets passed on.
        passed: usize,
        /// Listeners asked for.
        wanted: usize,
    },
}

/// The sockets passed on to this program as `wanted` listeners; none where none were passed on.
/// Where they are fewer, several listeners share a socket. They are non-blocking.
///
/// To be called once, before there are threads: it takes the announcement out of the environment,
/// so that no program started from here believes the sockets its own.
pub fn inherited_tcp(wanted: usize) -> Result<Vec<TcpListener>, InheritError> {
    let mut announced = ListenFd::from_env();
    let passed = announced.len();
    if passed > wanted {
        return Err(InheritError::TooMany { passed, wanted });
    }
    let take = |at| {
        let listener = announced.take_tcp_listener(at).and_then(checked);
        listener.map_err(|source| InheritError::NotAListener { number: at + 1, source })
    };
    let listeners = (0..passed).map(take).collect::<Result<Vec<_>, _>>()?;
    (0..if passed == 0 { 0 } else { wanted })
        .map(|at| {
            let number = at % passed + 1;
            let listener = listeners[number - 1].try_clone();
            listener.map_err(|source| InheritError::NotAListener { number, source })
        })
        .collect()
}

fn checked(listener: Option<TcpListener>) -> io::Result<TcpListener> {
    let listener = listener.ok_or(io::ErrorKind::NotFound)?;
    let socket = SockRef::from(&listener);
    if !socket.is_listener()? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
    }
    socket.set_nonblocking(true)?;
    // As of those bound here.
    socket.set_tcp_nodelay(true)?;
    Ok(listener)
}
