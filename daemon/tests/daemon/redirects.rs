//! The answers of the tracking domain, for each kind of request.

use std::io::{Read, Write};

use crate::published::{HOST, destination, sample};
use crate::running::{Answer, Coupond, folder, until};

/// Paths that lead nowhere, for every reason.
pub(crate) const DEAD_ENDS: [&str; 17] = [
    "/nobody",
    "/nobody/",
    "/paused",
    "/unassigned/",
    "/expired",
    "/upcoming",
    "/ended",
    "/lapsed",
    "/winter25?oid=17",
    "/winter25?oid=99999999999",
    "/",
    "/ab",
    "/winter25//",
    "//winter25",
    "/winter%25325",
    "/winter-25",
    "/_health",
];

#[test]
fn redirects_a_known_code_in_any_case_with_and_without_a_slash() {
    let coupond = Coupond::serving(&sample());
    for path in ["/WINTER25", "/WINTER25/", "/winter25", "/WiNtEr25/"] {
        let answer = coupond.get(path);
        assert_eq!(answer.status, 302, "{path}");
        let typed = path.trim_matches('/');
        let expected = format!("https://shop.example/buy?c={typed}&t=");
        assert!(answer.location().starts_with(&expected), "{}", answer.location());
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.body, "");
    }
}

#[test]
fn a_link_with_escaped_letters_or_with_punctuation_behind_it_redirects() {
    let coupond = Coupond::serving(&sample());
    for (path, typed) in [
        ("/%57inter%325", "Winter25"),
        ("/winter25.", "winter25"),
        ("/winter25/).", "winter25"),
        ("/winter25%E2%80%9D/", "winter25"),
        ("/winter25\"", "winter25"),
        ("/winter25\u{bb}", "winter25"),
        ("/winter25>", "winter25"),
        ("/winter25?oid=x", "winter25"),
        ("/winter25?oid={oid}", "winter25"),
        ("/winter25?oid=16).", "winter25"),
    ] {
        let answer = coupond.get(path);
        let expected = format!("https://shop.example/buy?c={typed}&t=");
        assert!(answer.location().starts_with(&expected), "{path}: {answer:?}");
    }
    let blocks = coupond.feed(10);
    let clicks: Vec<_> = blocks.iter().flat_map(|block| block.clicks()).collect();
    assert!(clicks.iter().all(|click| click.code.eq_ignore_ascii_case(b"winter25")));
    assert_eq!(clicks.len(), 10);
}

#[test]
fn a_host_may_end_with_the_dot_of_a_whole_name() {
    let coupond = Coupond::serving(&sample());
    for host in ["go.example.com.", "GO.example.com.:8080"] {
        let request =
            format!("GET /winter25 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(coupond.raw(request.as_bytes()).status, 302, "{host}");
    }
    let two = "GET /winter25 HTTP/1.1\r\nHost: go.example.com..\r\nConnection: close\r\n\r\n";
    assert_eq!(coupond.raw(two.as_bytes()).status, 400);
}

#[test]
fn files_that_every_host_is_asked_for_are_no_codes_and_never_a_fallback() {
    let mut network = sample();
    network.catalog.fallback = Some(destination("https://fallback.example/"));
    let folder = folder();
    network.publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_MISSES_BURST", "1");
    });
    let robots = coupond.get("/robots.txt");
    assert_eq!((robots.status, robots.body.as_str()), (200, "User-agent: *\nDisallow: /\n"));
    assert_eq!(robots.header("content-type"), Some("text/plain; charset=utf-8"));
    for path in ["/favicon.ico", "/.well-known/security.txt", "/.well-known/", "/favicon.ico?v=2"] {
        let answer = coupond.get(path);
        assert_eq!((answer.status, answer.header("location")), (404, None), "{path}");
    }
    // None of these requests counted as a guessed code.
    assert_eq!(coupond.get("/nobody").status, 302);
    assert_eq!(coupond.get("/nobody").status, 429);
    assert_eq!(coupond.request("POST", "/robots.txt", "").status, 405);
}

