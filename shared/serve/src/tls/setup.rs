//! The TLS of a program: certificates, tickets, limits and counters, shared by all its threads.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::{CipherSuite, ServerConfig};

use super::certificates::{CertificateResolver, Certificates};
use super::counters::TlsCounters;
use super::handshake_limit::HandshakeLimit;

/// The TLS of a program.
pub struct TlsSetup {
    pub(super) config: Arc<ServerConfig>,
    /// The certificates in service.
    pub certificates: Arc<Certificates>,
    /// The limit on handshakes of one address.
    pub limit: Arc<HandshakeLimit>,
    /// Counts of handshakes.
    pub counters: Arc<TlsCounters>,
}

impl TlsSetup {
    /// TLS 1.2 and 1.3 for HTTP/1.1, with session tickets under keys that change every six hours
    /// and hold for twelve. Without certificates until some are put into service.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn new(
        certificates: Arc<Certificates>,
        limit: Arc<HandshakeLimit>,
    ) -> Result<TlsSetup, rustls::Error> {
        let resolver = Arc::new(CertificateResolver(Arc::clone(&certificates)));
        let mut config = ServerConfig::builder_with_provider(provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        // Clients built on OpenSSL or rustls offer AES-256 first, whoever they talk to.
        config.ignore_client_order = true;
        // A browser that offers only another protocol is told so in the handshake.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets need no memory here and hold on every thread; a table of sessions would be locked
        // by all threads.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // A visitor follows one link at a time: one ticket is enough, and each costs work.
        config.send_tls13_tickets = 1;
        Ok(TlsSetup { config: Arc::new(config), certificates, limit, counters: Arc::default() })
    }
}

/// Cryptography with the suites of AES-128 first: they use SHA-256, for which many processors have
/// instructions, and a handshake hashes more than it encrypts.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}
