//! `/v1/affiliates`: no answer to a partner holds data of other partners or of the network.
//!
//! The store is full of markers: all data that partners must not learn are texts or amounts that
//! occur nowhere else. The test requests every described route of partners in all tempting ways,
//! as JSON and as a file. A route without requests here fails the test.

use coupon_admin::store::conversions::{Conversion, Status};
use coupon_shared::click::Tag;
use serde_json::{Value, json};

use crate::client::{Answer, Running, code, offer, start_with, with};
use crate::portal::{Asked, Portal, asked, entity_bodies, got, june, tempting_by};
use crate::recorded::{Visit, money, sale};

/// Beside texts that begin with `MARK`: amounts, sums and ratios of them, addresses, and Ben's id.
const MARKERS: [&str; 12] = [
    "mark",
    "7654.321",
    "8765.432",
    "7649.071",
    "4321.987",
    "5432.198",
    "6543.219",
    "198.51.100.77",
    "203.0.113.99",
    "benscode",
    "ten minutes",
    "99.93",
];

/// Ends of routes whose answers name no code.
const WITHOUT_CODES: [&str; 11] = [
    "/alloffers",
    "/apikey",
    "/daily",
    "/offer",
    "/offers",
    "/offers/{id}",
    "/offersrunnable",
    "/settings",
    "/sub",
    "/summary",
    "/url/{url_id}",
];

async fn network() -> (Running, String, Vec<String>) {
    let network = start_with(|config| config.limits.partner_requests_per_30s = 0).await;
    let shop = json!({"name": "MARK Advertiser", "account_status": "active", "verification_token": "MARKTOKEN"});
    network.post("advertisers", shop).await.done();
    let over = json!({"destination_url": "https://mark.example/?t={transaction_id}"});
    network.post("offers", with(offer("Winter Jackets"), over)).await.done();
    let domain = json!({"base_url": "https://go.example.com", "is_default": true});
    network.post("trackingdomains", domain).await.done();
    for (name, notes) in [("Anna", "MARK about Anna"), ("MARK Ben", "MARK about Ben")] {
        let partner = json!({"name": name, "account_status": "active", "internal_notes": notes});
        network.post("affiliates", partner).await.done();
    }
    let notes = json!({"internal_notes": "MARK notes"});
    network.post("couponcodes", with(code("ANNA10"), notes)).await.done();
    let bens = json!({"network_affiliate_id": 2});
    network.post("couponcodes", with(code("BENSCODE"), bens)).await.done();
    let wanted = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    for (partner, url) in [(1, "https://anna.example/ANNA10"), (2, "https://mark.example/")] {
        let pixel = json!({"network_affiliate_id": partner, "pixel_status": "active", "postback_url": url,
            "description": "MARK description", "signing_key": "MARKKEY"});
        network.post("pixels", pixel).await.done();
    }
    add_controls(&network).await;
    add_caps(&network).await;
    let personal: Vec<(Tag, &[u8])> = vec![
        (Tag::Sub1, b"story"),
        (Tag::Address, &[198, 51, 100, 77]),
        (Tag::UserAgent, b"MARK browser"),
        (Tag::Referer, b"https://mark-referer.example/"),
        (Tag::Language, b"mark-language"),
    ];
    let annas = Visit { tags: personal, ..Visit::new("Anna10", 1, 1) };
    let bens = Visit { tags: vec![(Tag::Sub1, b"MARK sub")], ..Visit::new("BENSCODE", 2, 2) };
    let ids = network.visit(&[annas, bens]).await;
    network.convert(sales(&ids)).await;
    (network, key, ids)
}

