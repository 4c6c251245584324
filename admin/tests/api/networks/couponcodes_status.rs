//! `PATCH /v1/networks/couponcodes/status`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Running, code, start_with_offers, with};

/// Codes 1 to 4 of Anna's: the third is paused, the fourth on the second offer.
async fn start_with_codes() -> Running {
    let network = start_with_offers().await;
    let rows = json!([
        code("ONE"),
        code("TWO"),
        with(code("THREE"), json!({"coupon_status": "paused"})),
        with(code("ELSEWHERE"), json!({"network_offer_id": 2})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    network
}

async fn statuses(network: &Running) -> Vec<String> {
    let list = network.get("couponcodes").await.done();
    let rows = list["coupon_codes"].as_array().unwrap();
    rows.iter().map(|row| row["coupon_status"].as_str().unwrap().to_owned()).collect()
}

fn counts(matched: u64, changed: u64) -> Value {
    json!({"matched_count": matched, "changed_count": changed})
}

#[tokio::test]
async fn named_codes_get_the_status_and_those_that_have_it_are_left_alone() {
    let network = start_with_codes().await;
    let wanted = json!({"network_coupon_code_ids": [1, 3], "coupon_status": "paused"});
    assert_eq!(network.patch("couponcodes/status", wanted.clone()).await.done(), counts(2, 1));
    assert_eq!(statuses(&network).await, ["paused", "active", "paused", "active"]);
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(2, 0));
}

#[tokio::test]
async fn inactive_is_taken_as_paused() {
    let network = start_with_codes().await;
    let wanted = json!({"network_coupon_code_ids": [2], "coupon_status": "inactive"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(1, 1));
    assert_eq!(network.get("couponcodes/2").await.done()["coupon_status"], "paused");
}

#[tokio::test]
async fn codes_are_chosen_by_the_lists_filters_and_search() {
    let network = start_with_codes().await;
    let wanted = json!({
        "filter": ["network_offer_id=1", "coupon_status=active"], "coupon_status": "paused",
    });
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(2, 2));
    assert_eq!(statuses(&network).await, ["paused", "paused", "paused", "active"]);
    let wanted = json!({"search": "Thre", "coupon_status": "active"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(1, 1));
    assert_eq!(statuses(&network).await, ["paused", "paused", "active", "active"]);
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_pauses_nothing() {
    let network = start_with_codes().await;
    network.patch("couponcodes/1", json!({"end_date": "2027-12-31"})).await.done();
    for filter in ["end_date<2027-9-1", "end_date<tomorrow", "coupon_status=gone", "end_date<"] {
        let wanted = json!({"filter": [filter], "coupon_status": "paused"});
        let refused = network.patch("couponcodes/status", wanted).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["filter"]), "{filter}");
    }
    let wanted = json!({"filter": ["end_date<2027-09-01"], "coupon_status": "paused"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(0, 0));
    assert_eq!(statuses(&network).await, ["active", "active", "paused", "active"]);
    let wanted = json!({"filter": ["end_date="], "coupon_status": "paused"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(3, 2));
}

#[tokio::test]
async fn a_code_that_is_not_there_refuses_all_of_them() {
    let network = start_with_codes().await;
    network.delete("couponcodes/2").await.done();
    let wanted = json!({"network_coupon_code_ids": [1, 2, 99], "coupon_status": "paused"});
    let refused = network.patch("couponcodes/status", wanted).await;
    let fields = vec!["network_coupon_code_ids[1]", "network_coupon_code_ids[2]"];
    assert_eq!(refused.refusal(), (400, "request.invalid", fields));
    assert_eq!(network.get("couponcodes/1").await.done()["coupon_status"], "active");
}

#[tokio::test]
async fn a_request_that_names_no_codes_does_not_mean_all_of_them() {
    let network = start_with_codes().await;
    for wrong in [
        json!({"coupon_status": "paused"}),
        json!({"coupon_status": "paused", "filter": []}),
        json!({"coupon_status": "paused", "network_coupon_code_ids": [1], "search": "ONE"}),
        json!({"coupon_status": "gone", "network_coupon_code_ids": [1]}),
        json!({"coupon_status": "paused", "filter": ["colour=red"]}),
        json!({"network_coupon_code_ids": [1]}),
    ] {
        assert_eq!(network.patch("couponcodes/status", wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(statuses(&network).await, ["active", "active", "paused", "active"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_codes_change_in_bounded_time_under_one_sequence() {
    let network = start_with_offers().await;
    let made = json!({
        "pattern": "BULK######", "count": 100_000, "network_offer_id": 1,
        "network_affiliate_id": 1, "coupon_status": "active",
    });
    network.post("couponcodes/generate", made).await.done();
    let began = Instant::now();
    let wanted = json!({"filter": ["network_offer_id=1"], "coupon_status": "paused"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(100_000, 100_000));
    let by_filter = began.elapsed();
    let ids: Vec<u32> = (1..=100_000).collect();
    let wanted = json!({"network_coupon_code_ids": ids, "coupon_status": "active"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.done(), counts(100_000, 100_000));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    println!("100,000 by filter {by_filter:?}, by ids {:?}", began.elapsed() - by_filter);
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let sequences: u64 = store
        .query_row("SELECT count(DISTINCT change_seq) FROM coupon_code", [], |row| row.get(0))
        .unwrap();
    assert_eq!(sequences, 1);
}
