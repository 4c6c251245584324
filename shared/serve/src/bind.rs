//! Listening sockets, with errors that say how to mend them.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Connections that may wait in the kernel for each listener.
const BACKLOG: i32 = 4096;

/// `sun_path` has 108 bytes, one of them for the closing NUL.
const UNIX_PATH_MAX_BYTES: usize = 107;

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is in use.
    #[error(
        "cannot listen on {address}: the address is in use; \
         stop the program that listens there (`ss -ltnp`) or choose another port"
    )]
    AddressTaken { address: SocketAddr },
    /// The system refused the address.
    #[error(
        "cannot listen on {address}: {source}; check that the address is one of this machine's"
    )]
    Address { address: SocketAddr, source: io::Error },
    /// A Unix socket's path does not fit the system's structure.
    #[error(
        "cannot listen on {}: the path has {length} bytes, the system takes {UNIX_PATH_MAX_BYTES}; \
         choose a shorter folder", path.display()
    )]
    PathTooLong {
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another kind of file stands at the path.
    #[error("cannot listen on {}: there is something that is not a socket; move it away", path.display())]
    NotASocket { path: PathBuf },
    /// A running program answers at the path.
    #[error(
        "cannot listen on {}: another program listens there; \
         stop it or choose another folder", path.display()
    )]
    SocketTaken { path: PathBuf },
    /// The system refused the path.
    #[error(
        "cannot listen on {}: {source}; \
         check that the folder exists and this user may write into it", path.display()
    )]
    Path { path: PathBuf, source: io::Error },
}

/// Binds `count` non-blocking listeners to one address; the kernel spreads connections over them.
/// With port 0 all share the port of the first.
///
/// An address in use is an error, although the kernel would permit sharing: a second instance of
/// the same user would otherwise start unnoticed.
pub fn bind_tcp(
    address: SocketAddr,
    count: usize,
) -> Result<Vec<std::net::TcpListener>, BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::AddressTaken { address },
        _ => BindError::Address { address, source },
    };
    if address.port() != 0 {
        // Bound without listening: a client could connect to a listener and would be reset when
        // the listener closes.
        tcp_socket(address, false).map_err(refused)?;
    }
    let first = tcp_listener(address).map_err(refused)?;
    let bound = first.local_addr().map_err(refused)?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(tcp_listener(bound).map_err(refused)?);
    }
    Ok(listeners)
}

fn tcp_listener(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = tcp_socket(address, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Permits binding the port again right after a restart.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    // Accepted sockets inherit the option: an answer is one write and must not wait for another.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a non-blocking Unix socket with this `mode`. Removes a socket file without a listener; a
/// listener at the path is an error.
pub fn bind_unix(path: &Path, mode: u32) -> Result<std::os::unix::net::UnixListener, BindError> {
    let length = path.as_os_str().len();
    if length > UNIX_PATH_MAX_BYTES {
        return Err(BindError::PathTooLong { path: path.to_owned(), length });
    }
    remove_stale(path)?;
    let refused = |source| BindError::Path { path: path.to_owned(), source };
    unix_listener(path, mode).map_err(refused)
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    let refused = |source| BindError::Path { path: path.to_owned(), source };
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::SocketTaken { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

fn unix_listener(path: &Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before `listen`, so that no client connects under another mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
