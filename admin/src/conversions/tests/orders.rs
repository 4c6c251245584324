//! Matching of postbacks and orders: by the attributed offer, else by the recorded fields.

use super::*;

async fn sale_of(network: &Network, verdict: &Verdict) -> (u32, Money) {
    let made = network.conversion_of(verdict).await;
    (made.offer_id, made.sale_amount)
}

/// Clicks on offers 1 and 2, the second one later.
async fn clicks_on_both(network: &Network) -> [TransactionId; 2] {
    let (first, second) = (NOON_MS - 60_000, NOON_MS - 30_000);
    let on_second = Sample { offer_id: 2, ..Sample::at(second) };
    network.arrive(STREAM, 1, &[Sample::at(first), on_second]);
    network.until_clicks(2).await;
    [network.click(first), network.click(second)]
}

#[tokio::test]
async fn a_refund_by_a_list_of_clicks_is_taken_from_the_order_of_the_one_that_counts() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let [y, z] = clicks_on_both(&network).await;
    for order in 0..10 {
        let ask = |ids: &str, amount: i32| {
            format!("nid=1&transaction_id={ids}&order_id={order}&amount={amount}&{PROOF}")
        };
        network.edit("UPDATE offer SET is_allow_duplicate_conversion = 1").await;
        let on_y = network.approved(&ask(&y.to_string(), 300)).await;
        // A new order on Z is no conflict with the one on Y.
        let on_z = network.approved(&ask(&format!("{y}|{z}"), 200)).await;
        assert_ne!(on_y.conversion_id, on_z.conversion_id);
        let refund = network.approved(&ask(&format!("{y}|{z}"), -100)).await;
        assert_eq!(refund.conversion_id, on_z.conversion_id, "order {order}");
        assert_eq!(sale_of(&network, &on_y).await, (1, money("300")));
        assert_eq!(sale_of(&network, &on_z).await, (2, money("100")));
    }
    // Without an order on Z, the refund goes to the order on Y.
    let only_y = format!("nid=1&transaction_id={y}&order_id=Y&amount=50&{PROOF}");
    let only_y = network.approved(&only_y).await;
    let refund = format!("nid=1&transaction_id={y}|{z}&order_id=Y&amount=-20&{PROOF}");
    assert_eq!(network.approved(&refund).await.conversion_id, only_y.conversion_id);
    assert_eq!(sale_of(&network, &only_y).await, (1, money("30")));
}

#[tokio::test]
async fn a_code_on_two_offers_does_not_say_which_of_two_orders_is_meant() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask = |rest: &str| format!("nid=1&coupon_code=both&order_id=B1&{rest}&{PROOF}");
    let first = network.approved(&ask("oid=1&amount=100")).await;
    // A single candidate is unambiguous, although the code is on two offers.
    assert_eq!(network.approved(&ask("amount=100")).await.conversion_id, first.conversion_id);
    let second = network.approved(&ask("oid=2&amount=100")).await;
    assert_ne!(first.conversion_id, second.conversion_id);
    for rest in ["amount=-10", "amount=100"] {
        assert_eq!(network.outcome(&ask(rest)).await, "invalid 1006", "{rest}");
    }
    network.approved(&ask("oid=2&amount=-10")).await;
    assert_eq!(sale_of(&network, &first).await, (1, money("100")));
    assert_eq!(sale_of(&network, &second).await, (2, money("90")));
}

#[tokio::test]
async fn an_order_is_found_whatever_became_of_its_code_or_event_since() {
    let changes = [
        ("deleted", "UPDATE coupon_code SET time_deleted = 1 WHERE folded = 'winter25'"),
        (
            "renamed",
            "UPDATE coupon_code SET code = 'SUMMER', folded = 'summer' WHERE folded = 'winter25'",
        ),
        ("moved", "UPDATE coupon_code SET offer_id = 2 WHERE folded = 'winter25'"),
        (
            "moved to another advertiser",
            "UPDATE coupon_code SET offer_id = 3 WHERE folded = 'winter25';
             UPDATE advertiser SET verification_token = 's3cret' WHERE id = 2",
        ),
        ("unassigned", "UPDATE coupon_code SET affiliate_id = NULL WHERE folded = 'winter25'"),
    ];
    for (what, change) in changes {
        let mut network = Network::new().await;
        network.ask_for_proof().await;
        let ask = |rest: &str| format!("nid=1&coupon_code=winter25&order_id=F1&{rest}&{PROOF}");
        let order = network.approved(&ask("amount=100")).await;
        network.edit(change).await;
        let repeat = network.approved(&ask("amount=100")).await;
        assert_eq!(repeat.conversion_id, order.conversion_id, "{what}");
        let refund = network.approved(&ask("amount=-30")).await;
        assert_eq!(refund.conversion_id, order.conversion_id, "{what}");
        let counts = network.counts().await;
        assert_eq!((counts.cv, counts.sale), (1, 70_000_000), "{what}");
    }
}

