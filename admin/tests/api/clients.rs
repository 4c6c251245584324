//! Requests as clients that were made for Everflow send them.

use serde_json::{Value, json};

use crate::client::{Running, code, start_with_offers, with};

async fn get(network: &Running, path: &str) -> Value {
    network.call_as(&network.key, "GET", path, None).await.done()
}

fn ids(answer: &Value, list: &str, id: &str) -> Vec<u64> {
    answer[list].as_array().unwrap().iter().map(|row| row[id].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_network_tells_its_zone_and_currency() {
    let network = start_with_offers().await;
    let settings = json!({"time_zone": "America/New_York", "currency": "USD"});
    network.patch("settings", settings).await.done();
    let answer = get(&network, "/v1/networks?relationship=all").await;
    for (field, expected) in [
        ("network_id", json!(1)),
        ("name", json!("Network 1")),
        ("account_status", json!("active")),
        ("timezone", json!("America/New_York")),
        ("timezone_id", json!(80)),
        ("default_currency_id", json!("USD")),
        ("network_tracking_domain_id", json!(1)),
    ] {
        assert_eq!(answer[field], expected, "{field}");
    }
    network.patch("settings", json!({"time_zone": "Europe/Vienna"})).await.done();
    assert_eq!(get(&network, "/v1/networks").await["timezone_id"], 0);
}

#[tokio::test]
async fn tracking_domains_are_listed_by_their_hosts() {
    let network = start_with_offers().await;
    let other =
        json!({"base_url": "http://b.example.com:8080", "fallback_url": "https://c.example/"});
    network.post("trackingdomains", other).await.done();
    let domains = network.get("domains/tracking?page=1").await.done()["domains"].clone();
    let hosts: Vec<_> = domains.as_array().unwrap().iter().map(|domain| &domain["url"]).collect();
    assert_eq!(hosts, ["go.example.com", "b.example.com:8080"]);
    assert_eq!(domains[0]["is_primary_domain"], true);
    assert_eq!(domains[0]["is_ssl_enabled"], true);
    assert_eq!(network.get("domains/tracking/2").await.done(), domains[1]);
    assert_eq!(domains[1]["url_redirect"], "https://c.example/");
    assert_eq!(network.get("domains/tracking/3").await.refusal(), (404, "not_found", vec![]));
}

#[tokio::test]
async fn lists_take_a_limit_an_empty_order_and_all_relationships() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ALPHA")).await.done();
    network.post("couponcodes", code("BETA")).await.done();
    let first = network.get("offers?limit=1").await.done();
    assert_eq!(ids(&first, "offers", "network_offer_id"), [1]);
    assert_eq!(first["paging"]["page_size"], 1);
    let named = network.get("offers?limit=1&page_size=2").await.done();
    assert_eq!(named["paging"]["page_size"], 2);
    let query = "couponcodes?page=1&page_size=100&order_field=&order_direction=&relationship=all";
    let codes = network.get(query).await.done();
    let relationship = &codes["coupon_codes"][0]["relationship"];
    assert_eq!(relationship["offer"]["name"], "Winter Jackets");
    assert_eq!(relationship["affiliate"]["name"], "Anna");
    assert_eq!(codes.get("warnings"), None);
    let query = "couponcodes?order_field=coupon_code&order_direction=desc";
    let codes = network.get(query).await.done();
    assert_eq!(ids(&codes, "coupon_codes", "network_coupon_code_id"), [2, 1]);
    let offer = network.get("offers/1?relationship=reporting&relationship=advertiser").await.done();
    assert_eq!(offer["relationship"]["advertiser"]["name"], "Shop");
}

#[tokio::test]
async fn ignored_parts_of_a_list_come_back_as_warnings() {
    let network = start_with_offers().await;
    let query = "affiliates?relationship=users&relationship=all&order_field=revenue";
    let answer = network.get(query).await.done();
    let fields: Vec<_> =
        answer["warnings"].as_array().unwrap().iter().map(|it| &it["field"]).collect();
    assert_eq!(fields, ["relationship.users", "order_field"]);
    for (query, field) in [
        ("affiliates?relationship=colours", "relationship"),
        ("affiliates?limit=0", "limit"),
        ("affiliates?limit=2001", "limit"),
        ("affiliates?order_direction=up", "order_direction"),
        ("affiliates?colour=red", "colour"),
    ] {
        let refused = network.get(query).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query}");
    }
}

