//! `/v1/networks/reporting`: single clicks and conversions, and reports as files.

use coupon_admin::store::conversions::{Channel, Conversion, Rank, Status};
use coupon_shared::click::{Tag, VisitKind};
use coupon_shared::decision::Reason;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, start_with_offers, with};
use crate::recorded::{NOON_MS, Visit, money, sale};

fn june(over: Value) -> Value {
    with(json!({"from": "2026-06-10", "to": "2026-06-20"}), over)
}

fn filters(filters: &[(&str, Value)]) -> Value {
    let filter = |(resource, value): &(&str, Value)| json!({"resource_type": resource, "filter_id_value": value});
    june(json!({"query": {"filters": filters.iter().map(filter).collect::<Vec<_>>()}}))
}

impl Running {
    async fn query(&self, path: &str, body: Value) -> Answer {
        self.post(&format!("reporting/{path}"), body).await
    }

    /// The lines of a file as maps from column to cell.
    async fn file(&self, path: &str, body: Value) -> Vec<Value> {
        let path = format!("/v1/networks/reporting/{path}");
        let headers = [("accept", "text/csv")];
        let answer = self.call_with(&self.key, "POST", &path, &headers, Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        lines(&answer)
    }
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"), "{answer:?}");
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
    let mut file = csv::Reader::from_reader(answer.text.as_bytes());
    let header = file.headers().unwrap().clone();
    let line = |line: csv::StringRecord| {
        let cells = header.iter().zip(line.iter());
        cells.map(|(column, cell)| (column.to_owned(), json!(cell))).collect()
    };
    file.records().map(Result::unwrap).map(line).map(Value::Object).collect()
}

fn ids(answer: &Value) -> Vec<String> {
    let rows = answer["conversions"].as_array().unwrap().iter();
    rows.map(|row| row["conversion_id"].as_str().unwrap()[..2].to_owned()).collect()
}

/// Six conversions: 1 approved base, 2 pending, 3 rejected, 4 invalid without offer and partner, 5
/// an event, 6 of another partner and offer, with a conflict and a fraud flag.
async fn sold() -> Running {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ANNA10")).await.done();
    let of_click = "0192f0c1d2e37405a6b7c8d9eaf00112".to_owned();
    let bought = Conversion {
        transaction_id: of_click.clone(),
        click_ms: NOON_MS,
        click_address: "192.0.2.7".into(),
        address: "198.51.100.2".into(),
        email: "=cmd@example.com".into(),
        order_id: "+1".into(),
        sub1: "-story".into(),
        notes: "@SUM(A1)".into(),
        adv1: "plain".into(),
        source_id: "blog".into(),
        country: "DE".into(),
        platform: "Linux".into(),
        further: [("sub6", "six".to_owned())].into_iter().collect(),
        ad_click_ids: [("gclid", "G1".to_owned())].into_iter().collect(),
        steps: json!([{"step": "code_found", "detail": "ANNA10 is Anna's"}]).to_string(),
        ..sale(1)
    };
    let status = |status, error_code, id| Conversion { status, error_code, ..sale(id) };
    let nobodys = Conversion {
        offer_id: 0,
        affiliate_id: 0,
        advertiser_id: 0,
        code_id: 0,
        coupon_code: "SAVE-20".into(),
        folded_code: "save-20".into(),
        ..status(Status::Invalid, 1001, 4)
    };
    let event = Conversion {
        event_id: 7,
        event_name: "Upsell".into(),
        transaction_id: of_click,
        channel: Channel::Sdk,
        ..sale(5)
    };
    let bens = Conversion {
        offer_id: 2,
        affiliate_id: 2,
        has_conflict: true,
        suspicion: "without clicks".into(),
        currency: "EUR".into(),
        sale_currency: "EUR".into(),
        amount: None,
        sale_amount: money("-20"),
        ..sale(6)
    };
    let waiting = status(Status::Pending, 1015, 2);
    let rejected = status(Status::Rejected, 9, 3);
    network.convert(vec![bought, waiting, rejected, nobodys, event, bens]).await;
    network
}

#[tokio::test]
async fn a_conversion_is_shown_with_all_that_is_known_of_it() {
    let network = sold().await;
    let answer = network.query("conversions", june(json!({}))).await.done();
    assert_eq!(answer["paging"], json!({"page": 1, "page_size": 50, "total_count": 6}));
    assert_eq!(ids(&answer), ["06", "05", "04", "03", "02", "01"]);
    let bought = &answer["conversions"][5];
    for (field, expected) in [
        ("conversion_unix_timestamp", json!(NOON_MS / 1_000 + 1)),
        ("click_unix_timestamp", json!(NOON_MS / 1_000)),
        ("status", json!("approved")),
        ("coupon_code", json!("ANNA10")),
        ("payout", json!(5.25)),
        ("payout_type", json!("cps")),
        ("revenue", json!(8)),
        ("sale_amount", json!(100)),
        ("currency_id", json!("USD")),
        ("sub6", json!("six")),
        ("adv6", json!("")),
        ("gclid", json!("G1")),
        ("email", json!("=cmd@example.com")),
        ("session_user_ip", json!("192.0.2.7")),
        ("conversion_user_ip", json!("198.51.100.2")),
        ("is_event", json!(false)),
        ("is_sdk", json!(false)),
        (
            "attribution",
            json!({"method": "coupon_code", "evidence": "code", "steps": [{"step": "code_found", "detail": "ANNA10 is Anna's"}]}),
        ),
        (
            "relationship",
            json!({
                "offer": {"network_offer_id": 1, "network_id": 1, "name": "Winter Jackets"},
                "affiliate": {"network_affiliate_id": 1, "network_id": 1, "name": "Anna"},
                "advertiser": {"network_advertiser_id": 1, "network_id": 1, "name": "Shop"},
            }),
        ),
    ] {
        assert_eq!(bought[field], expected, "{field}");
    }
    let event = &answer["conversions"][1];
    assert_eq!((&event["event"], &event["is_event"]), (&json!("Upsell"), &json!(true)));
    let nobodys = &answer["conversions"][2];
    assert_eq!(nobodys["error_message"], "coupon_code is not known");
    assert_eq!(nobodys["relationship"]["offer"], Value::Null);
    let bens = &answer["conversions"][0];
    assert_eq!((&bens["amount"], &bens["sale_amount"]), (&Value::Null, &json!(-20)));
}

#[tokio::test]
async fn conversions_are_found_by_each_filter_and_in_pages() {
    let network = sold().await;
    for (wanted, found) in [
        (filters(&[("offer", json!(2))]), vec!["06"]),
        (filters(&[("affiliate", json!(1)), ("status", json!("approved"))]), vec!["05", "01"]),
        (filters(&[("advertiser", json!(1)), ("offer", json!("2"))]), vec!["06"]),
        (filters(&[("coupon_code", json!("save-20"))]), vec!["04"]),
        (filters(&[("coupon_code", json!(1)), ("offer", json!(2))]), vec!["06"]),
        (filters(&[("status", json!("pending")), ("status", json!("rejected"))]), vec!["03", "02"]),
        (
            filters(&[("transaction_id", json!("0192f0c1d2e37405a6b7c8d9eaf00112"))]),
            vec!["05", "01"],
        ),
        (filters(&[("order_id", json!("+1"))]), vec!["01"]),
        (filters(&[("event", json!(7))]), vec!["05"]),
        (filters(&[("sub1", json!("-story")), ("sub1", json!("x"))]), vec!["01"]),
        (filters(&[("sub1", json!("-STORY"))]), vec![]),
        (filters(&[("source_id", json!("blog")), ("offer", json!(1))]), vec!["01"]),
        (filters(&[("country_code", json!("de")), ("platform", json!("linux"))]), vec!["01"]),
        (filters(&[("country", json!("")), ("source_id", json!("blog"))]), vec![]),
        (june(json!({"show_conversions": false})), vec!["05"]),
        (june(json!({"show_events": false, "page_size": 2})), vec!["06", "04"]),
        (june(json!({"show_events": false, "page": 2, "page_size": 2})), vec!["03", "02"]),
        (june(json!({"show_only_conflicts": true})), vec!["06"]),
        (june(json!({"show_only_suspicious": true})), vec!["06"]),
        (json!({"from": "2026-06-15 12:00:02", "to": "2026-06-15 12:00:03"}), vec!["03", "02"]),
        (json!({"from": "2026-06-16", "to": "2026-06-17"}), vec![]),
    ] {
        let answer = network.query("conversions", wanted.clone()).await.done();
        assert_eq!(ids(&answer), found, "{wanted}");
    }
    let path =
        "conversions?page=2&page_size=4&order_field=conversion_unix_timestamp&order_direction=desc";
    let answer = network.query(path, june(json!({"show_events": true}))).await.done();
    assert_eq!(ids(&answer), ["02", "01"]);
    let stream = network.query("conversions/stream", june(json!({}))).await.done();
    assert_eq!((ids(&stream).len(), &stream["incomplete_results"]), (6, &json!(false)));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_about_conversions_is_named() {
    let network = sold().await;
    for (wrong, field) in [
        (june(json!({"show_events": false, "show_conversions": false})), "show_conversions"),
        (filters(&[("status", json!("paid"))]), "query.filters[0].filter_id_value"),
        (filters(&[("region", json!("DE-BE"))]), "query.filters[0].resource_type"),
        (filters(&[("platform", json!("BeOS"))]), "query.filters[0].filter_id_value"),
        (filters(&[("event", json!("x"))]), "query.filters[0].filter_id_value"),
        (
            filters(&[("order_id", json!("1")), ("order_id", json!("2"))]),
            "query.filters[1].filter_id_value",
        ),
        (
            june(
                json!({"query": {"exclusions": [{"resource_type": "offer", "filter_id_value": 1}]}}),
            ),
            "query.exclusions",
        ),
        (june(json!({"order": "payout"})), "order"),
        (june(json!({"page_size": 3000})), "page_size"),
        (june(json!({"timezone_id": 100})), "timezone_id"),
        (json!({"from": "2026-06-10", "to": "2026-06-01"}), "to"),
    ] {
        let answer = network.query("conversions", wrong.clone()).await;
        assert_eq!(answer.refusal(), (400, "request.invalid", vec![field]), "{wrong}");
    }
}

#[tokio::test]
async fn a_kind_of_device_that_does_not_exist_is_refused_and_not_counted_as_nothing() {
    let network = start_with_offers().await;
    let asked = |device: &str| {
        with(filters(&[("device_type", json!(device))]), json!({"columns": [{"column": "offer"}]}))
    };
    network.query("entity", asked("Mobile")).await.done();
    let refused = network.query("entity", asked("phone")).await;
    assert_eq!(refused.refusal().2, ["query.filters[0].filter_id_value"]);
}

#[tokio::test]
async fn a_conversion_is_found_by_its_id_and_by_its_click() {
    let network = sold().await;
    let one = network.get(&format!("reporting/conversions/{}", "01".repeat(16))).await.done();
    assert_eq!((&one["status"], &one["history"]), (&json!("approved"), &json!([])));
    let path = "reporting/events/0192f0c1d2e37405a6b7c8d9eaf00112";
    let events = network.get(path).await.done();
    let names: Vec<&str> =
        events["events"].as_array().unwrap().iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["Upsell", ""]);
    let none = network.get(&format!("reporting/events/{}", "0".repeat(32))).await.done();
    let wrong = network.get("reporting/events/no-id").await;
    assert_eq!(wrong.refusal(), (400, "request.invalid", vec!["transaction_id"]));
    assert_eq!(none, json!({"events": []}));
    let absent = network.get(&format!("reporting/conversions/{}", "09".repeat(16))).await;
    assert_eq!(absent.refusal(), (404, "conversion.not_found", vec![]));
    let wrong = network.get("reporting/conversions/7").await;
    assert_eq!(wrong.refusal(), (400, "request.invalid", vec!["conversion_id"]));
}

#[tokio::test]
async fn a_file_of_conversions_holds_all_of_them_and_no_formula() {
    let network = sold().await;
    let file = network.file("conversions", june(json!({}))).await;
    assert_eq!(file.len(), 6);
    let bought = &file[5];
    for (column, cell) in [
        ("email", "'=cmd@example.com"),
        ("order_id", "'+1"),
        ("sub1", "'-story"),
        ("notes", "'@SUM(A1)"),
        ("adv1", "plain"),
        ("payout", "5.25"),
        ("status", "approved"),
        ("network_offer_id", "1"),
        ("offer", "Winter Jackets"),
        ("affiliate", "Anna"),
        ("advertiser", "Shop"),
    ] {
        assert_eq!(bought[column], cell, "{column}");
    }
    assert_eq!(file[0]["sale_amount"], "-20", "a number below zero is no formula");
    assert_eq!(file[0]["amount"], "");
    let page = network.file("conversions", june(json!({"page": 2, "page_size": 4}))).await;
    assert_eq!(page, file[4..]);
    let exported = network.query("conversions/export", june(json!({"format": "csv"}))).await;
    assert_eq!(lines(&exported), file);
    let exported = network.query("conversions/export", june(json!({}))).await;
    assert_eq!(lines(&exported), file);
    let json = network.query("conversions/export", june(json!({"format": "json"}))).await.done();
    assert_eq!(ids(&json).len(), 6);
    let wrong = network.query("conversions/export", june(json!({"format": "pdf"}))).await;
    assert_eq!(wrong.refusal(), (400, "request.invalid", vec!["format"]));
}

#[tokio::test]
async fn a_file_of_counts_holds_what_the_table_holds() {
    let network = sold().await;
    let body = june(
        json!({"columns": [{"column": "affiliate"}, {"column": "date"}], "order": "affiliate"}),
    );
    let table = network.query("entity/table", body.clone()).await.done();
    let file = network.file("entity", body.clone()).await;
    let rows = table["table"].as_array().unwrap();
    assert_eq!((rows.len(), file.len()), (3, 3));
    for (row, line) in rows.iter().zip(&file) {
        assert_eq!(line["network_affiliate_id"], row["columns"][0]["id"]);
        assert_eq!(line["affiliate"], row["columns"][0]["label"]);
        assert_eq!(line["date"], row["columns"][1]["label"]);
        for (measure, value) in row["reporting"].as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(line[measure], text, "{measure}");
        }
    }
    assert_eq!(lines(&network.query("entity/table/export", body.clone()).await), file);
    let answer = network.query("entity/table/export", with(body, json!({"format": "json"}))).await;
    assert_eq!(answer.done(), table);
}

