//! `/v1/networks/couponcodes/bulk`: all rows or no row.

use serde_json::json;

use crate::client::{code, start_with_offers, with};

#[tokio::test]
async fn all_rows_become_codes_in_their_order() {
    let network = start_with_offers().await;
    let rows = json!([
        code("ZEBRA"),
        with(code("APPLE"), json!({"network_affiliate_id": null})),
        code("MANGO")
    ]);
    let made = network.post("couponcodes/bulk", rows).await.done();
    let codes: Vec<&str> = made["coupon_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["coupon_code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["ZEBRA", "APPLE", "MANGO"]);
    assert_eq!(made["coupon_codes"][2]["network_coupon_code_id"], 3);
}

#[tokio::test]
async fn wrong_rows_are_named_by_their_place_and_nothing_is_saved() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("TAKEN")).await.done();
    let on_two = json!({"network_offer_id": 2, "network_affiliate_id": 2});
    let cases = [
        (
            json!([code("AAA"), code("B"), with(code("CCC"), json!({"network_offer_id": 9}))]),
            (400, "request.invalid", vec!["[1].coupon_code", "[2].network_offer_id"]),
        ),
        (
            json!([code("AAA"), with(code("BBB"), json!({"colour": 1})), {}]),
            (400, "request.invalid", vec!["[1].colour", "[2].coupon_code"]),
        ),
        (
            json!([code("AAA"), code("taken"), code("aaa")]),
            (409, "coupon_code.duplicate", vec!["[1].coupon_code", "[2].coupon_code"]),
        ),
        (
            json!([code("AAA"), with(code("taken"), on_two.clone())]),
            (409, "coupon_code.owned_by_another_partner", vec!["[1].network_affiliate_id"]),
        ),
        (
            json!([code("AAA"), with(code("aaa"), on_two)]),
            (
                409,
                "coupon_code.owned_by_another_partner",
                vec!["[0].network_affiliate_id", "[1].network_affiliate_id"],
            ),
        ),
    ];
    for (rows, expected) in cases {
        let answer = network.post("couponcodes/bulk", rows.clone()).await;
        assert_eq!(answer.refusal(), expected, "{rows}");
        assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 1, "{rows}");
    }
    let object = network.post("couponcodes/bulk", code("AAA")).await;
    assert_eq!(object.refusal().0, 400);
}
