//! `/v1/networks/offers/{id}/visibility`, `/v1/networks/affiliates/{id}/offers/visibility`.

use serde_json::json;

use crate::client::start_with_offers;

#[tokio::test]
async fn what_is_said_of_partners_is_replaced_and_patched() {
    let network = start_with_offers().await;
    let wanted = json!({"visibility": "private", "affiliates": [{"network_affiliate_id": 2, "status": "visible"}]});
    let answered = network.put("offers/1/visibility", wanted).await.done();
    assert_eq!(network.get("offers/1/visibility").await.done(), answered);
    assert_eq!(network.get("offers/1").await.done()["visibility"], "private");

    let said = json!({"network_offer_ids": [1, 2], "status": "rejected"});
    assert_eq!(
        network.patch("affiliates/1/offers/visibility", said).await.done(),
        json!({"result": true})
    );
    let entries = network.get("offers/1/visibility").await.done()["affiliates"].clone();
    let expected = json!([{"network_affiliate_id": 1, "status": "rejected"}, {"network_affiliate_id": 2, "status": "visible"}]);
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn who_is_not_there_cannot_be_spoken_of() {
    let network = start_with_offers().await;
    let wanted = json!({"visibility": "private", "affiliates": [{"network_affiliate_id": 9, "status": "visible"}]});
    assert_eq!(
        network.put("offers/1/visibility", wanted).await.refusal().2,
        ["affiliates[0].network_affiliate_id"]
    );
    assert_eq!(
        network.get("offers/1").await.done()["visibility"],
        "public",
        "nothing is half-applied"
    );
    let twice = json!({"network_affiliate_id": 1, "status": "visible"});
    let wanted = json!({"visibility": "private", "affiliates": [twice, twice]});
    let refused = network.put("offers/1/visibility", wanted).await;
    assert_eq!(refused.refusal().2, ["affiliates[1].network_affiliate_id"]);
    let said = json!({"network_offer_ids": [1, 9], "status": "hidden"});
    assert_eq!(
        network.patch("affiliates/1/offers/visibility", said).await.refusal().2,
        ["network_offer_ids[1]"]
    );
    assert_eq!(network.get("offers/1/visibility").await.done()["affiliates"], json!([]));
    assert_eq!(network.get("offers/9/visibility").await.status, 404);
}

#[tokio::test]
async fn the_entries_of_a_partner_are_read_and_taken_back() {
    let network = start_with_offers().await;
    let path = "affiliates/1/offers/visibility";
    assert_eq!(network.get(path).await.done()["offers"], json!([]));
    for (offer, status) in [(2, "hidden"), (1, "visible")] {
        let said = json!({"network_offer_ids": [offer], "status": status});
        network.patch(path, said).await.done();
    }
    let expected = json!({"network_affiliate_id": 1, "offers": [
        {"network_offer_id": 1, "status": "visible"},
        {"network_offer_id": 2, "status": "hidden"},
    ]});
    assert_eq!(network.get(path).await.done(), expected);
    let said = json!({"network_offer_ids": [1, 2], "status": "default"});
    network.patch(path, said).await.done();
    assert_eq!(network.get(path).await.done()["offers"], json!([]));
    assert_eq!(network.get("affiliates/9/offers/visibility").await.status, 404);
}
