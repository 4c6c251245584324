use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::attribution::sample::{evidence, fields, word_of};

/// Attributes a postback under an advertiser's rules. Returns `click 10/7 MORNING7`, `code 10/8`,
/// `named 10/7`, `waits AWAITED`, or the number of the error.
fn attributed(rules: &str, query: &str) -> String {
    let fields = fields(query);
    let mut evidence = evidence(&fields);
    for advertiser in evidence.advertisers.values_mut() {
        let [priority, method] = match rules {
            "click, last" => ["click", "last_touch"],
            "click, first" => ["click", "first_touch"],
            "code, last" => ["coupon_code", "last_touch"],
            "code, first" => ["coupon_code", "first_touch"],
            other => panic!("{other}"),
        };
        advertiser.attribution_priority = priority.parse().unwrap();
        advertiser.attribution_method = method.parse().unwrap();
    }
    let attributed = match attribute(&fields, &evidence).outcome {
        Outcome::Attributed(attributed) => attributed,
        Outcome::Refused { error, .. } => return error.number().to_string(),
        Outcome::Waits(id) => return format!("waits {}", word_of(&id)),
    };
    let method = match attributed.method {
        Method::Click => "click",
        Method::CouponCode => "code",
        Method::OfferAndPartner => "named",
    };
    let click = attributed.transaction_id.map(|id| format!(" {}", word_of(&id)));
    let (offer_id, affiliate_id) = (attributed.offer_id, attributed.affiliate_id);
    format!("{method} {offer_id}/{affiliate_id}{}", click.unwrap_or_default())
}

