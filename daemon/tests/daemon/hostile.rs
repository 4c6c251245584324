//! Requests made so that a proxy in front could read them differently: each gets at most one
//! answer, and the connection ends after an ambiguous request, so no second request can be hidden
//! behind the first.

use std::io::{Read, Write};
use std::time::Duration;

use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, folder, until};

#[path = "hostile/idle.rs"]
pub(crate) mod idle;
#[path = "hostile/slow.rs"]
pub(crate) mod slow;

/// The request that an attacker hides behind another.
const HIDDEN: &str = "GET /winter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n";

fn impatient() -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command
            .env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "300")
            .env("COUPOND_LIMITS_IDLE_TIMEOUT_MS", "300")
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "0");
    })
}

/// All answers until the daemon closes.
fn answers(coupond: &Coupond, request: &[u8]) -> Vec<Answer> {
    let mut stream = coupond.connect();
    // The daemon may answer and close before it has read the whole request.
    let _ = stream.write_all(request);
    let mut bytes = Vec::new();
    // A reset after the answers counts as an end.
    let _ = stream.read_to_end(&mut bytes);
    split(&bytes)
}

fn split(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
        let mut answer = Answer::parse(&bytes[..head]);
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        assert!(bytes.len() >= head + length, "an answer is cut: {answer:?}");
        answer.body = String::from_utf8_lossy(&bytes[head..head + length]).into_owned();
        bytes = &bytes[head + length..];
        answers.push(answer);
    }
    answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// Asserts that `request` gets exactly one answer and that the daemon ignores all bytes behind the
/// request.
fn assert_last(coupond: &Coupond, status: u16, request: &str) {
    let answers = answers(coupond, (request.to_owned() + HIDDEN).as_bytes());
    assert_eq!(statuses(&answers), [status], "{request:?}");
    assert_eq!(answers[0].header("connection"), Some("close"), "{request:?}");
}

fn get(headers: &str) -> String {
    format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n")
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /winter25 HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n{body}")
}

#[test]
fn a_request_of_two_lengths_is_the_connections_last() {
    let coupond = impatient();
    let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    assert_last(&coupond, 405, &post(both, "0\r\n\r\nX"));
    assert_last(
        &coupond,
        405,
        &post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nX"),
    );
    assert_last(&coupond, 302, &(get(both) + "0\r\n\r\n"));
    for lengths in ["5\r\nContent-Length: 6", "6\r\nContent-Length: 5", "5, 6", "5,5"] {
        assert_last(&coupond, 400, &post(&format!("Content-Length: {lengths}\r\n"), "hello"));
    }
    assert_eq!(coupond.health()["clicks"]["answered"], 1);
}

#[test]
fn a_length_that_is_no_plain_number_is_refused() {
    let coupond = impatient();
    for length in ["+5", "-1", "0x5", "5 5", "5;", "", "five", "18446744073709551616", "1e1"] {
        assert_last(&coupond, 400, &post(&format!("Content-Length: {length}\r\n"), "hello"));
    }
}

#[test]
fn an_encoding_that_is_not_chunked_is_refused() {
    let coupond = impatient();
    for encoding in
        ["identity", "xchunked", "chunked, identity", "gzip", "chunked;q=1", "", "\"chunked\""]
    {
        assert_last(
            &coupond,
            400,
            &post(&format!("Transfer-Encoding: {encoding}\r\n"), "0\r\n\r\n"),
        );
    }
    for line in [
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\u{b}chunked",
    ] {
        assert_last(&coupond, 400, &post(&format!("{line}\r\n"), "0\r\n\r\n"));
    }
    let old = format!(
        "POST /winter25 HTTP/1.0\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    assert_last(&coupond, 400, &old);
}

#[test]
fn lines_that_are_folded_or_broken_are_refused() {
    let coupond = impatient();
    for headers in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tContent-Length: 5\r\n",
        " X: a\r\n",
        "X: a\rContent-Length: 5\r\n",
        "X: a\r\r\n",
        "X: a\0b\r\n",
        "X\0: a\r\n",
        "X y: a\r\n",
        "X\r\n",
        ": a\r\n",
        "Host : go.example.com\r\n",
    ] {
        assert_last(&coupond, 400, &get(headers));
    }
}

