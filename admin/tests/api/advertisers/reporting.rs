//! `/v1/advertisers`: no answer to an advertiser holds payouts, data of other advertisers, or data of
//! visitors and partners beyond the columns for advertisers.
//!
//! As in the test of partners, the store is full of markers, and every described route is requested
//! in all tempting ways. Beside the markers, the names of all fields and columns are checked.

use coupon_admin::config::Config;
use coupon_admin::store::conversions::{Conversion, Status};
use coupon_shared::click::Tag;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, offer, start_with, with};
use crate::portal::{
    Asked, Portal, asked, described_routes, entity_bodies, got, june, tempting_by,
};
use crate::recorded::{Visit, money, sale};

/// Beside texts that begin with `MARK`: payouts, profit, margin, the rival's amounts, and addresses.
const MARKERS: [&str; 9] = [
    "mark",
    "4321.987",
    "4678.513",
    "51.98",
    "5432.198",
    "6543.219",
    "198.51.100.77",
    "203.0.113.99",
    "rivalcode",
];

/// Parts of the names of fields that no answer may have.
const HIDDEN_WORDS: [&str; 20] = [
    "payout",
    "profit",
    "margin",
    "cpa",
    "cpc",
    "epc",
    "notes",
    "email",
    "ip",
    "agent",
    "referer",
    "token",
    "key",
    "billing",
    "suspicion",
    "error",
    "bot",
    "attribution",
    "history",
    "uid",
];

/// Ends of routes whose answers name no code.
const WITHOUT_CODES: [&str; 6] =
    ["/daily", "/offer", "/offers", "/offers/{id}", "/settings", "/summary"];

fn without_limits(config: &mut Config) {
    config.limits.advertiser_requests_per_30s = 0;
    config.limits.network_requests_per_30s = 0;
}

/// Advertiser 1 with offers 1 and 3, of which 3 is deleted, and its rival with offer 2. Anna sells for
/// both. Returns the key of advertiser 1, and the ids of its click and of the rival's.
async fn network() -> (Running, String, Vec<String>) {
    let network = start_with(without_limits).await;
    for name in ["Northwind", "MARK Rival"] {
        let advertiser = json!({"name": name, "account_status": "active",
            "verification_token": "MARKTOKEN", "signing_key": "MARKSIGNINGKEY0"});
        network.post("advertisers", advertiser).await.done();
    }
    for (name, advertiser) in [("Winter Jackets", 1), ("MARK Offer", 2), ("MARK gone", 1)] {
        let over = json!({
            "network_advertiser_id": advertiser, "fallback_url": "https://mark.example/",
            "daily_payout_cap": 4321.987, "daily_revenue_cap": 12000, "internal_notes": "MARK",
            "payout_revenue": [
                {"payout_type": "cpa", "payout_amount": 4321.987, "revenue_type": "rpa",
                    "revenue_amount": 9000.5, "is_default": true},
                {"entry_name": "Trial", "payout_type": "cpa", "payout_amount": 4321.987,
                    "revenue_type": "rpa", "revenue_amount": 3, "is_private": true},
            ],
        });
        network.post("offers", with(offer(name), over)).await.done();
    }
    network.delete("offers/3").await.done();
    for name in ["Anna", "MARK Ben"] {
        let partner = json!({"name": name, "account_status": "active", "internal_notes": "MARK",
            "contact_address": {"address_1": "MARK street"}});
        network.post("affiliates", partner).await.done();
    }
    let notes = json!({"internal_notes": "MARK notes"});
    network.post("couponcodes", with(code("ANNA10"), notes)).await.done();
    let rivals = json!({"network_offer_id": 2});
    network.post("couponcodes", with(code("RIVALCODE"), rivals)).await.done();
    let wanted = json!({"name": "Northwind's", "role": "advertiser", "network_advertiser_id": 1});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    let personal: Vec<(Tag, &[u8])> = vec![
        (Tag::Sub1, b"story"),
        (Tag::Uid, b"MARK uid"),
        (Tag::Address, &[198, 51, 100, 77]),
        (Tag::UserAgent, b"MARK browser"),
        (Tag::Referer, b"https://mark-referer.example/"),
    ];
    let own = Visit { tags: personal, ..Visit::new("Anna10", 1, 1) };
    let rivals = Visit {
        tags: vec![(Tag::Sub1, b"MARK sub")],
        offer_id: 2,
        advertiser_id: 2,
        ..Visit::new("RivalCode", 2, 1)
    };
    let ids = network.visit(&[own, rivals]).await;
    network.convert(sales(&ids)).await;
    (network, key, ids)
}

