//! A client that speaks TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};

use super::authority::Authority;
use crate::running::Answer;

/// A client with its trust and its tickets.
pub(super) struct Client(pub(super) Arc<ClientConfig>);

pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    pub(super) fn new(authority: &Authority) -> Client {
        Client::speaking(authority, &[&TLS13, &TLS12])
    }

    pub(super) fn speaking(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Client {
        Client(Arc::new(Client::config(authority, versions)))
    }

    pub(super) fn config(
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        Client::config_with(aws_lc_rs::default_provider(), authority, versions)
    }

    pub(super) fn config_with(
        provider: CryptoProvider,
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(authority.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// Connects and completes the handshake.
    pub(super) fn connect(&self, address: SocketAddr, host: &str) -> io::Result<Stream> {
        self.over(TcpStream::connect(address)?, host)
    }

    /// The same over a socket that is connected.
    pub(super) fn over(&self, mut socket: TcpStream, host: &str) -> io::Result<Stream> {
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = host.to_owned().try_into().unwrap();
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(StreamOwned::new(connection, socket))
    }

    /// One visit on a connection of its own.
    pub(super) fn get(&self, address: SocketAddr, host: &str, target: &str) -> io::Result<Answer> {
        let mut stream = self.connect(address, host)?;
        visit(&mut stream, host, target)
    }
}

/// Sends the last request of a connection; returns the answer.
pub(super) fn visit(stream: &mut Stream, host: &str, target: &str) -> io::Result<Answer> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(Answer::parse(&answer))
}
