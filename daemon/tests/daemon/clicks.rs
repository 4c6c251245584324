//! The clicks that visits leave, read from the feed.

use std::collections::BTreeSet;

use coupon_shared::click::block::DecodedBlock;
use coupon_shared::click::{Click, ClickHead, Tag, VisitKind};
use coupon_shared::decision::Reason;
use rustix::process::Signal;

use crate::published::{HOST, sample};
use crate::running::{Coupond, folder};

/// All clicks in the order of their ids' times.
fn clicks(blocks: &[DecodedBlock]) -> Vec<Click<'_>> {
    let mut clicks: Vec<_> = blocks.iter().flat_map(DecodedBlock::clicks).collect();
    clicks.sort_by_key(|click| (click.head.unix_ms, click.head.transaction_id.0));
    clicks
}

#[test]
fn a_click_keeps_what_the_request_said_and_what_was_decided() {
    let coupond = Coupond::serving(&sample());
    let answer = coupond.request(
        "GET",
        "/WINTER25/?sub1=a%20b&sub5=e&source_id=src&uid=&x=y&sub6=six&adv10=ten&gclid=G%2B&__rf=p",
        "User-Agent: Browser/1\r\nReferer: https://r.example/\r\nAccept-Language: de-DE,de\r\n",
    );
    let blocks = coupond.feed(1);
    let click = clicks(&blocks)[0];
    assert!(answer.location().contains(&click.head.transaction_id.to_string()));
    assert_eq!(click.code, b"WINTER25");
    let head = click.head;
    assert_eq!((head.code_id, head.offer_id, head.partner_id, head.advertiser_id), (1, 16, 1, 5));
    assert_eq!((head.generation, head.rule), (1, 0));
    assert_eq!((head.reason, head.kind), (Reason::Redirected, VisitKind::Click));
    assert_eq!(click.address(), Some([127, 0, 0, 1].into()));
    for (tag, value) in [
        (Tag::Sub1, "a b"),
        (Tag::Sub5, "e"),
        (Tag::SourceId, "src"),
        (Tag::Host, HOST),
        (Tag::UserAgent, "Browser/1"),
        (Tag::Referer, "https://r.example/"),
        (Tag::Language, "de-DE,de"),
        (Tag::Sub6, "six"),
        (Tag::Adv10, "ten"),
        (Tag::Gclid, "G+"),
        (Tag::PageReferer, "p"),
    ] {
        assert_eq!(click.text(tag), value, "{tag:?}");
    }
    assert_eq!((click.tag(Tag::Uid), click.tag(Tag::Sub2)), (None, None));
}

#[test]
fn every_get_of_a_known_code_leaves_one_click_with_its_reason() {
    let coupond = Coupond::serving(&sample());
    let visits = [
        ("winter25", Reason::Redirected),
        ("paused", Reason::Paused),
        ("unassigned", Reason::Unassigned),
        ("upcoming", Reason::NotStarted),
        ("expired", Reason::Expired),
        ("ended", Reason::OfferNotActive),
        ("lapsed", Reason::PartnerNotActive),
        ("winter25?oid=17", Reason::NotOnOffer),
    ];
    for (target, _) in visits {
        coupond.get(&format!("/{target}"));
        coupond.get("/nobody");
        coupond.request("HEAD", &format!("/{target}"), "");
    }
    let blocks = coupond.feed(visits.len());
    let mut found: Vec<_> = clicks(&blocks)
        .iter()
        .map(|click| (String::from_utf8_lossy(click.code).into_owned(), click.head.reason))
        .collect();
    let mut expected: Vec<_> = visits
        .iter()
        .map(|(target, reason)| (target.split('?').next().unwrap().to_owned(), *reason))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let clicks = clicks(&blocks);
    let elsewhere = clicks.iter().find(|click| click.head.reason == Reason::NotOnOffer).unwrap();
    let ClickHead { code_id, offer_id, partner_id, advertiser_id, .. } = elsewhere.head;
    assert_eq!((offer_id, advertiser_id), (0, 0), "it belongs to no offer");
    assert!(code_id != 0 && partner_id != 0, "and to its code and partner");
}

#[test]
fn a_visit_that_only_fetches_ahead_is_marked() {
    let coupond = Coupond::serving(&sample());
    coupond.request("GET", "/winter25", "Sec-Purpose: prefetch;prerender\r\n");
    assert_eq!(clicks(&coupond.feed(1))[0].head.kind, VisitKind::Prefetch);
}

#[test]
fn a_proxys_word_for_the_address_counts_only_while_it_is_trusted() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let file = folder.path().join("coupond.toml");
    std::fs::write(&file, "").unwrap();
    let coupond = Coupond::start(folder, |command| {
        command.arg("--config").arg(&file);
    });
    let visit = || {
        coupond.request("GET", "/winter25", "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.1.1.1\r\n");
    };
    visit();
    std::fs::write(&file, "trusted_proxies = ['127.0.0.1', '10.0.0.0/8']").unwrap();
    coupond.signal(Signal::HUP);
    coupond.wait_for_log("configuration reloaded");
    visit();
    let blocks = coupond.feed(2);
    let addresses = clicks(&blocks).into_iter().filter_map(|click| click.address());
    let addresses: BTreeSet<_> = addresses.map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1", "203.0.113.9"].map(str::to_owned).into());
}

#[test]
fn of_addresses_only_the_network_is_recorded_where_that_is_wanted() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_TRUNCATE_ADDRESSES", "true");
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    });
    for address in ["203.0.113.77", "2001:db8:12:3456::1"] {
        let forwarded = format!("X-Forwarded-For: {address}\r\n");
        coupond.request("GET", "/winter25", &forwarded);
    }
    let blocks = coupond.feed(2);
    let addresses = clicks(&blocks).into_iter().filter_map(|click| click.address());
    let addresses: BTreeSet<_> = addresses.map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["203.0.113.0", "2001:db8:12::"].map(str::to_owned).into());
}

#[test]
fn clicks_of_a_daemon_that_was_killed_or_stopped_are_fed_by_the_next() {
    for signal in [Signal::KILL, Signal::TERM] {
        let mut coupond = Coupond::serving(&sample());
        for _ in 0..25 {
            coupond.get("/winter25");
        }
        coupond.signal(signal);
        coupond.wait();
        let next = coupond.restarted();
        next.get("/winter25");
        assert_eq!(clicks(&next.feed(26)).len(), 26, "{signal:?}");
    }
}
