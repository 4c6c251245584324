//! Click caps: exact on one daemon.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;

use coupon_rules::caps::Cap;
use coupon_shared::click::Tag;
use coupon_shared::decision::Reason;
use coupon_shared::snapshot::catalog::{Rule, ZoneOffset};

use super::{
    cap, headers, last_sequences, reasons, ruled, serving, session, unix_seconds, visit, visitor,
};
use crate::published::{HOST, offer, row, sample};
use crate::running::{Coupond, read_head, until};

fn redirects(coupond: &Coupond, code: &str, visitors: std::ops::Range<u32>) -> usize {
    visitors.filter(|number| visit(coupond, code, &visitor(*number)) == 302).count()
}

/// Whether the visit was redirected.
fn visit_on(stream: &mut TcpStream, code: &str, address: &str) -> bool {
    let headers = headers(address, "Browser/1");
    let request = format!("GET /{code} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(stream).unwrap();
    if !head.starts_with("HTTP/1.1 302") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        std::io::Read::read_exact(stream, &mut body).unwrap();
    }
    head.starts_with("HTTP/1.1 302")
}

#[test]
fn of_visitors_in_parallel_exactly_as_many_are_redirected_as_the_cap_takes() {
    const ROUNDS: u32 = 300;
    const VISITORS: u32 = 5;
    const LIMIT: u64 = 3;
    // Each round has a code, an offer and a cap of its own.
    let mut network = sample();
    for round in 0..ROUNDS {
        network.catalog.rules.push(Rule::cap(&cap(1000 + round, LIMIT)));
        let mut capped = offer(1000 + round, "https://capped.example/");
        capped.rules = vec![network.catalog.rules.len() as u32];
        network.catalog.offers.push(capped);
        let code = format!("round{round:04}");
        network.codes.push((code, vec![row(1000 + round, 1000 + round)]));
    }
    network.codes.sort_by(|one, other| one.0.cmp(&other.0));
    let coupond = serving(&network);
    let (start, address) = (Barrier::new(VISITORS as usize), coupond.address);
    let redirected = |number: u32| -> Vec<bool> {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut round = |round: u32| {
            start.wait();
            visit_on(&mut stream, &format!("round{round:04}"), &visitor(number))
        };
        (0..ROUNDS).map(&mut round).collect()
    };
    let redirected: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let redirected = &redirected;
        let visitors: Vec<_> =
            (0..VISITORS).map(|number| scope.spawn(move || redirected(number))).collect();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect()
    });
    for round in 0..ROUNDS as usize {
        let taken = redirected.iter().filter(|visits| visits[round]).count() as u64;
        assert_eq!(taken, LIMIT, "round {round}");
    }
    let found = reasons(&coupond, (ROUNDS * VISITORS) as usize);
    let expected = [(Reason::Redirected, 900), (Reason::Cap, 600)];
    assert_eq!(found, expected.into());
    println!("{ROUNDS} rounds of {VISITORS} visitors in parallel: {found:?}");
    assert_eq!(coupond.metric("caps_reached"), u64::from(ROUNDS));
}

#[test]
fn a_visitor_who_comes_again_counts_once() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 3))]));
    for _ in 0..5 {
        assert_eq!(visit(&coupond, "/winter25", &visitor(1)), 302);
    }
    assert_eq!(redirects(&coupond, "/winter25", 2..6), 2);
    assert_eq!(coupond.health()["visit_state"]["seen_visitors"], 3);
    // Three of the seven clicks count, and their records say so.
    let blocks = coupond.feed(9);
    let clicks = blocks.iter().flat_map(|block| block.clicks());
    let counted: Vec<_> = clicks.filter_map(|click| click.tag(Tag::CountedCaps)).collect();
    assert_eq!(counted, [7_u32.to_le_bytes(); 3]);
}

#[test]
fn a_refused_visit_leaves_no_key_and_an_offer_without_such_rules_neither() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 1))]));
    assert_eq!(redirects(&coupond, "/winter25", 1..3), 1);
    assert_eq!(visit(&coupond, "/both?oid=17", &visitor(3)), 302);
    let blocks = coupond.feed(3);
    let clicks = blocks.iter().flat_map(|block| block.clicks());
    let keys = clicks.filter(|click| click.tag(Tag::VisitorKey).is_some());
    let offers: Vec<_> = keys.map(|click| (click.head.offer_id, click.head.reason)).collect();
    assert_eq!(offers, [(16, Reason::Redirected)]);
}

#[test]
fn the_window_ends_by_itself_and_the_next_takes_visits_again() {
    let mut network = ruled(&[Rule::cap(&cap(7, 2))]);
    // Midnight comes in six seconds, somewhere.
    let midnight = unix_seconds() + 6;
    let utc_offset = -i32::try_from(midnight % 86_400).unwrap();
    network.catalog.zone = vec![ZoneOffset { from: i64::MIN, utc_offset }];
    let coupond = serving(&network);
    assert_eq!(redirects(&coupond, "/winter25", 0..5), 2);
    assert!(unix_seconds() < midnight, "the machine is too slow for this test");
    until("midnight has passed", || (unix_seconds() >= midnight).then_some(()));
    assert_eq!(redirects(&coupond, "/winter25", 5..10), 2);
    assert_eq!(reasons(&coupond, 10), [(Reason::Redirected, 4), (Reason::Cap, 6)].into());
}

