//! Codes for conversions only: a merchant's own form, without a link.

use serde_json::{Value, json};

use crate::client::{code, start_with_offers, with};

fn without_link(typed: &str) -> Value {
    with(code(typed), json!({"conversion_only": true}))
}

#[tokio::test]
async fn a_code_of_another_form_is_refused_unless_it_is_for_conversions_only() {
    let network = start_with_offers().await;
    let refused = network.post("couponcodes", code("SAVE-20")).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["coupon_code"]));
    assert!(refused.body["error"].as_str().unwrap().contains("conversion_only"), "{refused:?}");
    let made = network.post("couponcodes", without_link("SAVE-20")).await.done();
    assert_eq!((&made["coupon_code"], &made["conversion_only"]), (&json!("SAVE-20"), &json!(true)));
    assert_eq!(
        (&made["tracking_link"], &made["tracking_link_unavailable_reason"]),
        (&json!(""), &json!("not_url_safe"))
    );
    assert_eq!(network.get("couponcodes/1").await.done(), made);
}

#[tokio::test]
async fn it_has_1_to_64_printable_ascii_characters() {
    let network = start_with_offers().await;
    for typed in ["%", "10 % off", "clk", "~!@#$%^&*()", &"x".repeat(64)] {
        network.post("couponcodes", without_link(typed)).await.done();
    }
    for typed in ["", " lead", "trail ", "tab\there", "caf\u{e9}", "\u{7f}x", &"x".repeat(65)] {
        assert_eq!(network.post("couponcodes", without_link(typed)).await.status, 400, "{typed:?}");
    }
}

#[tokio::test]
async fn it_is_unique_and_partner_owned_by_the_same_rules_without_regard_to_case() {
    let network = start_with_offers().await;
    network.post("couponcodes", without_link("Save-20")).await.done();
    let again = network.post("couponcodes", without_link("SAVE-20")).await;
    assert_eq!(again.refusal().1, "coupon_code.duplicate");
    let elsewhere = with(without_link("sAVE-20"), json!({"network_offer_id": 2}));
    let bens = with(elsewhere.clone(), json!({"network_affiliate_id": 2}));
    let refused = network.post("couponcodes", bens.clone()).await;
    assert_eq!(refused.refusal().1, "coupon_code.owned_by_another_partner");
    network.post("couponcodes", elsewhere).await.done();
    let found = network.get("couponcodes?filter=coupon_code%3Dsave-20").await.done();
    assert_eq!(found["paging"]["total_count"], 2);
    network.delete("couponcodes/1").await.done();
    network.delete("couponcodes/2").await.done();
    assert_eq!(
        network.post("couponcodes", bens.clone()).await.refusal().1,
        "coupon_code.once_another_partners"
    );
    network.post("couponcodes", with(bens, json!({"allow_reissue": true}))).await.done();
}

#[tokio::test]
async fn a_patch_leaves_it_without_a_link_and_a_rename_can_give_it_one() {
    let network = start_with_offers().await;
    network.post("couponcodes", without_link("SAVE-20")).await.done();
    let paused = network.patch("couponcodes/1", json!({"coupon_status": "paused"})).await.done();
    assert_eq!(paused["conversion_only"], true);
    let linked = json!({"conversion_only": false});
    assert_eq!(network.patch("couponcodes/1", linked.clone()).await.status, 400);
    let linked = with(linked, json!({"coupon_code": "SAVE20"}));
    let now = network.patch("couponcodes/1", linked).await.done();
    assert_eq!(now["tracking_link"], "https://go.example.com/SAVE20/");
}

#[tokio::test]
async fn it_does_not_put_the_offer_into_the_link_of_its_namesake() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("BOTH")).await.done();
    let second = with(without_link("BOTH"), json!({"network_offer_id": 2}));
    network.post("couponcodes", second).await.done();
    assert_eq!(
        network.get("couponcodes/1").await.done()["tracking_link"],
        "https://go.example.com/BOTH/"
    );
}