/// An approved, a pending and a rejected conversion; an invalid one, an unproven one and a refund of
/// the same advertiser; and the rival's.
fn sales(ids: &[String]) -> Vec<Conversion> {
    let approved = Conversion {
        transaction_id: ids[0].clone(),
        payout: money("4321.987"),
        payout_type: "MARK payout type".into(),
        revenue: money("9000.5"),
        order_id: "N-1".into(),
        adv1: "spring".into(),
        sub1: "story".into(),
        uid: "MARK uid".into(),
        click_address: "198.51.100.77".into(),
        click_user_agent: "MARK browser".into(),
        click_referer: "https://mark-referer.example/".into(),
        address: "203.0.113.99".into(),
        user_agent: "MARK sender".into(),
        referer: "MARK page".into(),
        email: "mark@buyer.example".into(),
        city: "Markham".into(),
        terms: "MARK terms".into(),
        suspicion: "MARK suspicion".into(),
        notes: "MARK notes".into(),
        has_conflict: true,
        steps: json!([{"step": "MARK", "detail": "MARK detail"}]).to_string(),
        ..sale(1)
    };
    let other =
        |id: u8, status: Status, error_code: u32| Conversion { status, error_code, ..sale(id) };
    let hidden = |row: Conversion| Conversion { coupon_code: "MARK10".into(), ..row };
    let rivals = Conversion {
        offer_id: 2,
        advertiser_id: 2,
        code_id: 2,
        coupon_code: "RIVALCODE".into(),
        folded_code: "rivalcode".into(),
        transaction_id: ids[1].clone(),
        order_id: "MARK order".into(),
        sub1: "MARK sub".into(),
        revenue: money("5432.198"),
        sale_amount: money("6543.219"),
        ..sale(7)
    };
    vec![
        approved,
        other(2, Status::Pending, 1015),
        other(3, Status::Rejected, 0),
        hidden(other(4, Status::Invalid, 1011)),
        hidden(other(5, Status::Pending, 21)),
        hidden(Conversion { refund_of: Some([7; 32]), ..other(6, Status::Pending, 1023) }),
        rivals,
    ]
}

/// Requests for data of the rival, and for columns that advertisers do not see.
fn tempting() -> Vec<Value> {
    tempting_by(&[
        ("affiliate", json!(1)),
        ("affiliate", json!(2)),
        ("advertiser", json!(2)),
        ("advertiser", json!("2")),
        ("offer", json!(2)),
        ("offer", json!(3)),
        ("coupon_code", json!("RIVALCODE")),
        ("coupon_code", json!(2)),
        ("status", json!("invalid")),
        ("status", json!("rejected")),
        ("order_id", json!("MARK order")),
        ("sub1", json!("MARK sub")),
        ("city", json!("Markham")),
        ("email", json!("mark@buyer.example")),
    ])
}

/// The requests for a route; `None` for a route without requests here.
fn questions(method: &str, template: &str, ids: &[String]) -> Option<Vec<Asked>> {
    let portal = "/v1/advertisers";
    Some(match (method, template.strip_prefix(portal)?) {
        ("get", "/offers") => got([
            "",
            "?page=1&page_size=2000",
            "?relationship=all&relationship=advertiser&relationship=payout_revenue",
            "?filter=network_advertiser_id=2",
            "?filter=network_offer_id=2",
            "?filter=deleted=true",
            "?filter=name%3EMARK",
            "?sort=-name",
        ]
        .map(|query| format!("{template}{query}"))),
        ("get", "/offers/{id}") => {
            got(["1", "2", "3", "1?relationship=all"].map(|id| format!("{portal}/offers/{id}")))
        }
        ("get", "/settings" | "/dashboard/summary") => {
            got(["", "?network_advertiser_id=2"].map(|query| format!("{template}{query}")))
        }
        ("post", "/dashboard/summary") => {
            let bodies =
                [json!({}), json!({"timezone_id": 67}), json!({"network_advertiser_id": 2})];
            asked(template, bodies)
        }
        (
            "post",
            "/reporting/entity"
            | "/reporting/entity/table"
            | "/reporting/entity/table/export"
            | "/reporting/entity/summary"
            | "/reporting/daily"
            | "/reporting/offer",
        ) => {
            let mut questions = asked(template, entity_bodies(tempting()));
            let ordered = format!("{template}?order_field=payout&order_direction=desc");
            questions.extend(asked(&ordered, [june(json!({"columns": [{"column": "offer"}]}))]));
            questions
        }
        (
            "post",
            "/reporting/clicks/stream"
            | "/reporting/conversions"
            | "/reporting/conversions/stream"
            | "/reporting/conversions/export",
        ) => asked(template, tempting().into_iter().map(june)),
        ("get", "/reporting/clicks/{transaction_id}") => {
            got([0, 0, 1].map(|id: usize| format!("{portal}/reporting/clicks/{}", ids[id])))
        }
        ("get", "/reporting/conversions/{conversion_id}") => {
            got((1..=7).map(|id: u8| format!("{portal}/reporting/conversions/{}", hex_id(id))))
        }
        _ => return None,
    })
}

