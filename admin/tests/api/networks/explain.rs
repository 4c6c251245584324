//! `POST /v1/networks/explain`.

use serde_json::{Value, json};

use crate::client::{Running, code, start, start_with_offers, with};
use crate::published::published;

/// Explains a visit with an index that holds all edits so far.
async fn explained(network: &Running, visit: Value) -> Value {
    published(network).await;
    network.post("explain", visit).await.done()
}

fn reasons(told: &Value) -> Vec<(u64, &str, bool)> {
    let rows = told["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        (
            row["network_coupon_code_id"].as_u64().unwrap(),
            row["reason"].as_str().unwrap(),
            row["is_chosen"].as_bool().unwrap(),
        )
    })
    .collect()
}

fn steps(told: &Value) -> String {
    let steps = told["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{}: {}\n", step["step"], step["result"])).collect()
}

#[tokio::test]
async fn a_visit_that_redirects_is_explained_to_its_expanded_destination() {
    let network = start_with_offers().await;
    let to = json!({"destination_url": "https://shop.example.com/{offer_id}/{sub1}?t={transaction_id}&c={coupon_code}"});
    network.patch("offers/1", to).await.done();
    network.post("couponcodes", code("Winter25")).await.done();
    let visit = json!({
        "code": "WINTER25", "host": "Go.Example.com:443", "query": "sub1=a%20b&x=1",
        "ip": "192.0.2.1", "user_agent": "Mozilla/5.0",
    });
    let told = explained(&network, visit).await;
    let id = told["sample_transaction_id"].as_str().unwrap();
    assert_eq!(told["location"], format!("https://shop.example.com/1/a%20b?t={id}&c=WINTER25"));
    assert_eq!((&told["status"], &told["answer"]), (&json!(302), &json!("offer")));
    assert_eq!((&told["reason"], &told["is_click_recorded"]), (&json!("redirected"), &json!(true)));
    assert_eq!(reasons(&told), [(1, "redirected", true)]);
    let steps = steps(&told);
    assert!(steps.contains("go.example.com is tracking domain 1"), "{steps}");
    assert!(steps.contains("compared as winter25"), "{steps}");
}

#[tokio::test]
async fn the_sample_id_is_no_clicks_id() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    let told = explained(&network, json!({"code": "winter25"})).await;
    let id = told["sample_transaction_id"].as_str().unwrap();
    let id: coupon_shared::transaction_id::TransactionId = id.parse().unwrap();
    let index = published(&network).await;
    assert!(!id.verify(&index.catalog().click_id_key()));
}

