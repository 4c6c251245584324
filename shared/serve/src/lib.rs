//! How both programs accept HTTP connections.
//!
//! One accept loop, [`AcceptLoop`], generic over the listener (TCP, Unix socket, later others) and
//! over the executor of connections (one thread, or many). It holds the protections that every
//! server needs:
//!
//! - a cap on open connections, below the limit of file descriptors;
//! - a limit on the bytes of a request head;
//! - a deadline for everything a client can delay: the first byte, the rest of the head, the next
//!   request on a kept-alive connection, reading the answer;
//! - back-off when the system refuses to accept;
//! - request lines that hyper accepts, whatever bytes a link has in its query;
//! - a drain: stop accepting, let open connections finish, cut the rest at a deadline.
//!
//! Deliberately absent: routes, TLS, and a deadline for the work between request and answer. A
//! handler that reads a body or waits must limit its own time, because only the handler knows a
//! sensible limit.

mod forward_writes;

mod bind;
mod inherit;
mod limits;
mod listener;

mod accept;
mod connection;
mod counters;
mod head_progress;
mod open;
mod request_line;

mod client_address;

pub mod tls;

pub use accept::{AcceptLoop, DrainOutcome};
pub use client_address::client_address;

pub use bind::{BindError, bind_tcp, bind_unix};
pub use connection::Connection;
pub use counters::ConnectionCounters;
pub use inherit::{InheritError, inherited_tcp};
pub use limits::{Limits, raise_descriptor_limit};
pub use listener::{ClientStream, Listener, LocalExecutor, PeerAddress};
