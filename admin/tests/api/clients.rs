//! Requests as clients that were made for Everflow send them.

use serde_json::{Value, json};

use crate::client::{Answer, Running, code, offer, start_with_offers, with};

async fn get(network: &Running, path: &str) -> Value {
    network.call_as(&network.key, "GET", path, None).await.done()
}

fn ids(answer: &Value, list: &str, id: &str) -> Vec<u64> {
    answer[list].as_array().unwrap().iter().map(|row| row[id].as_u64().unwrap()).collect()
}

/// The fields that an answer warns of.
fn warned_fields(answer: &Value) -> Vec<&str> {
    let warnings = answer["warnings"].as_array().unwrap().iter();
    warnings.map(|warning| warning.as_str().unwrap().split_once(": ").unwrap().0).collect()
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
async fn devices_and_brands_have_short_paths() {
    let network = start_with_offers().await;
    for (short, long, list) in
        [("devices", "devicetypes", "device_types"), ("brands", "devicebrands", "device_brands")]
    {
        let rows = get(&network, &format!("/v1/meta/{short}")).await[short].clone();
        assert!(rows.as_array().is_some_and(|rows| !rows.is_empty()), "{short}");
        assert_eq!(rows, get(&network, &format!("/v1/meta/{long}")).await[list], "{short}");
    }
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
    assert_eq!(warned_fields(&answer), ["relationship.users", "order_field"]);
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
        "filters": {"labels": [{"id": 1}], "network_offer_ids": [1]}, "query": {},
    });
    let answer = network.post("offerstable", body.clone()).await.done();
    assert_eq!(ids(&answer, "offers", "network_offer_id"), [1]);
    let expected = ["query", "search_terms[0].search_type", "filters.labels"];
    assert_eq!(warned_fields(&answer), expected);
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

#[tokio::test]
async fn a_click_link_names_partner_and_offer() {
    let network = start_with_offers().await;
    let ask = async |body: Value| network.post("tracking/offers/clicks", body).await.done();
    let body =
        json!({"network_offer_id": 2, "network_affiliate_id": "1", "sub1": "a b", "sub2": ""});
    let link = ask(body.clone()).await;
    assert_eq!(link, json!({"url": "https://go.example.com/1/2/?sub1=a%20b"}));
    network.post("trackingdomains", json!({"base_url": "https://b.example.com"})).await.done();
    let over = json!({"network_tracking_domain_id": 2, "source_id": "news", "creative_id": 7});
    let link = ask(with(body, over)).await;
    assert_eq!(link["url"], "https://b.example.com/1/2/?source_id=news&sub1=a%20b");
    assert_eq!(warned_fields(&link), ["creative_id"]);
    let body = json!({"network_offer_id": 2, "network_affiliate_id": 2, "sub5": "x"});
    let seen = network.post("tracking/offers/impressions", body).await.done();
    let url = "https://go.example.com/sdk/impression?oid=2&affid=2&sub5=x";
    assert_eq!(seen, json!({"url": url}));
}

#[tokio::test]
async fn links_are_for_partners_who_may_run_the_offer() {
    let network = start_with_offers().await;
    network.patch("offers/2", json!({"visibility": "private"})).await.done();
    let body = |offer: Value, partner: Value| json!({"network_offer_id": offer, "network_affiliate_id": partner});
    for (body, fields) in [
        (body(json!(9), json!(8)), vec!["network_offer_id", "network_affiliate_id"]),
        (body(json!(2), json!(1)), vec!["network_affiliate_id"]),
        (body(json!(0), json!(1)), vec!["network_offer_id"]),
        (body(json!(1), json!("x")), vec!["network_affiliate_id"]),
        (json!({"network_offer_id": 1}), vec!["network_affiliate_id"]),
        (
            with(body(json!(1), json!(1)), json!({"network_tracking_domain_id": 9})),
            vec!["network_tracking_domain_id"],
        ),
    ] {
        for kind in ["clicks", "impressions"] {
            let refused = network.post(&format!("tracking/offers/{kind}"), body.clone()).await;
            assert_eq!(refused.refusal(), (400, "request.invalid", fields.clone()), "{body}");
        }
    }
    network.patch("offers/1", json!({"offer_status": "paused"})).await.done();
    let link = network.post("tracking/offers/impressions", body(json!(1), json!(1))).await.done();
    assert_eq!(warned_fields(&link), ["network_offer_id"]);
}

