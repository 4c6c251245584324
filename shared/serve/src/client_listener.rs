//! The listeners of one thread as a single source of connections.
//!
//! Each listener has its own address and its own first bytes: a PROXY protocol header, then TLS, or
//! neither. Behind them all connections are alike, so that limits and the accept loop hold for all
//! listeners together.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client_peer::ClientPeer;
use crate::listener::{ClientStream, Listener, PeerAddress as _};
use crate::plain_or_tls::PlainOrTls;
use crate::proxy_protocol::{ProxiedStream, TrustedProxies};
use crate::tls::{TlsSetup, TlsStream};

/// The first bytes of a listener's connections.
#[derive(Debug, Clone, Default)]
pub struct FirstBytes {
    /// With a PROXY protocol header of one of these proxies.
    pub proxies: Option<Arc<TrustedProxies>>,
    /// With a TLS handshake.
    pub tls: Option<Arc<TlsSetup>>,
}

/// Several listeners that take turns.
#[derive(Debug)]
pub struct ClientListener<L> {
    listeners: Vec<(L, FirstBytes)>,
    /// The listener that is asked first.
    next: usize,
}

impl<L: Listener> ClientListener<L> {
    pub fn new(listeners: Vec<(L, FirstBytes)>) -> ClientListener<L> {
        ClientListener { listeners, next: 0 }
    }
}

impl<L: Listener> Listener for ClientListener<L> {
    type Stream = PlainOrTls<L::Stream>;
    type Peer = ClientPeer;

    /// Asks all listeners, each time beginning behind the one that gave the last connection.
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, ClientPeer)>> {
        let count = self.listeners.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            let (listener, first_bytes) = &mut self.listeners[at];
            while let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.next = (at + 1) % count;
                let (stream, peer) = accepted?;
                if let Some(connection) = first_bytes.connection(stream, peer.ip()) {
                    return Poll::Ready(Ok(connection));
                }
            }
        }
        Poll::Pending
    }
}

impl FirstBytes {
    /// The connection's stream; `None` if the peer must not connect.
    fn connection<T: ClientStream>(
        &self,
        stream: T,
        address: IpAddr,
    ) -> Option<(PlainOrTls<T>, ClientPeer)> {
        let tells_more = self.proxies.is_some() || self.tls.is_some();
        let peer =
            if tells_more { ClientPeer::learning(address) } else { ClientPeer::known(address) };
        let stream = match &self.proxies {
            Some(proxies) if !proxies.admits(address) => return None,
            Some(proxies) => ProxiedStream::new(stream, peer.clone(), Arc::clone(proxies)),
            None => ProxiedStream::without_header(stream),
        };
        let stream = match &self.tls {
            Some(tls) => PlainOrTls::Tls(TlsStream::new(stream, Arc::clone(tls), peer.clone())),
            None => PlainOrTls::Plain(stream),
        };
        Some((stream, peer))
    }
}