/// A traffic control of Anna's traffic, one of Ben's, and one of an offer that both do not see.
async fn add_controls(network: &Running) {
    let hidden = with(offer("MARK Offer"), json!({"visibility": "private"}));
    network.post("offers", hidden).await.done();
    for (value, offer, partners) in
        [("ANNA10", 1, json!([1])), ("MARK value", 1, json!([2])), ("MARK hidden", 2, json!([1]))]
    {
        let control = json!({
            "name": "MARK name", "status": "active", "control_type": "blacklist",
            "variables": ["sub1"], "values": [value], "network_offer_ids": [offer],
            "network_affiliate_ids": partners,
        });
        network.post("trafficcontrols", control).await.done();
    }
    for (partner, value) in [(1, "ANNA10"), (2, "MARKS-SOURCE")] {
        let blocked = json!({"variable": "source_id", "value": value,
            "network_affiliate_id": partner, "notes": "mark my words"});
        network.post("blockedvalues", blocked).await.done();
    }
}

/// A cap of Anna's code, with a limit of revenue that is the network's own, and one of Ben's traffic.
async fn add_caps(network: &Running) {
    for (partner, code, limits) in [
        (1, 1, json!({"daily_click_cap": 1000, "daily_revenue_cap": 7654.321})),
        (2, 0, json!({"daily_payout_cap": 4321.987})),
    ] {
        let cap = json!({
            "name": "MARK cap", "network_affiliate_id": partner, "network_offer_id": 1,
            "network_coupon_code_id": code,
        });
        network.post("custom/caps", with(cap, limits)).await.done();
    }
}

/// One approved and one pending conversion of Anna's, an invalid one and a refund with her code,
/// and Ben's.
fn sales(ids: &[String]) -> Vec<Conversion> {
    let annas = Conversion {
        transaction_id: ids[0].clone(),
        sub1: "story".into(),
        revenue: money("7654.321"),
        amount: Some(money("8765.432")),
        sale_amount: money("8765.432"),
        click_address: "198.51.100.77".into(),
        click_user_agent: "MARK browser".into(),
        click_referer: "https://mark-referer.example/".into(),
        click_language: "mark-language".into(),
        address: "203.0.113.99".into(),
        user_agent: "MARK sender".into(),
        referer: "MARK page".into(),
        order_id: "MARK order".into(),
        email: "mark@buyer.example".into(),
        adv1: "MARK adv1".into(),
        adv5: "MARK adv5".into(),
        revenue_type: "MARK revenue type".into(),
        terms: "MARK terms".into(),
        suspicion: "MARK suspicion".into(),
        notes: "MARK notes".into(),
        has_conflict: true,
        steps: json!([{"step": "MARK", "detail": "MARK detail"}]).to_string(),
        ..sale(1)
    };
    let waiting = Conversion { status: Status::Pending, error_code: 1015, ..sale(2) };
    let invalid = Conversion {
        status: Status::Invalid,
        error_code: 1011,
        coupon_code: "MARK10".into(),
        ..sale(3)
    };
    let refund = Conversion {
        status: Status::Pending,
        error_code: 1023,
        coupon_code: "MARK20".into(),
        amount: Some(money("-8765.432")),
        refund_of: Some([7; 32]),
        ..sale(5)
    };
    let bens = Conversion {
        affiliate_id: 2,
        code_id: 2,
        coupon_code: "BENSCODE".into(),
        folded_code: "benscode".into(),
        transaction_id: ids[1].clone(),
        sub1: "MARK sub".into(),
        payout: money("4321.987"),
        revenue: money("5432.198"),
        sale_amount: money("6543.219"),
        ..sale(4)
    };
    vec![annas, waiting, invalid, refund, bens]
}

/// Requests for data of others: by filter, by exclusion, by column and by order.
fn tempting() -> Vec<Value> {
    tempting_by(&[
        ("affiliate", json!(2)),
        ("affiliate", json!("2")),
        ("advertiser", json!(1)),
        ("coupon_code", json!("BENSCODE")),
        ("coupon_code", json!(2)),
        ("offer", json!(1)),
        ("status", json!("invalid")),
        ("status", json!("pending")),
        ("order_id", json!("MARK order")),
        ("sub1", json!("MARK sub")),
        ("email", json!("mark@buyer.example")),
    ])
}