#[tokio::test]
async fn a_click_that_came_again_within_seconds_is_a_duplicate() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ANNA10")).await.done();
    let at = |second: u64| Visit {
        unix_ms: NOON_MS + second * 1_000,
        tags: vec![
            (Tag::UserAgent, b"Mozilla/5.0 (X11; Linux)".as_slice()),
            (Tag::Address, [10, 0, 0, 7].as_slice()),
        ],
        ..Visit::new("Anna10", 1, 1)
    };
    network.visit(&[at(0), at(3), at(60)]).await;
    let stream = network.query("clicks/stream", june(json!({}))).await.done();
    // A client sends the time of its last click as the page.
    let bookmarked = "clicks/stream?page=2026-06-15%2012:00:00&page_size=1";
    let bookmarked = network.query(bookmarked, june(json!({}))).await.done();
    assert_eq!(bookmarked["clicks"], stream["clicks"]);
    let clicks = stream["clicks"].as_array().unwrap();
    let newest_first: Vec<&Value> = clicks.iter().map(|click| &click["is_duplicate"]).collect();
    assert_eq!(newest_first, [false, true, false]);
}

#[tokio::test]
async fn clicks_are_shown_with_what_became_of_them() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ANNA10")).await.done();
    let at = |second: u64, visit: Visit| Visit { unix_ms: NOON_MS + second * 1_000, ..visit };
    let plain = Visit { tags: vec![(Tag::Sub1, b"=1")], ..Visit::new("Anna10", 1, 1) };
    let kind = |kind| Visit { kind, ..Visit::new("Anna10", 1, 1) };
    let paused = Visit { reason: Reason::Paused, ..Visit::new("Anna10", 1, 2) };
    let visits = [
        at(0, plain),
        at(1, kind(VisitKind::Sdk)),
        at(2, kind(VisitKind::Prefetch)),
        at(3, kind(VisitKind::Impression)),
        at(4, paused),
    ];
    let transactions = network.visit(&visits).await;
    let bought = Conversion { transaction_id: transactions[0].clone(), ..sale(1) };
    let refused =
        Conversion { transaction_id: transactions[1].clone(), status: Status::Rejected, ..sale(2) };
    network.convert(vec![bought, refused]).await;
    let stream = network.query("clicks/stream", june(json!({}))).await.done();
    let clicks = stream["clicks"].as_array().unwrap();
    let flags =
        |field: &str| clicks.iter().map(|c| c[field].as_bool().unwrap()).collect::<Vec<_>>();
    assert_eq!(flags("has_conversion"), [false, false, false, true]);
    assert_eq!(flags("is_sdk_click"), [false, false, true, false]);
    assert_eq!(flags("is_prefetch"), [false, true, false, false]);
    let invalid = network.query("invalidclicks", june(json!({}))).await.done();
    let invalid = invalid["clicks"].as_array().unwrap();
    assert_eq!(invalid.len(), 1);
    assert_eq!(
        (&invalid[0]["error_message"], &invalid[0]["error_code"]),
        (&json!("paused"), &json!(1002))
    );
    let single = network.get(&format!("reporting/clicks/{}", transactions[3])).await.done();
    assert_eq!(single["is_impression"], true);
    let file = network.file("clicks/stream", june(json!({}))).await;
    assert_eq!(file.len(), 4);
    assert_eq!(file[3]["sub1"], "'=1");
    assert_eq!(
        (&file[3]["offer"], &file[3]["affiliate"]),
        (&json!("Winter Jackets"), &json!("Anna"))
    );
    let one = |resource: &str, value: Value| filters(&[(resource, value)]);
    for (body, count) in [
        (one("sub1", json!("=1")), 1),
        (one("sub1", json!("")), 3),
        (one("affiliate", json!(2)), 1),
        (one("coupon_code", json!("ANNA10")), 4),
        (
            june(
                json!({"query": {"exclusions": [{"resource_type": "affiliate", "filter_id_value": 1}]}}),
            ),
            1,
        ),
    ] {
        let found = network.query("clicks/stream", body.clone()).await.done();
        assert_eq!(found["clicks"].as_array().unwrap().len(), count, "{body}");
    }
}

