//! How both programs accept HTTP connections.
//!
//! One accept loop, [`AcceptLoop`], generic over the listener (TCP, Unix socket, later others) and
//! over the executor of connections (one thread, or many). It holds the protections that every
//! server needs:
//!
//! - a cap on open connections, below the limit of file descriptors; at the cap, waiting connections
//!   make room for new ones;
//! - no buffers for a connection that waits for a request;
//! - a limit on the bytes of a request head;
//! - a deadline for everything a client can delay: the first byte, the rest of the head, the next
//!   request on a kept-alive connection, reading the answer;
//! - back-off when the system refuses to accept;
//! - request lines that hyper accepts, whatever bytes a link has in its query;
//! - a drain: stop accepting, let open connections finish, cut the rest at a deadline.
//!
//! [`ClientListener`] joins the listeners of one thread, with a PROXY protocol header or TLS before
//! HTTP where the configuration says so.
//!
//! Deliberately absent: routes, and a deadline for the work between request and answer. A
//! handler that reads a body or waits must limit its own time, because only the handler knows a
//! sensible limit.

mod forward_writes;

mod bind;
mod inherit;
mod limits;
mod listener;
mod tcp;

mod accept;
mod connection;
mod counters;
mod head_progress;
mod open;
mod request_line;
mod watched_service;
mod watched_stream;

mod client_address;
mod misdirected;

mod client_listener;
mod plain_or_tls;

pub mod tls;

mod proxy_protocol;

mod client_peer;

mod address_budgets;
mod log_throttle;
mod per_address;

pub use accept::{AcceptLoop, DrainOutcome};
pub use address_budgets::{AddressBudgets, AddressRate};
pub use client_address::client_address;
pub use client_listener::{ClientListener, FirstBytes};
pub use client_peer::ClientPeer;

pub use bind::{BindError, bind_tcp, bind_unix};
pub use connection::Connection;
pub use counters::ConnectionCounters;
pub use inherit::{InheritError, InheritedSockets};
pub use limits::{Limits, raise_descriptor_limit};
pub use listener::{ClientStream, Listener, LocalExecutor, PeerAddress};
pub use log_throttle::LogThrottle;
pub use misdirected::names_other_host;
pub use per_address::PerAddress;
pub use plain_or_tls::PlainOrTls;
pub use proxy_protocol::{ProxyCounters, TrustedProxies};
pub use tcp::{TcpAcceptor, TcpConnection};
