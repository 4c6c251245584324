//! Caps on conversions and amounts: exact, in the order of the postbacks.

use super::*;
use crate::catalog::{CustomCap, OfferGroup};
use crate::edit::Change;
use crate::json::Fields;

/// A sale of 100 by WINTER25: payout 5, revenue 8.
fn sale(order: &str) -> String {
    format!("nid=1&coupon_code=winter25&amount=100&order_id={order}")
}

/// A sale of 100 by BOTH on an offer, by the same partner.
fn sale_on(offer: u32, order: &str) -> String {
    format!("nid=1&coupon_code=both&oid={offer}&amount=100&order_id={order}")
}

impl Network {
    async fn set_offer(&self, id: u32, fields: serde_json::Value) {
        let fields = Fields::from_object(&fields).unwrap();
        let edit = move |tx: &WriteTx<'_>| edit::change::<Offer>(tx, id, Change::Patch(fields));
        self.store.write(edit).await.unwrap();
    }

    async fn cap(&self, cap: serde_json::Value) {
        let cap: CustomCap = serde_json::from_value(cap).unwrap();
        self.store.write(move |tx| edit::create(tx, &cap)).await.unwrap();
    }

    async fn outcomes(&mut self, queries: &[String]) -> Vec<String> {
        let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
        let verdicts = self.send(&queries).await;
        let outcome = |verdict: &Verdict| match verdict.error_code {
            0 => verdict.status.as_str().to_owned(),
            code => format!("{} {code}", verdict.status.as_str()),
        };
        verdicts.iter().map(outcome).collect()
    }
}

#[tokio::test]
async fn of_three_postbacks_at_once_a_cap_of_two_approves_two() {
    let mut network = Network::new().await;
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_conversion_cap": 2})).await;
    let sales = ["S1", "S2", "S3"].map(sale);
    assert_eq!(network.outcomes(&sales).await, ["approved", "approved", "rejected 4"]);
    let rejected = network.all().await.remove(0);
    assert!(rejected.steps.contains("daily conversion cap of offer 1"), "{}", rejected.steps);
    // A repeat says the same, and makes no second conversion.
    assert_eq!(network.outcome(&sales[2]).await, "rejected 4");
    assert_eq!(network.outcome(&sales[0]).await, "approved");
    assert_eq!(network.all().await.len(), 3);
}

#[tokio::test]
async fn a_rejection_gives_the_room_back() {
    let mut network = Network::new().await;
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_conversion_cap": 2})).await;
    let first = network.approved(&sale("S1")).await;
    network.approved(&sale("S2")).await;
    assert_eq!(network.outcome(&sale("S3")).await, "rejected 4");
    network.decide(&first, Decision::Rejected).await.unwrap();
    network.approved(&sale("S3")).await;
    assert_eq!(network.outcome(&sale("S4")).await, "rejected 4");
    // An approval by hand is a person's decision, and counts.
    network.decide(&first, Decision::Approved).await.unwrap();
    network.set_offer(1, json!({"daily_conversion_cap": 3})).await;
    assert_eq!(network.outcome(&sale("S5")).await, "rejected 4");
    network.set_offer(1, json!({"daily_conversion_cap": 4})).await;
    network.approved(&sale("S5")).await;
}

#[tokio::test]
async fn the_conversion_that_carries_an_amount_over_its_limit_stands() {
    for (cap, limit) in [("weekly_payout_cap", "12.5"), ("global_revenue_cap", "16.01")] {
        let mut network = Network::new().await;
        network.set_offer(1, json!({"is_caps_enabled": true, cap: limit})).await;
        let sales = ["S1", "S2", "S3", "S4"].map(sale);
        let expected = ["approved", "approved", "approved", "rejected 4"];
        assert_eq!(network.outcomes(&sales).await, expected, "{cap}");
        // A refund gives its part back.
        let refund = format!("{PROOF}&{}", sale("S1").replace("amount=100", "amount=-100"));
        network.ask_for_proof().await;
        network.approved(&refund).await;
        network.approved(&format!("{PROOF}&{}", sale("S5"))).await;
        assert_eq!(network.outcome(&format!("{PROOF}&{}", sale("S6"))).await, "rejected 4");
    }
}

#[tokio::test]
async fn pending_conversions_count_and_events_do_not() {
    let mut network = Network::new().await;
    let caps = json!({"is_caps_enabled": true, "global_conversion_cap": 1,
        "is_must_approve_conversion": true});
    network.set_offer(1, caps).await;
    let event = network
        .read(|c| {
            let offer = crate::store::facts::offer(c, 1)?.unwrap();
            Ok(offer.payout_revenue[1].network_offer_payout_revenue_id.unwrap())
        })
        .await;
    let signup = |order: &str| format!("{}&event_id={event}", sale(order));
    assert_eq!(network.outcome(&signup("E1")).await, "pending");
    assert_eq!(network.outcome(&sale("S1")).await, "pending");
    assert_eq!(network.outcome(&sale("S2")).await, "rejected 4");
    assert_eq!(network.outcome(&signup("E2")).await, "pending");
}