#[tokio::test]
async fn tables_search_and_filter() {
    let network = start_with_offers().await;
    network
        .post("advertisers", json!({"name": "Store", "account_status": "inactive"}))
        .await
        .done();
    network
        .post(
            "couponcodes/bulk",
            json!([
                code("ALPHA"),
                code("BETA"),
                with(code("AB"), json!({"coupon_code": "ABC", "network_affiliate_id": 2}))
            ]),
        )
        .await
        .done();
    let pixel = json!({"network_affiliate_id": 1, "pixel_status": "active", "postback_url": "https://p.example.com/?t={transaction_id}"});
    network.post("pixels", pixel).await.done();
    let name = |text: &str| json!({"search_terms": [{"search_type": "name", "value": text}]});
    let by = |filters: Value| json!({"filters": filters});
    let cases: [(&str, Value, &str, &str, &[u64]); 15] = [
        ("offerstable", json!({}), "offers", "network_offer_id", &[1, 2]),
        ("offerstable", name("JACK"), "offers", "network_offer_id", &[1]),
        (
            "offerstable",
            by(json!({"offer_status": "active"})),
            "offers",
            "network_offer_id",
            &[1, 2],
        ),
        (
            "offerstable",
            by(json!({"network_offer_ids": [2, "7"]})),
            "offers",
            "network_offer_id",
            &[2],
        ),
        (
            "offerstable",
            by(json!({"network_advertiser_ids": [2, 3]})),
            "offers",
            "network_offer_id",
            &[],
        ),
        (
            "offerstable",
            by(json!({"visibilities": ["public", "private"], "network_advertiser_ids": []})),
            "offers",
            "network_offer_id",
            &[1, 2],
        ),
        ("affiliatestable", name("ben"), "affiliates", "network_affiliate_id", &[2]),
        (
            "affiliatestable",
            by(json!({"account_status": null, "network_affiliate_ids": [1]})),
            "affiliates",
            "network_affiliate_id",
            &[1],
        ),
        (
            "advertiserstable",
            by(json!({"account_status": "inactive"})),
            "advertisers",
            "network_advertiser_id",
            &[2],
        ),
        (
            "pixelstable",
            by(json!({"network_affiliate_id": "1"})),
            "pixels",
            "network_pixel_id",
            &[1],
        ),
        ("pixelstable", by(json!({"network_affiliate_id": 2})), "pixels", "network_pixel_id", &[]),
        ("couponcodestable", name("a"), "coupon_codes", "network_coupon_code_id", &[1, 2, 3]),
        (
            "couponcodestable",
            json!({"search_terms": [{"search_type": "coupon_code", "value": "be"}]}),
            "coupon_codes",
            "network_coupon_code_id",
            &[2],
        ),
        (
            "couponcodestable",
            by(json!({"network_affiliate_ids": [1, 2], "coupon_codes": ["abc", "Beta"]})),
            "coupon_codes",
            "network_coupon_code_id",
            &[2, 3],
        ),
        (
            "couponcodestable",
            by(json!({"network_offer_ids": [1, 2]})),
            "coupon_codes",
            "network_coupon_code_id",
            &[1, 2, 3],
        ),
    ];
    for (table, body, list, id, expected) in cases {
        let answer = network.post(table, body.clone()).await.done();
        assert_eq!(ids(&answer, list, id), expected, "{table} {body}");
        assert_eq!(answer["paging"]["total_count"], expected.len(), "{table} {body}");
        assert_eq!(answer.get("warnings"), None, "{table} {body}");
    }
}

#[tokio::test]
async fn the_page_of_a_body_wins_over_the_address() {
    let network = start_with_offers().await;
    let page = async |query: &str, body: Value| {
        let answer = network.post(&format!("offerstable{query}"), body).await.done();
        let paging = &answer["paging"];
        (
            ids(&answer, "offers", "network_offer_id"),
            paging["page"].clone(),
            paging["page_size"].clone(),
        )
    };
    assert_eq!(page("?page=2&page_size=1", json!({})).await, (vec![2], json!(2), json!(1)));
    let body = json!({"page": 1, "page_size": "2"});
    assert_eq!(page("?page=2&page_size=1", body).await, (vec![1, 2], json!(1), json!(2)));
    let body = json!({"paging": {"page": 2, "page_size": 1}});
    assert_eq!(page("?relationship=advertiser", body).await, (vec![2], json!(2), json!(1)));
}

