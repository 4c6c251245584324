//! Clicks and impressions that pages and servers report, and the script for reporting.

use coupon_shared::click::block::DecodedBlock;
use coupon_shared::click::{Click, Tag, VisitKind};
use coupon_shared::decision::Reason;
use coupon_shared::transaction_id::{ClickIdKey, TransactionId, TransactionIdSource};
use serde_json::{Value, json};

use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond};

const KEY: ClickIdKey = ClickIdKey([7; 16]);
const SCRIPTS: [&str; 2] = ["/scripts/main.js", "/scripts/sdk/everflow.js"];

/// All clicks; clicks of several threads come in no order.
fn clicks(blocks: &[DecodedBlock]) -> Vec<Click<'_>> {
    blocks.iter().flat_map(DecodedBlock::clicks).collect()
}

fn facts(click: &Click<'_>) -> (VisitKind, Reason, [u32; 4]) {
    let head = click.head;
    (head.kind, head.reason, [head.code_id, head.offer_id, head.partner_id, head.advertiser_id])
}

/// The answer to a click of an offer and its advertiser.
fn known(id: TransactionId, [oid, aid]: [u32; 2]) -> Value {
    json!({
        "transaction_id": id.to_string(), "oid": oid, "aid": aid, "error_code": 0, "error": "",
    })
}

/// The id of an answer that tracked a click of this offer.
fn tracked(answer: &Answer, offer_id: u32) -> TransactionId {
    let said = answer.json();
    let id: TransactionId = said["transaction_id"].as_str().unwrap().parse().unwrap();
    assert_eq!((answer.status, said), (200, known(id, [offer_id, 5])));
    assert!(id.verify(&KEY));
    id
}

#[test]
fn a_reported_click_of_a_code_is_recorded_and_answered_its_id() {
    let coupond = Coupond::serving(&sample());
    let targets = [
        "/sdk/click?_ef_transaction_id=&oid=&affid=&__cc=WiNtEr25&async=json&sub1=a%20b&source_id=s",
        "/sdk/click?coupon_code=+winter25%20",
        "/clk?coupon_code=WINTER25&oid=16",
    ];
    let ids = targets.map(|target| {
        let page = "Origin: https://shop.example\r\nReferer: https://shop.example/p\r\n";
        let answer = coupond.request("GET", target, page);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        tracked(&answer, 16)
    });
    let blocks = coupond.feed(3);
    let clicks = clicks(&blocks);
    let typed: [&[u8]; 3] = [b"WiNtEr25", b"winter25", b"WINTER25"];
    let of = |id| *clicks.iter().find(|click| click.head.transaction_id == id).unwrap();
    for (id, typed) in ids.into_iter().zip(typed) {
        let click = &of(id);
        assert_eq!(click.code, typed);
        let kind = if typed == b"WINTER25" { VisitKind::Server } else { VisitKind::Sdk };
        assert_eq!(facts(click), (kind, Reason::Redirected, [1, 16, 1, 5]));
        assert_eq!(click.text(Tag::Referer), "https://shop.example/p");
        assert_eq!(click.text(Tag::Host), HOST);
    }
    assert_eq!(of(ids[0]).text(Tag::Sub1), "a b");
}

#[test]
fn an_offer_picks_the_row_of_a_code_on_several() {
    let coupond = Coupond::serving(&sample());
    tracked(&coupond.get("/sdk/click?__cc=both"), 16);
    tracked(&coupond.get("/sdk/click?__cc=both&oid=17"), 17);
}

#[test]
fn a_click_without_a_code_is_of_the_offer_and_partner_it_names() {
    let coupond = Coupond::serving(&sample());
    tracked(&coupond.get("/sdk/click?oid=17&affid=1"), 17);
    tracked(&coupond.get("/clk?oid=17&affid=1&sub2=x"), 17);
    // The named partner brought the visitor, whatever the code's state.
    tracked(&coupond.get("/sdk/click?oid=17&affid=1&__cc=nobody"), 17);
    tracked(&coupond.get("/sdk/click?oid=17&affid=1&__cc=paused"), 17);
    let blocks = coupond.feed(4);
    for click in clicks(&blocks) {
        let kind = if click.text(Tag::Sub2) == "x" { VisitKind::Server } else { VisitKind::Sdk };
        assert_eq!(facts(&click), (kind, Reason::Redirected, [0, 17, 1, 5]));
        assert_eq!(click.code, b"");
    }
}

