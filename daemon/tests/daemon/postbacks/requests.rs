//! Requests of advertisers and pages, and their answers.

use std::io::Write;
use std::time::{Duration, Instant};

use coupon_shared::postback::{Channel, PostbackId, Verdict, VerdictStatus};
use serde_json::json;

use super::admin::{DecidingAdmin, all};
use super::{answering_at_once, post, post_with, serving_with};
use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, until};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "Accept: text/html, Application/JSON;q=0.9\r\n";

/// An admin whose verdict is the query's `v`.
fn decided_by_query(coupond: &Coupond) -> DecidingAdmin {
    DecidingAdmin::start(coupond, |postback| {
        let verdict = postback.verdict(VerdictStatus::Approved);
        Some(match postback.parameter("v").as_str() {
            "repeat" => Verdict {
                conversion_id: Some(PostbackId([7; 16])),
                transaction_id: "019a7afd1e7b70008050c04d6e9b9dd2".into(),
                ..verdict
            },
            "pending" => Verdict { status: VerdictStatus::Pending, ..verdict },
            "rejected" => Verdict {
                status: VerdictStatus::Rejected,
                error_code: 1013,
                error: "The signature is wrong.".into(),
                ..verdict
            },
            "invalid" => Verdict {
                status: VerdictStatus::Invalid,
                conversion_id: None,
                error_code: 1001,
                ..verdict
            },
            "later" => return None,
            "queued" => Verdict { status: VerdictStatus::Queued, conversion_id: None, ..verdict },
            _ => verdict,
        })
    })
}

#[test]
fn the_admins_verdict_is_the_answer() {
    let coupond = Coupond::serving(&sample());
    let _admin = decided_by_query(&coupond);
    for (v, text) in [
        ("approved", "OK"),
        ("pending", "OK"),
        ("repeat", "OK"),
        ("rejected", "The signature is wrong."),
        ("invalid", "Error 1001"),
    ] {
        let answer = coupond.get(&format!("/?nid=1&v={v}"));
        assert_eq!((answer.status, answer.body.as_str()), (200, text), "{v}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let repeat = coupond.request("GET", "/?nid=1&v=repeat", JSON);
    assert_eq!(repeat.header("content-type"), Some("application/json"));
    let expected = json!({
        "conversion_id": "07".repeat(16),
        "transaction_id": "019a7afd1e7b70008050c04d6e9b9dd2",
        "status": "approved",
        "error_code": 0,
        "error": "",
    });
    assert_eq!(repeat.json(), expected);
    let queued = coupond.request("GET", "/?nid=1&v=queued", JSON).json();
    let id: Option<PostbackId> = queued["conversion_id"].as_str().unwrap().parse().ok();
    assert_eq!((queued["status"].as_str(), id.is_some()), (Some("queued"), true));
    let invalid = coupond.request("GET", "/?nid=1&v=invalid", JSON).json();
    assert_eq!((&invalid["status"], &invalid["conversion_id"]), (&"invalid".into(), &"".into()));
}

#[test]
fn without_a_verdict_in_two_seconds_the_answer_is_queued() {
    let coupond = Coupond::serving(&sample());
    let admin = decided_by_query(&coupond);
    let began = Instant::now();
    let answer = coupond.request("GET", "/?nid=1&v=later", JSON).json();
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(4), "{took:?}");
    let got = admin.end();
    let expected = json!({
        "conversion_id": got[0].id.to_string(),
        "transaction_id": "",
        "status": "queued",
        "error_code": 0,
        "error": "",
    });
    assert_eq!((got.len(), answer), (1, expected));
}

#[test]
fn pages_always_get_json_that_their_origin_may_read() {
    let coupond = Coupond::serving(&sample());
    let _admin = decided_by_query(&coupond);
    let headers = "Origin: https://shop.example\r\n";
    let answer = coupond.request("GET", "/sdk/conversion?v=rejected", headers);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.header("vary"), Some("Origin"));
    let body = answer.json();
    assert_eq!((&body["error_code"], &body["html_pixel"]), (&1013.into(), &"".into()));
    let refused = post_with(&coupond, "/sdk/conversion", "Content-Type: a/b\r\n", "x");
    assert_eq!((refused.status, refused.header("vary")), (415, Some("Origin")));
    assert!(refused.json()["error"].as_str().unwrap().contains("form"));
}

