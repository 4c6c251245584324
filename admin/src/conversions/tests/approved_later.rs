//! Approval of refused and held conversions: each gets the normal payout and stays a single sale.

use super::*;

const ORDER: &str = "nid=1&coupon_code=winter25&amount=99.99&order_id=L1";

#[tokio::test]
async fn a_refused_sale_that_is_approved_is_worth_what_it_would_have_been_and_is_not_paid_twice() {
    let cases = [
        ("UPDATE offer SET offer_status = 'paused' WHERE id = 1", "rejected 18"),
        ("UPDATE offer SET date_live_until = '2026-06-01' WHERE id = 1", "rejected 19"),
        ("UPDATE coupon_code SET status = 'paused' WHERE folded = 'winter25'", "invalid 1002"),
        ("UPDATE affiliate SET account_status = 'inactive' WHERE id = 1", "invalid 1008"),
        ("UPDATE advertiser SET verification_token = 'x' WHERE id = 1", "rejected 21"),
    ];
    let undone = "UPDATE offer SET offer_status = 'active', date_live_until = NULL WHERE id = 1;
        UPDATE coupon_code SET status = 'active' WHERE folded = 'winter25';
        UPDATE affiliate SET account_status = 'active' WHERE id = 1;
        UPDATE advertiser SET verification_token = '' WHERE id = 1;";
    for (obstacle, wanted) in cases {
        let mut network = Network::new().await;
        network.edit(obstacle).await;
        assert_eq!(network.outcome(ORDER).await, wanted, "{obstacle}");
        let refused = network.all().await.remove(0);
        assert_eq!((refused.payout, refused.revenue), (money("5"), money("8")), "{obstacle}");
        assert_eq!(network.counts().await.payout, 0, "{obstacle}");
        let id = refused.id;
        let approve = move |tx: &WriteTx<'_>| change::set_status(tx, &[id], Decision::Approved);
        assert_eq!(network.store.write(approve).await.unwrap(), 1, "{obstacle}");
        network.edit(undone).await;
        let repeat = network.approved(ORDER).await;
        assert_eq!(repeat.conversion_id.unwrap().0, id.0, "{obstacle}");
        let counts = network.counts().await;
        assert_eq!((counts.cv, counts.payout, counts.sale), (1, 5_000_000, 99_990_000));
        assert_eq!(super::super::recount(&network.store).await.unwrap(), 1);
        assert_eq!(network.counts().await, counts, "{obstacle}");
    }
}

#[tokio::test]
async fn while_it_is_refused_its_repeat_is_the_same_and_a_good_one_takes_its_place() {
    let mut network = Network::new().await;
    network.edit("UPDATE offer SET offer_status = 'paused' WHERE id = 1").await;
    let refused = network.one(ORDER).await;
    let again = network.one(ORDER).await;
    assert_eq!((again.error_code, again.conversion_id), (18, refused.conversion_id));
    network.edit("UPDATE offer SET offer_status = 'active' WHERE id = 1").await;
    let good = network.approved(ORDER).await;
    assert_ne!(good.conversion_id, refused.conversion_id);
    let beside = network.decide(&refused, Decision::Approved).await.unwrap_err().to_string();
    assert!(beside.contains("the same sale"), "{beside}");
    assert_eq!(network.all().await.len(), 2);
    assert_eq!(network.counts().await.cv, 1);
    // The refused conversion can be approved only after the standing one is rejected.
    network.decide(&good, Decision::Rejected).await.unwrap();
    network.decide(&refused, Decision::Approved).await.unwrap();
    let beside = network.decide(&good, Decision::Approved).await.unwrap_err().to_string();
    assert!(beside.contains("the same sale"), "{beside}");
    assert_eq!(network.approved(ORDER).await.conversion_id, refused.conversion_id);
    assert_eq!(network.counts().await.cv, 1);
}

