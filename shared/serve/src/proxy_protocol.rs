//! Connections through a proxy that names the client first (the PROXY protocol).
//!
//! Invariants: only proxies in trusted networks may connect; each must send one header before any
//! other bytes; no byte of the header reaches HTTP, and no byte behind it is lost. Until the header
//! is complete, the connection counts as one whose client has sent nothing, so `client_timeout`
//! runs from the start over header and first request together.

mod header;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::client_peer::ClientPeer;
use crate::forward_writes;
use crate::listener::ClientStream;
use crate::log_throttle::LogThrottle;

use header::{MAX_HEADER_BYTES, NotAProxyHeader, ProxyHeader};

/// The proxies that may connect to the listeners of a program, and counts of refused connections.
pub struct TrustedProxies {
    is_trusted: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    counters: ProxyCounters,
    log_throttle: LogThrottle,
}

/// Counts of connections that were closed before their client was known. Totals.
#[derive(Debug, Default)]
pub struct ProxyCounters {
    /// Connections from an address that is not a trusted proxy.
    pub untrusted: AtomicU64,
    /// Connections that did not begin with a valid PROXY protocol header.
    pub malformed: AtomicU64,
}

impl TrustedProxies {
    /// Asks `is_trusted` for each connection, because the settings can change while the program
    /// runs.
    pub fn new(is_trusted: Box<dyn Fn(IpAddr) -> bool + Send + Sync>) -> TrustedProxies {
        let (counters, log_throttle) = Default::default();
        TrustedProxies { is_trusted, counters, log_throttle }
    }

    pub fn counters(&self) -> &ProxyCounters {
        &self.counters
    }

    /// Whether a connection from this address may go on; counts it if not.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        if (self.is_trusted)(peer) {
            return true;
        }
        self.counters.untrusted.fetch_add(1, Ordering::Relaxed);
        if self.log_throttle.is_due() {
            tracing::warn!(%peer, "connection closed: proxy_protocol is on, and the peer is not among trusted_proxies");
        }
        false
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// A connection without its PROXY protocol header, if it has one.
#[derive(Debug)]
pub struct ProxiedStream<T> {
    stream: T,
    stage: HeaderStage,
}

#[derive(Debug)]
enum HeaderStage {
    Header(Box<PartialHeader>),
    /// The bytes read together with the header, and the position of the next one to hand on.
    Rest(Vec<u8>, usize),
    /// All further bytes come straight from the stream.
    Through,
    /// The connection did not begin with a header; no byte is handed on.
    Refused,
}

/// A header that is not complete.
#[derive(Debug)]
struct PartialHeader {
    /// The bytes so far.
    bytes: Vec<u8>,
    /// Learns the client's address.
    client: ClientPeer,
    proxies: Arc<TrustedProxies>,
}

impl<T: AsyncRead + Unpin> ProxiedStream<T> {
    /// A stream that begins with a header; `client` learns the address in it.
    pub(crate) fn new(
        stream: T,
        client: ClientPeer,
        proxies: Arc<TrustedProxies>,
    ) -> ProxiedStream<T> {
        let header = PartialHeader { bytes: Vec::new(), client, proxies };
        ProxiedStream { stream, stage: HeaderStage::Header(Box::new(header)) }
    }

    /// A stream without a header.
    pub(crate) fn without_header(stream: T) -> ProxiedStream<T> {
        ProxiedStream { stream, stage: HeaderStage::Through }
    }

    /// Reads until the header is complete. A client may also disconnect without sending a byte, as
    /// a port check does.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let HeaderStage::Header(header) = &mut self.stage {
            let held = header.bytes.len();
            let came = ready!(poll_more(&mut self.stream, cx, &mut header.bytes))?;
            match header::read(&header.bytes) {
                Ok(Some(ProxyHeader { len, client })) => {
                    if let Some(client) = client {
                        header.client.set_address(client.to_canonical());
                    }
                    self.stage = HeaderStage::Rest(std::mem::take(&mut header.bytes), len);
                }
                Ok(None) if came > 0 => {}
                // The end of the stream before any byte: no error, as in a port check.
                Ok(None) if held == 0 => self.stage = HeaderStage::Through,
                Ok(None) | Err(NotAProxyHeader) => {
                    header.proxies.counters.malformed.fetch_add(1, Ordering::Relaxed);
                    self.stage = HeaderStage::Refused;
                }
            }
        }
        Poll::Ready(match self.stage {
            HeaderStage::Refused => {
                Err(io::Error::new(io::ErrorKind::InvalidData, NotAProxyHeader))
            }
            _ => Ok(()),
        })
    }
}

/// Reads available bytes, up to the longest header; returns their number.
fn poll_more<T: AsyncRead + Unpin>(
    stream: &mut T,
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut piece = [0; MAX_HEADER_BYTES];
    let mut piece = ReadBuf::new(&mut piece[bytes.len()..]);
    ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
    bytes.extend_from_slice(piece.filled());
    Poll::Ready(Ok(piece.filled().len()))
}

