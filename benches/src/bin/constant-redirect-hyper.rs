//! hyper alone: one thread, one constant redirect for every request. The difference to coupond is
//! coupond's own work. Takes the address to listen on, and for TLS (by rustls) another address, a
//! certificate chain and its key; runs until killed.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PAGE: HeaderValue =
    HeaderValue::from_static("https://shop1.example/landing?coupon=ABCDEFGH25");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("private, no-store");

type Answer = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

fn redirect(request: Request<Incoming>) -> Answer {
    let mut headers = request.into_parts().0.headers;
    headers.clear();
    headers.insert(LOCATION, PAGE);
    headers.insert(CACHE_CONTROL, NOT_KEPT);
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::FOUND;
    *answer.headers_mut() = headers;
    ready(Ok(answer))
}

/// Plain connections.
async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_connection(stream));
    }
}

async fn serve_tls(listener: TcpListener, tls: TlsAcceptor) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Ok(stream) = tls.accept(stream).await {
                // A visitor who leaves is no failure.
                let _ = serve_connection(stream).await;
            }
        });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.writev(false);
    http.serve_connection(TokioIo::new(stream), service_fn(redirect)).await
}

/// One session ticket a connection, as one visitor needs, and no sessions in memory.
fn acceptor(chain: &str, key: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = arguments.first().ok_or("give the address to listen on")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let plain = TcpListener::bind(address).await?;
        if let [_, address, chain, key] = &arguments[..] {
            let listener = TcpListener::bind(address.parse::<SocketAddr>()?).await?;
            tokio::spawn(serve_tls(listener, acceptor(chain, key)?));
        }
        Ok(serve(plain).await?)
    })
}
