use super::*;
use crate::attribution::attribute::{Outcome, attribute};
use crate::attribution::sample::{evidence, fields, with_ids};

/// The fields, evidence and attribution of a postback.
fn attributed_fields(
    query: &str,
) -> (PostbackFields, Evidence, Option<Attributed>, PartialAttribution) {
    let fields = fields(query);
    let evidence = evidence(&fields);
    let (attributed, partial) = match attribute(&fields, &evidence).outcome {
        Outcome::Attributed(attributed) => {
            (Some(attributed.clone()), PartialAttribution::from(&attributed))
        }
        Outcome::Refused { partial, .. } => (None, partial),
        other @ Outcome::Waits(_) => panic!("{query}: {other:?}"),
    };
    (fields, evidence, attributed, partial)
}

fn key(query: &str) -> Option<DedupKey> {
    let (fields, evidence, _, partial) = attributed_fields(query);
    dedup_key(&fields, &evidence, &partial)
}

fn id(word: &str) -> TransactionId {
    with_ids(word).parse().unwrap()
}

#[test]
fn each_postback_has_the_key_of_its_offer_event_and_order_else_of_its_click() {
    let order =
        |offer_id, event_id, order_id| Some(DedupKey::for_order(offer_id, event_id, order_id));
    let click = |offer_id, event_id, word| Some(DedupKey::for_click(offer_id, event_id, &id(word)));
    #[rustfmt::skip]
    let cases = [
        ("coupon_code=EIGHT&order_id=A1", order(10, 0, "A1")),
        ("transaction_id=NOON8&order_id=A1&amount=7", order(10, 0, "A1")),
        ("coupon_code=SEVEN&order_id=A1", order(10, 0, "A1")),
        ("oid=10&affid=7&order_id=A1", order(10, 0, "A1")),
        ("coupon_code=EIGHT&order_id=a1", order(10, 0, "a1")),
        ("coupon_code=BOTH&oid=11&order_id=A1", order(11, 0, "A1")),
        ("coupon_code=EIGHT&order_id=A1&event_id=100", order(10, 0, "A1")),
        ("coupon_code=EIGHT&order_id=A1&event_id=101", order(10, 101, "A1")),
        ("coupon_code=EIGHT&order_id=A1&adv_event_id=newsletter", order(10, 101, "A1")),
        ("transaction_id=ELEVEN7|NOON8&order_id=A1", order(10, 0, "A1")),
        // Without an order id.
        ("transaction_id=NOON8", click(10, 0, "NOON8")),
        ("transaction_id=NOON8&amount=9", click(10, 0, "NOON8")),
        ("transaction_id=NOON8&event_id=101", click(10, 101, "NOON8")),
        ("transaction_id=MORNING7", click(10, 0, "MORNING7")),
        ("transaction_id=MORNING7|NOON8", click(10, 0, "NOON8")),
        // A genuine id tells repeats also where the code decides; one that was invented does not.
        ("transaction_id=GONE&coupon_code=EIGHT", click(10, 0, "GONE")),
        ("transaction_id=GONE&coupon_code=SEVEN", click(10, 0, "GONE")),
        ("transaction_id=INVENTED&coupon_code=EIGHT", None),
        ("transaction_id=test&coupon_code=EIGHT", None),
        ("coupon_code=EIGHT", None),
        // What is not attributed, but known, can be approved by hand and has its key.
        ("coupon_code=ONPAUSED&order_id=A1", order(13, 0, "A1")),
        ("coupon_code=EXPIRED&order_id=A1", order(10, 0, "A1")),
        ("coupon_code=RESTING&order_id=A1", order(10, 0, "A1")),
        ("transaction_id=PAUSED7", click(13, 0, "PAUSED7")),
        ("transaction_id=STALE7", click(15, 0, "STALE7")),
        ("transaction_id=STALE7&coupon_code=UNKNOWN", click(15, 0, "STALE7")),
        ("oid=10&order_id=A1", order(10, 0, "A1")),
        // Nothing leads to an offer, or to an event of it.
        ("order_id=A1", None),
        ("coupon_code=UNKNOWN&order_id=A1", None),
        ("coupon_code=BOTH&order_id=A1", None),
        ("coupon_code=EIGHT&order_id=A1&event_id=999", None),
    ];
    for (query, wanted) in cases {
        assert_eq!(key(query), wanted, "{query}");
    }
}

