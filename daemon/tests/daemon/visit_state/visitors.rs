//! Repeats and converted visitors.

use coupon_rules::leads::{FailGroup, FailRedirect, FailTraffic};
use coupon_rules::ruleset::Ruleset;
use coupon_shared::click::Tag;
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::Rule;
use coupon_shared::visitor_key::VisitorKey;

use super::{headers, reasons, restarted, ruled, send, serving, session, state, visit, visitor};
use crate::running::{Coupond, until};
use rustix::process::Signal;

/// Seconds of a session that ends during a test.
const SHORT: u32 = 4;

fn duplicates_blocked(seconds: u32) -> Coupond {
    serving(&ruled(&[Rule::duplicates(70, false), Rule::session(&session(seconds))]))
}

fn visit_with(coupond: &Coupond, method: &str, address: &str, more: &str) -> u16 {
    coupond.request(method, "/winter25", &(headers(address, "Browser/1") + more)).status
}

#[test]
fn a_repeat_is_refused_until_the_session_ends() {
    let coupond = duplicates_blocked(SHORT);
    let began = std::time::Instant::now();
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 404);
    let other_agent = headers(&visitor(1), "Other/1");
    assert_eq!(coupond.request("GET", "/winter25", &other_agent).status, 302);
    assert!(began.elapsed().as_secs() < 3, "the machine is too slow for this test");
    // The refused visits do not extend the session.
    let mut refused = 1;
    until("the session has ended", || match visit(&coupond, "/winter25", &visitor(1)) {
        302 => Some(()),
        _ => {
            refused += 1;
            None
        }
    });
    // The daemon counts in whole seconds.
    assert!(began.elapsed().as_secs() >= u64::from(SHORT) - 1);
    let expected = [(Reason::Redirected, 3), (Reason::Duplicate, refused)];
    assert_eq!(reasons(&coupond, 3 + refused), expected.into());
}

#[test]
fn a_refusal_names_its_rule() {
    let coupond = duplicates_blocked(60);
    visit(&coupond, "/winter25", &visitor(1));
    visit(&coupond, "/winter25", &visitor(1));
    let blocks = coupond.feed(2);
    let clicks = blocks.iter().flat_map(|block| block.clicks());
    let mut rules: Vec<_> = clicks.map(|click| (click.head.reason, click.head.rule)).collect();
    rules.sort_unstable();
    assert_eq!(rules, [(Reason::Redirected, 0), (Reason::Duplicate, 70)]);
}

#[test]
fn a_head_and_a_prefetch_are_no_visits_of_the_visitor() {
    let coupond = duplicates_blocked(60);
    assert_eq!(visit_with(&coupond, "HEAD", &visitor(1), ""), 302);
    assert_eq!(visit_with(&coupond, "GET", &visitor(1), "Sec-Purpose: prefetch\r\n"), 302);
    assert_eq!(visit_with(&coupond, "GET", &visitor(1), ""), 302);
    // But they get the answer that a visit would get.
    assert_eq!(visit_with(&coupond, "GET", &visitor(1), "Sec-Purpose: prefetch\r\n"), 404);
    assert_eq!(visit_with(&coupond, "HEAD", &visitor(1), ""), 404);
}

#[test]
fn a_page_reports_a_visitor_once_and_a_server_any_number_of_visitors() {
    let coupond = duplicates_blocked(60);
    let is_tracked = |path: &str, visitor: &str| {
        let target = format!("/{path}?coupon_code=winter25");
        let answer = coupond.request("GET", &target, &headers(visitor, "Browser/1"));
        answer.json()["error_code"] == 0
    };
    let pages = [1, 1, 2].map(|number| is_tracked("sdk/click", &visitor(number)));
    assert_eq!(pages, [true, false, true]);
    let servers = [3, 3, 3].map(|number| is_tracked("clk", &visitor(number)));
    assert_eq!(servers, [true; 3]);
    // The server's address is no visitor's.
    assert!(is_tracked("sdk/click", &visitor(3)));
    let expected = [(Reason::Redirected, 6), (Reason::Duplicate, 1)];
    assert_eq!(reasons(&coupond, 7), expected.into());
}

#[test]
fn addresses_of_one_ipv6_network_are_one_visitor() {
    let coupond = duplicates_blocked(60);
    for (address, status) in
        [("2001:db8:1:2::1", 302), ("2001:db8:1:2:ffff::9", 404), ("2001:db8:1:3::1", 302)]
    {
        assert_eq!(visit(&coupond, "/winter25", address), status, "{address}");
    }
}

#[test]
fn a_truncated_address_still_tells_visitors_apart() {
    let folder = crate::running::folder();
    let network = ruled(&[Rule::duplicates(70, false)]);
    network.publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
        command.env("COUPOND_TRUNCATE_ADDRESSES", "true");
    });
    for (address, status) in [("203.0.113.7", 302), ("203.0.113.8", 302), ("203.0.113.7", 404)] {
        assert_eq!(visit(&coupond, "/winter25", address), status);
    }
}

#[test]
fn a_repeat_can_be_led_to_the_fail_traffic_of_the_offer() {
    let redirect = FailRedirect {
        id: 9,
        offer: 17,
        weight: 0,
        ruleset: Ruleset::default(),
        groups: FailGroup::ALL_BITS,
    };
    let fail_traffic =
        FailTraffic { is_by_weight: false, ends_at_network_url: false, redirects: vec![redirect] };
    for (fails_over, expected) in [(true, "https://other.example/?o=17"), (false, "")] {
        let coupond = serving(&ruled(&[
            Rule::duplicates(70, fails_over),
            Rule::fail_traffic(&fail_traffic).unwrap(),
        ]));
        assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
        let second = coupond.request("GET", "/winter25", &headers(&visitor(1), "Browser/1"));
        assert_eq!(second.header("location").unwrap_or_default(), expected);
    }
}

#[test]
fn a_repeat_is_refused_also_after_a_kill_and_a_restart_of_the_machine() {
    let mut coupond = duplicates_blocked(60);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    for _ in 0..3 {
        coupond.signal(Signal::KILL);
        coupond.wait();
        coupond = restarted(&coupond);
        assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 404);
    }
    // A restart of the machine empties the folder in memory: the table is filled from the click store.
    coupond.signal(Signal::TERM);
    coupond.wait();
    std::fs::remove_file(coupond.path("run/seen-visitors")).unwrap();
    coupond = restarted(&coupond);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 404);
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 302);
    assert!(coupond.log().contains("table of seen visitors filled"), "{}", coupond.log());
}

#[test]
fn a_converted_visitor_is_refused_until_the_conversion_is_rejected() {
    let coupond = serving(&ruled(&[Rule::already_converted(71, false)]));
    // Without a state nothing is known, and the visit passes.
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    assert!(
        coupond
            .control("GET", "/metrics")
            .body
            .contains("coupond_visit_state_failed_open_total{question=\"converted\"} 1")
    );
    let blocks = coupond.feed(1);
    let click = blocks[0].clicks().next().unwrap();
    let key = VisitorKey::from_bytes(click.tag(Tag::VisitorKey).unwrap()).unwrap();
    let mut converted = state();
    converted.converted = vec![key.hash_with_offer(16)];
    assert_eq!(send(&coupond, &converted).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 404);
    assert_eq!(visit(&coupond, "/winter25", &visitor(2)), 302);
    converted.converted.clear();
    assert_eq!(send(&coupond, &converted).status, 200);
    assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    let expected = [(Reason::Redirected, 3), (Reason::AlreadyConverted, 1)];
    assert_eq!(reasons(&coupond, 4), expected.into());
}