fn hex_id(id: u8) -> String {
    format!("{id:02x}").repeat(16)
}

/// The names of all fields of an answer, or of all columns of a file.
fn names(answer: &Answer) -> Vec<String> {
    fn collect(value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                names.extend(fields.keys().cloned());
                fields.values().for_each(|value| collect(value, names));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    match answer.header("content-type") {
        Some(kind) if kind.starts_with("text/csv") => {
            names.extend(
                answer.text.lines().take(1).flat_map(|line| line.split(',')).map(str::to_owned),
            );
        }
        _ => collect(&answer.body, &mut names),
    }
    names
}

fn assert_tells_nothing(answer: &Answer, question: &Asked) {
    // An error may repeat the request.
    if answer.status != 200 {
        assert!([400, 404].contains(&answer.status), "{question:?} {answer:?}");
        return;
    }
    let text = answer.text.to_ascii_lowercase();
    for marker in MARKERS {
        assert!(!text.contains(marker), "{question:?} tells {marker}: {}", answer.text);
    }
    for name in names(answer) {
        let hidden = name.split('_').find(|word| HIDDEN_WORDS.contains(word));
        assert_eq!(hidden, None, "{question:?} has {name}");
    }
}

#[tokio::test]
async fn no_route_of_advertisers_tells_payouts_or_what_is_not_theirs() {
    let (network, key, ids) = network().await;
    let portal = Portal {
        network: &network,
        key: &key,
        prefix: "/v1/advertisers/",
        without_codes: &WITHOUT_CODES,
    };
    let questions = |method: &str, template: &str| questions(method, template, &ids);
    let routes = portal.ask_every_route(questions, assert_tells_nothing).await;
    assert!(routes >= 17, "{routes}");
}

#[tokio::test]
async fn an_advertisers_key_opens_no_route_of_others() {
    let (network, key, _) = network().await;
    let others =
        described_routes().into_iter().filter(|(_, path)| !path.starts_with("/v1/advertisers/"));
    for (method, template) in others {
        let parts = template.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let path = parts.collect::<Vec<_>>().join("/");
        let method = method.to_ascii_uppercase();
        let body = (method != "GET" && method != "DELETE").then(|| json!({}));
        let answer = network.call_as(&key, &method, &path, body).await;
        match path.starts_with("/v1/meta/") {
            true => assert_ne!(answer.status, 403, "{method} {path}"),
            false => {
                assert_eq!(answer.refusal(), (403, "auth.wrong_kind", vec![]), "{method} {path}")
            }
        }
    }
}

#[tokio::test]
async fn the_markers_are_there_for_the_network() {
    let (network, _, ids) = network().await;
    let mut seen = String::new();
    for (path, body) in [
        ("reporting/conversions", june(json!({}))),
        ("reporting/clicks/stream", june(json!({}))),
        ("reporting/entity", june(json!({"columns": [{"column": "offer"}]}))),
    ] {
        seen += &network.post(path, body).await.text.to_ascii_lowercase();
    }
    seen += &network.get(&format!("reporting/clicks/{}", ids[1])).await.text.to_ascii_lowercase();
    for marker in MARKERS {
        assert!(seen.contains(marker), "{marker} is nowhere");
    }
}

#[tokio::test]
async fn an_advertiser_sees_his_offers_sales_partners_and_what_he_pays() {
    let (network, key, ids) = network().await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        let path = format!("/v1/advertisers/{path}");
        network.call_as(&key, method, &path, body).await
    };
    let ask = async |path: &str, body: Value| call("POST", path, Some(june(body))).await.done();

    let offers = call("GET", "offers", None).await.done();
    assert_eq!(offers["paging"]["total_count"], 1);
    let offer = &offers["offers"][0];
    assert_eq!(
        (&offer["network_offer_id"], &offer["daily_revenue_cap"]),
        (&json!(1), &json!(12000))
    );
    let revenues = offer["relationship"]["revenues"]["entries"].as_array().unwrap();
    let paid: Vec<_> =
        revenues.iter().map(|entry| (&entry["entry_name"], &entry["revenue_amount"])).collect();
    assert_eq!(paid[0].1, &json!(9000.5));
    assert_eq!(paid[1], (&json!("Trial"), &json!(3)));
    assert_eq!(&call("GET", "offers/1", None).await.done(), offer);
    let unknown = |id: u32| format!("there is no offer {id}");
    for id in [2, 3, 99] {
        let answer = call("GET", &format!("offers/{id}"), None).await;
        assert_eq!((answer.status, answer.body["error"].as_str().unwrap()), (404, &*unknown(id)));
    }

    let columns = json!([{"column": "affiliate"}, {"column": "coupon_code"}]);
    let report = ask("reporting/entity", json!({"columns": columns})).await;
    let rows = report["table"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{report}");
    let labels = [0, 1].map(|column: usize| &rows[0]["columns"][column]["label"]);
    assert_eq!(labels, [&json!("Anna"), &json!("ANNA10")]);
    for (measure, expected) in [
        ("total_click", json!(1)),
        ("cv", json!(1)),
        ("rejected_cv", json!(1)),
        ("revenue", json!(9000.5)),
        ("rpc", json!(9000.5)),
        ("gross_sales", json!(100)),
        ("currency_id", json!("USD")),
    ] {
        assert_eq!(rows[0]["reporting"][measure], expected, "{measure}");
    }

    let sold = ask("reporting/conversions", json!({})).await;
    let sold = sold["conversions"].as_array().unwrap();
    let statuses: Vec<&str> = sold.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["rejected", "pending", "approved"]);
    let approved = &sold[2];
    assert_eq!((&approved["order_id"], &approved["adv1"]), (&json!("N-1"), &json!("spring")));
    assert_eq!(approved["relationship"]["affiliate"]["name"], "Anna");
    let path = format!("reporting/conversions/{}", hex_id(1));
    assert_eq!(&call("GET", &path, None).await.done(), approved);
    let stream = ask("reporting/conversions/stream", json!({})).await;
    assert_eq!(
        (&stream["conversions"], &stream["incomplete_results"]),
        (&json!(sold), &json!(false))
    );
    let page = json!({"page": 2, "page_size": 1});
    let page = ask("reporting/conversions/stream", page).await;
    assert_eq!((&page["conversions"], &page["paging"]["page"]), (&json!([sold[1]]), &json!(2)));
    let file = call("POST", "reporting/conversions/export", Some(june(json!({})))).await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(file.text.lines().count(), 4, "{}", file.text);
    let sums = ask("reporting/entity/summary", json!({"columns": columns})).await;
    assert_eq!((&sums["cv"], &sums["revenue"]), (&json!(1), &json!(9000.5)), "{sums}");
    // Invalid, unproven, a refund, the rival's, and one that nobody has.
    for id in [4, 5, 6, 7, 99] {
        let answer = call("GET", &format!("reporting/conversions/{}", hex_id(id)), None).await;
        assert_eq!(answer.refusal(), (404, "conversion.not_found", vec![]), "{id}");
    }

    let clicks = ask("reporting/clicks/stream", json!({})).await;
    let clicks = clicks["clicks"].as_array().unwrap();
    assert_eq!((clicks.len(), &clicks[0]["sub1"]), (1, &json!("story")));
    assert_eq!(clicks[0]["relationship"]["affiliate"]["network_affiliate_id"], 1);
    let rivals = call("GET", &format!("reporting/clicks/{}", ids[1]), None).await;
    assert_eq!(rivals.refusal(), (404, "click.not_arrived", vec![]));

    let cost =
        &call("POST", "dashboard/summary", Some(json!({"timezone_id": "67"}))).await.done()["cost"];
    assert!(cost["today"].is_number() && cost["last_month"].is_number(), "{cost}");
    let wrong = call("POST", "dashboard/summary", Some(json!({"timezone_id": 100000}))).await;
    assert_eq!(wrong.refusal().2, ["timezone_id"]);
}