#[tokio::test]
async fn a_code_has_a_tracking_url() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ALPHA")).await.done();
    network
        .post("couponcodes", with(code("BETA"), json!({"network_affiliate_id": 0})))
        .await
        .done();
    let link =
        json!({"url": "https://go.example.com/ALPHA/", "tracking_link_unavailable_reason": ""});
    assert_eq!(network.get("couponcodes/1/trackingurl").await.done(), link);
    let link = json!({"url": "", "tracking_link_unavailable_reason": "unassigned"});
    assert_eq!(network.get("couponcodes/2/trackingurl").await.done(), link);
    assert_eq!(network.get("couponcodes/9/trackingurl").await.refusal().0, 404);
}

#[tokio::test]
async fn an_offer_is_copied_with_the_chosen_parts() {
    let network = start_with_offers().await;
    let event = json!({"entry_name": "Sign-up", "payout_type": "cpa", "payout_amount": 2, "revenue_type": "rpa"});
    let base = json!({"payout_type": "cpa", "payout_amount": 5, "revenue_type": "rpa", "is_default": true});
    let redirect = json!({"redirect_network_offer_id": 2});
    let edit = json!({"payout_revenue": [base, event], "internal_redirects": [redirect]});
    let original = network.patch("offers/1", edit).await.done();
    let hidden = json!({"network_affiliate_ids": [2], "set_type": "hidden"});
    network.put("offers/1/visibility", hidden).await.done();
    let rule = json!({"name": "Away", "destination_network_offer_id": 2, "forwarding_rule_status": "active"});
    network.post("offers/1/forwardingrules", rule).await.done();
    let boots = json!({"name": "Boots", "network_offer_id": 1, "destination_url": "https://shop.example.com/boots"});
    network.post("offerurls", boots).await.done();
    let cap = json!({"name": "Anna", "network_offer_id": 1, "network_affiliate_id": 1, "daily_conversion_cap": 3});
    network.post("custom/caps", cap).await.done();

    let bare = network.get("offers/1/copy?is_copy_creatives=true").await.done();
    assert_eq!(
        (&bare["network_offer_id"], &bare["name"]),
        (&json!(3), &json!("Winter Jackets (Copy)"))
    );
    let payouts = |offer: &Value| {
        let entries = offer["payout_revenue"].as_array().unwrap().iter();
        entries
            .map(|entry| entry["network_offer_payout_revenue_id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let (of_original, of_copy) = (payouts(&original), payouts(&bare));
    assert_eq!(of_copy.len(), 2);
    assert!(of_copy.iter().all(|id| !of_original.contains(id)), "{of_copy:?}");
    assert_eq!(network.get("offers/3/visibility").await.done()["affiliates"], json!([]));

    let parts =
        "is_copy_visibility=true&is_copy_forwarding_rules=true&is_copy_custom_settings=true";
    let path = format!("offers/1/copy?name=Spring&is_copy_additional_urls=true&{parts}");
    let whole =
        network.call_as(&network.key, "POST", &format!("/v1/networks/{path}"), None).await.done();
    assert_eq!((&whole["network_offer_id"], &whole["name"]), (&json!(4), &json!("Spring")));
    let hidden = network.get("offers/4/visibility").await.done();
    assert_eq!(hidden["network_affiliate_hidden_ids"], json!([2]));
    let rules = network.get("offers/4/forwardingrules").await.done();
    assert_eq!(rules["forwarding_rules"][0]["name"], "Away");
    let urls = network.get("offerurls?filter=network_offer_id=4").await.done();
    assert_eq!(ids(&urls, "urls", "network_offer_url_id"), [2]);
    assert_eq!(urls["urls"][0]["name"], "Boots");
    assert_eq!(network.get("offerurls").await.done()["paging"]["total_count"], 2);
    let caps = network.get("custom/caps?filter=network_offer_id=4").await.done();
    assert_eq!(caps["custom_cap_settings"][0]["daily_conversion_cap"], 3);
    assert_eq!(network.get("offers/9/copy").await.refusal().0, 404);
    assert_eq!(network.get("offers/1/copy?name=").await.refusal().2, ["name"]);
    assert_eq!(network.get("offers/1/copy?colour=red").await.refusal().2, ["colour"]);
    assert_eq!(
        network.get("offers/1/copy?is_copy_visibility=1").await.refusal().2,
        ["is_copy_visibility"]
    );
    assert_eq!(network.get("offers").await.done()["paging"]["total_count"], 4);
}

#[tokio::test]
async fn the_same_fields_of_several_objects_are_patched() {
    let network = start_with_offers().await;
    let field = |name: &str, value: Value| json!({"field_type": name, "field_value": value});
    let countries = json!([{"country_code": "DE", "targeting_type": "include"}]);
    let more = json!([{"country_code": "AT", "targeting_type": "include"}]);
    let base = json!([{"payout_type": "cpa", "payout_amount": 5, "revenue_type": "rpa", "is_default": true}]);
    network.patch("offers/1", json!({"payout_revenue": base.clone()})).await.done();
    network.patch("offers/2", json!({"payout_revenue": base})).await.done();
    let body = json!({"network_offer_ids": [1, 2, 1], "fields": [
        field("offer_name", json!("Same")),
        field("ruleset_countries", countries),
        with(field("ruleset_countries", more), json!({"operator": "append"})),
        field("payout", json!({"payout_amount": 7})),
    ]});
    let answer = network.patch("patch/offers/apply?allow_missing_data=true", body).await.done();
    assert_eq!(answer, json!({"result": true}));
    for id in 1..=2 {
        let offer = network.get(&format!("offers/{id}")).await.done();
        assert_eq!((&offer["name"], &offer["offer_status"]), (&json!("Same"), &json!("active")));
        let countries = offer["ruleset"]["countries"].as_array().unwrap().iter();
        assert_eq!(countries.map(|it| &it["country_code"]).collect::<Vec<_>>(), ["DE", "AT"]);
        assert_eq!(offer["payout_revenue"][0]["payout_amount"], 7);
    }
    let body = json!({"network_affiliate_ids": [1, 2], "fields": [field("account_status", json!("inactive"))]});
    network.patch("patch/affiliates/apply", body).await.done();
    assert_eq!(network.get("affiliates/2").await.done()["account_status"], "inactive");
    for path in ["advertiser", "advertisers"] {
        let body = json!({"network_advertiser_ids": [1], "fields": [field("verification_token", json!(path))]});
        network.patch(&format!("patch/{path}/apply"), body).await.done();
        assert_eq!(network.get("advertisers/1").await.done()["verification_token"], path);
    }
    let changed = network.get("audit?filter=object=affiliate&filter=action=changed").await.done();
    assert_eq!(changed["paging"]["total_count"], 2);
}

#[tokio::test]
async fn a_patch_of_several_objects_changes_all_or_none() {
    let network = start_with_offers().await;
    let pause = json!([{"field_type": "offer_status", "field_value": "paused"}]);
    let wrong = |name: &str, value: Value| json!([{"field_type": name, "field_value": value}]);
    for (body, field) in [
        (json!({"network_offer_ids": [1, 9], "fields": pause}), "network_offer_ids"),
        (json!({"network_offer_ids": [], "fields": pause}), "network_offer_ids"),
        (json!({"network_offer_ids": ["x"], "fields": pause}), "network_offer_ids[0]"),
        (json!({"fields": pause}), "network_offer_ids"),
        (json!({"network_offer_ids": [1], "fields": []}), "fields"),
        (json!({"network_offer_ids": [1], "fields": pause, "colour": 1}), "colour"),
        (
            json!({"network_offer_ids": [1, 2], "fields": wrong("network_advertiser_id", json!(9))}),
            "network_advertiser_id",
        ),
        (
            json!({"network_offer_ids": [1], "fields": wrong("offer_status", json!("gone"))}),
            "offer_status",
        ),
        (
            json!({"network_offer_ids": [1], "fields": [{"field_type": "name", "field_value": ["x"], "operator": "append"}]}),
            "fields[0].field_value",
        ),
    ] {
        let refused = network.patch("patch/offers/apply", body.clone()).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{body}");
    }
    for id in 1..=2 {
        assert_eq!(network.get(&format!("offers/{id}")).await.done()["offer_status"], "active");
    }
}

#[tokio::test]
async fn a_preview_tells_the_changes_and_makes_none() {
    let network = start_with_offers().await;
    network.post("couponcodes", code("ALPHA")).await.done();
    let field = |status: &str| json!({"field_type": "offer_status", "field_value": status});
    let body = |status: &str| json!({"network_offer_ids": [1, 2, 9], "fields": [field(status)]});
    let preview = network.post("patch/offers/submit", body("paused")).await.done();
    let overwrite = json!({"operator": "overwrite"});
    let expected = json!({
        "network_offer": {"network_offer_id": 1, "network_id": 1, "name": "Winter Jackets", "offer_status": "active"},
        "change_status": "ok", "current_field": with(field("active"), overwrite.clone()),
        "changed_field": with(field("paused"), overwrite), "error_message": "", "related_changes": "",
    });
    assert_eq!(preview["changes"][0], expected);
    assert_eq!(preview["changes"].as_array().unwrap().len(), 2);
    assert_eq!(preview["resource_errors"][0]["id"], 9);
    // Offer 1 has a live code.
    let preview = network.post("patch/offers/submit", body("deleted")).await.done();
    let verdicts = [&preview["changes"][0], &preview["changes"][1]].map(|it| &it["change_status"]);
    assert_eq!(verdicts, ["error", "ok"]);
    assert!(!preview["changes"][0]["error_message"].as_str().unwrap().is_empty());
    for id in 1..=2 {
        assert_eq!(network.get(&format!("offers/{id}")).await.done()["offer_status"], "active");
    }
    assert_eq!(
        network.get("audit?filter=object=offer&filter=action=changed").await.done()["paging"]["total_count"],
        0
    );
    let refused =
        network.post("patch/affiliates/submit", json!({"network_affiliate_ids": [1]})).await;
    assert_eq!(refused.refusal(), (400, "request.invalid", vec!["fields"]));
}

#[tokio::test]
async fn reports_ignore_what_only_everflow_has_and_tell_so() {
    let network = start_with_offers().await;
    let body = json!({
        "from": "2026-06-01", "to": "2026-06-30", "timezone_id": "67", "currency_id": "",
        "columns": [{"column": "adset"}, {"column": "offer"}], "usm_columns": [],
        "show_only_scrub": true, "show_only_vt": false,
        "query": {"filters": [
            {"resource_type": "category", "filter_id_value": "3"},
            {"resource_type": "country_code", "filter_id_value": "DE"},
        ], "metric_filters": [], "search_terms": [{"search_type": "name", "value": "x"}]},
    });
    let ignored =
        ["show_only_scrub", "query.search_terms", "columns.adset", "query.filters.category"];
    let table = network.post("reporting/entity/table?relationship=all", body.clone()).await.done();
    assert_eq!(warned_fields(&table)[..4], ignored);
    let summary = network.post("reporting/entity/summary", body.clone()).await.done();
    assert_eq!(warned_fields(&summary)[..4], ignored);
    assert_eq!((&summary["total_click"], &summary["revenue"]), (&json!(0), &json!(0)));
    let refused = network.post("reporting/entity/summary?strict=true", body).await;
    assert_eq!(refused.refusal().2, ignored);

    let day = json!({"from": "2026-06-01", "to": "2026-06-02", "timezone_id": 67});
    let label = json!({"query": {"filters": [{"resource_type": "label", "filter_id_value": "x"}]}});
    for report in
        ["clicks", "clicks/stream", "conversions", "postconversions", "conversions/stream"]
    {
        let answer = network
            .post(&format!("reporting/{report}?order_field="), with(day.clone(), label.clone()))
            .await;
        assert_eq!(warned_fields(&answer.done()), ["query.filters.label"], "{report}");
        let misspelt =
            json!({"query": {"filters": [{"resource_type": "ofer", "filter_id_value": 1}]}});
        let refused =
            network.post(&format!("reporting/{report}"), with(day.clone(), misspelt)).await;
        assert_eq!(refused.refusal().2, ["query.filters[0].resource_type"], "{report}");
        let refused =
            network.post(&format!("reporting/{report}"), json!({"to": "2026-06-02"})).await;
        assert_eq!(refused.refusal().2, ["from"], "{report}");
        let wrong = with(day.clone(), json!({"timezone_id": "x"}));
        let refused = network.post(&format!("reporting/{report}"), wrong).await;
        assert_eq!(refused.refusal().2, ["timezone_id"], "{report}");
    }
}

#[tokio::test]
async fn the_dashboard_has_four_periods() {
    let network = start_with_offers().await;
    let dashboard = network.get("dashboard/summary?range=today").await.done();
    let nothing = json!({"today": 0, "yesterday": 0, "current_month": 0, "last_month": 0, "trending_percentage": 0.0});
    for figure in ["click", "conversion", "revenue", "payout", "profit", "gross_sales", "event"] {
        assert_eq!(dashboard[figure], nothing, "{figure}");
    }
    let key = network.post("affiliates/1/apikeys", json!({})).await.done();
    let path = "/v1/affiliates/dashboard/summary";
    let own = network.call_as(key["api_key"].as_str().unwrap(), "GET", path, None).await.done();
    assert_eq!(own["payout"], nothing);
    assert_eq!((own.get("revenue"), own.get("profit")), (None, None));
}

/// Calls `/v1/affiliates` as partner 1.
async fn as_partner(
    network: &Running,
    key: &Value,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let key = key["api_key"].as_str().unwrap();
    network.call_as(key, method, &format!("/v1/affiliates/{path}"), body).await
}

#[tokio::test]
async fn a_partner_sees_the_offers_that_it_may_run() {
    let network = start_with_offers().await;
    for name in ["Hidden", "Approved", "Paused"] {
        network.post("offers", offer(name)).await.done();
    }
    let base = json!({"payout_type": "cpa", "payout_amount": 5, "revenue_type": "rpa", "revenue_amount": 9, "is_default": true});
    let private = json!({"entry_name": "Bonus", "payout_type": "cpa", "payout_amount": 8, "revenue_type": "rpa", "is_private": true});
    network.patch("offers/1", json!({"payout_revenue": [base, private]})).await.done();
    network.patch("offers/3", json!({"visibility": "private"})).await.done();
    network.patch("offers/4", json!({"visibility": "require_approval"})).await.done();
    network.patch("offers/5", json!({"offer_status": "paused"})).await.done();
    let approved = json!({"network_affiliate_ids": [1], "set_type": "visible"});
    network.put("offers/4/visibility", approved).await.done();
    let key = network.post("affiliates/1/apikeys", json!({})).await.done();
    let ask = async |path: &str| as_partner(&network, &key, "GET", path, None).await;
    for list in ["offersrunnable", "alloffers", "offers"] {
        let offers = ask(&format!("{list}?page=1&page_size=2")).await.done();
        assert_eq!(ids(&offers, "offers", "network_offer_id"), [1, 2], "{list}");
        assert_eq!(offers["paging"]["total_count"], 3, "{list}");
    }
    let first = ask("offers/1?relationship=all").await.done();
    assert_eq!(first["tracking_url"], "https://go.example.com/1/1/");
    let payouts = &first["relationship"]["payouts"];
    assert_eq!(
        (&payouts["total"], &payouts["entries"][0]["payout_amount"]),
        (&json!(1), &json!(5))
    );
    assert!(!first.to_string().contains("revenue_amount"), "{first}");
    let approved = ask("offers/4").await.done();
    assert_eq!(approved["relationship"]["offer_affiliate_status"], "approved");
    let url = ask("offers/1/url/0?sub1=a%20b&colour=red").await.done();
    assert_eq!(url, json!({"url": "https://go.example.com/1/1/?sub1=a%20b"}));
    for (name, over) in [
        ("Boots", json!({})),
        ("For Ben", json!({"is_apply_specific_affiliates": true, "network_affiliate_ids": [2]})),
        ("Hidden", json!({"is_hidden_affiliate": true})),
        ("Paused", json!({"url_status": "paused"})),
        ("Of offer 2", json!({"network_offer_id": 2})),
    ] {
        let url = json!({"network_offer_id": 1, "name": name, "preview_url": "https://p.example/",
            "destination_url": "https://shop.example.com/SECRET"});
        network.post("offerurls", with(url, over)).await.done();
    }
    let first = ask("offers/1").await.done();
    let boots = json!({"network_offer_url_id": 1, "name": "Boots", "preview_url": "https://p.example/",
        "tracking_url": "https://go.example.com/1/1/?uid=1"});
    assert_eq!(first["relationship"]["urls"], json!({"total": 1, "entries": [boots]}));
    assert!(!first.to_string().contains("SECRET"), "{first}");
    let url = ask("offers/1/url/1?sub1=a").await.done();
    assert_eq!(url, json!({"url": "https://go.example.com/1/1/?sub1=a&uid=1"}));
    for path in ["offers/1/url/2", "offers/1/url/3", "offers/1/url/4", "offers/1/url/5"] {
        assert_eq!(ask(path).await.refusal(), (404, "not_found", vec![]), "{path}");
    }
    for path in
        ["offers/3", "offers/5", "offers/9", "offers/3/url/0", "offers/1/url/9", "offers/1/url/x"]
    {
        assert_eq!(ask(path).await.refusal(), (404, "not_found", vec![]), "{path}");
    }
    let settings = ask("settings").await.done();
    assert_eq!((&settings["network_affiliate_id"], &settings["name"]), (&json!(1), &json!("Anna")));
    network.patch("affiliates/1", json!({"account_status": "inactive"})).await.done();
    assert_eq!(ask("offersrunnable").await.done()["paging"]["total_count"], 0);
}

#[tokio::test]
async fn a_partner_replaces_its_own_postbacks_only() {
    let network = start_with_offers().await;
    for partner in [1, 2] {
        let pixel = json!({"network_affiliate_id": partner, "pixel_status": "active", "signing_key": "0123456789abcdef",
            "postback_url": "https://p.example.com/", "description": "Ours"});
        network.post("pixels", pixel).await.done();
    }
    let key = network.post("affiliates/1/apikeys", json!({})).await.done();
    let put =
        async |path: &str, body: Value| as_partner(&network, &key, "PUT", path, Some(body)).await;
    let body = json!({"pixel_status": "inactive", "postback_url": "https://q.example.com/?t={transaction_id}"});
    let now = put("pixels/1", body.clone()).await.done();
    assert_eq!(now["postback_url"], body["postback_url"]);
    let stored = network.get("pixels/1").await.done();
    assert_eq!(
        (&stored["description"], &stored["signing_key"]),
        (&json!("Ours"), &json!("0123456789abcdef"))
    );
    for path in ["pixels/2", "pixels/9"] {
        assert_eq!(put(path, body.clone()).await.refusal().0, 404, "{path}");
    }
    assert_eq!(network.get("pixels/2").await.done()["postback_url"], "https://p.example.com/");
    for (over, field) in [
        (json!({"network_offer_id": 9}), "network_offer_id"),
        (json!({"network_affiliate_id": 2}), "network_affiliate_id"),
        (json!({"postback_url": "ftp://x"}), "postback_url"),
    ] {
        let refused = put("pixels/1", with(body.clone(), over)).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]));
    }
}

#[tokio::test]
async fn a_partner_reports_by_day_offer_and_sub() {
    let network = start_with_offers().await;
    let key = network.post("affiliates/1/apikeys", json!({})).await.done();
    for report in ["daily", "offer", "sub"] {
        let path = format!("reporting/{report}");
        let ask = async |body: Value| as_partner(&network, &key, "POST", &path, Some(body)).await;
        let body = json!({"from": "2026-06-01", "to": "2026-06-02", "timezone_id": 67});
        assert_eq!(ask(body).await.done()["table"], json!([]), "{report}");
        let body = json!({"from": "2026-06-01", "to": "2026-06-02", "order": "-revenue"});
        assert_eq!(ask(body).await.refusal().2, ["order"], "{report}");
    }
}
