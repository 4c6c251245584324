//! `/v1/networks/couponcodes`: the rules of codes.

use serde_json::{Value, json};

use crate::client::{Answer, Running, code, start_with_offers, with};

const OWNED: (u16, &str) = (409, "coupon_code.owned_by_another_partner");
const DUPLICATE: (u16, &str) = (409, "coupon_code.duplicate");
const REISSUE: (u16, &str) = (409, "coupon_code.once_another_partners");

fn kind(answer: &Answer) -> (u16, &str) {
    let (status, code, _) = answer.refusal();
    (status, code)
}

#[tokio::test]
async fn a_code_is_answered_with_its_link() {
    let network = start_with_offers().await;
    let created = network.post("couponcodes", code("Winter25")).await.done();
    let expected = json!({
        "network_coupon_code_id": 1, "network_id": 1, "network_offer_id": 1, "network_affiliate_id": 1,
        "coupon_code": "Winter25", "coupon_status": "active", "tracking_link": "https://go.example.com/Winter25/",
        "tracking_link_unavailable_reason": "", "start_date": "", "end_date": "", "description": "",
        "is_description_plain_text": true, "internal_notes": "", "conversion_only": false, "time_created": created["time_created"],
        "time_saved": created["time_created"], "time_deleted": 0,
    });
    assert_eq!(created, expected);
    assert_eq!(network.get("couponcodes/1").await.done(), expected);
}

#[tokio::test]
async fn a_code_is_unique_on_its_offer_whatever_its_case() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("Winter25")).await.done();
    let again = network.post("couponcodes", code("wINTER25")).await;
    assert_eq!(kind(&again), DUPLICATE);
    assert!(again.body["error"].as_str().unwrap().contains("coupon code 1"));
    network.delete("couponcodes/1").await.done();
    assert_eq!(
        network.post("couponcodes", code("WINTER25")).await.done()["network_coupon_code_id"],
        2
    );
}

#[tokio::test]
async fn a_code_on_several_offers_has_the_offer_in_its_links() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("BOTH")).await.done();
    let second = network
        .post("couponcodes", with(code("Both"), json!({"network_offer_id": 2})))
        .await
        .done();
    assert_eq!(second["tracking_link"], "https://go.example.com/Both/?oid=2");
    assert_eq!(
        network.get("couponcodes/1").await.done()["tracking_link"],
        "https://go.example.com/BOTH/?oid=1"
    );
    network.delete("couponcodes/2").await.done();
    assert_eq!(
        network.get("couponcodes/1").await.done()["tracking_link"],
        "https://go.example.com/BOTH/"
    );
}

#[tokio::test]
async fn a_code_belongs_to_one_partner_over_all_offers() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("MINE")).await.done();
    let bens = with(code("mine"), json!({"network_offer_id": 2, "network_affiliate_id": 2}));
    let refused = network.post("couponcodes", bens.clone()).await;
    assert_eq!(kind(&refused), OWNED);
    let sentence = refused.body["error"].as_str().unwrap();
    assert!(sentence.contains("mine") && sentence.contains("partner 1 (Anna)"), "{sentence}");
    assert_eq!(network.get("couponcodes").await.done()["paging"]["total_count"], 1);

    network
        .post("couponcodes", with(bens.clone(), json!({"network_affiliate_id": 0})))
        .await
        .done();
    assert_eq!(
        kind(&network.patch("couponcodes/2", json!({"network_affiliate_id": 2})).await),
        OWNED
    );
    network.patch("couponcodes/2", json!({"network_affiliate_id": 1})).await.done();
    assert_eq!(
        kind(&network.patch("couponcodes/1", json!({"network_affiliate_id": 2})).await),
        OWNED
    );
}

