use coupon_shared::postback::{Channel, Postback};
use proptest::prelude::*;

use super::*;
use crate::attribution::attributed::Method;
use crate::attribution::evidence::RecordedConversion;
use crate::attribution::sample::{NOW_MS, evidence, fields, get};

fn decided_with(query: &str, change: impl FnOnce(&mut Evidence)) -> ProposedConversion {
    let fields = fields(query);
    let mut evidence = evidence(&fields);
    change(&mut evidence);
    match evaluate(&fields, &evidence) {
        Evaluation::Decided(proposed) => *proposed,
        Evaluation::Waits(..) => panic!("{query} waits"),
    }
}

fn proposed(query: &str) -> ProposedConversion {
    decided_with(query, |_| ())
}

/// `approved`, or status and error code.
fn status_text(proposed: &ProposedConversion) -> String {
    let error = proposed.error.map(|error| format!(" {}", error.number()));
    format!("{}{}", proposed.status.as_str(), error.unwrap_or_default())
}

#[test]
fn a_sale_is_approved_with_its_worth() {
    let sale = proposed("coupon_code=EIGHT&amount=59.90&currency=eur");
    assert_eq!(status_text(&sale), "approved");
    assert_eq!(
        (sale.payable.payout.to_string(), sale.payable.revenue.to_string()),
        ("5.99".into(), "8.99".into())
    );
    assert_eq!(sale.sale_amount.to_string(), "59.9");
    assert_eq!((sale.currencies.sale.as_str(), sale.currencies.paid.as_str()), ("EUR", "EUR"));
    assert_eq!(sale.attributed.unwrap().method, Method::CouponCode);
    assert!(sale.event.is_none() && sale.terms.is_some());
}

#[test]
fn an_event_is_worth_what_its_entry_says() {
    for named in ["event_id=101", "adv_event_id=newsletter", "adv_event_id=NEWSLETTER"] {
        let lead = proposed(&format!("coupon_code=EIGHT&amount=59.90&{named}"));
        assert_eq!(
            (status_text(&lead), lead.payable.payout.to_string()),
            ("approved".into(), "2.5".into())
        );
        assert_eq!(lead.event.unwrap(), Event { id: 101, name: "Newsletter".into() });
    }
    for unknown in ["event_id=111", "event_id=9", "adv_event_id=other"] {
        assert_eq!(status_text(&proposed(&format!("coupon_code=EIGHT&{unknown}"))), "invalid 25");
    }
    assert!(proposed("coupon_code=EIGHT&event_id=100").event.is_none());
}

#[test]
fn a_share_of_an_amount_that_was_not_told_is_nothing_and_noted() {
    let sale = proposed("coupon_code=EIGHT");
    assert_eq!((status_text(&sale), sale.payable), ("approved".into(), Payable::default()));
    assert!(sale.steps.has("amount_missing"));
    assert!(!proposed("coupon_code=EIGHT&event_id=101").steps.has("amount_missing"));
}

#[test]
fn an_offer_without_entries_pays_nothing() {
    let sale = decided_with("coupon_code=EIGHT&amount=10", |evidence| {
        evidence.offers.values_mut().for_each(|offer| offer.payout_revenue.clear());
    });
    assert_eq!(
        (status_text(&sale), sale.payable, sale.terms),
        ("approved".into(), Payable::default(), None)
    );
}

#[test]
fn an_offer_may_ask_for_approval() {
    let ask = |evidence: &mut Evidence| {
        evidence.offers.values_mut().for_each(|offer| offer.is_must_approve_conversion = true);
    };
    let sale = decided_with("coupon_code=EIGHT&amount=10", ask);
    assert_eq!(
        (status_text(&sale), sale.payable.payout.to_string()),
        ("pending".into(), "1".into())
    );
}

/// Status, payout and revenue with their currency, sale amount with its currency.
fn money(proposed: &ProposedConversion) -> String {
    let Currencies { sale, paid } = &proposed.currencies;
    let Payable { payout, revenue } = proposed.payable;
    format!(
        "{} {payout} {revenue} {paid} of {} {sale}",
        status_text(proposed),
        proposed.sale_amount
    )
}

#[test]
fn another_currency_waits_for_somebody_with_its_sale_as_reported_and_its_worth_from_the_start() {
    #[rustfmt::skip]
    let cases = [
        ("amount=10&currency=USD", "pending 1012 1 1.5 USD of 10 USD"),
        ("amount=10&currency=euro", "pending 1012 1 1.5 EURO of 10 EURO"),
        ("amount=10&currency=USD&event_id=101", "pending 1012 2.5 3 EUR of 10 USD"),
        ("amount=10&currency=eur", "approved 1 1.5 EUR of 10 EUR"),
        ("amount=10", "approved 1 1.5 EUR of 10 EUR"),
        ("currency=USD", "approved 0 0 EUR of 0 EUR"),
    ];
    for (query, wanted) in cases {
        assert_eq!(money(&proposed(&format!("coupon_code=EIGHT&{query}"))), wanted, "{query}");
    }
    let of_network = |evidence: &mut Evidence| {
        evidence.offers.values_mut().for_each(|offer| offer.currency_id.clear());
    };
    let sale = decided_with("coupon_code=EIGHT&amount=10&currency=USD", of_network);
    assert_eq!(money(&sale), "approved 1 1.5 USD of 10 USD");
}

