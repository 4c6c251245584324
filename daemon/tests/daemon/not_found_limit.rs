//! The limit on requests of one address that lead nowhere.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use coupon_shared::click::block::DecodedBlock;
use coupon_shared::decision::Reason;
use coupon_shared::postback::{Verdict, VerdictStatus};
use coupon_shared::transaction_id::{ClickIdKey, TransactionIdSource};
use rustix::process::Signal;

use crate::postbacks::admin::DecidingAdmin;
use crate::published::{HOST, Network, destination, sample};
use crate::redirects::DEAD_ENDS;
use crate::running::{Answer, Coupond, folder};

/// A daemon that allows each address `burst` misses at once, and hardly any afterwards.
fn limited(network: &Network, burst: u32) -> Coupond {
    let folder = folder();
    network.publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_MISSES_BURST", burst.to_string())
            .env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    })
}

/// The answer to a visitor behind the proxy.
fn get_as(coupond: &Coupond, address: &str, target: &str) -> Answer {
    coupond.request("GET", target, &format!("X-Forwarded-For: {address}\r\n"))
}

fn misses(coupond: &Coupond, address: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| get_as(coupond, address, "/nobody").status).collect()
}

/// Removes the parts of an answer that depend on the time.
fn timeless(mut answer: Answer) -> Answer {
    answer.headers.retain(|line| !line.starts_with("retry-after: "));
    answer
}

#[test]
fn above_the_limit_whatever_leads_nowhere_looks_the_same() {
    let coupond = limited(&sample(), 1);
    assert_eq!(coupond.get("/nobody").status, 404);
    let answer = coupond.get("/nobody");
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.header("cache-control"), Some("private, no-store"));
    let retry_after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&retry_after), "{retry_after}");
    let limited = timeless(answer);
    let reports = ["/sdk/click?coupon_code=paused", "/sdk/impression?__cc=nobody", "/clk?oid=18"];
    for target in DEAD_ENDS.into_iter().chain(reports) {
        assert_eq!(timeless(coupond.get(target)), limited, "{target}");
    }
    let elsewhere = b"GET /winter25 HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n";
    assert_eq!(timeless(coupond.raw(elsewhere)), limited);
    let head = timeless(coupond.request("HEAD", "/paused", ""));
    assert_eq!(head, Answer { body: String::new(), ..limited });
}

/// A genuine click id of the sample network.
fn genuine_id() -> String {
    TransactionIdSource::new(0, 0, 1).next(&ClickIdKey([7; 16]), 1_763_000_000_000).to_string()
}

#[test]
fn a_click_id_of_ones_own_is_no_way_around_the_limit() {
    let id = genuine_id();
    for path in ["/clk", "/sdk/click"] {
        let coupond = limited(&sample(), 2);
        let ask = |named: &str| coupond.get(&format!("{path}?_ef_transaction_id={id}{named}"));
        let unusable = ask("&__cc=nobody");
        assert_eq!((unusable.status, unusable.json()["oid"].as_u64()), (200, Some(0)));
        assert_eq!(ask("&coupon_code=paused"), unusable);
        let limited = timeless(ask("&__cc=nobody"));
        assert_eq!(limited.status, 429);
        for named in ["&coupon_code=paused", "&oid=99", "&affid=99", "&oid=99&affid=1"] {
            assert_eq!(timeless(ask(named)), limited, "{path} {named}");
        }
        assert_eq!(timeless(coupond.get("/nobody")), limited);
        // Reports with a usable code or offer, and reports that name nothing, never count.
        for (named, oid) in [("&__cc=winter25", 16), ("&oid=17", 17), ("", 0)] {
            assert_eq!(ask(named).json()["oid"].as_u64(), Some(oid), "{path} {named}");
        }
    }
}

/// An admin that decides each postback as the query says.
fn judged_by_query(coupond: &Coupond) -> DecidingAdmin {
    DecidingAdmin::start(coupond, |postback| {
        let is_miss = postback.parameter("miss") == "yes";
        let is_trusted = postback.parameter("trusted") == "yes";
        let status = if is_miss { VerdictStatus::Invalid } else { VerdictStatus::Approved };
        let error_code = if is_miss { 1001 } else { 0 };
        let verdict = postback.verdict(status);
        Some(Verdict { is_miss: is_miss && !is_trusted, is_trusted, error_code, ..verdict })
    })
}