/// A recorded order as `(offer, event, code, click)`; its number is its position, from 1.
type Row = (u32, u32, &'static str, &'static str);

fn recorded(rows: &[Row], order_id: &str) -> Vec<RecordedConversion> {
    let row = |(number, &(offer_id, event_id, code, click)): (u32, &Row)| {
        let transaction_id = Some(click).filter(|word| !word.is_empty()).map(id);
        RecordedConversion {
            number,
            key: match transaction_id.filter(|_| order_id.is_empty()) {
                Some(id) => DedupKey::for_click(offer_id, event_id, &id),
                None => DedupKey::for_order(offer_id, event_id, order_id),
            },
            offer_id,
            advertiser_id: if offer_id == 20 { 2 } else { 1 },
            event_id,
            event_name: if event_id == 0 { "".into() } else { "Old name".into() },
            folded_code: code.to_ascii_lowercase(),
            order_id: order_id.into(),
            transaction_id,
        }
    };
    (1..).zip(rows).map(row).collect()
}

/// The numbers of the other candidates, in their order.
fn candidate_numbers(query: &str, rows: &[Row], order_id: &str) -> Vec<u32> {
    let fields = fields(query);
    let mut evidence = evidence(&fields);
    evidence.recorded = recorded(rows, order_id);
    let (attributed, partial) = match attribute(&fields, &evidence).outcome {
        Outcome::Attributed(attributed) => {
            (Some(attributed.clone()), PartialAttribution::from(&attributed))
        }
        Outcome::Refused { partial, .. } => (None, partial),
        other @ Outcome::Waits(_) => panic!("{query}: {other:?}"),
    };
    let others = other_candidates(&fields, &evidence, attributed.as_ref(), &partial);
    others.iter().map(|recorded| recorded.number).collect()
}