#[test]
fn sales_go_to_whom_the_advertisers_rules_give_them() {
    #[rustfmt::skip]
    let cases = [
        // One identifier alone.
        ("click, last", "transaction_id=NOON8", "click 10/8 NOON8"),
        ("click, last", "_ef_transaction_id=NOON8", "click 10/8 NOON8"),
        ("click, last", "coupon_code=seven", "code 10/7"),
        ("click, last", "coupon_code=%20SEVEN%20", "code 10/7"),
        ("click, last", "coupon_code=SAVE-20", "code 10/8"),
        ("click, last", "coupon_code=TODAY", "code 10/8"),
        ("click, last", "oid=10&affid=7", "named 10/7"),
        ("click, last", "", "1010"),
        ("click, last", "amount=10&order_id=A1", "1010"),
        ("click, last", "oid=10", "1010"),
        ("click, last", "affid=7", "1010"),
        // Which of the two comes first.
        ("click, last", "transaction_id=MORNING7&coupon_code=EIGHT", "click 10/7 MORNING7"),
        ("click, first", "transaction_id=MORNING7&coupon_code=EIGHT", "click 10/7 MORNING7"),
        ("code, last", "transaction_id=MORNING7&coupon_code=EIGHT", "code 10/8"),
        ("code, first", "transaction_id=MORNING7&coupon_code=EIGHT", "code 10/8"),
        ("code, last", "transaction_id=MORNING7", "click 10/7 MORNING7"),
        ("click, last", "coupon_code=EIGHT&oid=10&affid=7", "code 10/8"),
        ("click, last", "transaction_id=MORNING7&oid=10&affid=8", "click 10/7 MORNING7"),
        // A click of the same partner on the same offer counts beside the code.
        ("code, last", "transaction_id=MORNING7&coupon_code=SEVEN", "code 10/7 MORNING7"),
        ("code, last", "transaction_id=MORNING7|NOON8&coupon_code=SEVEN", "code 10/7 MORNING7"),
        ("code, last", "transaction_id=ELEVEN7&coupon_code=SEVEN", "code 10/7"),
        // First and last touch, by the time of the clicks and not by their place.
        ("click, last", "transaction_id=MORNING7|NOON8", "click 10/8 NOON8"),
        ("click, last", "transaction_id=NOON8|MORNING7", "click 10/8 NOON8"),
        ("click, first", "transaction_id=MORNING7|NOON8", "click 10/7 MORNING7"),
        ("click, first", "transaction_id=NOON8|MORNING7", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7%7CNOON8", "click 10/8 NOON8"),
        ("click, last", "transaction_id=MORNING7|MORNING7", "click 10/7 MORNING7"),
        // Members of a list that cannot be used.
        ("click, last", "transaction_id=MORNING7|GONE", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7|INVENTED|rubbish||null", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7|NOTSENT7", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7|PAUSED7", "click 10/7 MORNING7"),
        ("click, first", "transaction_id=STALE7|NOON8", "click 10/8 NOON8"),
        ("click, last", "transaction_id=MORNING7|SUSPENDED9", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7|TWENTY8&aid=1", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=MORNING7|TWENTY8&oid=20", "click 20/8 TWENTY8"),
        ("click, last", "transaction_id=MORNING7|TWENTY8", "click 10/7 MORNING7"),
        ("click, last", "transaction_id=INVENTED|GONE|rubbish", "12"),
        // A click still on its way is waited for when its turn comes.
        ("click, last", "transaction_id=AWAITED", "waits AWAITED"),
        ("click, last", "transaction_id=AWAITED&coupon_code=EIGHT", "waits AWAITED"),
        ("code, last", "transaction_id=AWAITED&coupon_code=EIGHT", "code 10/8"),
        ("code, last", "transaction_id=AWAITED&coupon_code=EXPIRED", "waits AWAITED"),
        ("click, last", "transaction_id=MORNING7|AWAITED", "waits AWAITED"),
        ("click, first", "transaction_id=MORNING7|AWAITED", "click 10/7 MORNING7"),
        ("click, first", "transaction_id=GONE|AWAITED", "waits AWAITED"),
        // Invented, mangled and missing clicks, alone and beside a code.
        ("click, last", "transaction_id=INVENTED", "12"),
        ("click, last", "transaction_id=0123", "12"),
        ("click, last", "transaction_id=GONE", "13"),
        ("click, last", "transaction_id=NOTSENT7", "13"),
        ("click, last", "transaction_id=INVENTED&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=0123&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=GONE&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=NOTSENT7&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=GONE&oid=10&affid=7", "named 10/7"),
        ("click, last", "transaction_id=INVENTED&coupon_code=EXPIRED", "1005"),
        ("click, last", "transaction_id=INVENTED&coupon_code=UNKNOWN", "12"),
        ("code, last", "transaction_id=INVENTED&coupon_code=UNKNOWN&aid=1", "1001"),
        // Absent is absent.
        ("click, last", "transaction_id=&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=null&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id={transaction_id}&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=[tid]&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=%7Btid%7D", "1010"),
        ("click, last", "transaction_id=NOON8&coupon_code={coupon_code}", "click 10/8 NOON8"),
        // A visit that was taken for a program's counts when somebody buys.
        ("click, last", "transaction_id=FETCHED7", "click 10/7 FETCHED7"),
        ("click, last", "transaction_id=UNNAMED8", "click 10/8 UNNAMED8"),
        ("click, last", "transaction_id=REPORTED8", "click 10/8 REPORTED8"),
        ("click, last", "transaction_id=SHOWN7", "13"),
        // The look-back window.
        ("click, last", "transaction_id=FRESH7", "click 15/7 FRESH7"),
        ("click, last", "transaction_id=STALE7", "5"),
        ("click, last", "transaction_id=AGES7", "click 10/7 AGES7"),
        ("click, last", "transaction_id=STALE7&coupon_code=EIGHT", "code 10/8"),
        ("click, last", "transaction_id=STALE7&coupon_code=UNKNOWN", "5"),
        ("code, last", "transaction_id=STALE7&coupon_code=UNKNOWN", "5"),
        // The offer asked for.
        ("click, last", "transaction_id=NOON8&oid=10", "click 10/8 NOON8"),
        ("click, last", "transaction_id=NOON8&oid=11", "14"),
        ("click, last", "transaction_id=NOON8&oid=11&coupon_code=BOTH", "code 11/7"),
        ("click, last", "transaction_id=NOON8|ELEVEN7&oid=11", "click 11/7 ELEVEN7"),
        ("click, last", "transaction_id=NOON8&oid=99", "14"),
        // A click that came from offer 11.
        ("click, last", "transaction_id=LEDON7&oid=11", "click 10/7 LEDON7"),
        ("click, last", "transaction_id=LEDON7&oid=10", "click 10/7 LEDON7"),
        ("click, last", "transaction_id=LEDON7&oid=15", "14"),
        // The advertiser.
        ("click, last", "transaction_id=NOON8&aid=1", "click 10/8 NOON8"),
        ("click, last", "transaction_id=NOON8&aid=2", "15"),
        ("click, last", "transaction_id=NOON8&advid=2", "15"),
        ("click, last", "coupon_code=EIGHT&aid=2", "15"),
        ("click, last", "coupon_code=EIGHT&aid=2&oid=10", "15"),
        ("click, last", "oid=10&affid=7&aid=2", "15"),
        ("click, last", "coupon_code=EIGHT&aid=77", "15"),
        ("click, last", "transaction_id=PAUSED7&coupon_code=TWENTY", "code 20/8"),
        ("code, last", "transaction_id=MORNING7&coupon_code=TWENTY", "click 10/7 MORNING7"),
        // A code on several offers.
        ("click, last", "coupon_code=BOTH", "1006"),
        ("click, last", "coupon_code=BOTH&oid=10", "code 10/7"),
        ("click, last", "coupon_code=BOTH&oid=11", "code 11/7"),
        ("click, last", "coupon_code=BOTH&oid=20", "1007"),
        ("click, last", "coupon_code=EIGHT&oid=11", "1007"),
        ("click, last", "coupon_code=EIGHT&oid=99", "1007"),
        ("click, last", "coupon_code=BOTH&aid=1", "1006"),
        ("click, last", "coupon_code=CROSS", "1006"),
        ("click, last", "coupon_code=CROSS&aid=2", "code 20/7"),
        ("click, last", "coupon_code=CROSS&oid=20", "code 20/7"),
        ("click, last", "transaction_id=NOON8&coupon_code=BOTH", "click 10/8 NOON8"),
        ("code, last", "transaction_id=NOON8&coupon_code=BOTH", "click 10/8 NOON8"),
        // Codes that cannot be used, alone and beside a click.
        ("click, last", "coupon_code=UNKNOWN", "1001"),
        ("click, last", "coupon_code=RESTING", "1002"),
        ("click, last", "coupon_code=NOBODYS", "1003"),
        ("click, last", "coupon_code=SOON", "1004"),
        ("click, last", "coupon_code=EXPIRED", "1005"),
        ("click, last", "coupon_code=OFSUSPENDED", "1008"),
        ("click, last", "coupon_code=ONHIDDEN", "1009"),
        ("click, last", "coupon_code=ONPRIVATE", "1009"),
        ("click, last", "coupon_code=ONPAUSED", "18"),
        ("click, last", "coupon_code=ONENDED", "19"),
        ("click, last", "coupon_code=ONLOST", "15"),
        ("click, last", "coupon_code=EIGHT,SEVEN", "1019"),
        ("click, last", "coupon_code=EIGHT%20SEVEN", "1019"),
        ("click, last", "coupon_code=BUY+1,+GET+1", "code 10/8"),
        ("click, last", "coupon_code=r%C3%A9duction", "1019"),
        ("code, last", "coupon_code=EXPIRED&transaction_id=NOON8", "click 10/8 NOON8"),
        ("code, last", "coupon_code=UNKNOWN&transaction_id=NOON8", "click 10/8 NOON8"),
        ("code, last", "coupon_code=EIGHT,SEVEN&transaction_id=NOON8", "click 10/8 NOON8"),
        ("click, last", "coupon_code=EXPIRED&oid=10&affid=7", "named 10/7"),
        // Clicks whose offer or partner does not take part any more.
        ("click, last", "transaction_id=PAUSED7", "18"),
        ("click, last", "transaction_id=ENDED7", "19"),
        ("click, last", "transaction_id=SUSPENDED9", "1008"),
        ("click, last", "transaction_id=LOST7", "15"),
        ("click, last", "transaction_id=HIDDEN8", "click 11/8 HIDDEN8"),
        ("click, last", "transaction_id=PAUSED7&coupon_code=EIGHT", "code 10/8"),
        // Offer and partner by name: who cannot run it gets nothing.
        ("click, last", "oid=12&affid=7", "named 12/7"),
        ("click, last", "oid=12&affid=8", "1009"),
        ("click, last", "oid=11&affid=8", "1009"),
        ("click, last", "oid=10&affid=9", "1008"),
        ("click, last", "oid=10&affid=77", "1008"),
        ("click, last", "oid=13&affid=7", "18"),
        ("click, last", "oid=14&affid=7", "19"),
        ("click, last", "oid=99&affid=7", "15"),
        ("click, last", "offer_id=10&affiliate_id=7", "named 10/7"),
    ];
    let wrong = cases.iter().filter(|(rules, query, wanted)| attributed(rules, query) != *wanted);
    let wrong: Vec<String> = wrong
        .map(|(rules, query, _)| format!("{rules}: {query}: {}", attributed(rules, query)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reason_of_each_identifier_that_was_passed_over_is_kept() {
    let fields = fields("transaction_id=GONE|INVENTED|STALE7&coupon_code=EIGHT");
    let Attribution { steps, advertiser_id, .. } = attribute(&fields, &evidence(&fields));
    let words: Vec<&str> = steps.0.iter().map(|step| step.step.as_ref()).collect();
    assert_eq!(
        words,
        [
            "advertiser",
            "invalid_click",
            "invalid_transaction_id",
            "above_look_back",
            "coupon_code_chosen"
        ]
    );
    assert_eq!(advertiser_id, Some(1));
}

#[test]
fn what_is_known_of_a_sale_without_an_owner_is_told() {
    let partial = |query: &str| {
        let fields = fields(query);
        match attribute(&fields, &evidence(&fields)).outcome {
            Outcome::Refused { partial, .. } => partial,
            other => panic!("{other:?}"),
        }
    };
    let expired = partial("coupon_code=EXPIRED");
    assert_eq!((expired.offer_id, expired.affiliate_id), (Some(10), Some(8)));
    assert_eq!(expired.coupon_code, "EXPIRED");
    let nobodys = partial("coupon_code=NOBODYS");
    assert_eq!((nobodys.offer_id, nobodys.affiliate_id), (Some(10), None));
    let stale = partial("transaction_id=INVENTED|STALE7");
    assert_eq!((stale.offer_id, stale.advertiser_id), (Some(15), Some(1)));
    assert_eq!(partial("transaction_id=INVENTED"), PartialAttribution::default());
    assert_eq!(partial("coupon_code=UNKNOWN&oid=10").offer_id, Some(10));
}

fn any_query() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "",
        "null",
        "0",
        "1",
        "2",
        "7",
        "8",
        "9",
        "10",
        "11",
        "13",
        "15",
        "20",
        "99",
        "MORNING7",
        "NOON8",
        "NOON8|GONE",
        "STALE7|AWAITED",
        "INVENTED",
        "INVENTED|NOON8",
        "TWENTY8",
        "NOTSENT7",
        "SEVEN",
        "EIGHT",
        "BOTH",
        "CROSS",
        "EXPIRED",
        "NOBODYS",
        "UNKNOWN",
    ]);
    let name = prop::sample::select(vec![
        "transaction_id",
        "coupon_code",
        "oid",
        "affid",
        "aid",
        "event_id",
        "amount",
        "order_id",
    ]);
    let pairs = prop::collection::vec((name, value), 0..6);
    pairs.prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("&")
    })
}