#[test]
fn postbacks_that_tell_of_something_unusable_draw_from_the_budget_of_visits() {
    let coupond = limited(&sample(), 3);
    let _admin = judged_by_query(&coupond);
    assert_eq!(coupond.get("/nobody").status, 404);
    assert_eq!(coupond.get("/?nid=1&coupon_code=guess&miss=yes").body, "Error 1001");
    assert_eq!(coupond.get("/sdk/conversion?coupon_code=guess&miss=yes").status, 200);
    let limited = timeless(coupond.get("/?nid=1&coupon_code=guess&miss=yes"));
    assert_eq!(limited.status, 429);
    let json = "Accept: application/json\r\nOrigin: https://shop.example\r\n";
    for target in ["/?nid=1&coupon_code=other&miss=yes", "/sdk/conversion?coupon_code=x&miss=yes"] {
        assert_eq!(timeless(coupond.get(target)), limited, "{target}");
        assert_eq!(timeless(coupond.request("GET", target, json)), limited, "{target}");
    }
    assert_eq!(timeless(coupond.get("/paused")), limited);
    // Sales and trusted senders still get their usual answers.
    assert_eq!(coupond.get("/?nid=1&coupon_code=winter25").body, "OK");
    assert_eq!(coupond.get("/?nid=1&coupon_code=x&miss=yes&trusted=yes").body, "Error 1001");
    let metrics = coupond.control("GET", "/metrics").body;
    assert!(metrics.contains("postbacks_refused_total{status=\"429\"} 5"), "{metrics}");
}

#[test]
fn above_the_limit_the_connection_ends_and_what_was_sent_behind_is_not_answered() {
    let coupond = limited(&sample(), 1);
    let visit = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let pipelined = visit("/nobody") + &visit("/nobody") + &visit("/winter25");
    let answer = coupond.raw(pipelined.as_bytes());
    assert_eq!(answer.status, 404);
    assert_eq!(answer.body.matches("HTTP/1.1 ").count(), 1);
    assert!(answer.body.contains("HTTP/1.1 429"), "{answer:?}");
}

#[test]
fn links_that_lead_to_their_offer_work_also_above_the_limit_and_are_no_misses() {
    let coupond = limited(&sample(), 2);
    for _ in 0..10 {
        assert_eq!(coupond.get("/winter25").status, 302);
    }
    assert_eq!(misses(&coupond, "127.0.0.1", 4), [404, 404, 429, 429]);
    assert_eq!(coupond.get("/winter25").status, 302);
    assert_eq!(coupond.get("/sdk/click?__cc=winter25").json()["error_code"], 0);
    assert_eq!(coupond.get("/scripts/main.js").status, 200);
}

#[test]
fn what_a_fallback_url_takes_counts_and_is_limited_too() {
    let mut network = sample();
    network.catalog.fallback = Some(destination("https://fallback.example/"));
    let coupond = limited(&network, 2);
    let statuses = ["/paused", "/nobody", "/paused", "/nobody", "/%20", "/winter25"]
        .map(|path| coupond.get(path).status);
    assert_eq!(statuses, [302, 302, 429, 429, 429, 302]);
}

#[test]
fn a_click_above_the_limit_is_recorded_with_its_reason() {
    let coupond = limited(&sample(), 1);
    let statuses = ["/nobody", "/paused", "/expired"].map(|path| coupond.get(path).status);
    assert_eq!(statuses, [404, 429, 429]);
    let blocks = coupond.feed(2);
    let clicks = blocks.iter().flat_map(DecodedBlock::clicks);
    let mut reasons: Vec<_> = clicks.map(|click| click.head.reason).collect();
    // Clicks of one millisecond on two serving threads come in any order.
    reasons.sort_unstable_by_key(|reason| *reason as u8);
    assert_eq!(reasons, [Reason::Paused, Reason::Expired]);
}