#[test]
fn orders_are_found_by_what_they_were_recorded_under_in_one_fixed_order() {
    let y_and_z: &[Row] = &[(11, 0, "BOTH", "ELEVEN7"), (10, 0, "BOTH", "NOON8")];
    let on_y = &y_and_z[..1];
    #[rustfmt::skip]
    let cases: [(&str, &[Row], &[u32]); 26] = [
        // Its own key comes first; the others only follow, by the place in the list.
        ("transaction_id=ELEVEN7|NOON8&amount=-9", y_and_z, &[1]),
        ("transaction_id=NOON8|ELEVEN7&amount=-9", y_and_z, &[1]),
        ("transaction_id=ELEVEN7|NOON8&amount=-9", on_y, &[1]),
        // A new order on one offer is no repeat of an order on another.
        ("transaction_id=ELEVEN7|NOON8&amount=9", on_y, &[]),
        ("coupon_code=BOTH&oid=10&amount=9", on_y, &[]),
        ("transaction_id=NOON8&coupon_code=BOTH&amount=9", on_y, &[]),
        // A code on both without oid: both, and so it is about none.
        ("coupon_code=BOTH&amount=-9", y_and_z, &[2, 1]),
        ("coupon_code=BOTH&amount=9", y_and_z, &[2, 1]),
        ("coupon_code=BOTH&amount=-9", on_y, &[1]),
        ("coupon_code=BOTH&oid=11&amount=-9", y_and_z, &[]),
        // Clicks come before rows.
        ("transaction_id=STALE7|ELEVEN7&coupon_code=BOTH&amount=-9", y_and_z, &[2]),
        // The code was deleted or renamed, or has moved to another offer or advertiser.
        ("coupon_code=UNKNOWN&amount=-9", &[(10, 0, "UNKNOWN", "")], &[1]),
        ("coupon_code=UNKNOWN&amount=9", &[(10, 0, "UNKNOWN", "")], &[1]),
        ("coupon_code=UNKNOWN&amount=9", &[(10, 0, "OTHER", "")], &[]),
        ("coupon_code=EIGHT&amount=-9", &[(11, 0, "EIGHT", "")], &[1]),
        ("coupon_code=EIGHT&amount=9", &[(11, 0, "EIGHT", "")], &[1]),
        ("coupon_code=EIGHT&amount=9", &[(20, 0, "EIGHT", "")], &[1]),
        ("coupon_code=EIGHT&amount=9", &[(11, 0, "SEVEN", "")], &[]),
        ("coupon_code=EIGHT&oid=10&amount=9", &[(11, 0, "EIGHT", "")], &[]),
        ("coupon_code=EIGHT&aid=1&amount=-9", &[(20, 0, "EIGHT", "")], &[]),
        // The event was removed or renamed.
        ("coupon_code=EIGHT&amount=-9&adv_event_id=old+NAME", &[(10, 103, "EIGHT", "")], &[1]),
        ("coupon_code=EIGHT&amount=9&event_id=103", &[(10, 103, "EIGHT", "")], &[1]),
        ("coupon_code=EIGHT&amount=-9&adv_event_id=other", &[(10, 103, "EIGHT", "")], &[]),
        ("coupon_code=EIGHT&amount=-9&event_id=103", &[(10, 0, "EIGHT", "")], &[]),
        // Who names its advertiser needs nothing else; who names nothing finds nothing.
        ("aid=1&amount=-9", &[(10, 0, "EIGHT", "")], &[1]),
        ("amount=-9", &[(10, 0, "EIGHT", "")], &[]),
    ];
    for (query, rows, wanted) in cases {
        let query = format!("{query}&order_id=A1");
        assert_eq!(candidate_numbers(&query, rows, "A1"), wanted, "{query} among {rows:?}");
    }
    assert_eq!(candidate_numbers("coupon_code=UNKNOWN&order_id=A2", y_and_z, "A1"), [0; 0]);
}

#[test]
fn without_an_order_id_a_refund_looks_at_all_its_clicks_and_a_sale_at_the_one_that_counts() {
    let both: &[Row] = &[(11, 0, "", "ELEVEN7"), (10, 0, "", "NOON8")];
    let cases: [(&str, &[u32]); 3] = [
        ("transaction_id=ELEVEN7|NOON8&amount=-9", &[1]),
        ("transaction_id=ELEVEN7|NOON8&amount=9", &[]),
        ("coupon_code=BOTH&amount=-9", &[]),
    ];
    for (query, wanted) in cases {
        assert_eq!(candidate_numbers(query, both, ""), wanted, "{query}");
        assert_eq!(candidate_numbers(query, &both[..1], ""), wanted, "{query}");
    }
}

#[test]
fn a_click_has_converted_when_it_made_another_base_conversion_of_the_offer() {
    let converted = |query: &str, rows: &[Row], order_id: &str| {
        let (fields, mut evidence, attributed, partial) = attributed_fields(query);
        evidence.recorded = recorded(rows, order_id);
        click_has_converted(
            &evidence,
            &attributed.unwrap(),
            dedup_key(&fields, &evidence, &partial),
        )
    };
    let by_noon: &[Row] = &[(10, 0, "", "NOON8")];
    assert!(converted("transaction_id=NOON8&order_id=E1", by_noon, ""));
    assert!(converted("transaction_id=NOON8&order_id=E2", by_noon, "E1"));
    assert!(converted("transaction_id=NOON8", by_noon, "E1"));
    assert!(!converted("transaction_id=NOON8&order_id=E1", by_noon, "E1"), "its own key");
    assert!(!converted("transaction_id=MORNING7&order_id=E2", by_noon, "E1"));
    assert!(!converted("coupon_code=EIGHT&order_id=E2", by_noon, "E1"));
    assert!(!converted("transaction_id=NOON8&order_id=E2", &[(10, 101, "", "NOON8")], "E1"));
}