#[test]
fn every_click_has_an_id_of_its_own() {
    let coupond = Coupond::serving(&sample());
    let id = |answer: &Answer| {
        let after = answer.location().split("t=").nth(1).unwrap().to_owned();
        after.split('&').next().unwrap().to_owned()
    };
    let ids = [id(&coupond.get("/winter25")), id(&coupond.get("/winter25"))];
    assert_ne!(ids[0], ids[1]);
    let key = coupon_shared::transaction_id::ClickIdKey([7; 16]);
    for id in ids {
        let id: coupon_shared::transaction_id::TransactionId = id.parse().unwrap();
        assert!(id.verify(&key));
    }
}

#[test]
fn head_gets_the_same_headers_and_is_no_click() {
    let coupond = Coupond::serving(&sample());
    let without_id = |mut answer: Answer| {
        for line in &mut answer.headers {
            *line = line.split("&t=").next().unwrap().to_owned();
        }
        answer.headers.sort();
        (answer.status, answer.headers)
    };
    for path in ["/winter25", "/paused", "/nobody"] {
        let head = coupond.request("HEAD", path, "");
        assert_eq!(head.body, "");
        assert_eq!(without_id(head), without_id(coupond.get(path)), "{path}");
    }
    assert_eq!(coupond.health()["clicks"]["logged"], 2);
}

#[test]
fn everything_that_leads_nowhere_looks_the_same() {
    let coupond = Coupond::serving(&sample());
    let unknown = coupond.get("/nobody");
    assert_eq!(unknown.status, 404);
    assert!(unknown.body.contains("Link not found"));
    for path in DEAD_ENDS {
        assert_eq!(coupond.get(path), unknown, "{path}");
    }
}

#[test]
fn a_fallback_url_takes_what_leads_nowhere() {
    let mut network = sample();
    network.catalog.fallback = Some(destination("https://fallback.example/?s={sub1}"));
    let coupond = Coupond::serving(&network);
    for path in DEAD_ENDS {
        let answer = coupond.get(path);
        assert_eq!(answer.status, 302, "{path}");
        assert_eq!(answer.location(), "https://fallback.example/?s=", "{path}");
    }
    assert!(coupond.get("/winter25").location().starts_with("https://shop.example/"));
}

#[test]
fn a_fallback_url_does_not_tell_a_code_that_rests_from_one_that_nobody_has() {
    let url =
        "https://fallback.example/?c={coupon_code}&o={offer_id}&p={affiliate_id}&a={advertiser_id}";
    let mut network = sample();
    network.catalog.fallback = Some(destination(url));
    let coupond = Coupond::serving(&network);
    for code in ["Paused", "Unassigned", "Expired", "Lapsed", "Nobody"] {
        let location = format!("https://fallback.example/?c={code}&o=&p=&a=");
        assert_eq!(coupond.get(&format!("/{code}")).location(), location);
    }
    assert_eq!(coupond.get("/%20").location(), "https://fallback.example/?c=&o=&p=&a=");
}

#[test]
fn an_offer_id_picks_the_offer_of_a_code_on_several() {
    let coupond = Coupond::serving(&sample());
    assert!(coupond.get("/both").location().starts_with("https://shop.example/"));
    assert_eq!(coupond.get("/both?oid=17").location(), "https://other.example/?o=17");
    assert_eq!(coupond.get("/both?oid=18").status, 404);
}

#[test]
fn what_the_visitor_sends_stays_inside_its_macro() {
    let coupond = Coupond::serving(&sample());
    let hostile = "https%3A%2F%2Fevil.example%0d%0aSet-Cookie:%20a=1%00%C3%A9%3C%22%3E{sub2}";
    let answer = coupond.get(&format!("/winter25?sub1={hostile}&other=%zz&sub2=%"));
    assert_eq!(answer.status, 302);
    let locations = answer.headers.iter().filter(|line| line.starts_with("location"));
    assert_eq!(locations.count(), 1);
    assert!(answer.location().starts_with("https://shop.example/buy?c=winter25&t="));
    assert!(answer.location().contains(
        "&s=https%3A%2F%2Fevil.example%0D%0ASet-Cookie%3A%20a%3D1%00%C3%A9%3C%22%3E%7Bsub2%7D&o=16"
    ), "{}", answer.location());
    assert!(answer.location().bytes().all(|byte| byte.is_ascii_graphic()));
}

