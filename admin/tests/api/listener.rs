//! Slow clients, and requests that parsers could misread.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Running, all, start_with};

async fn start_impatient(max_connections: usize) -> Running {
    start_with(|config| {
        config.limits.client_timeout = Duration::from_millis(400);
        config.limits.idle_timeout = Duration::from_millis(400);
        config.limits.body_timeout = Duration::from_millis(600);
        config.limits.max_connections = max_connections;
    })
    .await
}

/// Reads all bytes until the admin closes.
async fn answer(network: &Running, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(network.address).await.unwrap();
    // The admin may answer and close before it has the whole request.
    let _ = stream.write_all(request).await;
    until_closed(stream).await
}

async fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    // A reset after the answer counts as the end.
    let _ = read.await.expect("the connection is never closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn silent_and_trickling_clients_are_closed() {
    let network = start_impatient(512).await;
    let began = Instant::now();
    let silent = TcpStream::connect(network.address).await.unwrap();
    assert_eq!(until_closed(silent).await, "");
    let mut trickling = TcpStream::connect(network.address).await.unwrap();
    while trickling.write_all(b"G").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "a slow head is waited for");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(network.get("settings").await.status, 200);
}

#[tokio::test]
async fn a_body_that_trickles_in_is_given_up() {
    let network = start_impatient(512).await;
    let key = &network.key;
    let head = format!(
        "POST /v1/networks/affiliates HTTP/1.1\r\nHost: a\r\nX-Eflow-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    );
    let (mut reader, mut writer) = TcpStream::connect(network.address).await.unwrap().into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut answer)).await;
    read.expect("a slow body is waited for").unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body.too_slow"), "{answer}");
    trickle.abort();
}

#[tokio::test]
async fn silent_clients_above_the_limit_hold_up_good_ones_no_longer_than_the_time_out() {
    let network = start_impatient(20).await;
    let silent = all((0..100).map(|_| TcpStream::connect(network.address))).await;
    let began = Instant::now();
    assert_eq!(network.get("settings").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for stream in silent {
        assert_eq!(until_closed(stream.unwrap()).await, "");
    }
}

#[tokio::test]
async fn what_is_ambiguous_or_too_large_is_the_connections_last() {
    let network = start_impatient(512).await;
    let key = &network.key;
    let hidden =
        format!("GET /v1/networks/settings HTTP/1.1\r\nHost: a\r\nX-Eflow-API-Key: {key}\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST /v1/networks/affiliates HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}")
    };
    let large = format!("X: {}\r\n", "a".repeat(50_000));
    let cases = [
        ("401", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
        ("400", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello")),
        ("400", post("Content-Length: +5\r\n", "hello")),
        ("400", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("400", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("400", post("X: a\r\n b\r\n", "")),
        ("400", post("X: a\rb\r\n", "")),
        ("400", "\u{16}\u{3}\u{1}\u{2}".into()),
        ("431", post(&large, "")),
    ];
    for (status, request) in cases {
        let answer = answer(&network, (request.clone() + &hidden).as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answer:?}");
    }
    assert_eq!(network.get("affiliates").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn what_is_no_http_is_refused_in_json_too() {
    let network = start_impatient(512).await;
    let head = format!("Host: a\r\nX-Eflow-API-Key: {}\r\nConnection: close\r\n\r\n", network.key);
    let long = format!("X-Long: {}\r\n", "x".repeat(200_000));
    for (request, may_be_read) in [
        // Sent in plain text.
        (format!("GET /v1/networks/couponcodes?filter=coupon_code>a HTTP/1.1\r\n{head}"), true),
        (format!("GET /v1/networks/couponcodes?filter=a>\"1\" HTTP/1.1\r\n{head}"), true),
        (format!("GET /v1/networks/couponcodes?search=a b HTTP/1.1\r\n{head}"), false),
        (format!("GET /v1/networks/couponcodes?search=\u{1} HTTP/1.1\r\n{head}"), false),
        (format!("GET /v1/networks/settings HTTP/1.1\r\nno header\r\n{head}"), false),
        (format!("GET /v1/networks/settings HTTP/1.1\r\n{long}{head}"), false),
    ] {
        let line = request.lines().next().unwrap().to_owned();
        let answer = answer(&network, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).expect(&answer);
        let is_refused = head.starts_with("HTTP/1.1 4");
        assert!(is_refused || may_be_read, "{line}: {answer}");
        if is_refused {
            assert!(body["code"].is_string() && body["fields"].is_array(), "{line}: {answer}");
            assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
        }
    }
}