#[test]
fn browsers_may_ask_before_they_send() {
    let coupond = answering_at_once();
    let headers = "Origin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\n\
                   Access-Control-Request-Headers: content-type, x-own\r\n";
    for path in ["/sdk/conversion", "/sdk/click", "/sdk/impression"] {
        let answer = coupond.request("OPTIONS", path, headers);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-own"));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    }
    assert_eq!(coupond.request("OPTIONS", "/?nid=1", headers).status, 405);
    assert_eq!(all(&coupond, &[]).postbacks, []);
}

#[test]
fn what_was_sent_is_delivered_as_it_was_sent() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_NODE_ID", "7"),
        ("COUPOND_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let head = format!(
        "POST /?%6Eid=1&coupon_code=%41b+c&x=%zz HTTP/1.1\r\nHost: {HOST}:80\r\nUser-Agent: shop/1\r\n\
         Referer: https://r.example/\r\nOrigin: null\r\nContent-Type: {FORM}\r\n\
         X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(coupond.raw(&[head.as_bytes(), b"a=\xFF%\0"].concat()).body, "OK");
    assert_eq!(coupond.get("/sdk/conversion").status, 200);
    let polled = all(&coupond, &[]);
    let [server, sdk] = &polled.postbacks[..] else { panic!("{polled:?}") };
    assert_eq!((server.channel, server.is_post, server.node), (Channel::Server, true, 7));
    assert_eq!(server.query, b"%6Eid=1&coupon_code=%41b+c&x=%zz");
    assert_eq!(server.body, b"a=\xFF%\0");
    assert_eq!(server.address, "203.0.113.9");
    let host = format!("{HOST}:80");
    assert_eq!(server.texts, [&host, FORM, "shop/1", "https://r.example/", "null"]);
    assert_eq!((sdk.channel, sdk.is_post), (Channel::Sdk, false));
    assert_eq!((sdk.query.as_slice(), sdk.address.as_str()), (&b""[..], "127.0.0.1"));
}

#[test]
fn whatever_byte_stands_in_a_query_it_is_kept_as_it_is_or_escaped_or_refused() {
    let coupond = answering_at_once();
    let end = format!(" HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let mut kept = Vec::new();
    for byte in 0..=255 {
        let query = [b"nid=1&coupon_code=a", &[byte][..], b"b"].concat();
        match coupond.raw(&[b"GET /?", query.as_slice(), end.as_bytes()].concat()).status {
            // Bytes behind a `#` never were part of the query.
            200 if byte == b'#' => kept.push(b"nid=1&coupon_code=a".to_vec()),
            // Bytes that are invalid in a URI.
            200 if b"\"<>\x7f".contains(&byte) || byte >= 0x80 => {
                kept.push(format!("nid=1&coupon_code=a%{byte:02X}b").into_bytes());
            }
            200 => kept.push(query),
            status => assert!(status == 400 && byte <= b' ', "{byte}: {status}"),
        }
    }
    let signed = "/?nid=1&coupon_code=a\u{e9}`{b}|";
    assert_eq!(coupond.get(signed).status, 200);
    kept.push(signed.as_bytes()[2..].to_vec());
    let got: Vec<_> = all(&coupond, &[]).postbacks.into_iter().map(|p| p.query).collect();
    assert_eq!(got, kept);
}

#[test]
fn whatever_byte_stands_in_a_body_it_is_kept_as_it_is() {
    let coupond = answering_at_once();
    let every: Vec<u8> = (0..=255).collect();
    let head = format!(
        "POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\nContent-Length: 256\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(coupond.raw(&[head.as_bytes(), &every].concat()).status, 200);
    assert_eq!(all(&coupond, &[]).postbacks[0].body, every);
}

#[test]
fn bodies_are_forms_json_objects_or_empty() {
    let coupond = answering_at_once();
    for (content_type, body) in
        [(FORM, "amount=1"), ("application/json; charset=utf-8", "{\"amount\": 1}"), ("a/b", "")]
    {
        assert_eq!(post(&coupond, "/?nid=1", content_type, body).status, 200, "{body}");
    }
    for (content_type, body, mend) in [
        ("text/plain", "amount=1", "application/json"),
        ("application/json", "[1]", "whole JSON object"),
        ("application/json", "{\"amount\":", "whole JSON object"),
    ] {
        let answer = post(&coupond, "/?nid=1", content_type, body);
        assert_eq!(answer.status, 415, "{body}");
        assert!(answer.body.contains(mend), "{}", answer.body);
    }
    let bodies: Vec<_> = all(&coupond, &[]).postbacks.into_iter().map(|p| p.body).collect();
    assert_eq!(bodies, [&b"amount=1"[..], b"{\"amount\": 1}", b""]);
}

#[test]
fn a_body_has_at_most_64_kib_and_comes_in_time() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "300"),
    ]);
    let longest = "x".repeat(64 << 10);
    assert_eq!(post(&coupond, "/?nid=1", FORM, &longest).status, 200);
    assert_eq!(post(&coupond, "/?nid=1", FORM, &format!("{longest}x")).status, 413);
    let head = |framing: &str| {
        format!(
            "POST /?nid=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\n{framing}\r\n\
             Connection: close\r\n\r\n"
        )
    };
    // Without a declared length, the daemon finds out while reading.
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunked = head("Transfer-Encoding: chunked") + &chunk.repeat(3) + "0\r\n\r\n";
    assert_eq!(coupond.raw(chunked.as_bytes()).status, 413);
    let two = head("Transfer-Encoding: chunked") + &chunk.repeat(2) + "0\r\n\r\n";
    assert_eq!(coupond.raw(two.as_bytes()).status, 200);
    // A byte now and then does not extend the deadline.
    let mut slow = coupond.connect();
    slow.write_all(head("Content-Length: 100").as_bytes()).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(600) {
        let _ = slow.write_all(b"x");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(super::answer_of(slow).status, 408);
    let kept: Vec<_> = all(&coupond, &[]).postbacks.iter().map(|p| p.body.len()).collect();
    assert_eq!(kept, [64 << 10, 64 << 10]);
    assert_eq!(coupond.health()["postbacks"]["refused"], 3);
}