#[test]
fn an_amount_above_ten_million_waits_for_somebody() {
    let sale = |amount: &str| status_text(&proposed(&format!("coupon_code=EIGHT&amount={amount}")));
    assert_eq!(sale("10000000"), "approved");
    assert_eq!(sale("10000000.01"), "pending 1022");
}

#[test]
fn what_can_be_approved_later_has_its_terms_its_worth_and_its_key_from_the_start() {
    for (query, asks, status) in [
        ("coupon_code=ONPAUSED", false, "rejected 18"),
        ("transaction_id=PAUSED7", false, "rejected 18"),
        ("coupon_code=ONENDED", false, "rejected 19"),
        ("transaction_id=STALE7", false, "rejected 5"),
        ("coupon_code=EXPIRED", false, "invalid 1005"),
        ("coupon_code=RESTING", false, "invalid 1002"),
        ("oid=10&affid=9", false, "invalid 1008"),
        ("coupon_code=EIGHT", true, "rejected 21"),
    ] {
        let query = format!("{query}&order_id=A1&amount=10");
        let ask = |evidence: &mut Evidence| {
            if asks {
                with_token(evidence)
            }
        };
        let judged = decided_with(&query, ask);
        assert_eq!(status_text(&judged), status, "{query}");
        let offer_id = judged.partial.offer_id.unwrap();
        assert_eq!(judged.key, Some(DedupKey::for_order(offer_id, 0, "A1")), "{query}");
        assert_eq!(judged.payable.payout.to_string(), "1", "{query}");
        assert!(judged.terms.is_some(), "{query}");
    }
    let nobodys = proposed("coupon_code=NOBODYS&order_id=A1&amount=10");
    assert_eq!(
        (status_text(&nobodys), nobodys.payable),
        ("invalid 1003".into(), Payable::default())
    );
}

#[test]
fn a_click_makes_one_base_conversion_unless_the_offer_allows_more() {
    let by_noon = |allowed: bool| {
        move |evidence: &mut Evidence| {
            let noon = fields("transaction_id=NOON8").transaction_ids[0].id.unwrap();
            evidence.recorded = vec![RecordedConversion {
                number: 1,
                key: DedupKey::for_click(10, 0, &noon),
                offer_id: 10,
                advertiser_id: 1,
                event_id: 0,
                event_name: String::new(),
                folded_code: String::new(),
                order_id: String::new(),
                transaction_id: Some(noon),
            }];
            let offers = evidence.offers.values_mut();
            offers.for_each(|offer| offer.is_allow_duplicate_conversion = allowed);
        }
    };
    #[rustfmt::skip]
    let cases = [
        ("transaction_id=NOON8&order_id=E1&amount=10", false, "rejected 8"),
        ("transaction_id=NOON8&order_id=E1&amount=10&event_id=100", false, "rejected 8"),
        ("transaction_id=NOON8&order_id=E1&amount=10", true, "approved"),
        ("transaction_id=NOON8&order_id=E1&event_id=101", false, "approved"),
        ("transaction_id=MORNING7&order_id=E1", false, "approved"),
        // A postback with the recorded key is a repeat, which is detected later.
        ("transaction_id=NOON8&amount=10", false, "approved"),
    ];
    for (query, allowed, wanted) in cases {
        let judged = decided_with(query, by_noon(allowed));
        assert_eq!(status_text(&judged), wanted, "{query}");
    }
    let refused = decided_with("transaction_id=NOON8&order_id=E1&amount=10", by_noon(false));
    assert_eq!(refused.key, Some(DedupKey::for_order(10, 0, "E1")));
    assert_eq!(refused.payable.payout.to_string(), "1");
}

#[test]
fn what_cannot_be_read_is_invalid_whatever_it_names() {
    for (query, wanted) in [
        ("coupon_code=EIGHT&amount=1,299", "invalid 1011"),
        ("coupon_code=EIGHT&oid=ten", "invalid 1020"),
        ("transaction_id=AWAITED&amount=12,5", "invalid 1011"),
        ("coupon_code=UNKNOWN", "invalid 1001"),
        ("coupon_code=ONPAUSED", "rejected 18"),
        ("transaction_id=STALE7", "rejected 5"),
        ("transaction_id=INVENTED", "invalid 12"),
        ("", "invalid 1010"),
    ] {
        assert_eq!(status_text(&proposed(query)), wanted, "{query}");
    }
}