#[tokio::test]
async fn an_event_is_found_when_its_entry_is_gone_or_has_another_name() {
    for change in [
        "DELETE FROM offer_payout_revenue WHERE entry_name = 'Signup'",
        "UPDATE offer_payout_revenue SET entry_name = 'Lead' WHERE entry_name = 'Signup'",
    ] {
        let mut network = Network::new().await;
        network.ask_for_proof().await;
        let ask = |amount: &str| {
            format!(
                "nid=1&coupon_code=winter25&order_id=F1&adv_event_id=signup&amount={amount}&{PROOF}"
            )
        };
        let order = network.approved(&ask("100")).await;
        network.edit(change).await;
        assert_eq!(network.approved(&ask("100")).await.conversion_id, order.conversion_id);
        assert_eq!(network.approved(&ask("-100")).await.conversion_id, order.conversion_id);
        let counts = network.counts().await;
        assert_eq!((counts.event_cv, counts.event_payout, counts.invalid_cv), (1, 0, 0));
    }
}

#[tokio::test]
async fn repeats_and_refunds_are_compared_with_the_orders_own_currency() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask = |rest: &str| format!("nid=1&coupon_code=winter25&order_id=C1&{rest}&{PROOF}");
    let order = network.approved(&ask("amount=100")).await;
    network.edit("UPDATE offer SET currency_id = 'EUR' WHERE id = 1").await;
    #[rustfmt::skip]
    let cases = [
        ("amount=100", "approved", "100"),
        ("amount=100&currency=USD", "approved", "100"),
        ("amount=100&currency=EUR", "approved 1016", "100"),
        ("amount=-30&currency=USD", "approved", "70"),
        ("amount=-20", "approved", "50"),
        ("amount=-30&currency=EUR", "pending 1012", "50"),
    ];
    for (rest, wanted, left) in cases {
        assert_eq!(network.outcome(&ask(rest)).await, wanted, "{rest}");
        assert_eq!(network.conversion_of(&order).await.sale_amount, money(left), "{rest}");
    }
    let made = network.conversion_of(&order).await;
    assert!(made.has_conflict);
    assert_eq!((made.currency.as_str(), made.payout), ("USD", money("2.5")));
    let history = network.history(&order.conversion_id.unwrap().to_string()).await;
    let conflict = history.iter().find(|entry| entry.action == Action::Conflict).unwrap();
    assert_eq!(conflict.changes.last().unwrap().after, json!("EUR"));
    // A refund in euros cannot be deducted from an order in dollars.
    let held = network.all().await.into_iter().find(Conversion::is_refund).unwrap();
    let approve = move |tx: &WriteTx<'_>| change::set_status(tx, &[held.id], Decision::Approved);
    let refused = network.store.write(approve).await.unwrap_err().to_string();
    assert!(refused.contains("is in EUR"), "{refused}");
}

#[tokio::test]
async fn one_click_makes_one_base_conversion_unless_the_offer_allows_more() {
    let mut network = Network::new().await;
    let [id, _] = clicks_on_both(&network).await;
    let ask = |rest: &str| format!("nid=1&transaction_id={id}{rest}");
    let first = network.approved(&ask("")).await;
    assert_eq!(network.approved(&ask("")).await.conversion_id, first.conversion_id);
    let second = network.one(&ask("&order_id=E1&amount=10")).await;
    assert_eq!((second.status, second.error_code), (VerdictStatus::Rejected, 8));
    assert_eq!(network.outcome(&ask("&order_id=E2")).await, "rejected 8");
    let again = network.one(&ask("&order_id=E1&amount=10")).await;
    assert_eq!((again.error_code, again.conversion_id), (8, second.conversion_id));
    assert_eq!(network.outcome(&ask("&adv_event_id=signup&order_id=E1")).await, "approved");
    assert_eq!(network.outcome(&ask("&adv_event_id=signup&order_id=E2")).await, "approved");
    // After approval by hand it counts once, with its payout.
    network.decide(&second, Decision::Approved).await.unwrap();
    let repeat = network.approved(&ask("&order_id=E1&amount=10")).await;
    assert_eq!(repeat.conversion_id, second.conversion_id);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.event_cv, counts.rejected_cv), (2, 2, 1));
    assert_eq!(counts.payout, 500_000);
}