#[test]
fn a_raised_cap_takes_visits_at_once_and_a_lowered_one_none() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 3))]));
    assert_eq!(redirects(&coupond, "/winter25", 0..5), 3);
    for (generation, daily, visitors, expected) in
        [(2, 5, 5..9, 2), (3, 4, 9..12, 0), (4, 6, 12..15, 1)]
    {
        let network = ruled(&[Rule::cap(&cap(7, daily))]).generation(generation);
        network.publish(&coupond.index_dir());
        assert_eq!(coupond.reload().status, 200);
        assert_eq!(redirects(&coupond, "/winter25", visitors), expected, "daily cap {daily}");
    }
}

#[test]
fn a_soft_cap_refuses_nobody() {
    let soft = Cap { is_soft: true, ..cap(7, 3) };
    let coupond = serving(&ruled(&[Rule::cap(&soft)]));
    assert_eq!(redirects(&coupond, "/winter25", 0..5), 5);
}

#[test]
fn the_offers_of_a_group_share_its_cap() {
    let group = Cap { is_group: true, ..cap(7, 1) };
    let mut network = ruled(&[Rule::cap(&group)]);
    network.catalog.offers[1].rules = vec![1];
    let coupond = serving(&network);
    assert_eq!(visit(&coupond, "/both?oid=16", &visitor(1)), 302);
    assert_eq!(visit(&coupond, "/both?oid=17", &visitor(2)), 404);
    assert_eq!(reasons(&coupond, 2), [(Reason::Redirected, 1), (Reason::GroupCap, 1)].into());
}

#[test]
fn a_cap_of_a_code_leaves_other_codes_of_the_offer_alone() {
    let of_code = Cap { code_id: 1, ..cap(7, 1) };
    let mut network = sample();
    network.catalog.rules = vec![Rule::cap(&of_code)];
    let coupond = serving(&network);
    assert_eq!(redirects(&coupond, "/winter25", 0..2), 1);
    assert_eq!(visit(&coupond, "/both", &visitor(3)), 302);
    assert_eq!(reasons(&coupond, 3), [(Reason::Redirected, 2), (Reason::Cap, 1)].into());
}

#[test]
fn a_cap_of_a_partner_binds_one_offer_or_all() {
    for (offer_id, expected) in [(16, [302, 404, 302]), (0, [302, 404, 404])] {
        let of_partner = Cap { partner_id: 1, offer_id, ..cap(7, 1) };
        let mut network = sample();
        network.catalog.rules = vec![Rule::cap(&of_partner)];
        let coupond = serving(&network);
        let targets = ["/winter25", "/winter25", "/both?oid=17"];
        let visits = targets.into_iter().zip(0..);
        let statuses: Vec<_> =
            visits.map(|(target, number)| visit(&coupond, target, &visitor(number))).collect();
        assert_eq!(statuses, expected, "offer {offer_id}");
    }
}

#[test]
fn a_full_offer_lets_the_next_offer_of_the_code_stand_in() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 1))]));
    assert_eq!(redirects(&coupond, "/both", 0..3), 3);
    let blocks = coupond.feed(3);
    let clicks = blocks.iter().flat_map(|block| block.clicks());
    let mut offers: Vec<_> = clicks.map(|click| click.head.offer_id).collect();
    offers.sort_unstable();
    assert_eq!(offers, [16, 17, 17]);
}

#[test]
fn a_click_that_a_server_reports_counts_and_an_impression_does_not() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 2)), Rule::session(&session(60))]));
    let report = |path: &str| coupond.get(&format!("/{path}?coupon_code=winter25")).body;
    let untracked = coupond.get("/clk?coupon_code=nobody").body;
    for _ in 0..3 {
        assert_ne!(report("sdk/impression"), untracked);
    }
    let tracked: Vec<bool> = (0..3).map(|_| report("clk") != untracked).collect();
    assert_eq!(tracked, [true, true, false]);
    assert_ne!(report("sdk/impression"), untracked, "a view passes");
    assert_eq!(report("sdk/click"), untracked);
    let expected = [(Reason::Redirected, 6), (Reason::Cap, 2)];
    assert_eq!(reasons(&coupond, 8), expected.into());
}

#[test]
fn visits_on_both_threads_count_together() {
    let coupond = serving(&ruled(&[Rule::cap(&cap(7, 30))]));
    // The kernel spreads connections, so sixty of them reach both threads.
    let redirected = redirects(&coupond, "/winter25", 0..60);
    assert_eq!(redirected, 30);
    assert_eq!(last_sequences(&coupond, 60).len(), 2, "one stream for each thread");
}