#[test]
fn whatever_cannot_be_tracked_looks_the_same_and_is_recorded_where_its_ids_are_known() {
    let coupond = Coupond::serving(&sample());
    let first = coupond.get("/sdk/click?__cc=nobody");
    let said = first.json();
    assert_eq!((first.status, &said["transaction_id"]), (200, &Value::from("")));
    assert_eq!(said["error_code"], 1010);
    assert!(said["error"].as_str().unwrap().starts_with("This cannot be tracked"));
    let known = [
        ("__cc=paused", Reason::Paused),
        ("__cc=unassigned", Reason::Unassigned),
        ("__cc=upcoming", Reason::NotStarted),
        ("__cc=expired", Reason::Expired),
        ("__cc=ended", Reason::OfferNotActive),
        ("__cc=lapsed", Reason::PartnerNotActive),
        ("__cc=winter25&oid=17", Reason::NotOnOffer),
        ("oid=18&affid=1", Reason::OfferNotActive),
        ("oid=16&affid=2", Reason::PartnerNotActive),
    ];
    let unknown = [
        "",
        "oid=16",
        "affid=1",
        "oid=99&affid=1",
        "oid=16&affid=99",
        "oid=x&affid=y",
        "__cc=ab",
        "__cc=a%20b%00%ff%22%3Cscript%3E",
        "_ef_transaction_id=00000000000000000000000000000000",
        "_ef_transaction_id=x&oid=16",
    ];
    for query in known.map(|(query, _)| query).iter().chain(&unknown) {
        assert_eq!(coupond.get(&format!("/sdk/click?{query}")), first, "{query}");
    }
    let blocks = coupond.feed(known.len());
    let mut reasons: Vec<_> = clicks(&blocks).iter().map(|click| click.head.reason).collect();
    let mut expected = known.map(|(_, reason)| reason);
    reasons.sort();
    expected.sort();
    assert_eq!(reasons, expected);
}

#[test]
fn a_click_that_brought_the_visitor_is_answered_again_and_not_counted_twice() {
    let coupond = Coupond::serving(&sample());
    let id = TransactionIdSource::new(0, 0, 1).next(&KEY, 1_763_000_000_000);
    for (query, ids) in
        [("oid=17&affid=1", [17, 5]), ("__cc=winter25", [16, 5]), ("oid=99", [0, 0]), ("", [0, 0])]
    {
        let answer = coupond.get(&format!("/sdk/click?_ef_transaction_id={id}&{query}"));
        assert_eq!(answer.json(), known(id, ids), "{query}");
    }
    // An invented id belongs to no click: the report counts as a new click.
    let invented = TransactionIdSource::new(0, 0, 1).next(&ClickIdKey([8; 16]), 1_763_000_000_000);
    let answer = coupond.get(&format!("/sdk/click?_ef_transaction_id={invented}&__cc=winter25"));
    assert_ne!(tracked(&answer, 16), invented);
    assert_eq!(clicks(&coupond.feed(1)).len(), 1);
}

#[test]
fn an_impression_is_recorded_as_one() {
    let coupond = Coupond::serving(&sample());
    tracked(&coupond.get("/sdk/impression?oid=17&affid=1"), 17);
    tracked(&coupond.get("/sdk/impression?__cc=winter25"), 16);
    let blocks = coupond.feed(2);
    let kinds: Vec<_> = clicks(&blocks).iter().map(|click| click.head.kind).collect();
    assert_eq!(kinds, [VisitKind::Impression; 2]);
}

