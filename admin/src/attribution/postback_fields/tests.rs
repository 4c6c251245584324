use proptest::prelude::*;

use coupon_shared::postback::Postback;

use super::reader::MAX_IDS;
use super::*;
use crate::attribution::sample::{fields, get};

fn post<'a>(query: &'a str, content_type: &'a str, body: &'a [u8]) -> PostbackFields {
    let content_type = content_type.as_bytes();
    PostbackFields::read(&Postback { is_post: true, content_type, body, ..get(query) })
}

fn amount(text: &str) -> Result<Option<String>, ErrorCode> {
    let fields = fields(&format!("amount={text}"));
    match fields.problems.first() {
        Some(problem) => Err(*problem),
        None => Ok(fields.amount.map(|amount| amount.to_string())),
    }
}

#[test]
fn every_field_is_read() {
    let fields = fields(
        "transaction_id=NOON8&coupon_code=Save10&oid=448&affid=9&aid=3&adv_event_id=Lead&amount=12.50\
         &currency=eur&order_id=A%2F1&refund_id=R%2F1&adv1=one&adv5=five&sub2=two&email=a%40example.com\
         &verification_token=s3cret&timestamp=1781524800&signature=abc&sub7=seven&adv10=ten&user_id=U1\
         &user_ip=2001%3Adb8%3A%3A7&user_agent=Browser%2F1",
    );
    assert_eq!(fields.network_id, Some(1));
    assert!(fields.transaction_ids[0].id.is_some());
    assert_eq!(fields.coupon_code.as_ref().unwrap().folded.as_ref().unwrap().as_str(), "save10");
    assert_eq!((fields.offer_id, fields.affiliate_id), (Some(448), Some(9)));
    assert_eq!(fields.advertiser_id, Some(3));
    assert_eq!(fields.event, SentEvent::Name("Lead".into()));
    assert_eq!(fields.amount.unwrap().to_string(), "12.5");
    assert_eq!(fields.currency.as_deref(), Some("EUR"));
    assert_eq!(fields.order_id.as_deref(), Some("A/1"));
    assert_eq!(fields.refund_id.as_deref(), Some("R/1"));
    assert_eq!((fields.adv[0].as_str(), fields.adv[4].as_str()), ("one", "five"));
    assert_eq!(fields.sub[1], "two");
    assert_eq!(fields.email, "a@example.com");
    assert_eq!(fields.timestamp, Some(1_781_524_800));
    assert_eq!(
        ["sub7", "adv10", "adv9"].map(|name| fields.further.get(name)),
        ["seven", "ten", ""]
    );
    assert_eq!(fields.sold_ms, Some(1_781_524_800_000));
    assert_eq!((fields.buyer_id.as_str(), fields.buyer_user_agent.as_str()), ("U1", "Browser/1"));
    assert_eq!(fields.buyer_address.unwrap().to_string(), "2001:db8::7");
    assert_eq!((fields.problems.len(), fields.steps.0.len()), (0, 0));
}

#[test]
fn an_unreadable_buyer_or_time_of_sale_is_ignored_and_noted() {
    let fields = fields("coupon_code=EIGHT&user_ip=unknown&timestamp=today");
    assert_eq!((fields.buyer_address, fields.sold_ms, fields.problems.len()), (None, None, 0));
    assert!(fields.steps.has("buyer_unreadable") && fields.steps.has("timestamp_unreadable"));
    let milliseconds = self::fields("timestamp=1781524800123").sold_ms;
    assert_eq!(milliseconds, Some(1_781_524_800_123));
}