/// The requests for a route; `None` for a route without requests here.
fn questions(method: &str, template: &str, ids: &[String]) -> Option<Vec<Asked>> {
    let reporting = "/v1/affiliates/reporting";
    Some(match (method, template.strip_prefix("/v1/affiliates")?) {
        ("get", "/couponcodes") => got(["", "?relationship=offer", "?page=1&page_size=2000"]
            .map(|query| format!("{template}{query}"))),
        (
            "post",
            "/reporting/entity" | "/reporting/entity/table" | "/reporting/entity/table/export",
        ) => {
            let mut questions = asked(template, entity_bodies(tempting()));
            questions.extend(asked(
                &format!("{template}?order_field=revenue&order_direction=desc"),
                [june(json!({"columns": [{"column": "offer"}]}))],
            ));
            questions
        }
        ("get", "/pixels") => got(["", "?filter=network_pixel_id=2", "?page=1&page_size=2000"]
            .map(|query| format!("{template}{query}"))),
        ("post", "/pixels") => {
            let wanted =
                json!({"pixel_status": "active", "postback_url": "https://anna.example/ANNA10"});
            let over =
                [json!({}), json!({"network_affiliate_id": 2}), json!({"signing_key": "MARKKEY"})];
            asked(template, over.map(|over| with(wanted.clone(), over)))
        }
        ("get", "/offersrunnable" | "/alloffers" | "/offers") => got([
            "",
            "?page=1&page_size=2000",
            "?relationship=all&relationship=reporting",
            "?filter=network_offer_id=2",
        ]
        .map(|query| format!("{template}{query}"))),
        ("get", "/offers/{id}") => {
            got(["1", "2", "1?relationship=all"]
                .map(|offer| format!("/v1/affiliates/offers/{offer}")))
        }
        ("get", "/offers/{id}/url/{url_id}") => got(["1/url/0", "2/url/0", "1/url/9"]
            .map(|link| format!("/v1/affiliates/offers/{link}?affid=2&sub1=x"))),
        ("get", "/settings") => {
            got(["", "?network_affiliate_id=2"].map(|query| format!("{template}{query}")))
        }
        ("put", "/pixels/{id}") => {
            let wanted =
                json!({"pixel_status": "active", "postback_url": "https://anna.example/ANNA10"});
            let over = [json!({}), json!({"network_offer_id": 2}), json!({"network_offer_id": 1})];
            let bodies = over.map(|over| with(wanted.clone(), over));
            let mut questions = asked("/v1/affiliates/pixels/1", bodies.clone());
            questions.extend(asked("/v1/affiliates/pixels/2", bodies));
            questions
        }
        ("post", "/reporting/daily" | "/reporting/offer" | "/reporting/sub") => {
            asked(template, entity_bodies(tempting()))
        }
        ("get", "/dashboard/summary") => {
            got(["", "?network_affiliate_id=2"].map(|query| format!("{template}{query}")))
        }
        ("get" | "post" | "delete", "/apikey") => got([template.to_owned(), template.to_owned()]),
        ("post", "/reporting/clicks/stream" | "/reporting/conversions") => {
            asked(template, tempting().into_iter().map(june))
        }
        ("get", "/caps") => got([
            "",
            "?network_affiliate_id=2",
            "?relationship=all",
            "?filter=network_custom_cap_setting_id=2",
        ]
        .map(|query| format!("{template}{query}"))),
        ("get", "/trafficcontrols" | "/trafficblocking") => got([
            "",
            "?relationship=values",
            "?filter=network_traffic_control_id=2",
            "?network_offer_id=2",
        ]
        .map(|query| format!("{template}{query}"))),
        ("get", "/trafficcontrols/{id}") => {
            got([1, 2, 3].map(|id| format!("/v1/affiliates/trafficcontrols/{id}")))
        }
        ("get", "/blockedvalues") => got([
            "",
            "?network_affiliate_id=2",
            "?filter=network_affiliate_id=2",
            "?page=1&page_size=2000",
        ]
        .map(|query| format!("{template}{query}"))),
        ("post", "/blockedvariables") => {
            let over =
                [json!({}), json!({"network_offer_id": 2}), json!({"network_affiliate_id": 2})];
            asked(template, over.map(|over| with(json!({"network_offer_id": 1}), over)))
        }
        ("get", "/reporting/clicks/{transaction_id}") => {
            got(ids.iter().map(|id| format!("{reporting}/clicks/{id}")))
        }
        _ => return None,
    })
}

