//! `POST /v1/networks/couponcodes/generate`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::client::{Answer, code, start_with_offers, with};

fn wanted(pattern: &str, count: u32) -> Value {
    json!({
        "pattern": pattern, "count": count, "network_offer_id": 1, "network_affiliate_id": 1,
        "coupon_status": "active",
    })
}

fn codes(made: &Value) -> Vec<String> {
    let rows = made["coupon_codes"].as_array().unwrap();
    rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect()
}

fn kind(answer: &Answer) -> (u16, &str) {
    let (status, code, _) = answer.refusal();
    (status, code)
}

#[tokio::test]
async fn codes_follow_the_pattern_without_look_alikes_and_without_repetition() {
    let network = start_with_offers().await;
    let made = network.post("couponcodes/generate", wanted("SUMMER####", 500)).await.done();
    let codes = codes(&made);
    assert_eq!(codes.iter().collect::<HashSet<_>>().len(), 500);
    for code in &codes {
        let filled = code.strip_prefix("SUMMER").unwrap();
        assert_eq!(filled.len(), 4, "{code}");
        assert!(filled.bytes().all(|b| b"ABCDEFGHJKMNPQRSTUVWXYZ23456789".contains(&b)), "{code}");
    }
    let sorted = codes.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((150..350).contains(&sorted), "{sorted} of 499 neighbours are in order");
    assert_eq!(
        made["coupon_codes"][0]["tracking_link"],
        format!("https://go.example.com/{}/", codes[0])
    );
}

#[tokio::test]
async fn generated_codes_are_codes_with_all_that_was_asked_for() {
    let network = start_with_offers().await;
    let over = json!({
        "coupon_status": "paused", "start_date": "2026-01-01", "end_date": "2026-12-31",
        "description": "<b>20%</b>", "is_description_plain_text": false, "internal_notes": "print",
    });
    let made =
        network.post("couponcodes/generate", with(wanted("X##", 3), over.clone())).await.done();
    for (row, code) in made["coupon_codes"].as_array().unwrap().iter().zip(codes(&made)) {
        let id = row["network_coupon_code_id"].as_u64().unwrap();
        let stored = network.get(&format!("couponcodes/{id}")).await.done();
        assert_eq!(stored["coupon_code"], code);
        assert_eq!(
            (&stored["network_offer_id"], &stored["network_affiliate_id"]),
            (&json!(1), &json!(1))
        );
        for (field, value) in over.as_object().unwrap() {
            assert_eq!(&stored[field], value, "{field}");
        }
    }
}

#[tokio::test]
async fn codes_without_a_partner_are_assigned_later() {
    let network = start_with_offers().await;
    let free = with(wanted("FREE##", 2), json!({"network_affiliate_id": null}));
    let made = network.post("couponcodes/generate", free).await.done();
    let row = &made["coupon_codes"][0];
    assert_eq!(
        (&row["tracking_link"], &row["tracking_link_unavailable_reason"]),
        (&json!(""), &json!("unassigned"))
    );
    let assigned = network.patch("couponcodes/1", json!({"network_affiliate_id": 2})).await.done();
    assert!(assigned["tracking_link"].as_str().unwrap().contains("/FREE"));
}

#[tokio::test]
async fn a_pattern_gives_all_of_its_codes_and_then_none() {
    let network = start_with_offers().await;
    let digits = |count| with(wanted("TEN#", count), json!({"alphabet": "0123456789"}));
    let refused = network.post("couponcodes/generate", digits(11)).await;
    assert_eq!(kind(&refused), (409, "coupon_code.pattern_exhausted"));
    assert!(refused.body["error"].as_str().unwrap().contains(" 10 "), "{refused:?}");
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 0);
    // Taken on another offer, and formerly of another partner.
    network.post("couponcodes", with(code("ten4"), json!({"network_offer_id": 2}))).await.done();
    network
        .post("couponcodes", with(code("TEN7"), json!({"network_affiliate_id": 2})))
        .await
        .done();
    network.delete("couponcodes/2").await.done();
    let refused = network.post("couponcodes/generate", digits(9)).await;
    assert!(refused.body["error"].as_str().unwrap().contains(" 8 "), "{refused:?}");
    let mut made = codes(&network.post("couponcodes/generate", digits(8)).await.done());
    made.sort_unstable();
    assert_eq!(made, ["TEN0", "TEN1", "TEN2", "TEN3", "TEN5", "TEN6", "TEN8", "TEN9"]);
    let refused = network.post("couponcodes/generate", digits(1)).await;
    assert!(refused.body["error"].as_str().unwrap().contains(" 0 "), "{refused:?}");
}

#[tokio::test]
async fn reserved_words_are_never_generated() {
    let network = start_with_offers().await;
    let clk = |count| with(wanted("C#K", count), json!({"alphabet": "LX"}));
    let refused = network.post("couponcodes/generate", clk(2)).await;
    assert!(refused.body["error"].as_str().unwrap().contains(" 1 "), "{refused:?}");
    assert_eq!(codes(&network.post("couponcodes/generate", clk(1)).await.done()), ["CXK"]);
}

#[tokio::test]
async fn a_wrong_request_generates_nothing() {
    let network = start_with_offers().await;
    for (over, field) in [
        (json!({"pattern": "SUMMER"}), "pattern"),
        (json!({"pattern": "SUM-##"}), "pattern"),
        (json!({"count": 0}), "count"),
        (json!({"count": 100_001}), "count"),
        (json!({"alphabet": "AAB"}), "alphabet"),
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (json!({"network_affiliate_id": 9}), "network_affiliate_id"),
        (json!({"start_date": "2026-02-01", "end_date": "2026-01-01"}), "end_date"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let refused =
            network.post("couponcodes/generate", with(wanted("OK####", 5), over.clone())).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{over}");
    }
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_requests_at_once_never_make_the_same_code() {
    let network = start_with_offers().await;
    let half = || {
        let half = with(wanted("RACE##", 40), json!({"alphabet": "0123456789"}));
        network.post("couponcodes/generate", half)
    };
    let (one, two) = tokio::join!(half(), half());
    let all: HashSet<String> = codes(&one.done()).into_iter().chain(codes(&two.done())).collect();
    assert_eq!(all.len(), 80);
}

#[tokio::test]
async fn a_pattern_is_counted_without_a_code_being_made() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("C0K")).await.done();
    let count = |query: &'static str| network.get(query);
    let few = count("couponcodes/generate?pattern=C%23K&alphabet=0LXY").await.done();
    // "clk" is reserved.
    assert_eq!((&few["possible"], &few["taken"]), (&json!(3), &json!(1)));
    let mut examples: Vec<&str> =
        few["examples"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    examples.sort_unstable();
    assert_eq!(examples, ["CXK", "CYK"]);
    let many = count("couponcodes/generate?pattern=SUMMER%23%23%23%23").await.done();
    assert_eq!((&many["possible"], &many["taken"]), (&json!(31_u64.pow(4)), &json!(0)));
    assert_eq!(many["examples"].as_array().unwrap().len(), 10);
    let vast = format!("couponcodes/generate?pattern={}", "%23".repeat(64));
    assert_eq!(network.get(&vast).await.done()["possible"], Value::Null);
    let wrong = count("couponcodes/generate?pattern=SUMMER&alphabet=AA").await;
    assert_eq!(wrong.refusal(), (400, "request.invalid", vec!["pattern", "alphabet"]));
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 1);
}