proptest! {
    #[test]
    fn nobody_gets_a_sale_whom_the_facts_do_not_name(query in any_query()) {
        let fields = fields(&query);
        let evidence = evidence(&fields);
        let Outcome::Attributed(attributed) = attribute(&fields, &evidence).outcome else { return Ok(()) };
        let clicks = fields.transaction_ids.iter().filter_map(|c| evidence.found(&c.id?));
        let of_clicks = clicks.map(|click| (click.offer_id, click.affiliate_id));
        let of_rows = evidence.codes.iter().filter_map(|row| Some((row.offer_id, row.affiliate_id?)));
        let mut named: HashSet<(u32, u32)> = of_clicks.chain(of_rows).collect();
        named.extend(fields.offer_id.zip(fields.affiliate_id));
        prop_assert!(named.contains(&(attributed.offer_id, attributed.affiliate_id)));
        prop_assert_eq!(evidence.advertiser_of_offer(attributed.offer_id), Some(attributed.advertiser_id));
        prop_assert!(fields.offer_id.is_none_or(|asked_for| asked_for == attributed.offer_id));
    }

    #[test]
    fn a_click_that_was_not_sent_here_never_identifies(query in any_query()) {
        let fields = fields(&query);
        let evidence = evidence(&fields);
        let Outcome::Attributed(attributed) = attribute(&fields, &evidence).outcome else { return Ok(()) };
        if let Some(id) = attributed.transaction_id {
            prop_assert!(evidence.found(&id).is_some_and(|click| click.affiliate_id == attributed.affiliate_id));
        }
        prop_assert!(attributed.method != Method::Click || attributed.transaction_id.is_some());
    }
}
