//! `/v1/networks/events`, as pages and as a stream.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Running, code, start_with_offers};

async fn page(network: &Running, query: &str) -> Value {
    network.get(&format!("events{query}")).await.done()
}

fn actions(page: &Value) -> Vec<&str> {
    let events = page["events"].as_array().unwrap().iter();
    events.map(|event| event["data"]["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_by_their_cursor() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("SUMMER")).await.done();
    network.patch("couponcodes/1", serde_json::json!({"coupon_status": "paused"})).await.done();
    network.delete("couponcodes/1").await.done();
    let first = page(&network, "?limit=2").await;
    assert_eq!((actions(&first), &first["has_gap"]), (vec!["created", "changed"], &false.into()));
    let change = &first["events"][1];
    assert_eq!(
        (&change["type"], &change["network_id"]),
        (&"coupon_code.changed".into(), &1.into())
    );
    assert_eq!(change["data"]["changes"][0]["after"], "paused", "{change}");
    let cursor = first["after"].as_str().unwrap();
    let second = page(&network, &format!("?after={cursor}")).await;
    assert_eq!(actions(&second), ["deleted"]);
    let end = second["after"].as_str().unwrap();
    assert_eq!(page(&network, &format!("?after={end}")).await["after"], end);
    let others = page(&network, "?types=cap.near,cap.reached").await;
    assert_eq!((others["events"].as_array().unwrap().len(), &others["after"]), (0, &end.into()));
    // A cursor of another store begins anew.
    let anew = page(&network, "?after=00000000-3&types=coupon_code.changed").await;
    assert_eq!(actions(&anew).len(), 3);
    for (query, field) in [
        ("?after=3", "after"),
        ("?types=cap.passed", "types"),
        ("?limit=1001", "limit"),
        ("?limit=0", "limit"),
        ("?since=1", "since"),
    ] {
        let refused = network.get(&format!("events{query}")).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query}");
    }
}

/// A stream as it is received.
struct Stream {
    socket: TcpStream,
    received: String,
}

impl Stream {
    async fn open(network: &Running, header: &str) -> Stream {
        let mut socket = TcpStream::connect(network.address).await.unwrap();
        let request = format!(
            "GET /v1/networks/events?types=coupon_code.changed HTTP/1.1\r\nHost: {}\r\n\
             X-Eflow-API-Key: {}\r\nAccept: text/event-stream\r\n{header}\r\n",
            network.address, network.key
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        Stream { socket, received: String::new() }
    }

    /// Reads until the text has come; `false` if the stream ended before.
    async fn wait_for(&mut self, text: &str) -> bool {
        while !self.received.contains(text) {
            let mut piece = [0; 4 << 10];
            let read = self.socket.read(&mut piece);
            let length =
                tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
            if length == 0 {
                return false;
            }
            self.received.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        true
    }
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_and_ends_with_the_program() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("SUMMER")).await.done();
    let mut stream = Stream::open(&network, "").await;
    assert!(stream.wait_for("\n:\n").await, "{}", stream.received);
    assert!(stream.received.to_ascii_lowercase().contains("content-type: text/event-stream"));
    network.post("couponcodes", code("WINTER")).await.done();
    assert!(stream.wait_for("\n\n").await && stream.wait_for("WINTER").await);
    assert!(!stream.received.contains("SUMMER"), "{}", stream.received);
    let first = page(&network, "?limit=1").await;
    let last = format!("Last-Event-ID: {}\r\n", first["after"].as_str().unwrap());
    let mut again = Stream::open(&network, &last).await;
    assert!(again.wait_for("event: coupon_code.changed\nid: ").await);
    assert!(again.wait_for("WINTER").await && !again.received.contains("SUMMER"));
    let mut third = Stream::open(&network, "").await;
    assert!(third.wait_for("HTTP/1.1 429").await, "{}", third.received);
    let _restarted = network.restart(|_| {}).await;
    assert!(!again.wait_for("never").await, "the stream ended");
}
