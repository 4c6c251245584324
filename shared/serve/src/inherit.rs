//! Listening sockets that the service manager bound for the program, as for a socket unit
//! (`LISTEN_FDS`).
//!
//! Such sockets outlive the program. While the program restarts, the service manager's duplicate
//! keeps each socket open, so new connections wait in the kernel and are neither refused nor reset.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};

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
    /// More sockets of one address than serving threads: some would collect connections without a
    /// thread to accept them.
    #[error(
        "{passed} sockets of one address were passed on, but only {wanted} threads serve: \
         remove `ListenStream=` lines from the socket unit, or raise `threads` to {passed}"
    )]
    TooMany {
        /// Inherited sockets.
        passed: usize,
        /// Requested listeners.
        wanted: usize,
    },
    /// No listener has the socket's name.
    #[error(
        "socket {number} of those passed on is named {name:?}, and no listener has that name: \
         set `FileDescriptorName=` in the socket unit to the `name` of one of the [[listeners]]"
    )]
    NoListener { number: usize, name: String },
}

/// The inherited sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub struct InheritedSockets(Vec<InheritedSocket>);

#[derive(Debug)]
struct InheritedSocket {
    /// From 1.
    number: usize,
    /// The name that the service manager gave (`FileDescriptorName=`).
    name: String,
    listener: TcpListener,
}

impl InheritedSockets {
    /// The sockets that whoever started the program passed on.
    ///
    /// Call once, before any thread starts: the function removes the announcement from the
    /// environment, so that no child process takes the sockets for its own.
    ///
    /// # Errors
    /// If one of them does not listen.
    pub fn take() -> Result<InheritedSockets, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut announced = ListenFd::from_env();
        let mut sockets = Vec::new();
        for at in 0..announced.len() {
            let number = at + 1;
            let listener = announced.take_tcp_listener(at).and_then(checked);
            let listener =
                listener.map_err(|source| InheritError::NotAListener { number, source })?;
            let name = names.next().unwrap_or_default().to_owned();
            sockets.push(InheritedSocket { number, name, listener });
        }
        Ok(InheritedSockets(sockets))
    }

    /// Takes the sockets with this name, or all for `None`: for each of their addresses, `wanted`
    /// non-blocking listeners. Several listeners share a socket where the sockets are fewer. So
    /// every thread serves every address, such as one of IPv4 and one of IPv6.
    ///
    /// # Errors
    /// If there are more sockets of one address than wanted listeners.
    pub fn listeners(
        &mut self,
        name: Option<&str>,
        wanted: usize,
    ) -> Result<Vec<Vec<TcpListener>>, InheritError> {
        let is_named = |socket: &mut InheritedSocket| name.is_none_or(|name| socket.name == name);
        let mut by_address = BTreeMap::<SocketAddr, Vec<InheritedSocket>>::new();
        for socket in self.0.extract_if(.., is_named) {
            let address = socket.listener.local_addr();
            let number = socket.number;
            let address =
                address.map_err(|source| InheritError::NotAListener { number, source })?;
            by_address.entry(address).or_default().push(socket);
        }
        by_address.into_values().map(|sockets| spread(&sockets, wanted)).collect()
    }

    /// Checks that each socket was taken.
    ///
    /// # Errors
    /// With the name of a socket that no listener has taken.
    pub fn all_taken(self) -> Result<(), InheritError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some(InheritedSocket { number, name, .. }) => {
                Err(InheritError::NoListener { number, name })
            }
        }
    }
}

/// `wanted` listeners on these sockets.
fn spread(sockets: &[InheritedSocket], wanted: usize) -> Result<Vec<TcpListener>, InheritError> {
    if sockets.len() > wanted {
        return Err(InheritError::TooMany { passed: sockets.len(), wanted });
    }
    let shared = sockets.iter().cycle().take(wanted);
    shared
        .map(|InheritedSocket { number, listener, .. }| {
            let shared = listener.try_clone();
            shared.map_err(|source| InheritError::NotAListener { number: *number, source })
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
