//! Ranks of proof, and disputes between postbacks of the same sale.

use super::*;

async fn clicked(network: &Network) -> TransactionId {
    network.arrive(STREAM, 1, &[Sample::at(NOON_MS - 60_000)]);
    network.until_clicks(1).await;
    network.click(NOON_MS - 60_000)
}

#[tokio::test]
async fn the_sale_of_a_real_click_disputes_what_a_stranger_claimed_by_a_code() {
    let mut network = Network::new().await;
    let id = clicked(&network).await;
    let by_code = "nid=1&coupon_code=winter25&amount=100&order_id=10001";
    let by_click = format!("nid=1&transaction_id={id}&amount=100&order_id=10001");
    let stranger = network.approved(by_code).await;
    let real = network.one(&by_click).await;
    assert_eq!((real.status, real.error_code), (VerdictStatus::Pending, 1021));
    assert_ne!(real.conversion_id, stranger.conversion_id);
    assert_eq!(real.transaction_id, id.to_string());
    let set_aside = network.conversion_of(&stranger).await;
    assert_eq!((set_aside.status, set_aside.error_code), (Status::Pending, 1021));
    let history = network.history(&stranger.conversion_id.unwrap().to_string()).await;
    assert_eq!(history.last().unwrap().postback_id.unwrap().0, real.conversion_id.unwrap().0);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.pending_cv, counts.payout), (0, 2, 0));
    // Each postback repeats its own conversion, and neither creates a third.
    for _ in 0..2 {
        let again = network.one(&by_click).await;
        assert_eq!((again.error_code, again.conversion_id), (1021, real.conversion_id));
        let again = network.one(by_code).await;
        assert_eq!((again.error_code, again.conversion_id), (1021, stranger.conversion_id));
    }
    // One cannot be approved while the other one stands.
    let beside = network.decide(&real, Decision::Approved).await.unwrap_err().to_string();
    assert!(beside.contains("the same sale"), "{beside}");
    network.decide(&stranger, Decision::Rejected).await.unwrap();
    network.decide(&real, Decision::Approved).await.unwrap();
    assert_eq!(network.approved(&by_click).await.conversion_id, real.conversion_id);
    let counts = network.counts().await;
    assert_eq!((counts.cv, counts.pending_cv, counts.rejected_cv), (1, 0, 1));
    super::super::recount(&network.store).await.unwrap();
    assert_eq!(network.counts().await, counts);
}

#[tokio::test]
async fn what_somebody_decided_is_not_disputed_again_by_the_claim_that_lost() {
    let mut network = Network::new().await;
    let id = clicked(&network).await;
    let by_code = "nid=1&coupon_code=winter25&amount=100&order_id=1";
    let by_click = format!("nid=1&transaction_id={id}&amount=100&order_id=1");
    let first = network.approved(by_code).await;
    let second = network.one(&by_click).await;
    network.decide(&second, Decision::Rejected).await.unwrap();
    network.decide(&first, Decision::Approved).await.unwrap();
    let again = network.one(&by_click).await;
    assert_eq!((again.error_code, again.conversion_id), (9, second.conversion_id));
    assert_eq!(network.approved(by_code).await.conversion_id, first.conversion_id);
    assert_eq!(network.all().await.len(), 2);
}

#[tokio::test]
async fn a_weaker_claim_is_a_repeat_changes_nothing_and_learns_nothing_of_the_click() {
    let mut network = Network::new().await;
    let id = clicked(&network).await;
    let real = network.approved(&format!("nid=1&transaction_id={id}&order_id=1")).await;
    assert_eq!(real.transaction_id, id.to_string());
    let weaker = network.one("nid=1&coupon_code=winter25&order_id=1&amount=999").await;
    assert_eq!((weaker.error_code, weaker.conversion_id), (1016, real.conversion_id));
    assert_eq!(weaker.transaction_id, "");
    let made = network.conversion_of(&real).await;
    assert_eq!((made.amount, made.sale_amount, made.has_conflict), (None, money("0"), true));
    // A second delivery gets the same answer.
    network.daemon.hands.lock().unwrap().repeats_postbacks = true;
    network.until(|network| network.daemon.hands.lock().unwrap().verdicts.len() >= 4).await;
    let verdicts = network.daemon.hands.lock().unwrap().verdicts.clone();
    assert!(verdicts[2..].iter().all(|again| *again == real || *again == weaker), "{verdicts:?}");
}

#[tokio::test]
async fn a_sender_that_passes_a_rule_disputes_what_came_before_the_rule() {
    let mut network = Network::new().await;
    let id = clicked(&network).await;
    let by_click = format!("nid=1&transaction_id={id}&amount=100&order_id=1");
    let before = network.approved(&by_click).await;
    network.ask_for_proof().await;
    assert_eq!(network.outcome(&by_click).await, "rejected 21");
    let proved = network.one(&format!("{by_click}&{PROOF}")).await;
    assert_eq!((proved.status, proved.error_code), (VerdictStatus::Pending, 1021));
    assert_eq!(network.conversion_of(&before).await.status, Status::Pending);
}
