//! TLS of the visitors: one configuration for all connections of a run.
//!
//! Resumed connections need tickets before measuring, and each ticket is used once.
//! [`TlsClient::learn_tickets`] makes full handshakes until enough tickets are there; the measured
//! connections bring their own successors.
//!
//! Deliberately absent: early data (a redirect is a click, and must not be replayed), client
//! certificates, and HTTP/2.

pub(crate) mod session;
mod tickets;
pub(crate) mod trust;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, SupportedCipherSuite};

use crate::connect::{ConnectMode, KeyExchange, TlsVersion};
use crate::socket;
use session::TlsSession;
use tickets::TicketPool;
use trust::Trust;

/// Longest wait for a handshake whose tickets are wanted, and for its tickets.
const PATIENCE: Duration = Duration::from_secs(5);

/// In Chromium's order. AES-256, which rustls offers first, would make servers without an order of
/// their own hash with SHA-384.
const BROWSERS_SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Properties of the visitors' TLS.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) server_name: ServerName<'static>,
    pub(crate) version: TlsVersion,
    pub(crate) key_exchange: KeyExchange,
    pub(crate) trust: Arc<Trust>,
}

pub(crate) struct TlsClient {
    server_name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// If connections are resumed.
    tickets: Option<Arc<TicketPool>>,
}

impl TlsClient {
    pub(crate) fn new(settings: &TlsSettings, mode: ConnectMode) -> anyhow::Result<Self> {
        let tickets = (mode == ConnectMode::TlsResumed).then(Arc::default);
        let version = match settings.version {
            TlsVersion::Tls12 => &rustls::version::TLS12,
            TlsVersion::Tls13 => &rustls::version::TLS13,
        };
        let mut config = ClientConfig::builder_with_provider(provider(settings.key_exchange))
            .with_protocol_versions(&[version])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&settings.trust) as _)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match &tickets {
            Some(pool) => Resumption::store(Arc::clone(pool) as _),
            None => Resumption::disabled(),
        };
        let server_name = settings.server_name.clone();
        Ok(Self { server_name, config: Arc::new(config), tickets })
    }

    pub(crate) fn session(&self) -> Result<TlsSession, rustls::Error> {
        let config = Arc::clone(&self.config);
        ClientConnection::new(config, self.server_name.clone()).map(TlsSession::new)
    }

    /// Makes one handshake, so that a wrong name or certificate is known before the run.
    pub(crate) fn check(&self, target: SocketAddr, timeout: Duration) -> anyhow::Result<()> {
        self.connect(target, timeout).map(drop).with_context(|| {
            let name = self.server_name.to_str();
            format!(
                "TLS with {target} as {name} fails (--server-name names the server, --tls-ca the \
                 trusted certificates)"
            )
        })
    }

    /// Makes full handshakes until `connections` connections can be resumed.
    pub(crate) fn learn_tickets(
        &self,
        target: SocketAddr,
        connections: usize,
    ) -> anyhow::Result<()> {
        let Some(tickets) = &self.tickets else { return Ok(()) };
        // A connection that used its ticket brings the next one only with its answer.
        let wanted = connections * 2;
        tickets.hand_out(false);
        while tickets.resumable() < wanted {
            self.learn_ticket(target, tickets)?;
        }
        tickets.hand_out(true);
        Ok(())
    }

    /// Makes one full handshake and waits for its first ticket.
    fn learn_ticket(&self, target: SocketAddr, tickets: &TicketPool) -> anyhow::Result<()> {
        let before = tickets.resumable();
        let (socket, mut session) = self.connect(target, PATIENCE)?;
        session.flush(&socket)?;
        let deadline = Instant::now() + PATIENCE;
        while tickets.resumable() <= before {
            ensure!(
                wait_for_bytes(&socket, deadline)? && session.read_while_idle(&socket),
                "{target} gives no session ticket, so no connection can be resumed; switch \
                 resumption on (nginx: ssl_session_tickets)"
            );
        }
        session.announce_end(&socket);
        Ok(())
    }

    /// Connects and completes the handshake; its last message is still queued.
    fn connect(
        &self,
        target: SocketAddr,
        timeout: Duration,
    ) -> anyhow::Result<(TcpStream, TlsSession)> {
        let socket = socket::connect_within(target, None, timeout)?;
        let session = self.handshake(&socket, timeout)?;
        Ok((socket, session))
    }

    /// Waits for the complete handshake on a connected socket; its last message is still queued.
    pub(crate) fn handshake(
        &self,
        socket: &TcpStream,
        timeout: Duration,
    ) -> anyhow::Result<TlsSession> {
        let deadline = Instant::now() + timeout;
        let mut session = self.session()?;
        let mut readable = false;
        while !session.handshake(socket, readable)? {
            readable = wait_for_bytes(socket, deadline)?;
            ensure!(readable, "no handshake within {timeout:?}");
        }
        Ok(session)
    }
}

/// False if no bytes arrive before `deadline`.
fn wait_for_bytes(socket: &TcpStream, deadline: Instant) -> anyhow::Result<bool> {
    let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
    let mut watched = [PollFd::new(socket, PollFlags::IN)];
    Ok(poll(&mut watched, Some(&left))? > 0)
}

/// Cryptography of the visitors.
fn provider(key_exchange: KeyExchange) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = BROWSERS_SUITES.to_vec();
    // In TLS 1.2 a server also looks here for the curve of its certificate.
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    if key_exchange == KeyExchange::Hybrid {
        provider.kx_groups.insert(0, kx_group::X25519MLKEM768);
    }
    Arc::new(provider)
}