#[test]
fn what_is_no_request_is_the_connections_end() {
    let coupond = impatient();
    let tls = "\x16\x03\x01\x02\x00\x01\x00\x01\u{1}\x03\x03";
    for start in [
        "GET /winter25\r\n\r\n",
        "GET /winter25 HTTP/1.1 \r\nHost: go.example.com\r\n\r\n",
        "GET /winter25 http/1.1\r\nHost: go.example.com\r\n\r\n",
        "GET /winter25 HTTP/1.2\r\nHost: go.example.com\r\n\r\n",
        "GET  /winter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        "GET\t/winter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        "GET /winter25\0 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        "GET /win ter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        "G\u{7f}T /winter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        " GET /winter25 HTTP/1.1\r\nHost: go.example.com\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        tls,
    ] {
        assert_last(&coupond, 400, start);
    }
    // An HTTP/2 client would not understand an HTTP/1 answer.
    assert_eq!(answers(&coupond, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []);
    assert_eq!(coupond.health()["clicks"]["answered"], 0);
}

#[test]
fn a_bare_line_feed_ends_a_line_and_hides_nothing() {
    let coupond = impatient();
    let request = format!("GET /winter25 HTTP/1.1\nHost: {HOST}\nConnection: close\n\n");
    assert_eq!(statuses(&answers(&coupond, (request + HIDDEN).as_bytes())), [302]);
}

#[test]
fn a_visits_body_is_never_taken_for_a_request() {
    let coupond = impatient();
    let length = HIDDEN.len();
    let hidden = [
        get(&format!("Content-Length: {length}\r\n")) + HIDDEN,
        get("Transfer-Encoding: chunked\r\n") + &format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        get("Transfer-Encoding: chunked\r\n")
            + &format!("{length:x};x=\"\r\n{HIDDEN}\r\n0\r\n\r\n"),
        get("Transfer-Encoding: chunked\r\n")
            + "0\r\nX: "
            + &HIDDEN.replace("\r\n", " ")
            + "\r\n\r\n",
    ];
    for request in &hidden {
        let answers = statuses(&answers(&coupond, request.as_bytes()));
        assert_eq!(answers, [302], "{request:?}");
    }
    assert_eq!(coupond.health()["clicks"]["answered"], hidden.len());
}

#[test]
fn raw_bytes_in_a_query_cost_no_visit_and_hide_nothing() {
    let coupond = impatient();
    let raw = |query: &[u8]| {
        let head = format!(" HTTP/1.1\r\nHost: {HOST}\r\nReferer: \"<>\"\r\n\r\n");
        [b"GET /winter25?utm=", query, head.as_bytes()].concat()
    };
    let visits = [raw(b"\"<\xe9>\x7f`"), raw(b"plain"), raw("\u{2019}".as_bytes())].concat();
    let body = [HIDDEN.as_bytes(), &raw(b"\"")].concat();
    let post = post(&format!("Content-Length: {}\r\n", body.len()), "");
    let answers = answers(&coupond, &[&visits, post.as_bytes(), &body].concat());
    assert_eq!(statuses(&answers), [302, 302, 302, 405]);
    // A blank ends a target, and so do control characters for some servers.
    for query in [&b"a b"[..], b"a\tb", b"a\x0bb", b"a\x0cb", b"a\0b", b"a\rb"] {
        let request = [&raw(query)[..], HIDDEN.as_bytes()].concat();
        assert_eq!(statuses(&self::answers(&coupond, &request)), [400], "{query:?}");
    }
    assert_eq!(coupond.health()["clicks"]["answered"], 3);
}

#[test]
fn a_visits_body_that_does_not_come_or_is_no_body_ends_the_connection() {
    let coupond = impatient();
    for body in [
        "Content-Length: 100000000\r\n\r\nxx".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n".to_owned() + "5\r\nhelloX\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n".into(),
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n".into(),
        "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n".into(),
        "Transfer-Encoding: chunked\r\n\r\n5 \rx\nhello\r\n0\r\n\r\n".into(),
    ] {
        let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n{body}{HIDDEN}");
        let answers = answers(&coupond, request.as_bytes());
        assert_eq!(statuses(&answers), [302], "{request:?}");
    }
}

#[test]
fn a_reports_broken_body_is_refused_and_nothing_behind_it_answered() {
    let coupond = impatient();
    for body in ["5\r\nhelloX\r\n0\r\n\r\n", "g\r\n", "ffffffffffffffff1\r\n", "5\nhello\n0\n\n"] {
        let head =
            format!("POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answers = answers(&coupond, (head + body + HIDDEN).as_bytes());
        assert!(answers.len() <= 1, "{body:?}: {answers:?}");
        assert!(answers.iter().all(|answer| (400..500).contains(&answer.status)), "{answers:?}");
    }
    assert_eq!(coupond.health()["clicks"]["answered"], 0);
}

#[test]
fn other_forms_of_a_target_lead_to_the_host_they_name_or_nowhere() {
    let coupond = impatient();
    let asked = |line: &str, host: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        statuses(&answers(&coupond, request.as_bytes()))
    };
    assert_eq!(asked("GET http://go.example.com/winter25", HOST), [302]);
    assert_eq!(asked("GET http://go.example.com/winter25", "elsewhere.example"), [302]);
    assert_eq!(asked("GET http://elsewhere.example/winter25", HOST), [404]);
    assert_eq!(asked("GET https://go.example.com:443/winter25", HOST), [302]);
    assert_eq!(asked("GET http://user@go.example.com/winter25", HOST), [400]);
    assert_eq!(asked("GET *", HOST), [404]);
    assert_eq!(asked("OPTIONS *", HOST), [405]);
    assert_eq!(asked("GET go.example.com:80", HOST), [404]);
    assert_eq!(asked("CONNECT go.example.com:80", HOST), [405]);
    assert_eq!(asked("GET http:///winter25", HOST), [400]);
    assert_eq!(asked("GET http://go.example.com", HOST), [404]);
}

#[test]
fn an_offer_to_upgrade_is_not_taken_and_the_connection_goes_on() {
    let coupond = impatient();
    for upgrade in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
    ] {
        let answers = answers(&coupond, (get(upgrade) + HIDDEN).as_bytes());
        assert_eq!(statuses(&answers), [302, 302]);
    }
}