fn ids_of(numbers: &[u8]) -> Vec<String> {
    numbers.iter().map(|number| format!("{number:02x}").repeat(16)).collect()
}

async fn figure(network: &Running, measure: &str) -> Value {
    let body = june(json!({"columns": [{"column": "offer"}], "currency_id": "USD"}));
    network.query("entity", body).await.done()["summary"][measure].clone()
}

#[tokio::test]
async fn conversions_are_approved_and_rejected_all_or_none_and_counts_follow() {
    let network = sold().await;
    let decide = async |numbers: &[u8], status: &str| {
        let body = json!({"conversion_ids": ids_of(numbers), "conversion_status": status});
        network.patch("reporting/conversions", body).await
    };
    assert_eq!(
        (figure(&network, "cv").await, figure(&network, "pending_cv").await),
        (json!(3), json!(1))
    );
    let approved = decide(&[2], "approved").await.done();
    assert_eq!(approved, json!({"result": true, "changed": 1}));
    assert_eq!(
        (figure(&network, "cv").await, figure(&network, "pending_cv").await),
        (json!(4), json!(0))
    );
    assert_eq!(decide(&[2], "approved").await.done()["changed"], 0);
    let before = figure(&network, "payout").await;
    assert_eq!(decide(&[1, 4], "approved").await.refusal().0, 409, "4 is invalid");
    let invalid = network.get(&format!("reporting/conversions/{}", ids_of(&[4])[0])).await.done();
    let obstacle = invalid["approval_obstacle"].as_str().unwrap();
    assert!(obstacle.starts_with("nobody can be named whose it is"), "{obstacle}");
    assert_eq!(decide(&[1, 9], "rejected").await.refusal().0, 400, "9 is nowhere");
    assert_eq!(figure(&network, "payout").await, before);
    decide(&[1], "rejected").await.done();
    let path = format!("reporting/conversions/{}", ids_of(&[1])[0]);
    let one = network.get(&path).await.done();
    assert_eq!((&one["status"], &one["error_code"]), (&json!("rejected"), &json!(9)));
    assert_eq!(one["approval_obstacle"], "");
    let entry = &one["history"][0];
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("status"), &json!("api_key")));
    assert_eq!(
        entry["changes"][0],
        json!({"field": "status", "before": "approved", "after": "rejected"})
    );
    for wrong in [
        json!({"conversion_ids": [], "conversion_status": "approved"}),
        json!({"conversion_ids": ["x"], "conversion_status": "approved"}),
        json!({"conversion_ids": ids_of(&[1]), "conversion_status": "pending"}),
        json!({"conversion_ids": ids_of(&[1])}),
    ] {
        let answer = network.patch("reporting/conversions", wrong.clone()).await;
        assert_eq!(answer.refusal().0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_refund_that_waits_is_shown_beside_what_it_was_sold_in_and_takes_back_once_approved() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ANNA10")).await.done();
    let order = Conversion { key: Some([7; 32]), sale_currency: "EUR".into(), ..sale(1) };
    let refund = Conversion {
        status: Status::Pending,
        error_code: 1023,
        amount: Some(money("-40")),
        sale_amount: money("0"),
        sale_currency: "EUR".into(),
        payout: money("0"),
        revenue: money("0"),
        refund_of: Some([7; 32]),
        evidence_rank: Rank::Click,
        ..sale(2)
    };
    network.convert(vec![order, refund]).await;
    let answer = network.query("conversions", june(json!({}))).await.done();
    let shown = |at: usize, field: &str| answer["conversions"][at][field].clone();
    assert_eq!((shown(0, "is_refund"), shown(1, "is_refund")), (json!(true), json!(false)));
    assert_eq!((shown(0, "amount"), shown(0, "sale_amount")), (json!(-40), json!(0)));
    assert_eq!(
        (shown(1, "currency_id"), shown(1, "sale_currency_id")),
        (json!("USD"), json!("EUR"))
    );
    assert_eq!(shown(0, "attribution")["evidence"], "click");
    assert!(shown(0, "error_message").as_str().unwrap().contains("somebody"), "{answer}");
    let approve = json!({"conversion_ids": ids_of(&[2]), "conversion_status": "approved"});
    network.patch("reporting/conversions", approve).await.done();
    let order = network.get(&format!("reporting/conversions/{}", ids_of(&[1])[0])).await.done();
    assert_eq!(order["sale_amount"], 60);
    let taken = order["history"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&taken["action"], &taken["postback_id"]),
        (&json!("refund"), &json!(ids_of(&[2])[0]))
    );
    let amount = json!({"sale_amount": 5});
    let path = format!("reporting/conversions/{}", ids_of(&[2])[0]);
    assert_eq!(network.patch(&path, amount).await.refusal().0, 400);
}

