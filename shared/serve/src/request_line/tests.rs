//! Requests as a service receives them through hyper, with the bytes cut into reads anywhere.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Mutex;
use std::task::Waker;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;

use tokio::io::AsyncWrite;

use super::*;
use crate::connection::{Connection, builder};
use crate::open::OpenConnections;
use crate::{ConnectionCounters, Limits};

/// A connection whose client sends these pieces, takes every answer, and stays.
#[derive(Debug, Default)]
struct Pieces {
    left: VecDeque<Vec<u8>>,
    answers: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(piece) = self.left.front_mut() else { return Poll::Pending };
        let count = piece.len().min(buf.remaining());
        buf.put_slice(&piece.drain(..count).collect::<Vec<u8>>());
        if piece.is_empty() {
            self.left.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.answers.lock().unwrap().extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl ClientStream for Pieces {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left.is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn held_bytes(&self) -> u32 {
        0
    }

    fn has_unread(&self) -> bool {
        !self.left.is_empty()
    }
}

/// Method, target and body of each answered request, and the answers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Heard {
    requests: Vec<(String, String, Vec<u8>)>,
    statuses: Vec<String>,
}

fn heard(pieces: &[Vec<u8>], is_layered: bool) -> Heard {
    let answers: Arc<Mutex<Vec<u8>>> = Arc::default();
    let left = pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect();
    let stream = Pieces { left, answers: Arc::clone(&answers) };
    let requests: Arc<Mutex<Vec<_>>> = Arc::default();
    let service = service_fn(|request: Request<Incoming>| {
        let requests = Arc::clone(&requests);
        async move {
            let (method, target) = (request.method().to_string(), request.uri().to_string());
            if let Ok(body) = request.into_body().collect().await {
                requests.lock().unwrap().push((method, target, body.to_bytes().to_vec()));
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let limits = Limits::default();
    if is_layered {
        let address = IpAddr::from([127, 0, 0, 1]).into();
        let counters = Arc::<ConnectionCounters>::default();
        let slot = Arc::<OpenConnections>::default().add(address, counters);
        poll_often(Connection::new(Arc::new(builder(&limits)), stream, (), service, slot));
    } else {
        let http: http1::Builder = builder(&limits);
        poll_often(http.serve_connection(TokioIo::new(stream), service));
    }
    let text = String::from_utf8_lossy(&answers.lock().unwrap()).into_owned();
    let statuses = text.lines().filter(|line| line.starts_with("HTTP/1."));
    let statuses = statuses.map(str::to_owned).collect();
    let requests = requests.lock().unwrap().clone();
    Heard { requests, statuses }
}

fn poll_often(connection: impl Future) {
    let mut connection = Box::pin(connection);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..200 {
        if connection.as_mut().poll(&mut cx).is_ready() {
            return;
        }
    }
}

fn targets(bytes: &[u8]) -> Vec<String> {
    heard(&[bytes.to_vec()], true).requests.into_iter().map(|(_, target, _)| target).collect()
}

fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nsec-ch-ua: \"x\"<\xe9>\r\n\r\n"].concat()
}

#[test]
fn any_byte_of_a_query_is_heard_but_those_that_end_a_target_or_control() {
    for byte in 0..=255_u8 {
        let target = [b"/code?utm=a", &[byte][..], b"b"].concat();
        let expected = match byte {
            0..=b' ' => None,
            b'#' => Some("/code?utm=a".to_owned()),
            b'"' | b'<' | b'>' | 0x7f.. => Some(format!("/code?utm=a%{byte:02X}b")),
            _ => Some(format!("/code?utm=a{}b", char::from(byte))),
        };
        assert_eq!(targets(&get(&target)), Vec::from_iter(expected), "{byte}");
    }
}

#[test]
fn a_path_is_escaped_alike_and_a_hosts_name_is_not() {
    assert_eq!(targets(&get(b"/a>\xbb?\xff")), ["/a%3E%BB?%FF"]);
    assert_eq!(targets(&get(b"http://a.example/?\"")), ["http://a.example/?%22"]);
    assert_eq!(targets(&get(b"http://a\xe9.example/?a")), [""; 0]);
    assert_eq!(targets(&get(b"*")), ["*"]);
}

#[test]
fn characters_stay_as_they_are_wherever_they_are_cut_and_parts_of_them_are_escaped() {
    let sent = get("/a\u{bb}?\u{e9}\u{20ac}\u{1f600}=".as_bytes());
    let parts = get(b"/?\xe2\x82\xe2\x82\xac\xc3<\xf0\x9f\x98");
    for (bytes, expected) in
        [(sent, "/a\u{bb}?\u{e9}\u{20ac}\u{1f600}="), (parts, "/?%E2%82\u{20ac}%C3%3C%F0%9F%98")]
    {
        for at in 0..bytes.len() {
            let pieces = [bytes[..at].to_vec(), bytes[at..].to_vec()];
            let found = heard(&pieces, true);
            let target = found.requests.first().map(|(_, target, _)| target.as_str());
            assert_eq!(target, Some(expected), "cut at {at}");
        }
    }
}

#[test]
fn each_of_several_requests_in_one_read_is_heard() {
    let body = b"GET /?\" HTTP/1.1\r\n\r\n";
    let post = format!("POST /?<p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    let bytes =
        [&get(b"/?\"1"), post.as_bytes(), body, b"\r\n\r\n", &get(b"/?\"2"), &get(b"/?\"3")]
            .concat();
    let heard = heard(&[bytes], true);
    let expected = ["/?%221", "/?%3Cp", "/?%222", "/?%223"];
    let targets: Vec<&str> = heard.requests.iter().map(|(_, target, _)| target.as_str()).collect();
    assert_eq!(targets, expected);
    assert_eq!(heard.requests[1].2, body);
}

#[test]
fn a_request_behind_which_the_next_cannot_be_told_is_the_last() {
    let next = get(b"/?next");
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let body = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    for (pieces, has_next) in [
        (vec![chunked.to_vec(), next.clone()], false),
        (vec![[&chunked[..], &next].concat()], false),
        // A body that comes apart from a head that was only looked over.
        (vec![body.to_vec(), [b"ab", &next[..]].concat()], false),
        (vec![[&body[..], b"ab", &next].concat()], true),
    ] {
        let heard = heard(&pieces, true);
        assert_eq!(heard.requests.len(), 1 + usize::from(has_next), "{heard:?}");
    }
}

#[test]
fn heads_whose_lines_end_without_a_carriage_return_are_followed_too() {
    let bare = b"GET /?\"1 HTTP/1.1\nHost: a\n\nGET /?2 HTTP/1.1\nHost: a\r\n\n";
    assert_eq!(targets(&[&bare[..], &get(b"/?\"3")].concat()), ["/?%221", "/?2", "/?%223"]);
    // Two heads that are taken for one when they are only looked over.
    let two = b"GET /?1 HTTP/1.1\nHost: a\n\nGET /?2 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let found = heard(&[two, get(b"/?\"3")], true);
    assert_eq!(found.requests.len(), 3, "{found:?}");
}

/// A request as sent, and as the service must receive it.
#[derive(Debug, Clone)]
struct Sent {
    bytes: Vec<u8>,
    heard: (String, String, Vec<u8>),
}

fn any_request() -> impl Strategy<Value = Sent> {
    let byte = prop_oneof![
        4 => proptest::sample::select(b"abc019/&=%.,;{}()".to_vec()),
        1 => proptest::sample::select(b"\"<>`\x7f\x80\xc3\xa9\xe2\x82\xac\xff".to_vec()),
    ];
    let target = proptest::collection::vec(byte, 0..30);
    let body = prop_oneof![
        Just(None),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(Some),
        Just(Some(b"POST /?\" HTTP/1.1\r\n\r\n\n\n".to_vec())),
    ];
    let method = proptest::sample::select(&["GET", "HEAD", "POST", "PUT", "DELETE"][..]);
    (method, target, body, any::<bool>(), "[ -~]{0,20}").prop_map(
        |(method, target, body, is_bare, field)| {
            // Several heads without carriage returns may be looked over as one; see the module.
            let end = if is_bare && !method.starts_with(['G', 'H']) { "\n" } else { "\r\n" };
            // A body behind a head that is only looked over ends the connection.
            let body = body.filter(|_| !method.starts_with(['G', 'H']));
            let target = [b"?", &target[..]].concat();
            let mut bytes = format!("{method} /").into_bytes();
            bytes.extend(&target);
            bytes.extend(format!(" HTTP/1.1{end}Host: a{end}X: {field}{end}").bytes());
            let length = body.as_ref().map(|body| format!("Content-Length: {}{end}", body.len()));
            bytes.extend(length.unwrap_or_default().bytes());
            bytes.extend(end.bytes());
            bytes.extend(body.iter().flatten());
            let target = format!("/{}", escaped(&target));
            Sent { bytes, heard: (method.to_owned(), target, body.unwrap_or_default()) }
        },
    )
}

/// Decodes with another implementation.
fn escaped(target: &[u8]) -> String {
    let chunks = target.utf8_chunks().map(|chunk| {
        let escape = |byte: u8| format!("%{byte:02X}");
        let plain = chunk.valid().chars().map(|c| match c {
            '"' | '<' | '>' | '\x7f' => escape(c as u8),
            c => c.to_string(),
        });
        plain.chain(chunk.invalid().iter().copied().map(escape)).collect::<String>()
    });
    chunks.collect()
}

fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|two| bytes[two[0]..two[1]].to_vec()).collect()
}