#[test]
fn long_values_are_cut_at_256_bytes() {
    let coupond = Coupond::serving(&sample());
    let answer = coupond.get(&format!("/winter25?sub1={}", "a".repeat(1000)));
    assert!(answer.location().contains(&format!("&s={}&o=", "a".repeat(256))));
}

#[test]
fn methods_other_than_get_and_head_are_not_allowed() {
    let coupond = Coupond::serving(&sample());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = coupond.request(method, "/winter25", "");
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    let answer = coupond.request("POST", "/winter25", "Content-Length: 5\r\n");
    assert_eq!(answer.status, 405);
}

#[test]
fn a_request_without_one_valid_host_is_bad() {
    let coupond = Coupond::serving(&sample());
    for hosts in ["", "Host: \r\n", "Host: a b\r\n", "Host: a\r\nHost: a\r\n", "Host: a/b\r\n"] {
        let request = format!("GET /winter25 HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        assert_eq!(coupond.raw(request.as_bytes()).status, 400, "{hosts:?}");
    }
    let old = b"GET /winter25 HTTP/1.0\r\n\r\n";
    assert_eq!(coupond.raw(old).status, 400);
}

#[test]
fn what_is_not_http_is_bad() {
    let coupond = Coupond::serving(&sample());
    for request in
        ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET /a b c HTTP/1.1\r\n\r\n", "GET / HTTP/9\r\n\r\n"]
    {
        assert_eq!(coupond.raw(request.as_bytes()).status, 400, "{request:?}");
    }
    // A connection is counted at its end, a moment after the answer.
    until("all four are counted", || {
        let metrics = coupond.control("GET", "/metrics").body;
        metrics.contains("coupond_requests_malformed_total{status=\"400\"} 4").then_some(())
    });
}

#[test]
fn a_target_over_8192_bytes_is_too_long() {
    let coupond = Coupond::serving(&sample());
    let longest = format!("/winter25?x={}", "a".repeat(8192 - "/winter25?x=".len()));
    assert_eq!(coupond.get(&longest).status, 302);
    assert_eq!(coupond.get(&(longest + "a")).status, 414);
}

#[test]
fn a_head_beyond_the_buffer_is_refused_with_an_answer() {
    let coupond = Coupond::serving(&sample());
    let answer = coupond.request("GET", "/winter25", &format!("X: {}\r\n", "a".repeat(50_000)));
    assert_eq!(answer.status, 431);
}

#[test]
fn a_host_that_is_no_tracking_domain_leads_nowhere() {
    let coupond = Coupond::serving(&sample());
    let get = |host: &str| {
        let request =
            format!("GET /winter25 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        coupond.raw(request.as_bytes())
    };
    assert_eq!(get("elsewhere.example"), coupond.get("/nobody"));
    assert_eq!(get("GO.example.com:8443").status, 302);
}

#[test]
fn any_host_will_do_where_the_configuration_says_so() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_ACCEPT_ANY_HOST", "true");
    });
    let request = b"GET /winter25 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    assert_eq!(coupond.raw(request).status, 302);
}

#[test]
fn one_connection_serves_many_visits_also_pipelined() {
    let coupond = Coupond::serving(&sample());
    let mut stream = coupond.connect();
    let visit = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let last = format!("GET /nobody HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all((visit.repeat(40) + &last).as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 302").count(), 40);
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 1);
    assert_eq!(coupond.health()["clicks"]["logged"], 40);
}

#[test]
fn no_byte_anywhere_in_a_target_or_header_does_harm() {
    let coupond = Coupond::serving(&sample());
    for byte in 0..=255_u8 {
        let mut request = b"GET /win".to_vec();
        request.push(byte);
        request.extend_from_slice(b"ter25 HTTP/1.1\r\nHost: go.example.com\r\nUser-Agent: x");
        request.push(byte);
        request.extend_from_slice(b"\r\nConnection: close\r\n\r\n");
        let status = coupond.raw(&request).status;
        assert!([400, 404].contains(&status), "byte {byte}: {status}");
    }
    assert_eq!(coupond.get("/winter25").status, 302);
}