#[test]
fn every_client_behind_a_trusted_proxy_has_a_limit_of_its_own() {
    let coupond = limited(&sample(), 2);
    assert_eq!(misses(&coupond, "203.0.113.1", 3), [404, 404, 429]);
    assert_eq!(misses(&coupond, "203.0.113.2", 3), [404, 404, 429]);
    assert_eq!(misses(&coupond, "::ffff:203.0.113.2", 1), [429]);
    assert_eq!(misses(&coupond, "2001:db8:0:1::1", 2), [404, 404]);
    assert_eq!(misses(&coupond, "2001:db8:0:1:ffff::2", 1), [429]);
    // Any client can write entries left of the last untrusted hop.
    assert_eq!(misses(&coupond, "198.51.100.7, 203.0.113.1", 1), [429]);
}

#[test]
fn a_recorded_network_is_not_what_is_limited() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_MISSES_BURST", "1")
            .env("COUPOND_TRUNCATE_ADDRESSES", "true")
            .env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    });
    assert_eq!(misses(&coupond, "203.0.113.77", 2), [404, 429]);
    assert_eq!(misses(&coupond, "203.0.113.78", 1), [404]);
    assert!(coupond.log().contains("203.0.113.0"), "{}", coupond.log());
    assert!(!coupond.log().contains("203.0.113.77"), "{}", coupond.log());
}

#[test]
fn guessing_is_told_once_in_the_log_and_counted() {
    let coupond = limited(&sample(), 2);
    let misses_health = || coupond.health()["misses"].clone();
    assert_eq!(misses_health(), serde_json::json!({ "limited": 0, "limit_is_reached": false }));
    misses(&coupond, "203.0.113.5", 10);
    assert_eq!(misses_health(), serde_json::json!({ "limited": 8, "limit_is_reached": true }));
    // Guessed codes must not raise an alert.
    assert_eq!(coupond.health()["status"], "ok");
    let metrics = coupond.control("GET", "/metrics").body;
    assert!(metrics.contains("coupond_answers_total{status=\"429\"} 8"), "{metrics}");
    assert!(metrics.contains("coupond_answers_total{status=\"404\"} 2"), "{metrics}");
    let log = coupond.log();
    assert_eq!(log.matches("lead nowhere").count(), 1, "{log}");
    assert!(log.contains("203.0.113.5"), "{log}");
}

fn is_not_found(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET /nobody HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 404")
}

#[test]
fn the_serving_threads_share_one_limit() {
    let coupond = limited(&sample(), 50);
    let address = coupond.address;
    let visit = || (0..100).filter(|_| is_not_found(address)).count();
    let passed: usize = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..4).map(|_| scope.spawn(visit)).collect();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum()
    });
    // On a busy machine a minute may have passed, which returns one miss.
    assert!((50..=52).contains(&passed), "{passed}");
}

#[test]
fn the_limit_follows_a_hang_up_and_what_is_used_up_stays_so_under_the_same_one() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let file = folder.path().join("coupond.toml");
    let write = |more: &str| {
        let text = format!("[limits]\nmisses_per_minute = 1\nmisses_burst = 1\n{more}");
        std::fs::write(&file, text).unwrap();
    };
    write("");
    let coupond = Coupond::start(folder, |command| {
        command.env_remove("COUPOND_LIMITS_MISSES_PER_MINUTE").arg("--config").arg(&file);
    });
    let reload = |times: usize| {
        coupond.signal(Signal::HUP);
        crate::running::until("it is reloaded", || {
            (coupond.log().matches("configuration reloaded").count() == times).then_some(())
        });
    };
    let status = || coupond.get("/nobody").status;
    assert_eq!([status(), status()], [404, 429]);
    write("idle_timeout_ms = 5000\n");
    reload(1);
    assert_eq!(status(), 429);
    std::fs::write(&file, "[limits]\nmisses_per_minute = 0\n").unwrap();
    reload(2);
    assert!((0..400).all(|_| status() == 404));
}