/// Pieces of requests, in any order.
fn any_noise() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 22] = [
        "GET /a?b HTTP/1.1\r\n",
        "POST /c HTTP/1.1\r\n",
        "PUT /d?e HTTP/1.0\n",
        "CONNECT a:80 HTTP/1.1\r\n",
        "Host: a\r\n",
        "Host: a\n",
        "Content-Length: 9\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Upgrade: h2c\r\nConnection: upgrade\r\n",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "hello, he",
        "GET /f HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /g HTTP/1.1\nHost: a\n\n",
        " ",
    ];
    let piece = proptest::sample::select(&PIECES[..]);
    proptest::collection::vec(piece, 1..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn requests_are_heard_as_they_were_sent_wherever_their_bytes_are_cut(
        sent in proptest::collection::vec(any_request(), 1..6),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = sent.iter().flat_map(|sent| sent.bytes.clone()).collect::<Vec<u8>>();
        let expected = sent.into_iter().map(|sent| sent.heard).collect::<Vec<_>>();
        prop_assert_eq!(heard(&cut(&bytes, &cuts), true).requests, expected);
    }

    #[test]
    fn what_needs_no_escape_is_heard_as_hyper_alone_hears_it_or_the_connection_ends_sooner(
        noise in any_noise(),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let pieces = cut(&noise, &cuts);
        let (layered, alone) = (heard(&pieces, true), heard(&pieces, false));
        prop_assert!(alone.requests.starts_with(&layered.requests), "{:?} {:?}", layered, alone);
        prop_assert!(alone.statuses.starts_with(&layered.statuses), "{:?} {:?}", layered, alone);
    }
}