#[tokio::test]
async fn an_invalid_conversion_of_a_known_partner_and_offer_can_be_approved_but_not_beside_another()
{
    let network = start_with_offers().await;
    network.post("couponcodes", code("ANNA10")).await.done();
    let of_order =
        |id, status, error_code| Conversion { key: Some([7; 32]), status, error_code, ..sale(id) };
    let expired = of_order(1, Status::Invalid, 1005);
    let standing = of_order(2, Status::Pending, 1021);
    network.convert(vec![expired, standing]).await;
    let decide = async |id: u8, status: &str| {
        let body = json!({"conversion_ids": ids_of(&[id]), "conversion_status": status});
        network.patch("reporting/conversions", body).await
    };
    let beside = decide(1, "approved").await;
    assert_eq!(beside.refusal(), (409, "conversion.repeated", vec!["conversion_ids"]));
    decide(2, "rejected").await.done();
    decide(1, "approved").await.done();
    assert_eq!(figure(&network, "cv").await, 1);
    assert_eq!(decide(2, "approved").await.refusal().1, "conversion.repeated");
}

#[tokio::test]
async fn the_status_names_each_advertiser_that_believes_anybody() {
    let network = start_with_offers().await;
    let named = async || network.get("status").await.done()["advertisers_without_proof"].clone();
    let shop = json!({"network_advertiser_id": 1, "name": "Shop"});
    let before = named().await;
    assert_eq!(before["advertisers"][0], shop, "{before}");
    let count = before["count"].as_u64().unwrap();
    for rule in [
        json!({"verification_token": "t0psecret"}),
        json!({"verification_token": "", "ip_allow_list": ["192.0.2.1"]}),
        json!({"ip_allow_list": [], "signing_key": "k3y"}),
    ] {
        network.patch("advertisers/1", rule.clone()).await.done();
        let after = named().await;
        assert_eq!(after["count"], count - 1, "{rule}");
        assert!(!after["advertisers"].as_array().unwrap().contains(&shop), "{rule}");
    }
    network.patch("advertisers/1", json!({"signing_key": ""})).await.done();
    assert_eq!(named().await, before);
}