#[tokio::test]
async fn every_row_has_its_reason_and_the_choice_is_told() {
    let network = start_with_offers().await;
    network.post("advertisers", json!({"name": "Other", "account_status": "active"})).await.done();
    for advertiser in [2, 1] {
        let over = json!({"network_advertiser_id": advertiser});
        network.post("offers", with(crate::client::offer("More"), over)).await.done();
    }
    let on = |offer: u32| with(code("MANY"), json!({"network_offer_id": offer}));
    let rows = json!([
        with(on(1), json!({"coupon_status": "paused"})),
        with(on(2), json!({"end_date": "2020-01-01"})),
        on(3),
        on(4),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    let told = explained(&network, json!({"code": "many"})).await;
    assert_eq!(
        reasons(&told),
        [
            (1, "paused", false),
            (2, "expired", false),
            (3, "redirected", false),
            (4, "redirected", true)
        ]
    );
    assert_eq!(told["network_coupon_code_id"], 4);
    assert!(steps(&told).contains("the next of advertiser 1"), "{}", steps(&told));
    assert_eq!(told["rows"][1]["explanation"], "its last day was 2020-01-01");

    let told = explained(&network, json!({"code": "many", "oid": 2, "query": "oid=3"})).await;
    assert_eq!(
        reasons(&told),
        [
            (1, "not_on_offer", false),
            (2, "expired", true),
            (3, "not_on_offer", false),
            (4, "not_on_offer", false)
        ]
    );
    let told = explained(&network, json!({"code": "many", "oid": 99})).await;
    assert_eq!((&told["reason"], &told["status"]), (&json!("not_on_offer"), &json!(404)));
}

#[tokio::test]
async fn a_time_is_judged_in_the_networks_zone() {
    let network = start_with_offers().await;
    network
        .patch("settings", json!({"time_zone": "Pacific/Auckland", "currency": "NZD"}))
        .await
        .done();
    let dates = json!({"start_date": "2026-04-05", "end_date": "2026-04-05"});
    network.post("couponcodes", with(code("ONEDAY"), dates)).await.done();
    for (time, reason, day) in [
        (json!("2026-04-04T10:59:59Z"), "not_started", "2026-04-04"),
        (json!("2026-04-05T00:00:00+13:00"), "redirected", "2026-04-05"),
        (json!(1_775_390_399), "redirected", "2026-04-05"),
        (json!(1_775_390_400), "expired", "2026-04-06"),
    ] {
        let told = explained(&network, json!({"code": "oneday", "time": time})).await;
        assert_eq!((&told["reason"], &told["day"]), (&json!(reason), &json!(day)), "{time}");
    }
}

#[tokio::test]
async fn the_chain_of_fallbacks_is_shown_in_its_order() {
    let network = start_with_offers().await;
    network
        .post("couponcodes", with(code("PAUSED"), json!({"coupon_status": "paused"})))
        .await
        .done();
    let visit = json!({"code": "paused", "host": "go.example.com"});
    let told = explained(&network, visit.clone()).await;
    assert_eq!((&told["answer"], &told["location"]), (&json!("not_found"), &json!("")));
    for (path, of) in
        [("settings", "network"), ("trackingdomains/1", "tracking domain"), ("offers/1", "offer")]
    {
        let url = format!("https://{}.example/", of.replace(' ', "-"));
        let change = json!({"fallback_url": url});
        network.patch(path, change).await.done();
        let told = explained(&network, visit.clone()).await;
        assert_eq!((&told["answer"], &told["location"]), (&json!("fallback"), &json!(url)), "{of}");
        assert!(steps(&told).contains(&format!("fallback URL of the {of}")), "{}", steps(&told));
    }
    let told = explained(&network, visit).await;
    let of: Vec<&str> =
        told["fallbacks"].as_array().unwrap().iter().map(|f| f["of"].as_str().unwrap()).collect();
    assert_eq!(of, ["offer", "tracking_domain", "network"]);
}

#[tokio::test]
async fn codes_nobody_has_and_hosts_that_are_none_leave_no_click() {
    let network = start_with_offers().await;
    for (visit, status, word) in [
        (json!({"code": "nobody"}), 404, "nobody has this code"),
        (json!({"code": "a"}), 404, "not a code"),
        (json!({"code": "SAVE-20"}), 404, "not a code"),
        (json!({"code": "winter25", "host": "other.example"}), 404, "no tracking domain"),
        (json!({"code": "winter25", "host": "a b"}), 400, "not a host name"),
    ] {
        let told = explained(&network, visit.clone()).await;
        assert_eq!((&told["status"], &told["is_click_recorded"]), (&json!(status), &json!(false)));
        assert!(steps(&told).contains(word), "{visit}: {}", steps(&told));
        assert_eq!(told["reason"], "");
    }
}

#[tokio::test]
async fn without_a_host_the_codes_own_link_is_taken_and_said() {
    let network = start_with_offers().await;
    network.post("trackingdomains", json!({"base_url": "https://two.example.com"})).await.done();
    network.patch("offers/2", json!({"network_tracking_domain_id": 2})).await.done();
    let rows = json!([code("ONE"), with(code("TWO"), json!({"network_offer_id": 2}))]);
    network.post("couponcodes/bulk", rows).await.done();
    for (visited, base_url) in [
        ("ONE", "https://go.example.com"),
        ("two", "https://two.example.com"),
        ("nobody", "https://go.example.com"),
    ] {
        let told = steps(&explained(&network, json!({"code": visited})).await);
        assert!(told.contains(&format!("the code's link begins with {base_url}")), "{told}");
    }
}

#[tokio::test]
async fn without_a_tracking_domain_no_host_leads_anywhere() {
    let network = start().await;
    let told = explained(&network, json!({"code": "WINTER25"})).await;
    assert_eq!((&told["status"], &told["is_click_recorded"]), (&json!(404), &json!(false)));
    assert!(steps(&told).contains("no tracking domain"), "{}", steps(&told));
}

#[tokio::test]
async fn read_only_keys_explain_and_partners_do_not() {
    let network = start().await;
    published(&network).await;
    let key = |answer: Value| answer["api_key"].as_str().unwrap().to_owned();
    let reads =
        key(network.post("apikeys", json!({"name": "r", "role": "read_only"})).await.done());
    network.post("affiliates", json!({"name": "Anna", "account_status": "active"})).await.done();
    let wanted = json!({"name": "p", "role": "partner", "network_affiliate_id": 1});
    let partner = key(network.post("apikeys", wanted).await.done());
    let path = "/v1/networks/explain";
    let visit = || Some(json!({"code": "abc"}));
    assert_eq!(network.call_as(&reads, "POST", path, visit()).await.status, 200);
    assert_eq!(network.call_as(&partner, "POST", path, visit()).await.status, 403);
    let wrong = network.post("explain", json!({"code": "abc", "time": "noon"})).await;
    assert_eq!(wrong.refusal().2, ["time"]);
    assert!(wrong.body["error"].as_str().unwrap().contains("Unix seconds"), "{wrong:?}");
}
