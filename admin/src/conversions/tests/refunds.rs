//! Refunds: proof of the sender, repeats, and refunds before their order.

use coupon_shared::removal_clock::{ClockState, REQUIRED_AGREEMENT_MS};

use super::*;
use crate::store::removal_clock;

const DAY_MS: u64 = 24 * 3_600_000;

/// Sends a postback with its own receipt time.
async fn send_at(network: &mut Network, unix_ms: u64, query: &str) -> Verdict {
    network.sent += 1;
    let mut random = [0; 10];
    random[2..].copy_from_slice(&(network.sent as u64).to_be_bytes());
    let message = postback(PostbackId::new(unix_ms, random), query, b"").encode();
    network.send_messages(vec![message]).await.remove(0)
}

/// Makes the removal clock trust this time.
async fn trust_clock(network: &Network, unix_ms: u64) {
    let agreed_ms = REQUIRED_AGREEMENT_MS;
    let clock = ClockState { unix_ms, agreed_ms, parted_ms: 0, jump_ms: 0 };
    network.store.write(move |tx| removal_clock::keep(tx, clock)).await.unwrap();
}

fn answer(verdict: &Verdict) -> (VerdictStatus, u32) {
    (verdict.status, verdict.error_code)
}

#[tokio::test]
async fn anybodys_refund_waits_for_somebody_and_the_orders_own_click_takes_back() {
    let mut network = Network::new().await;
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS - 60_000), Sample::at(NOON_MS - 30_000)]);
    network.until_clicks(2).await;
    let (id, other) = (network.click(NOON_MS - 60_000), network.click(NOON_MS - 30_000));
    let order =
        network.approved(&format!("nid=1&transaction_id={id}&amount=100&order_id=R1")).await;
    let left = |network: &Network| {
        let (store, id) = (network.store.clone(), ConversionId(order.conversion_id.unwrap().0));
        async move {
            let read = move |c: &crate::store::ReadTx<'_>| conversions::get(c, id);
            store.read::<_, StoreError, _>(read).await.unwrap().unwrap().conversion.sale_amount
        }
    };
    let stranger = network.one("nid=1&coupon_code=winter25&amount=-100&order_id=R1").await;
    assert_eq!(answer(&stranger), (VerdictStatus::Pending, 1023));
    assert_ne!(stranger.conversion_id, order.conversion_id);
    assert_eq!(stranger.transaction_id, "", "the answer does not name the click");
    let by_other = format!("nid=1&transaction_id={other}&amount=-10&order_id=R1");
    assert_eq!(network.outcome(&by_other).await, "pending 1023");
    assert_eq!(left(&network).await, money("100"));
    let own = format!("nid=1&transaction_id={id}&amount=-30&order_id=R1");
    assert_eq!(network.approved(&own).await.conversion_id, order.conversion_id);
    assert_eq!(left(&network).await, money("70"));
    // After approval the refund is deducted, once, and cannot be rejected any more.
    network.decide(&stranger, Decision::Approved).await.unwrap();
    assert_eq!(left(&network).await, money("0"));
    assert_eq!(network.decide(&stranger, Decision::Approved).await.unwrap(), 0);
    let refused = network.decide(&stranger, Decision::Rejected).await.unwrap_err().to_string();
    assert!(refused.contains("was taken back"), "{refused}");
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.pending_cv, counts.sale, counts.payout), (1, 0, 0, 0));
    let history = network.history(&order.conversion_id.unwrap().to_string()).await;
    let taken = history.iter().filter(|entry| entry.action == Action::Refund);
    assert_eq!(
        taken.map(|entry| entry.postback_id.unwrap().0).next_back(),
        Some(stranger.conversion_id.unwrap().0)
    );
    super::super::recount(&network.store).await.unwrap();
    assert_eq!(network.counts().await, counts);
}

#[tokio::test]
async fn a_rejected_refund_takes_nothing_and_amounts_are_those_of_its_order() {
    let mut network = Network::new().await;
    let order = network.approved("nid=1&coupon_code=winter25&amount=100&order_id=R1").await;
    let refund = network.one("nid=1&coupon_code=winter25&amount=-40&order_id=R1").await;
    let id = ConversionId(refund.conversion_id.unwrap().0);
    let amount = Adjustment { sale_amount: Some(money("7")), ..Adjustment::default() };
    network.store.write(move |tx| change::adjust(tx, id, &amount)).await.unwrap_err();
    network.decide(&refund, Decision::Rejected).await.unwrap();
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("100"));
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.rejected_cv, counts.sale), (1, 0, 100_000_000));
    network.decide(&refund, Decision::Approved).await.unwrap();
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("60"));
}