#[tokio::test]
async fn a_code_without_a_partner_has_no_link_until_it_is_assigned() {
    let network = start_with_offers().await;
    let free = network
        .post("couponcodes", with(code("FREE"), json!({"network_affiliate_id": null})))
        .await
        .done();
    assert_eq!((&free["network_affiliate_id"], &free["tracking_link"]), (&json!(0), &json!("")));
    assert_eq!(free["tracking_link_unavailable_reason"], "unassigned");
    let assigned = network.patch("couponcodes/1", json!({"network_affiliate_id": 2})).await.done();
    assert_eq!(assigned["tracking_link"], "https://go.example.com/FREE/");
}

#[tokio::test]
async fn a_partner_can_be_changed_by_naming_him() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("MOVED")).await.done();
    assert_eq!(
        network.patch("couponcodes/1", json!({"network_affiliate_id": 2})).await.done()["network_affiliate_id"],
        2
    );
    let more = with(code("MOVED"), json!({"network_offer_id": 2, "network_affiliate_id": 2}));
    network.post("couponcodes", more).await.done();
}

#[tokio::test]
async fn a_code_that_was_anothers_is_issued_anew_only_on_demand() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("GONE")).await.done();
    network.delete("couponcodes/1").await.done();
    let bens = with(code("gone"), json!({"network_affiliate_id": 2}));
    assert_eq!(kind(&network.post("couponcodes", bens.clone()).await), REISSUE);
    assert_eq!(
        kind(
            &network
                .post("couponcodes", with(bens.clone(), json!({"network_affiliate_id": 0})))
                .await
        ),
        REISSUE
    );
    network.post("couponcodes", with(bens, json!({"allow_reissue": true}))).await.done();

    network.post("couponcodes", code("BACK")).await.done();
    network.delete("couponcodes/3").await.done();
    network.post("couponcodes", code("BACK")).await.done();
}

/// For all ways to a new row: alone, in an array, by renaming.
#[tokio::test]
async fn a_row_of_a_code_that_its_former_partner_has_is_no_reissue() {
    let network = start_with_offers().await;
    let on = |offer: u32, partner: u32| {
        let over = json!({"network_offer_id": offer, "network_affiliate_id": partner});
        with(code("HERS"), over)
    };
    network.post("couponcodes", on(1, 1)).await.done();
    network.post("couponcodes", on(2, 1)).await.done();
    network.delete("couponcodes/2").await.done();
    let free = network.post("couponcodes", on(2, 0)).await.done();
    let path = format!("couponcodes/{}", free["network_coupon_code_id"]);
    network.patch(&path, json!({"coupon_code": "OTHER"})).await.done();
    network.patch(&path, json!({"coupon_code": "HERS"})).await.done();
    network.delete(&path).await.done();
    network.delete("couponcodes/1").await.done();
    // No row has the code now, so any partner may get it; a row of Anna's beside it decides the
    // owner.
    assert_eq!(kind(&network.post("couponcodes", on(2, 0)).await), REISSUE);
    network.post("couponcodes/bulk", json!([on(2, 0), on(1, 1)])).await.done();
    let all = network.get("couponcodes?filter=coupon_code=hers").await.done();
    assert_eq!(all["paging"]["total_count"], 2);
}

#[tokio::test]
async fn what_a_postback_reads_as_no_code_is_refused_but_for_codes_that_are_there() {
    let network = start_with_offers().await;
    for name in ["null", "UNDEFINED", "[VIP]", "{VIP}", "${VIP}"] {
        let only = with(code(name), json!({"conversion_only": true}));
        for (path, body) in [("couponcodes", only.clone()), ("couponcodes/bulk", json!([only]))] {
            let refused = network.post(path, body).await;
            assert_eq!(refused.status, 400, "{name}: {refused:?}");
            assert!(refused.body["fields"].to_string().contains("shops send"), "{refused:?}");
        }
    }
    network.post("couponcodes", code("FINE")).await.done();
    assert_eq!(network.patch("couponcodes/1", json!({"coupon_code": "null"})).await.status, 400);
}

