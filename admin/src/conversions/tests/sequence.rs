//! Postbacks about possibly the same sale are decided in the order of their receipt, and the
//! verdict on a pending postback reaches its sender.

use super::*;
use crate::store::postbacks::waiting::MAX_BEHIND;

/// Gives the shop's sender a token, so that its refunds are deducted at once.
async fn with_token(network: &Network) {
    let sql = "UPDATE advertiser SET verification_token = 'known' WHERE id = 1";
    network
        .store
        .write(move |tx| Ok::<_, StoreError>(tx.raw_connection().execute(sql, [])?))
        .await
        .unwrap();
}

const SENDER: &str = "nid=1&verification_token=known";

impl Network {
    async fn until_none_waits(&self) {
        for _ in 0..2_000 {
            if self.waiting().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("waited in vain");
    }
}

#[tokio::test]
async fn the_verdict_on_a_sale_that_waits_for_its_click_is_told_when_that_comes() {
    let mut network = Network::new().await;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    network.deliver(&[&format!("nid=1&transaction_id={id}&amount=50")]).await;
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    let told = network.verdicts(1).await;
    assert_eq!((told.len(), told[0].status), (1, VerdictStatus::Approved), "{told:?}");
    assert_eq!(told[0].transaction_id, id.to_string());
}

#[tokio::test]
async fn a_refund_waits_for_the_sale_before_it_that_waits_for_its_click() {
    let mut network = Network::new().await;
    with_token(&network).await;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    let sale = format!("{SENDER}&transaction_id={id}&order_id=S1&amount=100");
    let refund = format!("{SENDER}&coupon_code=winter25&order_id=S1&amount=-40");
    network.deliver(&[&sale, &refund]).await;
    assert_eq!(network.waiting().await, 2);
    network.restart().await;
    let again = format!("{SENDER}&coupon_code=winter25&order_id=S1&amount=-10");
    network.deliver(&[&again]).await;
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    network.until_none_waits().await;
    let all = network.all().await;
    assert_eq!((all.len(), all[0].sale_amount), (1, money("50")));
    assert_eq!((all[0].method.as_str(), all[0].amount), ("click", Some(money("100"))));
    let told = network.verdicts(3).await;
    assert!(told.iter().all(|verdict| verdict.conversion_id.unwrap().0 == all[0].id.0), "{told:?}");
}

#[tokio::test]
async fn a_repeat_by_the_code_does_not_take_over_from_the_click_that_is_awaited() {
    let mut network = Network::new().await;
    with_token(&network).await;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    let sale = format!("{SENDER}&transaction_id={id}&order_id=S1&amount=100");
    let repeat = format!("{SENDER}&coupon_code=both&oid=1&order_id=S1&amount=100");
    network.deliver(&[&sale, &repeat, &repeat]).await;
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    network.until_none_waits().await;
    let all = network.all().await;
    assert_eq!((all.len(), all[0].method.as_str()), (1, "click"));
    let outcomes =
        "SELECT group_concat(outcome) FROM (SELECT outcome FROM postback ORDER BY number)";
    let outcomes: String = network
        .read(move |c| Ok(c.raw_connection().query_row(outcomes, [], |row| row.get(0))?))
        .await;
    assert_eq!(outcomes, "made,repeats,repeats");
}

#[tokio::test]
async fn a_chain_of_sales_with_something_in_common_is_decided_link_by_link() {
    let mut network = Network::new().await;
    let made_ms = now_ms();
    let source = || TransactionIdSource::new(STREAM.node, STREAM.thread, STREAM.incarnation);
    let mut ids = source();
    let first = ids.next(&network.key, made_ms);
    // The second click is of another thread, which lags behind.
    let slow = StreamId { thread: 1, ..STREAM };
    let second = TransactionIdSource::new(slow.node, slow.thread, slow.incarnation)
        .next(&network.key, made_ms);
    network
        .deliver(&[
            &format!("nid=1&transaction_id={first}&order_id=O1"),
            &format!("nid=1&transaction_id={second}&order_id=O1"),
            &format!("nid=1&transaction_id={second}&order_id=O2"),
            "nid=1&coupon_code=winter25&order_id=O2",
            "nid=1&coupon_code=winter25&order_id=O3",
        ])
        .await;
    let alone = network.verdicts(1).await;
    assert_eq!((alone.len(), alone[0].status), (1, VerdictStatus::Approved));
    assert_eq!(network.waiting().await, 4);
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    let after_first = network.verdicts(2).await;
    assert_eq!(after_first[1].transaction_id, first.to_string());
    assert_eq!(network.waiting().await, 3, "the second waits for its own click");
    network.arrive(slow, 1, &[Sample::at(made_ms)]);
    network.until_none_waits().await;
    let numbers = "SELECT group_concat(sequence) FROM (SELECT sequence FROM postback \
                   JOIN conversion_history ON postback_id = postback.id GROUP BY postback.id \
                   ORDER BY min(conversion_history.id))";
    let order: String = network
        .read(move |c| Ok(c.raw_connection().query_row(numbers, [], |row| row.get(0))?))
        .await;
    assert!(["5,1,3", "5,1,2,3"].contains(&order.as_str()), "{order}");
}

#[tokio::test]
async fn an_invented_id_holds_nobody_up() {
    let mut network = Network::new().await;
    let foreign = TransactionIdSource::new(0, 0, 1).next(&ClickIdKey([9; 16]), now_ms());
    let stranger = format!("nid=1&transaction_id={foreign}&order_id=S1");
    let verdicts =
        network.send(&[&stranger, "nid=1&coupon_code=winter25&order_id=S1&amount=5"]).await;
    assert_eq!((verdicts[0].status, verdicts[0].error_code), (VerdictStatus::Invalid, 12));
    assert_eq!(verdicts[1].status, VerdictStatus::Approved);
}

#[tokio::test]
async fn an_id_whose_click_never_comes_holds_others_up_only_so_long() {
    let mut network = Network::new().await;
    let stranger = format!("nid=1&transaction_id={}&order_id=S1", network.click(now_ms()));
    network.deliver(&[&stranger, "nid=1&coupon_code=winter25&order_id=S1&amount=5"]).await;
    assert_eq!(network.waiting().await, 2);
    network.until_none_waits().await;
    let said: Vec<_> =
        network.verdicts(2).await.iter().map(|told| (told.status, told.error_code)).collect();
    assert_eq!(said, [(VerdictStatus::Invalid, 13), (VerdictStatus::Approved, 0)]);
}

#[tokio::test]
async fn a_backlog_of_clicks_and_postbacks_is_decided_in_its_order() {
    let mut network = Network::new().await;
    with_token(&network).await;
    network.running = None;
    let made_ms = now_ms();
    let id = network.click(made_ms);
    let messages = [
        format!("{SENDER}&transaction_id={id}&order_id=S1&amount=100"),
        format!("{SENDER}&coupon_code=winter25&order_id=S1&amount=-40"),
        format!("{SENDER}&coupon_code=winter25&order_id=S1&amount=100"),
    ]
    .map(|query| network.message(&query, b""));
    network.daemon.hands.lock().unwrap().postbacks.extend(messages);
    network.restart().await;
    network.until(|network| network.daemon.hands.lock().unwrap().acknowledged == 3).await;
    network.arrive(STREAM, 1, &[Sample::at(made_ms)]);
    network.until_none_waits().await;
    let all = network.all().await;
    assert_eq!((all.len(), all[0].sale_amount), (1, money("60")));
    assert_eq!((all[0].method.as_str(), all[0].transaction_id.clone()), ("click", id.to_string()));
}

#[tokio::test]
async fn only_so_many_postbacks_wait_behind_one_and_those_beyond_are_counted() {
    let mut network = Network::new().await;
    let made_ms = now_ms() + 3_600_000;
    let awaited = format!("nid=1&transaction_id={}&order_id=S1", network.click(made_ms));
    let follower = "nid=1&coupon_code=winter25&order_id=S1&amount=5";
    let mut all = vec![awaited.as_str()];
    all.extend(vec![follower; MAX_BEHIND as usize + 2]);
    network.deliver(&all).await;
    assert_eq!(network.waiting().await, 1 + MAX_BEHIND);
    assert_eq!(network.verdicts(2).await.len(), 2);
    let status = network.running.as_ref().unwrap().postbacks.status();
    assert_eq!(status.decided_out_of_order, 2);
}
