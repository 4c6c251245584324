//! The accept loop over real sockets.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use coupon_serve::{
    AcceptLoop, BindError, ConnectionCounters, DrainOutcome, Limits, Listener, LocalExecutor,
    TcpAcceptor, TcpConnection, bind_tcp, bind_unix,
};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet};
use tokio_util::sync::CancellationToken;

#[path = "accept_loop/at_the_limit.rs"]
mod at_the_limit;
#[path = "accept_loop/parking.rs"]
mod parking;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn quick() -> Limits {
    Limits {
        client_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        drain_grace: Duration::from_millis(100),
        drain_deadline: Duration::from_millis(600),
        ..Limits::default()
    }
}

struct Running {
    address: SocketAddr,
    counters: Arc<ConnectionCounters>,
    limits: watch::Sender<Limits>,
    shutdown: CancellationToken,
    drained: JoinHandle<DrainOutcome>,
}

/// `/slow` takes 300 ms, `/never` never answers, `/large` has 64 MiB, `/pauses` sends the half of
/// its body after 2 s, `/target` answers with the request's target; all else echoes the body.
async fn answer(request: Request<Incoming>) -> Result<Response<AnswerBody>, Infallible> {
    let body = match request.uri().path() {
        "/pauses" => return Ok(Response::new(Either::Right(PausingBody::default()))),
        "/target" => Bytes::from(request.uri().to_string()),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Bytes::from_static(b"slow")
        }
        "/never" => std::future::pending().await,
        "/large" => Bytes::from(vec![b'x'; 64 << 20]),
        _ => request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default(),
    };
    Ok(Response::new(Either::Left(Full::new(body))))
}

type AnswerBody = Either<Full<Bytes>, PausingBody>;

/// Two pieces of a body, with a pause in between.
#[derive(Default)]
struct PausingBody {
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
    is_over: bool,
}

impl Body for PausingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.is_over = true;
        } else {
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_secs(2))));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"half")))))
    }
}

fn start(limits: Limits) -> Running {
    let listener = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let counters = Arc::new(ConnectionCounters::default());
    let (sender, receiver) = watch::channel(limits);
    let shutdown = CancellationToken::new();
    let accept =
        AcceptLoop::new(TcpAcceptor::from_std(listener).unwrap(), receiver, counters.clone());
    let drained =
        tokio::spawn(accept.run(|_| service_fn(answer), TokioExecutor::new(), shutdown.clone()));
    Running { address, counters, limits: sender, shutdown, drained }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects from 127.0.0.`host`.
    async fn connect_from(&self, host: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn open(&self) -> u64 {
        self.counters.open.load(Ordering::Relaxed)
    }

    fn evicted(&self) -> u64 {
        self.counters.evicted.load(Ordering::Relaxed)
    }

    fn evicted_for_memory(&self) -> u64 {
        self.counters.evicted_for_memory.load(Ordering::Relaxed)
    }

    /// Estimated memory of the open connections.
    fn bytes(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).unwrap()
}

/// How long until the server closes.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
    let _ = read.await.expect("the server never closed the connection");
    began.elapsed()
}