#[tokio::test]
async fn filters_that_a_table_does_not_have_are_told() {
    let network = start_with_offers().await;
    let body = json!({
        "search_terms": [{"search_type": "advertiser_name", "value": "x"}],
        "filters": {"labels": ["new"], "network_offer_ids": [1]}, "query": {},
    });
    let answer = network.post("offerstable", body.clone()).await.done();
    assert_eq!(ids(&answer, "offers", "network_offer_id"), [1]);
    let told: Vec<_> = answer["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["field"].as_str().unwrap())
        .collect();
    let expected = ["query", "search_terms[0].search_type", "filters.labels"];
    assert_eq!(told, expected);
    let refused = network.post("offerstable?strict=true", body).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", expected.to_vec()));
    for (body, field) in [
        (json!({"filters": {"offer_status": "gone"}}), "filters.offer_status"),
        (json!({"filters": {"network_offer_ids": [1, "x"]}}), "filters.network_offer_ids"),
        (
            json!({"filters": {"network_tracking_domain_ids": [0, 1]}}),
            "filters.network_tracking_domain_ids",
        ),
        (json!({"filters": {"network_offer_id": {"a": 1}}}), "filters.network_offer_id"),
        (json!({"filters": []}), "filters"),
        (json!({"page": 0}), "page"),
        (json!({"page_size": 2001}), "page_size"),
        (json!({"search_terms": [{"search_type": "name"}]}), "search_terms[0].value"),
    ] {
        let refused = network.post("offerstable", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{body}");
    }
}

#[tokio::test]
async fn the_partners_with_one_visibility_are_replaced() {
    let network = start_with_offers().await;
    let set = async |partners: Value, kind: &str| {
        let body = json!({"network_affiliate_ids": partners, "set_type": kind});
        network.put("offers/1/visibility", body).await.done()
    };
    set(json!([1]), "hidden").await;
    let now = set(json!([2, 2]), "visible").await;
    let shape = json!({
        "network_id": 1, "network_offer_id": 1, "visibility": "public",
        "network_affiliate_visible_ids": [2], "network_affiliate_rejected_ids": [],
        "network_affiliate_hidden_ids": [1],
        "affiliates": [
            {"network_affiliate_id": 1, "status": "hidden"},
            {"network_affiliate_id": 2, "status": "visible"},
        ],
    });
    assert_eq!(now, shape);
    assert_eq!(network.get("offers/1/visibility").await.done(), shape);
    let now = set(json!([1]), "visible").await;
    assert_eq!(now["affiliates"], json!([{"network_affiliate_id": 1, "status": "visible"}]));
    let body = json!({"network_offer_ids": [1, 2], "visibility_type": "rejected"});
    network.patch("affiliates/2/offers/visibility", body).await.done();
    let now = network.get("offers/1/visibility").await.done();
    assert_eq!(now["network_affiliate_rejected_ids"], json!([2]));
    assert_eq!(set(json!([]), "visible").await["network_affiliate_visible_ids"], json!([]));
}

#[tokio::test]
async fn a_set_of_partners_that_is_wrong_changes_nothing() {
    let network = start_with_offers().await;
    for (body, field) in [
        (
            json!({"network_affiliate_ids": [1, 9], "set_type": "visible"}),
            "network_affiliate_ids[1]",
        ),
        (json!({"network_affiliate_ids": [1]}), "set_type"),
        (json!({"set_type": "visible"}), "network_affiliate_ids"),
        (json!({"network_affiliate_ids": [1], "set_type": "gone"}), "set_type"),
        (json!({"network_affiliate_ids": "1", "set_type": "visible"}), "network_affiliate_ids"),
    ] {
        let refused = network.put("offers/1/visibility", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{body}");
    }
    assert_eq!(network.get("offers/1/visibility").await.done()["affiliates"], json!([]));
    let body = json!({"network_affiliate_ids": [1], "set_type": "visible"});
    assert_eq!(network.put("offers/9/visibility", body).await.status, 404);
}

#[tokio::test]
async fn a_partner_gets_keys_of_its_own() {
    let network = start_with_offers().await;
    let path = "affiliates/1/apikeys";
    let made = network.post(path, json!({"name": "Tap"})).await.done();
    assert_eq!((&made["name"], &made["role"]), (&json!("Tap"), &json!("partner")));
    let secret = made["api_key"].as_str().unwrap();
    let codes = network.call_as(secret, "GET", "/v1/affiliates/couponcodes", None).await;
    assert_eq!(codes.status, 200);
    assert_eq!(network.post(path, json!({})).await.done()["name"], "Anna");
    network.post("affiliates/2/apikeys", json!({})).await.done();
    let listed = network.get(&format!("{path}?page_size=5")).await.done();
    assert_eq!(ids(&listed, "api_keys", "network_affiliate_id"), [1, 1]);
    assert_eq!(listed["api_keys"][0].get("api_key"), None);
    assert_eq!(network.get("affiliates/9/apikeys").await.refusal().0, 404);
    assert_eq!(network.post("affiliates/9/apikeys", json!({})).await.refusal().0, 404);
    let refused = network.post(path, json!({"role": "admin"})).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["role"]));
    assert_eq!(network.post(path, json!({"name": ""})).await.refusal().2, ["name"]);
}