#[tokio::test]
async fn renaming_a_code_is_issuing_it() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("OLD")).await.done();
    network.delete("couponcodes/1").await.done();
    network.post("couponcodes", with(code("NEW"), json!({"network_affiliate_id": 2}))).await.done();
    assert_eq!(kind(&network.patch("couponcodes/2", json!({"coupon_code": "old"})).await), REISSUE);
    network
        .patch("couponcodes/2", json!({"coupon_code": "old", "allow_reissue": true}))
        .await
        .done();
    assert_eq!(network.get("couponcodes/2").await.done()["coupon_code"], "old");
}

#[tokio::test]
async fn descriptions_are_kept_as_typed_and_answered_harmless() {
    let network = start_with_offers().await;
    let typed = "<strong>20%</strong><script>alert(1)</script>";
    let html =
        with(code("HTML"), json!({"description": typed, "is_description_plain_text": false}));
    assert_eq!(
        network.post("couponcodes", html).await.done()["description"],
        "<strong>20%</strong>"
    );
    let plain =
        network.patch("couponcodes/1", json!({"is_description_plain_text": true})).await.done();
    assert_eq!(plain["description"], typed);
}

#[tokio::test]
async fn a_code_of_a_deleted_offer_can_still_be_paused() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("LATE")).await.done();
    network.delete("offers/1?force=true").await.done();
    network.delete("affiliates/1?force=true").await.done();
    let paused = network.patch("couponcodes/1", json!({"coupon_status": "inactive"})).await.done();
    assert_eq!(paused["coupon_status"], "paused");
    assert_eq!(network.post("couponcodes", code("MORE")).await.status, 400);
}

/// Repeated simultaneous requests assign one code on two offers to two partners.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_simultaneous_claims_on_a_code_one_wins() {
    let network = start_with_offers().await;
    for round in 0..20 {
        let claim = |partner: u32| {
            let wanted = json!({"network_offer_id": partner, "network_affiliate_id": partner});
            network.post("couponcodes", with(code(&format!("RACE{round}")), wanted))
        };
        let (one, two) = tokio::join!(claim(1), claim(2));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}: {one:?} {two:?}");
    }
    assert_eq!(total(&network).await, 20);
}

/// Both offers have a row of the code without a partner; two editors assign the rows
/// simultaneously.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_simultaneous_assignments_to_two_partners_one_wins() {
    let network = start_with_offers().await;
    for round in 0..15 {
        let free = |offer: u32| {
            let over = json!({"network_offer_id": offer, "network_affiliate_id": 0});
            with(code(&format!("FREE{round}")), over)
        };
        let rows = json!([free(1), free(2)]);
        let made = network.post("couponcodes/bulk", rows).await.done();
        let give = |row: usize, partner: u32| {
            let id = made["coupon_codes"][row]["network_coupon_code_id"].clone();
            let network = &network;
            async move {
                let path = format!("couponcodes/{id}");
                network.patch(&path, json!({"network_affiliate_id": partner})).await
            }
        };
        let (one, two) = tokio::join!(give(0, 1), give(1, 2));
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "round {round}: {one:?} {two:?}");
    }
}

/// In either order: the code still is, or formerly was, Anna's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_creation_beside_a_deletion_never_gets_anothers_code_unasked() {
    let network = start_with_offers().await;
    for round in 0..15 {
        let name = format!("LEFT{round}");
        let hers = network.post("couponcodes", code(&name)).await.done();
        let path = format!("couponcodes/{}", hers["network_coupon_code_id"]);
        let bens = with(code(&name), json!({"network_affiliate_id": 2, "network_offer_id": 2}));
        let (gone, refused) =
            tokio::join!(network.delete(&path), network.post("couponcodes", bens.clone()));
        assert_eq!(gone.status, 200);
        assert!([OWNED, REISSUE].contains(&kind(&refused)), "{refused:?}");
        let asked = with(bens, json!({"allow_reissue": true}));
        network.post("couponcodes", asked).await.done();
    }
}