#[test]
fn the_message_must_be_for_this_network() {
    let judged = |query: &str, channel| {
        let fields = PostbackFields::read(&Postback { channel, ..get(query) });
        match evaluate(&fields, &evidence(&fields)) {
            Evaluation::Decided(proposed) => status_text(&proposed),
            Evaluation::Waits(..) => panic!("{query} waits"),
        }
    };
    assert_eq!(judged("nid=1&coupon_code=EIGHT", Channel::Server), "approved");
    assert_eq!(judged("nid=2&coupon_code=EIGHT", Channel::Server), "invalid 11");
    assert_eq!(judged("nid=&coupon_code=EIGHT", Channel::Server), "invalid 11");
    assert_eq!(judged("coupon_code=EIGHT", Channel::Server), "invalid 11");
    assert_eq!(judged("coupon_code=EIGHT", Channel::Sdk), "approved");
    assert_eq!(judged("nid=2&coupon_code=EIGHT", Channel::Sdk), "invalid 11");
}

fn with_token(evidence: &mut Evidence) {
    let advertisers = evidence.advertisers.values_mut();
    advertisers.for_each(|advertiser| advertiser.verification_token = "s3cret".into());
}

#[test]
fn who_may_not_be_believed_changes_nothing() {
    let sale = decided_with("coupon_code=EIGHT&amount=10&order_id=A1", with_token);
    assert_eq!((status_text(&sale), sale.is_believed), ("rejected 21".into(), false));
    assert_eq!(sale.attributed.unwrap().affiliate_id, 8);
    let refund = decided_with("coupon_code=EIGHT&amount=-10&order_id=A1", with_token);
    assert_eq!((status_text(&refund), refund.is_believed), ("rejected 21".into(), false));
    let good = decided_with("coupon_code=EIGHT&verification_token=s3cret&order_id=A1", with_token);
    assert_eq!((status_text(&good), good.is_believed), ("approved".into(), true));
}

#[test]
fn an_order_of_another_advertiser_is_spoken_of_only_where_that_one_believes_the_sender() {
    let recorded = |evidence: &mut Evidence, token: &str| {
        evidence.advertisers.get_mut(&2).unwrap().verification_token = token.into();
        evidence.recorded = vec![RecordedConversion {
            number: 1,
            key: DedupKey::for_order(20, 0, "A1"),
            offer_id: 20,
            advertiser_id: 2,
            event_id: 0,
            event_name: String::new(),
            folded_code: "eight".into(),
            order_id: "A1".into(),
            transaction_id: None,
        }];
    };
    let refund = "coupon_code=EIGHT&amount=-10&order_id=A1";
    let other =
        |token: &str, query: &str| decided_with(query, |evidence| recorded(evidence, token)).others;
    let key = DedupKey::for_order(20, 0, "A1");
    assert_eq!(other("", refund), [Candidate { key, rank: Rank::Code }]);
    assert_eq!(other("s3cret", refund), []);
    let proved = format!("{refund}&verification_token=s3cret");
    assert_eq!(other("s3cret", &proved), [Candidate { key, rank: Rank::Trusted }]);
}

#[test]
fn a_claim_is_proved_by_a_rule_else_by_its_click_else_by_its_code_alone() {
    #[rustfmt::skip]
    let cases = [
        ("coupon_code=EIGHT", false, Rank::Code),
        ("oid=10&affid=7", false, Rank::Code),
        ("transaction_id=NOON8", false, Rank::Click),
        ("transaction_id=MORNING7&coupon_code=SEVEN", false, Rank::Click),
        ("transaction_id=INVENTED&coupon_code=EIGHT", false, Rank::Code),
        ("transaction_id=GONE&coupon_code=EIGHT", false, Rank::Code),
        ("transaction_id=PAUSED7&coupon_code=EIGHT", false, Rank::Code),
        ("transaction_id=STALE7", false, Rank::Click),
        ("coupon_code=EIGHT&verification_token=s3cret", true, Rank::Trusted),
        ("transaction_id=NOON8&verification_token=wrong", true, Rank::Code),
    ];
    for (query, asks, wanted) in cases {
        let ask = |evidence: &mut Evidence| {
            if asks {
                with_token(evidence)
            }
        };
        assert_eq!(decided_with(query, ask).rank, wanted, "{query}");
    }
}

#[test]
fn nobody_speaks_for_an_advertiser_of_whom_no_rules_are_known() {
    let sale = decided_with("coupon_code=EIGHT&amount=10", |evidence| evidence.advertisers.clear());
    assert_eq!(status_text(&sale), "invalid 15");
}