#[tokio::test]
async fn amounts_and_notes_of_a_conversion_are_edited_and_counts_follow() {
    let network = sold().await;
    let path = format!("reporting/conversions/{}", ids_of(&[1])[0]);
    let before = figure(&network, "payout").await.as_f64().unwrap();
    let edit =
        json!({"payout": "7.75", "revenue": 9, "sale_amount": 120.5, "notes": "by telephone"});
    let edited = network.patch(&path, edit).await.done();
    for (field, expected) in [
        ("payout", json!(7.75)),
        ("revenue", json!(9)),
        ("sale_amount", json!(120.5)),
        ("notes", json!("by telephone")),
        ("status", json!("approved")),
    ] {
        assert_eq!(edited[field], expected, "{field}");
    }
    assert_eq!(edited["history"].as_array().unwrap().len(), 1);
    assert_eq!(figure(&network, "payout").await.as_f64(), Some(before + 2.5));
    let noted = network.patch(&path, json!({"notes": ""})).await.done();
    assert_eq!((&noted["notes"], &noted["payout"]), (&json!(""), &json!(7.75)));
    for (wrong, field) in
        [(json!({"payout": -1}), "payout"), (json!({"status": "approved"}), "status")]
    {
        assert_eq!(
            network.patch(&path, wrong).await.refusal(),
            (400, "request.invalid", vec![field])
        );
    }
    let absent = format!("reporting/conversions/{}", ids_of(&[9])[0]);
    let absent = network.patch(&absent, json!({"notes": "x"})).await;
    assert_eq!(absent.refusal(), (404, "conversion.not_found", vec![]));
    let audit = network.get("audit?filter=object=conversion").await.done();
    assert_eq!(audit["paging"]["total_count"], 2, "{audit}");
}