#[tokio::test]
async fn the_same_refund_within_ten_minutes_is_a_repeat_and_later_one_of_its_own() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask =
        |amount: &str| format!("nid=1&coupon_code=winter25&amount={amount}&order_id=R1&{PROOF}");
    let order = send_at(&mut network, NOON_MS, &ask("100")).await;
    let minute = 60_000;
    let steps = [
        (0, 0, "90"),
        (9 * minute, 1025, "90"),
        (10 * minute, 1025, "90"),
        // More than ten minutes after the last deducted refund.
        (10 * minute + 1, 0, "80"),
        (15 * minute, 1025, "80"),
        (21 * minute, 0, "70"),
    ];
    for (after, code, left) in steps {
        let verdict = send_at(&mut network, NOON_MS + after, &ask("-10")).await;
        assert_eq!(answer(&verdict), (VerdictStatus::Approved, code), "after {after} ms");
        assert_eq!(verdict.conversion_id, order.conversion_id);
        assert_eq!(
            network.conversion_of(&order).await.sale_amount,
            money(left),
            "after {after} ms"
        );
    }
}

#[tokio::test]
async fn a_refund_with_a_number_is_one_however_often_and_late_it_comes() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask = |rest: &str| format!("nid=1&coupon_code=winter25&order_id=R1&{rest}&{PROOF}");
    let order = send_at(&mut network, NOON_MS, &ask("amount=100")).await;
    let steps = [
        (0, "amount=-10&refund_id=A", 0, "90"),
        (1, "amount=-10&refund_id=B", 0, "80"),
        (2, "amount=-10&refund_id=A", 0, "80"),
        (DAY_MS, "amount=-10&refund_id=A", 0, "80"),
        (DAY_MS, "amount=-20&refund_id=A", 1016, "80"),
        (DAY_MS, "amount=-10", 0, "70"),
    ];
    for (after, rest, code, left) in steps {
        let verdict = send_at(&mut network, NOON_MS + after, &ask(rest)).await;
        assert_eq!(answer(&verdict), (VerdictStatus::Approved, code), "{rest} after {after} ms");
        assert_eq!(
            network.conversion_of(&order).await.sale_amount,
            money(left),
            "{rest} after {after} ms"
        );
    }
    assert!(network.conversion_of(&order).await.has_conflict);
}

#[tokio::test]
async fn a_refund_that_comes_before_its_order_waits_for_it_for_thirty_days() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let ask = |order: &str, amount: &str| {
        format!("nid=1&coupon_code=winter25&amount={amount}&order_id={order}&{PROOF}")
    };
    for order in ["IN", "OUT"] {
        let early = send_at(&mut network, NOON_MS, &ask(order, "-30")).await;
        assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
        let again = send_at(&mut network, NOON_MS + 1, &ask(order, "-30")).await;
        assert_eq!((again.error_code, again.conversion_id), (1025, early.conversion_id));
        let nothing = network.decide(&early, Decision::Approved).await.unwrap_err().to_string();
        assert!(nothing.contains("has not come"), "{nothing}");
    }
    let order = send_at(&mut network, NOON_MS + 30 * DAY_MS, &ask("IN", "100")).await;
    assert_eq!(answer(&order), (VerdictStatus::Approved, 0));
    let made = network.conversion_of(&order).await;
    assert_eq!((made.sale_amount, made.payout), (money("70"), money("3.5")));
    trust_clock(&network, NOON_MS + 30 * DAY_MS + 1).await;
    let late = send_at(&mut network, NOON_MS + 30 * DAY_MS + 1, &ask("OUT", "100")).await;
    assert_eq!(network.conversion_of(&late).await.sale_amount, money("100"));
    let refunds = network.all().await.into_iter().filter(Conversion::is_refund);
    let mut became: Vec<(String, Status, u32)> =
        refunds.map(|refund| (refund.order_id, refund.status, refund.error_code)).collect();
    became.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(became, [("IN".into(), Status::Approved, 0), ("OUT".into(), Status::Invalid, 1018)]);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.sale, counts.pending_cv), (2, 170_000_000, 0));
    super::super::recount(&network.store).await.unwrap();
    assert_eq!(network.counts().await, counts);
}

