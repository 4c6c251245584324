//! Deletions: live codes prevent a deletion without `force`, and deleted objects can be restored.

use serde_json::{Value, json};

use crate::client::{Running, code, offer, start_with_offers, with};
use crate::published::{published, reason_at};

async fn deleted(network: &Running, list: &str) -> Vec<u64> {
    let answer = network.get(&format!("{list}?filter=deleted=true")).await.done();
    let rows = answer.as_object().unwrap().values().find_map(Value::as_array).unwrap();
    let id = |row: &Value| {
        let fields = row.as_object().unwrap();
        let own = ["network_coupon_code_id", "network_offer_id", "network_affiliate_id"];
        let other = ["network_advertiser_id", "network_tracking_domain_id", "network_pixel_id"];
        let field = match list {
            "couponcodes" => own[0],
            "offers" => own[1],
            "affiliates" => own[2],
            "advertisers" => other[0],
            "trackingdomains" => other[1],
            _ => other[2],
        };
        assert_ne!(fields["time_deleted"], 0, "{row}");
        fields[field].as_u64().unwrap()
    };
    let ids: Vec<u64> = rows.iter().map(id).collect();
    assert_eq!(answer["paging"]["total_count"], ids.len(), "{list}");
    ids
}

#[tokio::test]
async fn an_offer_or_partner_with_live_codes_goes_only_by_force() {
    let network = start_with_offers().await;
    let rows = json!([
        code("LIVE"),
        with(code("LATER"), json!({"start_date": "2090-01-01"})),
        with(code("PAUSED"), json!({"coupon_status": "paused"})),
        with(code("ENDED"), json!({"end_date": "2020-01-01"})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    for (path, refusal) in
        [("offers/1", "offer.has_live_codes"), ("affiliates/1", "affiliate.has_live_codes")]
    {
        let refused = network.delete(path).await;
        assert_eq!((refused.refusal().0, refused.refusal().1), (409, refusal));
        let said = refused.body["error"].as_str().unwrap();
        assert!(said.contains("2 live coupon code(s)") && said.contains("force"), "{said}");
        assert_eq!(network.get(path).await.status, 200);
    }
    let gone = json!({"offer_status": "deleted"});
    let refused = network.patch("offers/1", gone.clone()).await;
    assert_eq!(refused.refusal().1, "offer.has_live_codes");
    let whole = with(offer("Winter Jackets"), gone.clone());
    assert_eq!(network.put("offers/1", whole).await.refusal().1, "offer.has_live_codes");
    assert_eq!(network.delete("offers/1?force=maybe").await.refusal().2, ["force"]);

    let answered = network.patch("offers/1?force=true", gone).await.done();
    assert_eq!(answered["offer_status"], "deleted");
    network.delete("affiliates/1?force=true").await.done();
    network.delete("offers/2").await.done();
    network.delete("affiliates/2").await.done();
}

#[tokio::test]
async fn a_domain_that_links_may_be_known_with_goes_only_by_force() {
    let network = start_with_offers().await;
    network.post("trackingdomains", json!({"base_url": "https://two.example.com"})).await.done();
    network.post("couponcodes", code("LIVE")).await.done();
    let refused = network.delete("trackingdomains/2").await;
    assert_eq!(refused.refusal().1, "tracking_domain.has_live_codes");
    assert!(refused.body["error"].as_str().unwrap().contains("1 active"), "{refused:?}");
    network.delete("trackingdomains/2?force=true").await.done();
}

#[tokio::test]
async fn what_was_deleted_is_listed_and_comes_back_as_it_was() {
    let network = start_with_offers().await;
    network.post("trackingdomains", json!({"base_url": "https://two.example.com"})).await.done();
    network.post("advertisers", json!({"name": "Other", "account_status": "active"})).await.done();
    let pixel = json!({
        "network_affiliate_id": 1, "pixel_status": "active", "postback_url": "https://p.example.com/",
    });
    network.post("pixels", pixel).await.done();
    network.post("couponcodes", code("WINTER25")).await.done();
    for (list, id) in [
        ("couponcodes", 1),
        ("pixels", 1),
        ("offers", 2),
        ("affiliates", 2),
        ("advertisers", 2),
        ("trackingdomains", 2),
    ] {
        let path = format!("{list}/{id}");
        let mut before = network.get(&path).await.done();
        let restore = format!("{path}/restore");
        let early = network.post(&restore, Value::Null).await;
        assert_eq!((early.refusal().0, early.refusal().1), (409, "object.not_deleted"), "{list}");
        let force = if list == "trackingdomains" { "?force=true" } else { "" };
        network.delete(&format!("{path}{force}")).await.done();
        assert_eq!(deleted(&network, list).await, [id], "{list}");
        let unlisted = network.get(&format!("{list}?filter=deleted=false")).await.done();
        assert_eq!(unlisted, network.get(list).await.done(), "{list}");

        let mut after = network.post(&restore, Value::Null).await.done();
        for answer in [&mut before, &mut after] {
            answer.as_object_mut().unwrap().remove("time_saved");
        }
        assert_eq!(after, before, "{list}");
        assert_eq!(network.get(&path).await.status, 200);
        assert_eq!(deleted(&network, list).await, [0; 0], "{list}");
        assert_eq!(network.post(&format!("{list}/99/restore"), Value::Null).await.status, 404);
    }
    let audit = network.get("audit?filter=action=restored").await.done();
    assert_eq!(audit["paging"]["total_count"], 6);
}

#[tokio::test]
async fn a_restored_offer_has_its_status_and_its_links_lead_again() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    let now = jiff::Timestamp::now().as_second();
    let reason = async || reason_at(&published(&network).await, "winter25", now).unwrap().as_str();
    network.delete("offers/1?force=true").await.done();
    assert_eq!(reason().await, "offer_not_active");
    let restored = network.post("offers/1/restore?wait=live", Value::Null).await;
    assert_eq!(restored.done()["offer_status"], "active");
    assert_eq!(reason().await, "redirected");
    network.patch("offers/1", json!({"offer_status": "paused"})).await.done();
    network.delete("offers/1?force=true").await.done();
    let restored = network.post("offers/1/restore", Value::Null).await.done();
    assert_eq!(restored["offer_status"], "paused");
}

#[tokio::test]
async fn what_has_come_since_stands_in_the_way_of_a_restoration() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("MINE")).await.done();
    network.delete("couponcodes/1").await.done();
    let of_ben = json!({"network_affiliate_id": 2, "network_offer_id": 2, "allow_reissue": true});
    network.post("couponcodes", with(code("mine"), of_ben)).await.done();
    let refused = network.post("couponcodes/1/restore", Value::Null).await;
    assert_eq!(refused.refusal().1, "coupon_code.owned_by_another_partner");
    network.delete("couponcodes/2").await.done();
    let refused = network.post("couponcodes/1/restore", Value::Null).await;
    assert_eq!(refused.refusal().1, "coupon_code.once_another_partners");
    network.post("couponcodes/1/restore?allow_reissue=true", Value::Null).await.done();

    network.delete("couponcodes/1").await.done();
    let again = with(code("Mine"), json!({"allow_reissue": true}));
    network.post("couponcodes", again).await.done();
    let refused = network.post("couponcodes/1/restore?allow_reissue=true", Value::Null).await;
    assert_eq!(refused.refusal(), (409, "coupon_code.duplicate", vec!["coupon_code"]));

    let domain = json!({"base_url": "https://two.example.com"});
    network.post("trackingdomains", domain.clone()).await.done();
    network.delete("trackingdomains/2?force=true").await.done();
    network.post("trackingdomains", domain).await.done();
    let refused = network.post("trackingdomains/2/restore", Value::Null).await;
    assert_eq!(refused.refusal().1, "tracking_domain.duplicate");
}