#[test]
fn a_page_that_is_only_fetched_ahead_is_marked() {
    let coupond = Coupond::serving(&sample());
    let ahead = "Sec-Purpose: prefetch;prerender\r\n";
    tracked(&coupond.request("GET", "/sdk/click?__cc=winter25", ahead), 16);
    assert_eq!(clicks(&coupond.feed(1))[0].head.kind, VisitKind::Prefetch);
}

#[test]
fn a_page_of_any_origin_may_read_the_answer() {
    let coupond = Coupond::serving(&sample());
    for target in ["/sdk/click?__cc=winter25", "/sdk/click", "/clk", "/sdk/impression"] {
        let answer = coupond.request("GET", target, "Origin: http://localhost:3000\r\n");
        let header = |name| answer.header(name);
        assert_eq!(header("access-control-allow-origin"), Some("http://localhost:3000"));
        assert_eq!(header("access-control-allow-credentials"), Some("true"));
        assert_eq!(header("vary"), Some("Origin"));
        let server = coupond.get(target);
        assert_eq!(server.header("access-control-allow-origin"), None);
        assert_eq!(server.header("vary"), Some("Origin"));
    }
}

#[test]
fn head_reports_nothing_and_other_methods_are_not_allowed() {
    let coupond = Coupond::serving(&sample());
    for target in ["/sdk/click?__cc=winter25", "/sdk/impression?__cc=winter25", SCRIPTS[0]] {
        let head = coupond.request("HEAD", target, "");
        let get = coupond.get(target);
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(head.headers, get.headers, "{target}");
        let post = coupond.request("POST", target, "Content-Length: 0\r\n");
        assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    }
    assert_eq!(clicks(&coupond.feed(2)).len(), 2);
}

#[test]
fn under_a_host_that_is_no_tracking_domain_nothing_is_there() {
    let coupond = Coupond::serving(&sample());
    for target in ["/sdk/click?__cc=winter25", "/clk?__cc=winter25", SCRIPTS[0], SCRIPTS[1]] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
        assert_eq!(coupond.raw(request.as_bytes()), coupond.get("/nobody"), "{target}");
    }
}

#[test]
fn other_paths_beside_these_are_not_ours() {
    let coupond = Coupond::serving(&sample());
    for path in ["/sdk", "/sdk/", "/sdk/click/", "/sdk/nothing", "/CLK", "/scripts/", "/clk/"] {
        assert_eq!(coupond.get(path), coupond.get("/nobody"), "{path}");
    }
}

#[test]
fn the_script_names_the_domain_it_is_asked_for_under() {
    let coupond = Coupond::serving(&sample());
    for path in SCRIPTS {
        let asked_at = |host: &str| {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            coupond.raw(request.as_bytes())
        };
        let script = asked_at("Go.Example.com:8443");
        assert_eq!(script.status, 200);
        assert!(script.body.contains("var HOST = 'go.example.com';"), "{}", script.body);
        // A cache may give the answer to any client that requests the same host.
        for host in ["go.example.com", "go.example.com.", "go.example.com:666"] {
            assert_eq!(asked_at(host), script, "{host}");
        }
        let kind = "application/javascript; charset=utf-8";
        assert_eq!(script.header("content-type"), Some(kind));
        assert_eq!(script.header("cache-control"), Some("public, max-age=3600"));
        assert_eq!(script.header("access-control-allow-origin"), Some("*"));
    }
}

#[test]
fn a_script_that_a_browser_has_is_not_sent_again() {
    let coupond = Coupond::serving(&sample());
    let first = coupond.get(SCRIPTS[0]);
    let tag = first.header("etag").unwrap();
    for tags in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}")] {
        let again = coupond.request("GET", SCRIPTS[0], &format!("If-None-Match: {tags}\r\n"));
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(again.header("etag"), Some(tag));
        assert_eq!(again.header("cache-control"), Some("public, max-age=3600"));
    }
    let changed = coupond.request("GET", SCRIPTS[0], "If-None-Match: \"other\"\r\n");
    assert_eq!(changed, first);
}
