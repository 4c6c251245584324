//! The stream of clicks and sales: what it sends, to how many, and when it ends.

use crate::cdp::Chromium;
use crate::http_browser::HttpBrowser;
use crate::programs::{Network, wait_for};
use crate::signed_in::Console;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn delete(network: &Network, path: &str) {
    let answer = network.call("DELETE", path, None);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
}

/// A stream as it is received, with the marks of its chunks.
struct Stream {
    socket: TcpStream,
    received: String,
}

impl Stream {
    /// Opens a stream with one header of its reader.
    fn open(network: &Network, path: &str, header: &str) -> Stream {
        let mut socket = TcpStream::connect(network.admin_address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\nAccept: text/event-stream\r\n\
             Connection: close\r\n\r\n",
            network.admin_address
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut stream = Stream { socket, received: String::new() };
        stream.wait_for("\r\n\r\n");
        stream
    }

    fn with_key(network: &Network, key: &str) -> Stream {
        Stream::open(network, "/v1/networks/stream", &format!("X-Eflow-API-Key: {key}"))
    }

    fn of_page(network: &Network, browser: &HttpBrowser<'_>) -> Stream {
        let stream = Stream::open(
            network,
            "/console/live/stream",
            &format!("Cookie: {}", browser.cookies()),
        );
        assert_eq!(stream.status(), 200, "{}", stream.received);
        stream
    }

    fn status(&self) -> u16 {
        self.received.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Reads a piece; `false` at the end.
    fn read(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        let length = self.socket.read(&mut piece).unwrap();
        self.received.push_str(&String::from_utf8_lossy(&piece[..length]));
        length > 0
    }

    fn wait_for(&mut self, text: &str) {
        while !self.received.contains(text) {
            assert!(self.read(), "the stream ended without {text}: {}", self.received);
        }
    }

    fn wait_for_end(&mut self) {
        while self.read() {}
    }

    /// The data of all events of a kind, once there is one.
    fn wait_for_events(&mut self, kind: &str) -> Vec<Value> {
        let head = format!("event: {kind}\ndata: ");
        self.wait_for(&head);
        while !self.received.split_once(&head).unwrap().1.contains("\n\n") {
            assert!(self.read());
        }
        let events = self.received.split(&head).skip(1);
        events.map(|data| serde_json::from_str(data.split('\n').next().unwrap()).unwrap()).collect()
    }
}

#[test]
fn clicks_and_sales_are_streamed_within_a_second_until_the_program_stops() {
    let mut console = Console::start();
    let network = &console.network;
    network.create_winter25();
    let mut stream = Stream::with_key(network, &network.key());
    assert_eq!(stream.status(), 200, "{}", stream.received);
    let head = stream.received.to_ascii_lowercase();
    for line in
        ["content-type: text/event-stream", "x-accel-buffering: no", "cache-control: no-store"]
    {
        assert!(head.contains(line), "{line}: {head}");
    }
    let began = Instant::now();
    network.visit("/winter25?sub1=story");
    let clicks = stream.wait_for_events("click");
    // One second is promised; the machine of a test may be busy.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(clicks.len(), 1);
    assert_eq!(
        (&clicks[0]["coupon_code"], &clicks[0]["sub1"]),
        (&json!("winter25"), &json!("story"))
    );
    let path = format!("reporting/clicks/{}", clicks[0]["transaction_id"].as_str().unwrap());
    assert_eq!(
        clicks[0],
        network.call("GET", &path, None).json(),
        "the click as the API answers it"
    );

    network.visit("/?nid=1&coupon_code=winter25&amount=50&order_id=A2");
    let sales = stream.wait_for_events("conversion");
    assert_eq!(
        (&sales[0]["coupon_code"], &sales[0]["order_id"]),
        (&json!("WINTER25"), &json!("A2"))
    );

    let mut later = Stream::with_key(network, &network.key());
    let third = Stream::with_key(network, &network.key());
    assert_eq!(third.status(), 429, "{}", third.received);
    network.visit("/winter25");
    assert_eq!(later.wait_for_events("click").len(), 1, "{}", later.received);
    drop(later);
    wait_for("the place of a reader that left", || {
        (Stream::with_key(network, &network.key()).status() == 200).then_some(())
    });
    // A stream does not hold up the stop of the program.
    console.stop();
    stream.wait_for_end();
    assert!(stream.received.ends_with("0\r\n\r\n"), "the answer is whole: {}", stream.received);
}

#[test]
fn a_stream_ends_with_its_key_or_session() {
    let console = Console::start();
    let network = &console.network;
    let made = network.done("POST", "apikeys", json!({"name": "Board", "role": "read_only"}));
    let mut with_key = Stream::with_key(network, made["api_key"].as_str().unwrap());
    assert_eq!(with_key.status(), 200);
    let [disabled, changed, signed_out, ended] = ["disabled", "changed", "signed-out", "ended"]
        .map(|login| {
            let browser = HttpBrowser::invited(network, login, "manager");
            let stream = Stream::of_page(network, &browser);
            (browser, stream)
        });
    let user = |login: &str| {
        let users = network.call("GET", "users", None).json();
        let found = users["users"].as_array().unwrap().iter().find(|user| user["login"] == login);
        format!("users/{}", found.unwrap()["network_user_id"])
    };
    delete(network, &format!("apikeys/{}", made["network_api_key_id"]));
    network.done("PATCH", &user("disabled"), json!({"user_status": "disabled"}));
    network.done("PATCH", &user("changed"), json!({"role": "read_only"}));
    assert_eq!(signed_out.0.post("/sign-out", &[("side", "console")]).status, 303);
    let sessions = network.call("GET", &format!("{}/sessions", user("ended")), None).json();
    let session = &sessions["sessions"][0]["session_id"];
    delete(network, &format!("{}/sessions/{session}", user("ended")));
    let began = Instant::now();
    with_key.wait_for_end();
    for (browser, mut stream) in [disabled, changed, signed_out, ended] {
        stream.wait_for_end();
        let next = browser.get("/console/live");
        assert!(next.location().starts_with("/sign-in?next="), "{next:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn the_live_page_shows_what_comes_until_it_is_paused_or_its_session_ends() {
    let Some(chromium) = Chromium::start() else { return };
    let console = Console::start();
    console.network.create_winter25();
    let page = console.page(&chromium, 1280);
    page.goto(&console.url("/console/live"));
    page.wait_for_text("New clicks and sales appear by themselves.");
    console.network.visit("/winter25");
    page.wait_for_text("winter25");
    page.press("Space");
    page.wait_for_text("Paused.");
    console.network.visit("/winter25?sub1=x");
    wait_for("the clicks in the report", || (console.network.gross_clicks() == 2).then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    let rows = "document.querySelectorAll('[data-live] tbody tr').length";
    assert_eq!(page.evaluate(rows), 1, "{}", page.text());
    page.press("Space");
    wait_for("the second click", || (page.evaluate(rows) == 2).then_some(()));
    page.assert_clean();

    // Without scripts the page has the newest, and a link for newer ones.
    page.set_scripts(false);
    page.goto(&console.url("/console/live"));
    console.network.visit("/winter25?sub1=y");
    wait_for("the clicks in the report", || (console.network.gross_clicks() == 3).then_some(()));
    page.by_role("link", "Reload the page").click();
    page.wait_for_text("The newest clicks and sales.");
    page.set_scripts(true);
    page.goto(&console.url("/console/live"));
    page.wait_for_text("New clicks and sales appear by themselves.");
    assert_eq!(page.evaluate(rows), 3);
    let sessions = console.network.call("GET", "users/1/sessions", None).json();
    for session in sessions["sessions"].as_array().unwrap() {
        let path = format!("users/1/sessions/{}", session["session_id"]);
        delete(&console.network, &path);
    }
    page.wait_for_url("/sign-in?next=%2Fconsole%2Flive");
}
