//! Connections that wait without buffers.

use super::*;

/// Longer than a connection keeps its buffers.
const IDLE: Duration = Duration::from_millis(1800);

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

async fn answer_body(stream: &mut TcpStream) -> String {
    let head = head(stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn an_idle_connection_answers_its_next_requests_as_before() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    tokio::time::sleep(IDLE).await;
    for _ in 0..2 {
        send(&mut stream, b"GET /target?q=\"\xff<\xc3\xa4 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(answer_body(&mut stream).await, "/target?q=%22%FF%3C\u{e4}");
        send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nwh").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        send(&mut stream, b"ole").await;
        assert_eq!(answer_body(&mut stream).await, "whole");
        tokio::time::sleep(IDLE).await;
        // Two requests at once, the second in two pieces, one of them amid an escape.
        let two = b"GET /target?a HTTP/1.1\r\nhost: a\r\n\r\nGET /target?\xc3";
        send(&mut stream, two).await;
        assert_eq!(answer_body(&mut stream).await, "/target?a");
        tokio::time::sleep(IDLE).await;
        send(&mut stream, b"< HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(answer_body(&mut stream).await, "/target?%C3%3C");
        tokio::time::sleep(IDLE).await;
    }
    assert_eq!(server.counters.timed_out.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn empty_lines_behind_a_request_do_not_harm_the_next() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    send(&mut stream, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab\r\n").await;
    assert_eq!(answer_body(&mut stream).await, "ab");
    tokio::time::sleep(IDLE).await;
    send(&mut stream, b"GET /target HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(answer_body(&mut stream).await, "/target");
}

#[tokio::test]
async fn an_answer_with_a_pause_comes_whole() {
    let server = start(Limits::default());
    let mut stream = server.connect().await;
    for _ in 0..2 {
        send(&mut stream, b"GET /pauses HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(head(&mut stream).await.contains("chunked"));
        let mut body = [0; 23];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"4\r\nhalf\r\n4\r\nhalf\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn idle_time_counts_from_the_last_answer_on() {
    let idle_timeout = Duration::from_millis(2500);
    let server = start(Limits { idle_timeout, ..Limits::default() });
    let mut stream = server.connect().await;
    send(&mut stream, GET).await;
    head(&mut stream).await;
    let elapsed = closed_after(&mut stream).await;
    assert!(elapsed >= Duration::from_millis(2400), "closed after only {elapsed:?}");
    assert!(elapsed < Duration::from_secs(4), "closed after {elapsed:?}");
    assert_eq!(server.counters.timed_out.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_drain_answers_a_last_request_on_an_idle_connection() {
    let server = start(quick_drain());
    let (mut asking, mut silent) = (server.connect().await, server.connect().await);
    for stream in [&mut asking, &mut silent] {
        send(stream, GET).await;
        head(stream).await;
    }
    tokio::time::sleep(IDLE).await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    send(&mut asking, GET).await;
    assert!(head(&mut asking).await.contains("connection: close"));
    assert!(closed_after(&mut silent).await < Duration::from_millis(800));
    drop((asking, silent));
    assert_eq!(server.drained.await.unwrap(), DrainOutcome { cut: 0 });
}

fn quick_drain() -> Limits {
    Limits {
        drain_grace: Duration::from_millis(300),
        drain_deadline: Duration::from_secs(2),
        ..Limits::default()
    }
}