#[tokio::test]
async fn a_code_that_changed_hands_and_was_deleted_is_nobodys_to_take_unasked() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("HANDS")).await.done();
    network.patch("couponcodes/1", json!({"network_affiliate_id": 2})).await.done();
    network.delete("couponcodes/1").await.done();
    for partner in [0, 1, 2] {
        let again = with(code("hands"), json!({"network_affiliate_id": partner}));
        let refused = network.post("couponcodes", again).await;
        assert_eq!(kind(&refused), REISSUE, "partner {partner}");
    }
}

#[tokio::test]
async fn a_code_gives_its_reason_for_having_no_link() {
    let network = start_with_offers().await;
    network
        .post("couponcodes", with(code("LINKED"), json!({"network_affiliate_id": 0})))
        .await
        .done();
    let reason = async || {
        let found = network.get("couponcodes/1").await.done();
        assert_eq!(found["tracking_link"] == "", found["tracking_link_unavailable_reason"] != "");
        found["tracking_link_unavailable_reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason().await, "unassigned");
    network.patch("couponcodes/1", json!({"network_affiliate_id": 1})).await.done();
    assert_eq!(reason().await, "");
    network.patch("settings", json!({"default_tracking_domain_id": 0})).await.done();
    assert_eq!(reason().await, "no_tracking_domain");
    network.patch("couponcodes/1", json!({"conversion_only": true})).await.done();
    assert_eq!(reason().await, "not_url_safe");
}

#[tokio::test]
async fn a_link_that_does_not_lead_now_says_why_and_is_shown_where_it_will_lead_again() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("WINTER25")).await.done();
    const LINK: &str = "https://go.example.com/WINTER25/";
    let hidden = json!({"network_offer_ids": [1], "status": "hidden"});
    let visible = json!({"network_offer_ids": [1], "status": "visible"});
    let visibility = "affiliates/1/offers/visibility";
    for (path, obstacle, back, reason) in [
        (
            "couponcodes/1",
            json!({"coupon_status": "paused"}),
            json!({"coupon_status": "active"}),
            "paused",
        ),
        ("couponcodes/1", json!({"end_date": "2020-01-01"}), json!({"end_date": ""}), "expired"),
        (
            "couponcodes/1",
            json!({"start_date": "2090-01-01"}),
            json!({"start_date": ""}),
            "not_started",
        ),
        (
            "offers/1",
            json!({"offer_status": "pending"}),
            json!({"offer_status": "active"}),
            "offer_not_active",
        ),
        (
            "offers/1",
            json!({"date_live_until": "2020-01-01"}),
            json!({"date_live_until": ""}),
            "offer_not_active",
        ),
        (
            "affiliates/1",
            json!({"account_status": "suspended"}),
            json!({"account_status": "active"}),
            "partner_not_active",
        ),
        (visibility, hidden, visible, "not_runnable"),
    ] {
        network.patch(path, obstacle).await.done();
        let listed = network.get("couponcodes").await.done()["coupon_codes"][0].clone();
        assert_eq!(listed, network.get("couponcodes/1").await.done());
        let shown = (&listed["tracking_link"], &listed["tracking_link_unavailable_reason"]);
        assert_eq!(shown, (&json!(LINK), &json!(reason)));
        network.patch(path, back).await.done();
        assert_eq!(
            network.get("couponcodes/1").await.done()["tracking_link_unavailable_reason"],
            ""
        );
    }
    for (path, reason) in [("offers/1", "offer_deleted"), ("affiliates/1", "partner_deleted")] {
        network.delete(&format!("{path}?force=true")).await.done();
        let found = network.get("couponcodes/1").await.done();
        let shown = (&found["tracking_link"], &found["tracking_link_unavailable_reason"]);
        assert_eq!(shown, (&json!(""), &json!(reason)));
        network.post(&format!("{path}/restore"), Value::Null).await.done();
    }
}

async fn total(network: &Running) -> u64 {
    network.get("couponcodes").await.done()["paging"]["total_count"].as_u64().unwrap()
}