#[tokio::test]
async fn a_strangers_claim_of_an_order_does_not_use_up_the_refund_that_waits_for_it() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let said = |amount: &str| format!("nid=1&coupon_code=winter25&amount={amount}&order_id=W2");
    let early = network.one(&format!("{}&{PROOF}", said("-30"))).await;
    assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
    let strangers = network.one(&said("100")).await;
    assert_eq!(answer(&strangers), (VerdictStatus::Rejected, 21));
    assert_eq!(network.conversion_of(&early).await.error_code, 1024);
    let order = network.approved(&format!("{}&{PROOF}", said("100"))).await;
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("70"));
}

#[tokio::test]
async fn anybodys_refund_that_came_first_is_left_to_somebody_when_its_order_comes() {
    let mut network = Network::new().await;
    let early = network.one("nid=1&coupon_code=winter25&amount=-30&order_id=W1").await;
    assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
    let order = network.approved("nid=1&coupon_code=winter25&amount=100&order_id=W1").await;
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("100"));
    let refund = network.conversion_of(&early).await;
    assert_eq!((refund.status, refund.error_code), (Status::Pending, 1023));
    network.decide(&early, Decision::Approved).await.unwrap();
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("70"));
}

#[tokio::test]
async fn a_waiting_refund_expires_by_the_trusted_clock_and_not_by_the_time_of_a_postback() {
    let mut network = Network::new().await;
    let refund = "nid=1&coupon_code=winter25&amount=-30&order_id=W4";
    let early = send_at(&mut network, NOON_MS, refund).await;
    assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
    let far_ahead = NOON_MS + 4_000 * DAY_MS;
    let other = |order: u8| format!("nid=1&coupon_code=winter25&amount=5&order_id={order}");
    // No clock is trusted yet.
    send_at(&mut network, far_ahead, &other(1)).await;
    assert_eq!(network.conversion_of(&early).await.error_code, 1024);
    trust_clock(&network, NOON_MS + 30 * DAY_MS).await;
    send_at(&mut network, far_ahead, &other(2)).await;
    assert_eq!(network.conversion_of(&early).await.error_code, 1024);
    trust_clock(&network, NOON_MS + 30 * DAY_MS + 1).await;
    send_at(&mut network, NOON_MS, &other(3)).await;
    let expired = network.conversion_of(&early).await;
    assert_eq!((expired.status, expired.error_code), (Status::Invalid, 1018));
}

#[tokio::test]
async fn an_invalid_sale_leaves_the_refund_that_waits_for_its_order() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let query = |code: &str, amount: &str| {
        format!("nid=1&coupon_code={code}&oid=2&amount={amount}&order_id=W3&{PROOF}")
    };
    let early = network.one(&query("both", "-30")).await;
    assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
    // WINTER25 is not on offer 2.
    let invalid = network.one(&query("winter25", "100")).await;
    assert_eq!(answer(&invalid), (VerdictStatus::Invalid, 1007));
    assert_eq!(network.conversion_of(&early).await.error_code, 1024);
    let order = network.approved(&query("both", "100")).await;
    assert_eq!(network.conversion_of(&order).await.sale_amount, money("70"));
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.invalid_cv, counts.sale), (1, 1, 70_000_000));
}

#[tokio::test]
async fn a_refused_sale_takes_the_refund_that_waits_for_it_when_it_is_approved() {
    let mut network = Network::new().await;
    network.ask_for_proof().await;
    let query =
        |amount: &str| format!("nid=1&coupon_code=winter25&amount={amount}&order_id=W5&{PROOF}");
    let early = network.one(&query("-30")).await;
    assert_eq!(answer(&early), (VerdictStatus::Pending, 1024));
    network.edit("UPDATE offer SET offer_status = 'paused' WHERE id = 1").await;
    let refused = network.one(&query("100")).await;
    assert_eq!(answer(&refused), (VerdictStatus::Rejected, 18));
    assert_eq!(network.conversion_of(&early).await.error_code, 1024);
    network.decide(&refused, Decision::Approved).await.unwrap();
    let order = network.conversion_of(&refused).await;
    assert_eq!((order.sale_amount, order.payout), (money("70"), money("3.5")));
    assert_eq!(network.conversion_of(&early).await.status, Status::Approved);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.rejected_cv, counts.sale), (1, 0, 70_000_000));
    super::super::recount(&network.store).await.unwrap();
    assert_eq!(network.counts().await, counts);
}