fn assert_leaks_nothing(answer: &Answer, question: &Asked) {
    // An error may repeat the request.
    if answer.status != 200 {
        assert!([400, 404].contains(&answer.status), "{question:?} {answer:?}");
        return;
    }
    let text = answer.text.to_ascii_lowercase();
    for marker in MARKERS {
        assert!(!text.contains(marker), "{question:?} tells {marker}: {}", answer.text);
    }
}

#[tokio::test]
async fn no_route_of_partners_tells_what_is_not_theirs() {
    let (network, key, ids) = network().await;
    let portal = Portal {
        network: &network,
        key: &key,
        prefix: "/v1/affiliates/",
        without_codes: &WITHOUT_CODES,
    };
    let questions = |method: &str, template: &str| questions(method, template, &ids);
    let routes = portal.ask_every_route(questions, assert_leaks_nothing).await;
    assert!(routes >= 7, "{routes}");
}

#[tokio::test]
async fn the_markers_are_there_for_those_who_may_see_them() {
    let (network, _, ids) = network().await;
    let mut seen = String::new();
    for (path, body) in [
        ("reporting/conversions", june(json!({}))),
        ("reporting/clicks/stream", june(json!({}))),
        (
            "reporting/entity",
            june(json!({"columns": [{"column": "advertiser"}, {"column": "affiliate"}]})),
        ),
    ] {
        seen += &network.post(path, body).await.text.to_ascii_lowercase();
    }
    seen += &network.get(&format!("reporting/clicks/{}", ids[1])).await.text.to_ascii_lowercase();
    for marker in MARKERS {
        assert!(seen.contains(marker), "{marker} is nowhere");
    }
}

#[tokio::test]
async fn a_partner_sees_his_clicks_his_sales_and_what_he_gets() {
    let (network, key, ids) = network().await;
    let ask = async |path: &str, body: Value| {
        let path = format!("/v1/affiliates/reporting/{path}");
        network.call_as(&key, "POST", &path, Some(body)).await.done()
    };
    let report = ask("entity", june(json!({"columns": [{"column": "coupon_code"}]}))).await;
    let rows = report["table"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["columns"][0]["label"], "ANNA10");
    let reporting = &rows[0]["reporting"];
    for (measure, expected) in [
        ("total_click", json!(1)),
        ("cv", json!(1)),
        ("pending_cv", json!(1)),
        ("payout", json!(5.25)),
        ("epc", json!(5.25)),
        ("currency_id", json!("USD")),
    ] {
        assert_eq!(reporting[measure], expected, "{measure}");
    }
    let sold = ask("conversions", june(json!({}))).await;
    assert_eq!(sold["paging"]["total_count"], 2);
    let statuses: Vec<&str> = sold["conversions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["pending", "approved"]);
    assert_eq!(sold["conversions"][1]["transaction_id"], ids[0].as_str());
    let clicks = ask("clicks/stream", june(json!({}))).await;
    assert_eq!(clicks["clicks"].as_array().unwrap().len(), 1);
    assert_eq!(clicks["clicks"][0]["sub1"], "story");
    assert_eq!(clicks["clicks"][0]["has_conversion"], true);
    let bens = format!("/v1/affiliates/reporting/clicks/{}", ids[1]);
    let refused = network.call_as(&key, "GET", &bens, None).await;
    assert_eq!(refused.refusal(), (404, "click.not_arrived", vec![]));
}
