//! Listening sockets that the service manager bound for the program, as for a socket unit
//! (`LISTEN_FDS`).
//!
//! Such sockets outlive the program. While the program restarts, the service manager's duplicate
//! keeps each socket open, so new connections wait in the kernel and are neither refused nor reset.

use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// Why inherited sockets cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// An inherited descriptor is not a listening TCP socket.
    #[error(
        "socket {number} of those passed on by whoever started this program cannot be used: \
         {source}; it must be a listening TCP socket (`ListenStream=` with an address and a port \
         in the socket unit, and no `Accept=yes`)"
    )]
    NotAListener {
        /// Its position among the inherited sockets, from 1.
        number: usize,
        source: io::Error,
    },
    /// More sockets than serving threads: some would collect connections without a thread to accept
    /// them.
    #[error(
        "{passed} sockets were passed on, but only {wanted} threads serve: \
         remove `ListenStream=` lines from the socket unit, or raise `threads` to {passed}"
    )]
    TooMany {
        /// Inherited sockets.
        passed: usize,
        /// Requested listeners.
        wanted: usize,
    },
}

/// The inherited sockets as `wanted` non-blocking listeners; empty where none were inherited.
/// Several listeners share a socket where the sockets are fewer.
///
/// Call once, before any thread starts: the function removes the announcement from the environment,
/// so that no child process takes the sockets for its own.
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
    // As in `bind_tcp`.
    socket.set_tcp_nodelay(true)?;
    Ok(listener)
}
