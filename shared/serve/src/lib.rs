//! How both programs accept HTTP connections.
//!
//! One accept loop, [`AcceptLoop`], generic over the listener (TCP, Unix socket, whatever comes
//! later) and over where connections run (tasks of one thread, or of many). It holds what a
//! server must never be without:
//!
//! - a cap on open connections, below the limit of file descriptors;
//! - a limit on the bytes of a request head;
//! - a deadline for everything a client can delay: the first byte, the rest of the head, the next
//!   request on a kept-alive connection, taking the answer off our hands;
//! - back-off when the system refuses to accept;
//! - request lines that hyper takes, whatever bytes a link has in its query;
//! - a drain: stop accepting, let open connections finish, cut what is left at a deadline.
//!
//! Deliberately absent: routes, TLS, and a deadline for the work between request and answer. A
//! handler that reads a body or waits for something limits that itself, because only it knows how
//! long is too long.

mod forward_writes;

mod bind;
mod inherit;
mod limits;
mod listener;

mod accept;
mod connection;
mod open;
mod request_line;

mod client_address;

pub use accept::{AcceptLoop, ConnectionCounters, DrainOutcome};
pub use client_address::client_address;

pub use bind::{BindError, bind_tcp, bind_unix};
pub use connection::Connection;
pub use inherit::{InheritError, inherited_tcp};
pub use limits::{Limits, raise_descriptor_limit};
pub use listener::{Listener, LocalExecutor};
