//! A minimal HTTPS client for tests: one blocking request per connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{Answer, parse};

/// Requests a page of a host, with trust in the certificates of a PEM text alone.
pub(crate) fn get(
    to: SocketAddr,
    host: &str,
    trusted_pem: &str,
    target: &str,
) -> std::io::Result<Answer> {
    get_as(to, host, host, trusted_pem, target)
}

/// The same on a connection that was opened for the host `name`.
pub(crate) fn get_as(
    to: SocketAddr,
    name: &str,
    host: &str,
    trusted_pem: &str,
    target: &str,
) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(trusted_pem.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = StreamOwned::new(connection, socket);
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // Some servers end without close_notify; the answer's length tells whether it is whole.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    parse(&bytes).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}