#[test]
fn no_secret_is_shown() {
    let fields = fields("verification_token=s3cret&signature=51gned&timestamp=1");
    let shown = format!("{fields:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("51gned"), "{shown}");
    assert_eq!(fields.verification_token.unwrap().exposed(), "s3cret");
}

#[test]
fn a_form_and_a_json_object_say_the_same_as_a_query() {
    let query = fields("oid=10&amount=12.50&order_id=A+1&transaction_id=0");
    let form = post(
        "nid=1",
        "application/x-www-form-urlencoded; charset=utf-8",
        b"oid=10&amount=12.50&order_id=A%201&transaction_id=0",
    );
    let json = post(
        "nid=1",
        "application/json",
        br#"{"oid": 10, "amount": 12.50, "order_id": "A 1", "transaction_id": "0"}"#,
    );
    assert_eq!(form, query);
    assert_eq!(json, query);
    assert_eq!(post("", "", br#"{"nid": "1", "oid": 10}"#).offer_id, Some(10));
    assert_eq!(post("", "", b"nid=1&oid=10").offer_id, Some(10));
}

#[test]
fn a_body_that_cannot_be_read_is_a_problem_and_the_query_counts() {
    for (content_type, body) in [
        ("application/json", &b"{\"oid\": 11"[..]),
        ("application/json", b"[1]"),
        ("application/json", b"{} {}"),
        ("application/xml", b"<oid>11</oid>"),
    ] {
        let fields = post("nid=1&oid=10", content_type, body);
        assert_eq!(fields.problems, [ErrorCode::UnreadableParameter], "{content_type}");
        assert_eq!(fields.offer_id, Some(10));
    }
}

#[test]
fn the_first_value_that_says_something_counts_and_others_are_noted() {
    let fields = fields("order_id=&order_id=null&order_id=A1&order_id=A2&coupon_code=[code]");
    assert_eq!(fields.order_id.as_deref(), Some("A1"));
    assert_eq!(fields.coupon_code, None);
    assert!(fields.steps.has("repeated") && fields.steps.has("counts_as_none"));
    let twice =
        post("nid=1&order_id=A1", "application/json", br#"{"order_id": "A2", "order_id": "A3"}"#);
    assert_eq!(twice.order_id.as_deref(), Some("A1"));
}

#[test]
fn words_for_nothing_and_placeholders_count_as_none() {
    for nothing in
        ["", "null", "NULL", "undefined", "{tid}", "[tid]", "$%7Btid%7D", "%7B%7Btid%7D%7D", "+"]
    {
        let fields = fields(&format!(
            "transaction_id={nothing}&oid={nothing}&amount={nothing}&event_id={nothing}&order_id={nothing}"
        ));
        assert_eq!(fields.transaction_ids, [], "{nothing}");
        assert_eq!((fields.offer_id, fields.amount, fields.order_id), (None, None, None));
        assert_eq!((fields.event, fields.problems.len()), (SentEvent::Base, 0));
    }
}

#[test]
fn an_order_id_that_stands_for_none_counts_as_none_and_that_is_noted() {
    for none in ["0", "N/A", "ORDER_ID", "%3Corder%3E", "SHOP-{order_id}", "%25%25ORDER%25%25"] {
        let fields = fields(&format!("order_id={none}&coupon_code=A1B"));
        assert_eq!((fields.order_id, fields.problems.len()), (None, 0), "{none}");
        let noted = fields.steps.0.iter().find(|step| step.step == "counts_as_none").unwrap();
        assert!(noted.detail.contains("order_id"), "{}", noted.detail);
    }
    assert_eq!(fields("order_id=0&order_id=10").order_id.as_deref(), Some("10"));
    assert_eq!(fields("adv1=0&coupon_code=none").adv[0], "0");
    let json = post("nid=1", "application/json", br#"{"order_id": 0, "amount": 0}"#);
    assert_eq!((json.order_id, json.amount), (None, Some(Money::default())));
}

#[test]
fn invisible_characters_around_a_value_are_cut_and_within_a_code_are_told() {
    for around in ["%EF%BB%BF", "%E2%80%8B", "%C2%A0", "%E2%81%A0%20"] {
        let fields = fields(&format!("coupon_code={around}Save10{around}&amount={around}5"));
        let code = fields.coupon_code.unwrap();
        assert_eq!((code.typed.as_str(), code.folded.unwrap().as_str()), ("Save10", "save10"));
        assert_eq!(fields.amount.unwrap().to_string(), "5");
    }
    let within = fields("coupon_code=Sa%E2%80%8Bve10");
    assert!(within.coupon_code.unwrap().folded.is_none());
    let told = &within.steps.0[0].detail;
    assert!(told.contains("U+200B at position 3"), "{told}");
}

#[test]
fn a_json_number_may_have_an_exponent() {
    let read = |number: &str| {
        let body = format!("{{\"amount\": {number}}}");
        let fields = post("nid=1", "application/json", body.as_bytes());
        assert_eq!(fields.problems.is_empty(), fields.amount.is_some(), "{number}");
        fields.amount.map(|amount| amount.to_string())
    };
    for (number, expected) in [
        ("1e2", "100"),
        ("1.299E+3", "1299"),
        ("-4.5e1", "-45"),
        ("1e-05", "0.00001"),
        ("999999999e0", "999999999"),
    ] {
        assert_eq!(read(number).as_deref(), Some(expected), "{number}");
    }
    for wrong in ["1e9", "1e400", "1e99999999999", "\"1e2\""] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    assert_eq!(fields("amount=1e2").problems, [ErrorCode::UnreadableAmount]);
}

#[test]
fn amounts_are_decimals_in_unambiguous_notations() {
    for (text, read) in [
        ("12.50", "12.5"),
        ("0", "0"),
        ("-7", "-7"),
        ("+3", "3"),
        ("1299.00", "1299"),
        ("19.990000000000002", "19.99"),
        ("0.0000005", "0.000001"),
        ("999999999.999999", "999999999.999999"),
        ("1,299.00", "1299"),
        ("$12", "12"),
        ("1 000", "1000"),
    ] {
        assert_eq!(amount(text), Ok(Some(read.to_owned())), "{text}");
    }
    for wrong in [
        "1,299",
        "12,5",
        "¥12",
        "12EUR",
        "1e3",
        "1_000",
        ".5",
        "5.",
        "--1",
        "-",
        "1.2.3",
        "10 00",
        "NaN",
        "Infinity",
        "0x10",
        "%D9%A1%D9%A2",
        "1000000000",
        "99999999999999999999999999999999999",
    ] {
        assert_eq!(amount(wrong), Err(ErrorCode::UnreadableAmount), "{wrong}");
    }
}

#[test]
fn a_sign_at_the_amount_is_its_currency_and_must_not_contradict_the_parameter() {
    let currency = |query: &str| fields(query).currency;
    assert_eq!(currency("amount=%E2%82%AC12.50").as_deref(), Some("EUR"));
    assert_eq!(currency("amount=12.50"), None);
    assert_eq!(fields("amount=%E2%82%AC5&currency=eur").problems, []);
    let contradicting = fields("amount=%E2%82%AC5&currency=usd").problems;
    assert_eq!(contradicting, [ErrorCode::UnreadableAmount]);
}

fn code_of(fields: &PostbackFields) -> &str {
    fields.coupon_code.as_ref().unwrap().typed.as_str()
}

#[test]
fn the_order_of_a_shop_fills_what_the_parameters_leave_open() {
    let order =
        r#"{"oid":"A-1","amt":129.5,"bs":"QC","bc":"CA","cc":"WINTER25","items":[{"ps":"x"}]}"#;
    let alone = fields(&format!("order={order}"));
    assert_eq!(alone.order_id.as_deref(), Some("A-1"));
    assert_eq!(alone.amount.unwrap().to_string(), "129.5");
    assert_eq!(code_of(&alone), "WINTER25");
    // `oid` of the order is no offer.
    assert_eq!((alone.offer_id, alone.problems.len()), (None, 0));
    let body = format!(r#"{{"order": {order}}}"#);
    let nested = post("nid=1", "application/json", body.as_bytes());
    assert_eq!((nested.order_id.as_deref(), code_of(&nested)), (Some("A-1"), "WINTER25"));
    let both = fields(&format!("amount=7&order_id=B-2&coupon_code=SPRING&oid=3&order={order}"));
    assert_eq!((both.order_id.as_deref(), code_of(&both)), (Some("B-2"), "SPRING"));
    assert_eq!((both.amount.unwrap().to_string().as_str(), both.offer_id), ("7", Some(3)));
    let broken = fields("order={oid&order_id=B-2");
    assert_eq!((broken.order_id.as_deref(), broken.problems.len()), (Some("B-2"), 0));
    assert_eq!(broken.steps.0[0].step, "order_unreadable");
}

#[test]
fn the_first_known_code_of_a_list_stands_for_the_list() {
    let choose = |query: &str, known: &[&str]| {
        let mut fields = fields(query);
        let is_known = |code: &FoldedKey| Ok::<_, ()>(known.contains(&code.as_str()));
        fields.choose_listed_code(is_known).unwrap();
        fields
    };
    let chosen = choose("cc=SHIPFREE,Winter25,SAVE10", &["winter25", "save10"]);
    let code = chosen.coupon_code.as_ref().unwrap();
    assert_eq!((code.typed.as_str(), code.looks_like_several), ("Winter25", false));
    let note = &chosen.steps.0[0];
    assert_eq!(note.step, "coupon_code_of_list");
    assert!(note.detail.contains("SHIPFREE, SAVE10"), "{}", note.detail);
    let none = choose("coupon_code=A1+B2", &[]);
    assert!(none.coupon_code.unwrap().looks_like_several);
    // A code may hold a separator itself.
    let whole = choose("coupon_code=SAVE/20", &["save/20", "save"]);
    assert_eq!(code_of(&whole), "SAVE/20");
}

#[test]
fn numbers_that_decide_something_must_be_numbers() {
    for wrong in ["oid=ten", "affid=-1", "aid=1.5", "oid=99999999999", "event_id=lead"] {
        assert_eq!(fields(wrong).problems, [ErrorCode::UnreadableParameter], "{wrong}");
    }
    let other = PostbackFields::read(&get("nid=one"));
    assert_eq!(other.problems, [ErrorCode::InvalidNetwork]);
    assert_eq!(fields("event_id=0").event, SentEvent::Base);
    assert_eq!(fields("event_id=0&adv_event_id=lead").event, SentEvent::Name("lead".into()));
    assert_eq!(fields("event_id=7&adv_event_id=lead").event, SentEvent::Id(7));
}

#[test]
fn an_order_id_is_whole_or_nothing_and_other_texts_are_cut() {
    let long = "x".repeat(300);
    assert_eq!(fields(&format!("order_id={long}")).problems, [ErrorCode::UnreadableParameter]);
    assert_eq!(fields("order_id=%FF").problems, [ErrorCode::UnreadableParameter]);
    let cut = fields(&format!("adv1={long}&sub1=%FF"));
    assert_eq!((cut.adv[0].len(), cut.sub[0].as_str(), cut.problems.len()), (256, "\u{FFFD}", 0));
    assert!(cut.steps.has("cut"));
}

#[test]
fn ids_are_taken_in_upper_case_and_as_uuids() {
    let ids = fields(
        "transaction_id=0190A5F0-1234-7ABC-8DEF-0123456789AB|0190a5f012347abc8def0123456789ab| x",
    );
    let texts: Vec<_> = ids.transaction_ids.iter().map(|c| c.id.map(|id| id.to_string())).collect();
    assert_eq!(texts, [Some("0190a5f012347abc8def0123456789ab".to_owned()), None]);
}

#[test]
fn a_list_of_ids_keeps_its_first_and_its_last() {
    let list: Vec<String> = (0..200).map(|n| format!("{n:032x}")).collect();
    let fields = fields(&format!("transaction_id={}", list.join("|")));
    assert_eq!(fields.transaction_ids.len(), MAX_IDS);
    assert_eq!(fields.transaction_ids[0].text, list[0]);
    assert_eq!(fields.transaction_ids[MAX_IDS - 1].text, list[199]);
    assert!(fields.steps.has("ids_left_out"));
}

#[test]
fn postbacks_that_say_the_same_are_alike_whatever_their_signatures() {
    let first = fields("coupon_code=A1B&amount=10&timestamp=1&signature=aa&verification_token=x")
        .content_hash;
    assert_eq!(fields("amount=10&coupon_code=A1B&timestamp=2&signature=bb").content_hash, first);
    for other in [
        "coupon_code=A1B&amount=11",
        "coupon_code=A1B&amount=10&customer=7",
        "coupon_code=A1&amount=B10",
    ] {
        assert_ne!(fields(other).content_hash, first, "{other}");
    }
}

#[test]
fn more_parameters_than_are_read_are_left_out() {
    let many: Vec<String> = (0..1000).map(|n| format!("p{n}=1")).collect();
    let fields = fields(&format!("{}&oid=10", many.join("&")));
    assert_eq!(fields.offer_id, None);
    assert!(fields.steps.has("parameters_left_out"));
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_to_read(
        query in prop::collection::vec(any::<u8>(), 0..200),
        body in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop::sample::select(vec!["", "application/json", "application/x-www-form-urlencoded", "x"]),
    ) {
        let postback = Postback {
            is_post: true, query: &query, body: &body, content_type: content_type.as_bytes(), ..get("")
        };
        let _ = PostbackFields::read(&postback);
        let _ = without_secrets(&postback);
    }

    #[test]
    fn no_values_are_too_strange_to_read(
        name in prop::sample::select(vec!["transaction_id", "coupon_code", "oid", "amount", "event_id", "timestamp"]),
        value in "\\PC{0,40}|[-0-9.,eE|%{}]{0,40}",
    ) {
        fields(&format!("{name}={value}"));
        post("nid=1", "application/json", serde_json::json!({ name: value }).to_string().as_bytes());
    }
}