#[tokio::test]
async fn a_sale_in_another_currency_counts_as_reported_and_its_fixed_payout_is_the_offers() {
    let mut network = Network::new().await;
    let lead = "nid=1&coupon_code=winter25&amount=100&currency=EUR&adv_event_id=signup&order_id=1";
    let lead = network.one(lead).await;
    assert_eq!((lead.status, lead.error_code), (VerdictStatus::Pending, 1012));
    network.decide(&lead, Decision::Approved).await.unwrap();
    let made = network.conversion_of(&lead).await;
    assert_eq!((made.payout, made.revenue), (money("2"), money("3")));
    assert_eq!((made.currency.as_str(), made.sale_currency.as_str()), ("USD", "EUR"));
    assert_eq!(money_by_currency(&network).await, ["EUR 0 100000000", "USD 2000000 0"]);
    // A share of the sale is in the sale's currency.
    let sale = network.one("nid=1&coupon_code=winter25&amount=10&currency=EUR&order_id=2").await;
    network.decide(&sale, Decision::Approved).await.unwrap();
    let made = network.conversion_of(&sale).await;
    assert_eq!((made.payout, made.currency.as_str()), (money("0.5"), "EUR"));
    assert_eq!(money_by_currency(&network).await, ["EUR 500000 110000000", "USD 2000000 0"]);
    let counts = network.counts().await;
    super::super::recount(&network.store).await.unwrap();
    assert_eq!(network.counts().await, counts);
}

/// `EUR 500000 110000000`: payout and sales of each currency, in millionths.
async fn money_by_currency(network: &Network) -> Vec<String> {
    let sums = network
        .read(|connection| {
            let question = Question {
                slots: 0..u64::MAX >> 1,
                by: vec![],
                spans: vec![],
                value_dimension: ValueDimension::Base,
                filters: vec![],
            };
            let mut sums = std::collections::BTreeMap::<String, Measures>::new();
            rollups::query(connection, &question, |_, _, _, currency, counts| {
                *sums.entry(currency.to_owned()).or_default() += *counts;
            })?;
            Ok(sums)
        })
        .await;
    let shown = sums.iter().map(|(currency, sum)| {
        format!("{currency} {} {}", sum.payout + sum.event_payout, sum.sale)
    });
    shown.collect()
}

#[tokio::test]
async fn one_that_was_refused_before_refused_ones_had_keys_is_known_again_once_it_is_approved() {
    let mut network = Network::new().await;
    network.edit("UPDATE offer SET offer_status = 'paused' WHERE id = 1").await;
    let old = network.one(ORDER).await;
    network.edit("UPDATE conversion SET key = NULL, terms = '', payout = '0', revenue = '0'").await;
    network.decide(&old, Decision::Approved).await.unwrap();
    network.edit("UPDATE offer SET offer_status = 'active' WHERE id = 1").await;
    assert_eq!(network.approved(ORDER).await.conversion_id, old.conversion_id);
    assert_eq!(network.all().await.len(), 1);
}

#[tokio::test]
async fn what_names_no_partner_or_no_event_cannot_be_approved() {
    let mut network = Network::new().await;
    network.edit("UPDATE coupon_code SET affiliate_id = NULL WHERE folded = 'winter25'").await;
    let nobodys = network.one("nid=1&coupon_code=winter25&amount=5&order_id=1").await;
    assert_eq!(nobodys.error_code, 1003);
    let refund = network.one("nid=1&coupon_code=both&oid=1&amount=-5").await;
    assert_eq!(refund.error_code, 1018);
    let event = network.one("nid=1&coupon_code=both&oid=1&event_id=77&order_id=1").await;
    assert_eq!(event.error_code, 25);
    for (verdict, why) in [
        (nobodys, "nobody can be named"),
        (refund, "a refund without an order"),
        (event, "no such event"),
    ] {
        let refused = network.decide(&verdict, Decision::Approved).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(network.counts().await.cv, 0);
}