#[tokio::test]
async fn what_a_restored_object_names_must_be_there() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("LOST")).await.done();
    network.delete("couponcodes/1").await.done();
    for offer in [1, 2] {
        network.delete(&format!("offers/{offer}")).await.done();
    }
    network.delete("advertisers/1").await.done();
    let refused = network.post("couponcodes/1/restore", Value::Null).await;
    assert_eq!(refused.refusal(), (409, "object.not_restorable", vec!["network_offer_id"]));
    let refused = network.post("offers/1/restore", Value::Null).await;
    assert_eq!(refused.refusal(), (409, "object.not_restorable", vec!["network_advertiser_id"]));
    for path in ["advertisers/1", "offers/1", "couponcodes/1"] {
        network.post(&format!("{path}/restore"), Value::Null).await.done();
    }
    assert_eq!(network.get("couponcodes/1").await.done()["tracking_link_unavailable_reason"], "");
}

#[tokio::test]
async fn a_deleted_partners_key_opens_nothing_until_the_partner_is_restored() {
    let network = start_with_offers().await;
    let wanted = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    let status =
        async || network.call_as(&key, "GET", "/v1/affiliates/couponcodes", None).await.status;
    assert_eq!(status().await, 200);
    network.delete("affiliates/1").await.done();
    assert_eq!(status().await, 401);
    network.post("affiliates/1/restore", Value::Null).await.done();
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn bulk_changes_and_exports_never_reach_deleted_codes() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("GONE")).await.done();
    network.delete("couponcodes/1").await.done();
    let wanted = json!({"filter": ["deleted=true"], "coupon_status": "paused"});
    assert_eq!(network.patch("couponcodes/status", wanted).await.refusal().2, ["filter"]);
    let export = network.get("couponcodes/export.csv?filter=deleted=true").await;
    assert_eq!(export.refusal().2, ["filter"]);
}