#[tokio::test]
async fn a_disabled_cap_is_kept_and_a_soft_one_leaves_a_note() {
    let mut network = Network::new().await;
    network.set_offer(1, json!({"daily_conversion_cap": 1})).await;
    network.approved(&sale("S1")).await;
    network.approved(&sale("S2")).await;
    network.set_offer(1, json!({"is_caps_enabled": true, "is_soft_cap": true})).await;
    let soft = network.approved(&sale("S3")).await;
    let steps = network.conversion_of(&soft).await.steps;
    assert!(steps.contains("soft_cap_reached") && steps.contains("2 of 1"), "{steps}");
    network.set_offer(1, json!({"is_soft_cap": false})).await;
    assert_eq!(network.outcome(&sale("S4")).await, "rejected 4");
}

#[tokio::test]
async fn partners_codes_and_groups_have_caps_of_their_own() {
    let mut network = Network::new().await;
    let codes = "SELECT id FROM coupon_code WHERE folded = 'winter25'";
    let code = network
        .read(move |c| Ok(c.raw_connection().query_row(codes, [], |row| row.get::<_, u32>(0))?))
        .await;
    let of_code = json!({"name": "One code", "network_offer_id": 1,
        "network_coupon_code_id": code, "daily_conversion_cap": 1});
    network.cap(of_code).await;
    network.approved(&sale("S1")).await;
    assert_eq!(network.outcome(&sale("S2")).await, "rejected 4");
    network.approved(&sale_on(1, "S3")).await;

    let of_partner = json!({"name": "Blog", "network_offer_id": 1, "network_affiliate_id": 1,
        "monthly_conversion_cap": 3});
    network.cap(of_partner).await;
    network.approved(&sale_on(1, "S4")).await;
    assert_eq!(network.outcome(&sale_on(1, "S5")).await, "rejected 4");
    network.approved(&sale_on(2, "S6")).await;

    // The group counts what its offers have sold before.
    let group: OfferGroup = serde_json::from_value(
        json!({"name": "All", "network_advertiser_id": 1, "weekly_conversion_cap": 5}),
    )
    .unwrap();
    network.store.write(move |tx| edit::create(tx, &group)).await.unwrap();
    network.set_offer(2, json!({"network_offer_group_id": 1})).await;
    network.approved(&sale_on(2, "S7")).await;
    network.set_offer(1, json!({"network_offer_group_id": 1})).await;
    assert_eq!(network.outcome(&sale_on(2, "S8")).await, "rejected 4");
    network.set_offer(1, json!({"network_offer_group_id": 0})).await;
    network.approved(&sale_on(2, "S8")).await;
}

#[tokio::test]
async fn windows_are_those_of_the_time_of_receipt_in_the_networks_zone() {
    let mut network = Network::new().await;
    network.set_offer(1, json!({"is_caps_enabled": true, "daily_conversion_cap": 1})).await;
    let at = |hour: u64| NOON_MS + hour * 3_600_000 - 12 * 3_600_000;
    let mut sent = 0;
    let mut message = |unix_ms| {
        sent += 1;
        let id = PostbackId::new(unix_ms, [sent; 10]);
        postback(id, &sale(&format!("T{sent}")), b"").encode()
    };
    let hours = [23, 1, 25, 26];
    let messages = hours.map(|hour| message(at(hour)));
    let verdicts = network.send_messages(messages.into()).await;
    let codes: Vec<u32> = verdicts.iter().map(|verdict| verdict.error_code).collect();
    // The second and the fourth come on days that have their conversion.
    assert_eq!(codes, [0, 4, 0, 4]);
    network.edit("UPDATE settings SET time_zone = 'America/New_York'").await;
    // In New York, 23, 25 and 26 o'clock UTC are one day, and 1 o'clock is the day before.
    let messages = [message(at(27)), message(at(2))];
    let verdicts = network.send_messages(messages.into()).await;
    let codes: Vec<u32> = verdicts.iter().map(|verdict| verdict.error_code).collect();
    assert_eq!(codes, [4, 0]);
}

#[tokio::test]
async fn a_conversion_too_soon_after_its_click_is_rejected() {
    let mut network = Network::new().await;
    let clicked_ms = NOON_MS - 59_000;
    let id = network.click(clicked_ms);
    network.arrive(STREAM, 1, &[Sample::at(clicked_ms)]);
    network.until_clicks(1).await;
    let sale = format!("nid=1&transaction_id={id}&amount=100");
    network.set_offer(1, json!({"session_tracking_minimum_lifespan_second": 60})).await;
    assert_eq!(network.outcome(&sale).await, "rejected 20");
    network.set_offer(1, json!({"session_tracking_minimum_lifespan_second": 59})).await;
    assert_eq!(network.outcome(&sale).await, "approved");
}