#[test]
fn heads_beyond_the_limits_are_refused() {
    let coupond = impatient();
    let many: String = (0..101).map(|number| format!("X{number}: a\r\n")).collect();
    assert_last(&coupond, 431, &get(&many));
    assert_last(&coupond, 431, &get(&format!("{}: a\r\n", "X".repeat(20_000))));
    assert_last(
        &coupond,
        431,
        &format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(70_000)),
    );
    assert_last(
        &coupond,
        431,
        &format!("{} /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "G".repeat(20_000)),
    );
    // A method longer than any other is read, but not answered.
    let method = "G".repeat(4_000);
    let answer =
        answers(&coupond, format!("{method} /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes());
    assert_eq!(statuses(&answer), [405]);
}

#[test]
fn requests_behind_a_bad_one_are_not_answered_and_those_before_it_are() {
    let coupond = impatient();
    let bad = "BAD\r\n\r\n";
    let request = HIDDEN.repeat(3) + bad + &HIDDEN.repeat(3);
    assert_eq!(statuses(&answers(&coupond, request.as_bytes())), [302, 302, 302, 400]);
    assert_eq!(coupond.health()["clicks"]["answered"], 3);
}

#[test]
fn a_host_that_is_none_is_refused_whatever_the_target() {
    let coupond = impatient();
    let mut hosts: Vec<Vec<u8>> = [
        "",
        " ",
        "a b",
        "a,b",
        "go.example.com,elsewhere.example",
        "go.example.com/",
        "http://go.example.com",
        "user@go.example.com",
        "go.example.com:8x",
        ":80",
        "[::1",
        "[x]",
        "go.example.com#",
        "go.example.com?",
        "go..example.com\\",
        "go%2eexample.com",
    ]
    .map(|host| host.as_bytes().to_vec())
    .to_vec();
    hosts.extend((0x80..=0xff).map(|byte| vec![b'g', byte]));
    for host in hosts {
        for target in ["/winter25", "http://go.example.com/winter25"] {
            let mut request = format!("GET {target} HTTP/1.1\r\nHost: ").into_bytes();
            request.extend(&host);
            request.extend(b"\r\nConnection: close\r\n\r\n");
            let answers = statuses(&answers(&coupond, &request));
            let shown = String::from_utf8_lossy(&host);
            assert!(answers == [400] || answers == [404], "{shown:?}: {answers:?}");
        }
    }
    for hosts in [
        "",
        "Host: go.example.com\r\nHost: go.example.com\r\n",
        "Host: go.example.com\r\nhOST: x\r\n",
    ] {
        let request = format!(
            "GET http://go.example.com/winter25 HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"
        );
        assert_eq!(statuses(&answers(&coupond, request.as_bytes())), [400], "{hosts:?}");
    }
    assert_eq!(coupond.health()["clicks"]["answered"], 0);
}

#[test]
fn noise_leaves_it_as_it_was() {
    let coupond = impatient();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let rounds = std::env::var("NOISE_CONNECTIONS").map_or(400, |text| text.parse().unwrap());
    for _ in 0..rounds {
        let mut stream = coupond.connect();
        let _ = stream.write_all(&noise.request());
        // The daemon refuses most of these at once and closes the others later.
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        let _ = stream.read(&mut [0; 64]);
    }
    assert_eq!(coupond.get("/winter25").status, 302);
    assert!(!coupond.log().contains("panicked"), "{}", coupond.log());
    until("all are closed", || {
        let metrics = coupond.control("GET", "/metrics").body;
        metrics.contains("coupond_connections_open 0\n").then_some(())
    });
}

/// Pieces of requests in random order, some of them damaged.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        // xorshift64: the same sequence in each run.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }

    fn request(&mut self) -> Vec<u8> {
        const PIECES: [&[u8]; 20] = [
            b"GET ",
            b"POST ",
            b"HEAD ",
            b"OPTIONS ",
            b"/winter25",
            b"/sdk/conversion?nid=1",
            b"/?nid=1",
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b"Host: go.example.com\r\n",
            b"Content-Length: 9\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"Connection: close, keep-alive\r\n",
            b"\r\n",
            b"\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"\0\xff\r",
            b"X-Forwarded-For: ,,[::1]:x\r\n",
            b"{\"a\":",
        ];
        let count = 1 + self.next(12);
        let mut bytes: Vec<u8> =
            (0..count).flat_map(|_| PIECES[self.next(PIECES.len())]).copied().collect();
        if self.next(3) == 0 {
            let at = self.next(bytes.len());
            bytes[at] = self.next(256) as u8;
        }
        bytes
    }
}