#[test]
fn a_refund_has_the_key_of_its_order_also_by_a_code_that_has_expired_since() {
    let order = proposed("coupon_code=EIGHT&amount=10&order_id=A1").key;
    for query in ["coupon_code=EIGHT", "coupon_code=EXPIRED", "oid=10", "coupon_code=NOBODYS"] {
        let refund = proposed(&format!("{query}&amount=-10&order_id=A1"));
        assert_eq!(refund.key, order, "{query}");
        assert_eq!(
            (refund.status, refund.payable, refund.sale_amount),
            (Status::Invalid, Payable::default(), Money::default()),
            "{query}"
        );
    }
    for query in ["", "&currency=USD"] {
        let refund = proposed(&format!("coupon_code=EIGHT&amount=-10&order_id=A1{query}"));
        assert_eq!(status_text(&refund), "invalid 1018");
    }
}

#[test]
fn a_click_on_its_way_is_waited_for_with_the_reasons_so_far() {
    let fields = fields("transaction_id=AWAITED|GONE");
    let Evaluation::Waits(_, steps) = evaluate(&fields, &evidence(&fields)) else { panic!() };
    assert!(steps.has("click_awaited"));
}

#[test]
fn only_what_counts_is_held() {
    let mut sale = proposed("coupon_code=EIGHT");
    sale.hold(ErrorCode::HeldForReview, "a spike");
    assert_eq!(status_text(&sale), "pending 1017");
    let mut refused = proposed("coupon_code=EXPIRED");
    refused.hold(ErrorCode::HeldForReview, "a spike");
    assert_eq!(status_text(&refused), "invalid 1005");
}

proptest! {
    #[test]
    fn nothing_is_approved_without_somebody_to_be_paid_and_belief(
        ids in prop::sample::select(vec!["", "INVENTED", "GONE", "NOTSENT7", "INVENTED|0123", "NOON8"]),
        code in prop::sample::select(vec!["", "EXPIRED", "UNKNOWN", "EIGHT"]),
        token in prop::sample::select(vec!["", "s3cret", "guess"]),
        amount in prop::sample::select(vec!["", "10", "-10", "12,5"]),
    ) {
        let query = format!("transaction_id={ids}&coupon_code={code}&verification_token={token}&amount={amount}");
        let judged = decided_with(&query, with_token);
        let has_owner = ids == "NOON8" || code == "EIGHT";
        let counts = has_owner && token == "s3cret" && ["", "10"].contains(&amount);
        prop_assert_eq!(judged.status == Status::Approved, counts);
        if counts && ids != "NOON8" {
            prop_assert_eq!(judged.attributed.unwrap().method, Method::CouponCode);
        }
    }
}

/// The evidence of a postback whose sale was made 20 hours before, on the day before.
fn sold_yesterday(evidence: &mut Evidence) {
    with_token(evidence);
    let day = evidence.today.yesterday().unwrap();
    let unix_ms = evidence.received_ms - 20 * 3_600_000;
    evidence.sale_time = Some(SaleTime { unix_ms, day });
}

#[test]
fn a_trusted_senders_time_of_sale_decides_and_a_strangers_does_not() {
    let token = "verification_token=s3cret";
    let of = |query: &str| decided_with(query, sold_yesterday);
    // The code ended with yesterday.
    let expired = of("coupon_code=EXPIRED&order_id=A1");
    assert_eq!((expired.sold_ms, expired.steps.has("untrusted_ignored")), (None, true));
    let then = of(&format!("coupon_code=EXPIRED&order_id=A1&{token}"));
    assert_eq!(status_text(&then), "approved");
    assert_eq!(then.sold_ms, Some(NOW_MS - 72_000_000));
    // A code that began today made no sale yesterday, however late it is reported.
    let soon = of(&format!("coupon_code=TODAY&order_id=A1&{token}"));
    assert_eq!((status_text(&soon).as_str(), soon.sold_ms.is_some()), ("invalid 1004", true));
    // No sale came before its click.
    let clicked = of(&format!("transaction_id=NOON8&order_id=A1&{token}"));
    assert_eq!((status_text(&clicked).as_str(), clicked.sold_ms), ("approved", None));
    assert!(clicked.steps.has("timestamp_ignored"));
    let refund = of(&format!("coupon_code=EIGHT&order_id=A1&amount=-1&{token}"));
    assert_eq!(refund.sold_ms, None);
}

#[test]
fn a_time_of_sale_is_of_use_between_five_minutes_and_thirty_days_before_the_receipt() {
    let at = |seconds_before: u64| SaleTime::is_possible(NOW_MS - seconds_before * 1_000, NOW_MS);
    assert_eq!([0, 300, 301, 2_592_000, 2_592_001].map(at), [false, false, true, true, false]);
    assert!(!SaleTime::is_possible(NOW_MS + 600_000, NOW_MS));
}