#[tokio::test]
async fn where_the_offer_allows_it_order_ids_tell_the_orders_of_one_click_apart() {
    let mut network = Network::new().await;
    network.edit("UPDATE offer SET is_allow_duplicate_conversion = 1").await;
    let [id, _] = clicks_on_both(&network).await;
    let ask = |rest: &str| format!("nid=1&transaction_id={id}{rest}");
    let mut made = std::collections::HashSet::new();
    for rest in ["", "&order_id=E1", "&order_id=E2", "", "&order_id=E1"] {
        made.insert(network.approved(&ask(rest)).await.conversion_id);
    }
    assert_eq!((made.len(), network.counts().await.cv), (3, 3));
}

#[tokio::test]
async fn a_report_without_an_amount_is_completed_by_a_later_one() {
    let mut network = Network::new().await;
    let ask = |rest: &str| format!("nid=1&coupon_code=winter25&order_id=P1{rest}");
    let first = network.approved(&ask("")).await;
    assert_eq!(network.conversion_of(&first).await.payout, money("0"));
    let second = network.approved(&ask("&amount=99.98")).await;
    assert_eq!(second.conversion_id, first.conversion_id);
    let made = network.conversion_of(&first).await;
    assert_eq!((made.amount, made.sale_amount), (Some(money("99.98")), money("99.98")));
    assert_eq!((made.payout, made.revenue, made.has_conflict), (money("5"), money("8"), false));
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.sale, counts.payout), (1, 99_980_000, 5_000_000));
    let history = network.history(&first.conversion_id.unwrap().to_string()).await;
    let last = history.last().unwrap();
    assert_eq!((last.action, last.postback_id.is_some()), (Action::Adjusted, true));
    assert_eq!(last.changes[0].field, "amount");
    // Further postbacks are compared with the added amount.
    assert_eq!(network.outcome(&ask("&amount=99.98")).await, "approved");
    assert_eq!(network.outcome(&ask("&amount=50")).await, "approved 1016");
    assert_eq!(network.conversion_of(&first).await.sale_amount, money("99.98"));
}

#[tokio::test]
async fn only_what_nobody_has_touched_is_completed_and_only_in_its_currency_and_size() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask = |order: &str, rest: &str| {
        format!("nid=1&coupon_code=winter25&order_id={order}{rest}&{PROOF}")
    };
    network.approved(&ask("1", "")).await;
    assert_eq!(network.outcome(&ask("1", "&amount=5&currency=EUR")).await, "approved 1016");
    let edited = network.approved(&ask("2", "")).await;
    let id = ConversionId(edited.conversion_id.unwrap().0);
    let payout = Adjustment { payout: Some(money("7")), ..Adjustment::default() };
    network.store.write(move |tx| change::adjust(tx, id, &payout)).await.unwrap();
    assert_eq!(network.outcome(&ask("2", "&amount=5")).await, "approved 1016");
    assert_eq!(network.conversion_of(&edited).await.payout, money("7"));
    let large = network.approved(&ask("3", "")).await;
    assert_eq!(network.outcome(&ask("3", "&amount=10000001")).await, "pending 1022");
    assert_eq!(network.conversion_of(&large).await.status, Status::Pending);
    assert_eq!(network.counts().await.sale, 0);
}

#[tokio::test]
async fn payout_and_revenue_add_up_to_what_is_paid() {
    let mut network = Network::new().await;
    network
        .edit("UPDATE offer_payout_revenue SET payout_percentage = '3.333' WHERE is_default = 1")
        .await;
    for order in 0..30 {
        let query = format!("nid=1&coupon_code=winter25&amount=99.98&order_id={order}");
        network.approved(&query).await;
    }
    assert_eq!(network.counts().await.payout, 30 * 3_330_000);
    network.edit("UPDATE offer SET currency_id = 'JPY' WHERE id = 1").await;
    let yen = network.approved("nid=1&coupon_code=winter25&amount=100&order_id=yen").await;
    let made = network.conversion_of(&yen).await;
    assert_eq!((made.payout, made.revenue), (money("3"), money("8")));
}