impl<T: AsyncRead + Unpin> AsyncRead for ProxiedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_header(cx))?;
        if let HeaderStage::Rest(bytes, from) = &mut this.stage {
            let rest = &bytes[*from..];
            let piece = &rest[..rest.len().min(buf.remaining())];
            buf.put_slice(piece);
            *from += piece.len();
            // If nothing was left behind the header, the stream answers.
            let has_given = !piece.is_empty();
            if *from == bytes.len() {
                this.stage = HeaderStage::Through;
            }
            if has_given {
                return Poll::Ready(Ok(()));
            }
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl<T: ClientStream> ClientStream for ProxiedStream<T> {
    /// Reads the header, so that only bytes behind it count.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_header(cx))?;
        match &self.stage {
            HeaderStage::Rest(bytes, from) if *from < bytes.len() => Poll::Ready(Ok(())),
            _ => self.stream.poll_readable(cx),
        }
    }

    fn has_unread(&self) -> bool {
        let is_rest = matches!(&self.stage, HeaderStage::Rest(bytes, from) if *from < bytes.len());
        is_rest || self.stream.has_unread()
    }

    fn held_bytes(&self) -> u32 {
        self.stream.held_bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_close(cx)
    }
}

forward_writes!(ProxiedStream, stream);

#[cfg(test)]
mod tests {
    use super::header::tests::{binary_header, text_header};
    use super::*;
    use crate::listener::PeerAddress;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    /// The bytes behind the header, and the client's address.
    fn passed_on(pieces: Vec<Vec<u8>>, piece_bytes: usize) -> (io::Result<Vec<u8>>, IpAddr, u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut proxy, stream) = duplex(piece_bytes);
            let client = ClientPeer::learning([10, 0, 0, 1].into());
            let proxies = Arc::new(TrustedProxies::new(Box::new(|_| true)));
            let mut stream = ProxiedStream::new(stream, client.clone(), Arc::clone(&proxies));
            let send = async move {
                for piece in pieces {
                    if proxy.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            };
            let receive = async move {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.map(|_| bytes)
            };
            let ((), received) = tokio::join!(send, receive);
            (received, client.ip(), proxies.counters().malformed.load(Ordering::Relaxed))
        })
    }

    #[test]
    fn who_says_nothing_or_stops_amid_the_header_is_told_apart() {
        let (nothing, client, malformed) = passed_on(vec![], 64);
        assert_eq!((nothing.unwrap(), client, malformed), (vec![], [10, 0, 0, 1].into(), 0));
        let (half, _, malformed) = passed_on(vec![b"PROXY TCP4 1.2".to_vec()], 64);
        assert_eq!((half.unwrap_err().kind(), malformed), (io::ErrorKind::InvalidData, 1));
    }

    #[test]
    fn only_bytes_behind_the_header_make_the_connection_readable() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut proxy, stream) = UnixStream::pair().unwrap();
            let client = ClientPeer::learning([10, 0, 0, 1].into());
            let proxies = Arc::new(TrustedProxies::new(Box::new(|_| true)));
            let mut stream = ProxiedStream::new(stream, client.clone(), Arc::clone(&proxies));
            let pair = ("203.0.113.7:1".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
            proxy.write_all(&text_header(pair.0, pair.1)).await.unwrap();
            let readable =
                timeout(Duration::from_millis(50), poll_fn(|cx| stream.poll_readable(cx)));
            assert!(readable.await.is_err(), "the header alone made the connection readable");
            assert_eq!(client.ip(), pair.0.ip());
            proxy.write_all(b"GET").await.unwrap();
            poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
            let mut bytes = [0; 3];
            stream.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"GET");

            let (mut proxy, stream) = UnixStream::pair().unwrap();
            let mut stream = ProxiedStream::new(stream, client, proxies);
            proxy.write_all(&[&text_header(pair.0, pair.1)[..], b"GET"].concat()).await.unwrap();
            poll_fn(|cx| stream.poll_readable(cx)).await.unwrap();
        });
    }

    proptest! {
        #[test]
        fn the_request_behind_the_header_comes_through_whole_in_whatever_pieces(
            is_text: bool, cut in 0_usize..400, pipe in 1_usize..300,
            request in proptest::collection::vec(any::<u8>(), 0..5000)
        ) {
            let pair = ("203.0.113.7:1".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
            let header =
                if is_text { text_header(pair.0, pair.1) } else { binary_header(1, pair, b"") };
            let whole = [header, request.clone()].concat();
            let (first, second) = whole.split_at(cut.min(whole.len()));
            let (came, client, malformed) = passed_on(vec![first.into(), second.into()], pipe);
            prop_assert_eq!(came.unwrap(), request);
            prop_assert_eq!((client, malformed), (pair.0.ip(), 0));
        }
    }
}