#[test]
fn who_does_not_wait_for_the_answer_is_kept_all_the_same() {
    let coupond = Coupond::serving(&sample());
    for number in 0..20 {
        drop(super::send(&coupond, &format!("/?nid=1&n={number}")));
    }
    for number in 20..40 {
        let request = format!(
            "POST /?nid=1&n={number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {FORM}\r\n\
             Content-Length: 3\r\n\r\na=1"
        );
        coupond.connect().write_all(request.as_bytes()).unwrap();
    }
    until("all are kept", || (coupond.health()["postbacks"]["received"] == 40).then_some(()));
    let mut got: Vec<_> = all(&coupond, &[]).postbacks.iter().map(|p| p.parameter("n")).collect();
    got.sort_by_key(|number| number.parse::<u32>().unwrap());
    assert_eq!(got, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
    until("nobody waits", || (coupond.health()["postbacks"]["waiting"] == 0).then_some(()));
}

#[test]
fn what_is_no_postback_is_answered_as_anywhere() {
    let coupond = answering_at_once();
    let nobody = coupond.get("/nobody");
    for target in ["/", "/?NID=1", "/?a=nid"] {
        assert_eq!(coupond.get(target), nobody, "{target}");
    }
    let elsewhere = |target: &str| -> Answer {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n"
        );
        coupond.raw(head.as_bytes())
    };
    for target in ["/?nid=1", "/sdk/conversion"] {
        assert_eq!(elsewhere(target), nobody, "{target}");
        for method in ["HEAD", "PUT", "DELETE"] {
            let answer = coupond.request(method, target, "");
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, POST")),
                "{method}"
            );
        }
        let hostless = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert_eq!(coupond.raw(hostless.as_bytes()).status, 400);
    }
    let long = format!("/?nid=1&x={}", "a".repeat(8192));
    assert_eq!(coupond.get(&long).status, 414);
    assert_eq!(all(&coupond, &[]).postbacks, []);
}

#[test]
fn visitors_addresses_are_shortened_where_that_is_wanted_and_servers_are_not() {
    let coupond = serving_with(&[
        ("COUPOND_POSTBACKS_MAX_WAITING", "0"),
        ("COUPOND_TRUNCATE_ADDRESSES", "true"),
        ("COUPOND_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    for target in ["/?nid=1", "/sdk/conversion"] {
        coupond.request("GET", target, "X-Forwarded-For: 203.0.113.9\r\n");
    }
    let addresses = all(&coupond, &[]).postbacks.into_iter().map(|postback| postback.address);
    assert_eq!(addresses.collect::<Vec<_>>(), ["203.0.113.9", "203.0.113.0"]);
}

#[test]
fn our_own_partner_postbacks_are_refused_and_nothing_of_them_is_kept() {
    let coupond = answering_at_once();
    for mark in [
        "X-Coupon-Delivery: 17\r\n",
        "X-Coupon-Signature: t=1,v1=00\r\n",
        "User-Agent: coupond/0.1.0\r\n",
    ] {
        for target in
            ["/?nid=1&coupon_code=winter25", "/sdk/conversion?oid=1", "/winter25", "/clk?oid=1"]
        {
            let answer = coupond.request("GET", target, mark);
            assert_eq!(answer.status, 403, "{mark} {target}");
        }
        assert_eq!(post_with(&coupond, "/?nid=1", mark, "").status, 403, "{mark}");
    }
    assert_eq!(coupond.get("/?nid=1&coupon_code=winter25").status, 200);
    assert_eq!(coupond.metric("postbacks_received_total"), 1);
}