#[tokio::test]
async fn closes_silent_connections() {
    let server = start(quick());
    let elapsed = closed_after(&mut server.connect().await).await;
    assert!(elapsed >= Duration::from_millis(150), "closed after only {elapsed:?}");
    assert!(elapsed < Duration::from_millis(1500), "closed after {elapsed:?}");
    assert_eq!(server.counters.timed_out.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn closes_idle_kept_alive_connections() {
    let server = start(quick());
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let elapsed = closed_after(&mut stream).await;
    assert!(elapsed >= Duration::from_millis(350), "closed after only {elapsed:?}");
    assert!(elapsed < Duration::from_millis(1500), "closed after {elapsed:?}");
}

#[tokio::test]
async fn closes_kept_alive_connections_that_never_finish_the_next_head() {
    let server = start(Limits { idle_timeout: Duration::from_secs(60), ..quick() });
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(b"GET / HT").await.unwrap();
    assert!(closed_after(&mut stream).await < Duration::from_millis(1500));
}

#[tokio::test]
async fn closes_connections_that_trickle_their_head() {
    let server = start(quick());
    let (mut reader, mut writer) = server.connect().await.into_split();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(3), reader.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "bytes of an unfinished head kept the connection open");
    trickle.abort();
}

#[tokio::test]
async fn closes_connections_that_do_not_take_their_answer() {
    let server = start(Limits { idle_timeout: Duration::from_secs(60), ..quick() });
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.counters.open.load(Ordering::Relaxed), 0);
    assert_eq!(server.counters.timed_out.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn lets_a_handler_take_longer_than_the_client_may() {
    let server = start(quick());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn keeps_busy_connections_open_beyond_the_time_out() {
    let server = start(quick());
    let mut stream = server.connect().await;
    for _ in 0..12 {
        stream.write_all(GET).await.unwrap();
        head(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn follows_changed_limits() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.counters.open.load(Ordering::Relaxed), 1);
    server.limits.send(quick()).unwrap();
    assert!(closed_after(&mut stream).await < Duration::from_millis(1500));
}

#[tokio::test]
async fn refuses_a_large_head_with_an_answer_the_client_can_read() {
    let server = start(Limits { max_head_bytes: 8192, ..quick() });
    let mut stream = server.connect().await;
    let mut request = b"GET / HTTP/1.1\r\nhost: a\r\nx: ".to_vec();
    request.extend(std::iter::repeat_n(b'x', 100_000));
    stream.write_all(&request).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 431"));
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.counters.head_too_large.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn closes_at_once_behind_a_request_that_the_client_announced_as_its_last() {
    let server = start(Limits::default());
    let last = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for request in [&last[..], b"GET / HTTP/1.0\r\n\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(request).await.unwrap();
        assert!(closed_after(&mut stream).await < Duration::from_millis(300));
        // The client's half is still open, and the server waits for nothing.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(server.open(), 0);
        drop(stream);
    }
}

#[tokio::test]
async fn an_answer_is_not_reset_by_bytes_behind_a_last_request() {
    let server = start(Limits::default());
    let last = b"GET /target HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for behind in [&b"\r\n"[..], GET, &[b'x'; 100_000]] {
        let mut stream = server.connect().await;
        stream.write_all(&[&last[..], behind].concat()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"/target"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn drains_a_request_in_hand() {
    let server = start(quick());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    let head = head(&mut stream).await;
    assert!(head.contains("connection: close"), "{head}");
    drop(stream);
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
}

#[tokio::test]
async fn drains_connections_accepted_or_waiting_before_their_first_request() {
    let server = start(quick());
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(server.connect().await);
    }
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(20)).await;
    for stream in &mut streams {
        stream.write_all(GET).await.unwrap();
        let head = head(stream).await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
    }
    drop(streams);
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
}

#[tokio::test]
async fn drains_a_queue_longer_than_the_runtime_grants_accepts_in_a_row() {
    let server = start(quick());
    // The server shares this thread, so it accepts none of these before the shutdown.
    let clients: Vec<_> = (0..400)
        .map(|_| {
            let mut client = std::net::TcpStream::connect(server.address).unwrap();
            client.write_all(GET).unwrap();
            client
        })
        .collect();
    server.shutdown.cancel();
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn drains_idle_connections_after_the_grace_and_accepts_no_new_ones() {
    let server = start(Limits {
        client_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        ..quick()
    });
    let mut idle = server.connect().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.shutdown.cancel();
    assert!(closed_after(&mut idle).await < Duration::from_millis(400));
    drop(idle);
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
    let late = TcpStream::connect(server.address).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn drain_does_not_wait_for_clients_that_never_close_their_half() {
    let server = start(Limits {
        client_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        drain_deadline: Duration::from_secs(30),
        ..quick()
    });
    let mut answered = server.connect().await;
    answered.write_all(GET).await.unwrap();
    head(&mut answered).await;
    let silent = server.connect().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    server.shutdown.cancel();
    let began = Instant::now();
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
    assert!(began.elapsed() < Duration::from_secs(10));
    drop((answered, silent));
}

#[tokio::test]
async fn cuts_what_is_busy_at_the_drain_deadline() {
    let server = start(quick());
    let mut stream = server.connect().await;
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.shutdown.cancel();
    let began = Instant::now();
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 1 });
    assert!(began.elapsed() < Duration::from_secs(2));
}

/// A listener that first fails like a process without descriptors.
struct OutOfDescriptors {
    inner: TcpAcceptor,
    refusals_left: u32,
    calls: Arc<std::sync::atomic::AtomicU32>,
}

impl Listener for OutOfDescriptors {
    type Stream = TcpConnection;
    type Peer = SocketAddr;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpConnection, SocketAddr)>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.refusals_left > 0 {
            self.refusals_left -= 1;
            const EMFILE: i32 = 24;
            return Poll::Ready(Err(io::Error::from_raw_os_error(EMFILE)));
        }
        Listener::poll_accept(&mut self.inner, cx)
    }
}

#[tokio::test]
async fn backs_off_without_spinning_when_descriptors_run_out() {
    let inner = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
    let address = inner.local_addr().unwrap();
    let calls = Arc::default();
    let listener = OutOfDescriptors {
        inner: TcpAcceptor::from_std(inner).unwrap(),
        refusals_left: 4,
        calls: Arc::clone(&calls),
    };
    let accept = AcceptLoop::with_fixed_limits(listener, Limits::default());
    let shutdown = CancellationToken::new();
    tokio::spawn(accept.run(|_| service_fn(answer), TokioExecutor::new(), shutdown));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(calls.load(Ordering::Relaxed) < 20, "accept was called in a spin");
}

#[tokio::test]
async fn serves_services_that_are_not_send_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::from_std(bind_unix(&path, 0o660).unwrap()).unwrap();
    let local = LocalSet::new();
    let shutdown = CancellationToken::new();
    let accept = AcceptLoop::with_fixed_limits(listener, quick());
    let not_send = Rc::new("hello");
    let make = move |(): &()| {
        let not_send = Rc::clone(&not_send);
        service_fn(move |_| {
            let body = Full::new(Bytes::from_static(not_send.as_bytes()));
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        })
    };
    let drained = local.spawn_local(accept.run(make, LocalExecutor, shutdown.clone()));
    let answer = local.run_until(async {
        let mut stream = UnixStream::connect(&path).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    assert!(answer.await.ends_with("hello"));
    shutdown.cancel();
    assert_eq!(local.run_until(drained).await.unwrap(), DrainOutcome { cut: 0 });
}

#[test]
fn a_taken_port_is_a_clear_error_also_when_its_owner_would_share_it() {
    let first = bind_tcp("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let address = first[0].local_addr().unwrap();
    assert_eq!(first[1].local_addr().unwrap(), address);
    let error = bind_tcp(address, 1).unwrap_err();
    assert!(matches!(error, BindError::AddressTaken { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()));
}

#[test]
fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    drop(bind_unix(&path, 0o660).unwrap());
    assert!(path.exists(), "a closed listener leaves its file");
    let live = bind_unix(&path, 0o600).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(bind_unix(&path, 0o600), Err(BindError::SocketTaken { .. })));
    drop(live);
}

#[test]
fn a_unix_path_that_is_too_long_or_is_a_file_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(100));
    assert!(matches!(bind_unix(&long, 0o660), Err(BindError::PathTooLong { .. })));
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    assert!(matches!(bind_unix(&file, 0o660), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
}
