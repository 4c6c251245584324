//! Lists: pages, filters, relationships.

use serde_json::{Value, json};

use crate::client::{Running, code, start_with_offers, with};

async fn codes(network: &Running, query: &str) -> Vec<String> {
    let answer = network.get(&format!("couponcodes{query}")).await.done();
    let rows = answer["coupon_codes"].as_array().unwrap();
    rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect()
}

/// ALPHA of Anna, beta of Ben, Gamma without a partner and paused, DELTA of Anna on offer 2.
async fn four_codes() -> Running {
    let network = start_with_offers().await;
    let rows = json!([
        code("ALPHA"),
        with(code("beta"), json!({"network_affiliate_id": 2, "start_date": "2026-06-01"})),
        with(code("Gamma"), json!({"network_affiliate_id": 0, "coupon_status": "paused"})),
        with(code("DELTA"), json!({"network_offer_id": 2})),
    ]);
    network.post("couponcodes/bulk", rows).await.done();
    network
}

#[tokio::test]
async fn filters_hold_together_and_ignore_the_case_of_codes() {
    let network = four_codes().await;
    let cases: [(&str, &[&str]); 10] = [
        ("", &["ALPHA", "beta", "Gamma", "DELTA"]),
        ("?filter=coupon_code=alpha", &["ALPHA"]),
        ("?filter=coupon_code%3DBETA", &["beta"]),
        ("?filter=network_affiliate_id=1", &["ALPHA", "DELTA"]),
        ("?filter=network_affiliate_id=0", &["Gamma"]),
        ("?filter=network_affiliate_id=1&filter=network_offer_id=2", &["DELTA"]),
        ("?filter=coupon_status=paused", &["Gamma"]),
        ("?filter=network_coupon_code_id>2", &["Gamma", "DELTA"]),
        ("?filter=start_date<2026-07-01", &["beta"]),
        ("?search=TA", &["beta", "DELTA"]),
    ];
    for (query, expected) in cases {
        let query = query.replace('>', "%3E").replace('<', "%3C");
        assert_eq!(codes(&network, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn lists_come_in_the_order_that_is_asked_for() {
    let network = four_codes().await;
    let cases: [(&str, &[&str]); 7] = [
        ("?sort=coupon_code", &["ALPHA", "beta", "DELTA", "Gamma"]),
        ("?sort=-network_coupon_code_id", &["DELTA", "Gamma", "beta", "ALPHA"]),
        ("?sort=-start_date&page_size=1", &["beta"]),
        ("?sort=network_affiliate_id", &["Gamma", "ALPHA", "DELTA", "beta"]),
        ("?prefix=Al", &["ALPHA"]),
        ("?prefix=", &["ALPHA", "beta", "Gamma", "DELTA"]),
        ("?search=A&sort=-coupon_code&page=2&page_size=2", &["beta", "ALPHA"]),
    ];
    for (query, expected) in cases {
        assert_eq!(codes(&network, query).await, expected, "{query}");
    }
    let offers = network.get("offers?sort=-name&search=JACK").await.done();
    assert_eq!(offers["offers"][0]["name"], "Winter Jackets");
}

#[tokio::test]
async fn a_filters_value_is_read_as_the_type_of_its_field() {
    let network = four_codes().await;
    network.patch("couponcodes/1", json!({"end_date": "2027-12-31"})).await.done();
    let cases: [(&str, &[&str]); 6] = [
        ("?filter=coupon_status=inactive", &["Gamma"]),
        ("?filter=end_date<2027-09-01", &[]),
        ("?filter=end_date>2027-09-01", &["ALPHA"]),
        ("?filter=end_date=", &["beta", "Gamma", "DELTA"]),
        ("?filter=start_date=&filter=network_affiliate_id=1", &["ALPHA", "DELTA"]),
        ("?filter=network_affiliate_id>0&sort=-coupon_code", &["DELTA", "beta", "ALPHA"]),
    ];
    for (query, expected) in cases {
        let query = query.replace('>', "%3E").replace('<', "%3C");
        assert_eq!(codes(&network, &query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn a_filters_value_of_another_type_is_refused_in_every_list() {
    let network = four_codes().await;
    let wrong = [
        "couponcodes?filter=end_date<2027-9-1",
        "couponcodes?filter=end_date<tomorrow",
        "couponcodes?filter=end_date>",
        "couponcodes?filter=coupon_status=gone",
        "couponcodes?filter=coupon_status>active",
        "couponcodes?filter=time_created>2026-01-01",
        "couponcodes?filter=network_offer_id=",
        "offers?filter=offer_status=gone",
        "offers?filter=offer_status=deleted",
        "offers?filter=visibility=open",
        "affiliates?filter=account_status=gone",
        "advertisers?filter=account_status=",
        "trackingdomains?filter=time_saved=now",
        "pixels?filter=pixel_status=gone",
        "pixels?filter=pixel_type=gone",
        "pixeldeliveries?filter=state=gone",
        "pixeldeliveries?filter=conversion_id=12",
        "apikeys?filter=role=root",
        "audit?filter=actor=nobody",
        "audit?filter=object=tabel",
        "audit?filter=action=gone",
        "postbacks?filter=status=gone",
        "postbacks?filter=outcome=gone",
        "postbacks?filter=channel=pigeon",
        "postbacks?filter=error_code=none",
        "postbacks?filter=time_received=today",
        "couponcodes?filter=deleted=yes",
    ];
    for query in wrong {
        let field = query.split(['=', '<', '>']).nth(1).unwrap();
        let refused = network.get(&query.replace('>', "%3E").replace('<', "%3C")).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec!["filter"]), "{query}");
        let said = refused.body["fields"][0]["error"].as_str().unwrap();
        assert!(said.starts_with(field), "{query}: {said}");
    }
}

#[tokio::test]
async fn a_search_by_name_ignores_case_in_every_alphabet() {
    let network = four_codes().await;
    network.patch("offers/1", json!({"name": "MÜNCHEN Straße"})).await.done();
    network.patch("affiliates/1", json!({"name": "Ёлка Σίσυφος"})).await.done();
    for (list, searched, found) in [
        ("offers", "münchen", 1),
        ("offers", "STRASSE", 1),
        ("offers", "Muenchen", 0),
        ("affiliates", "ёЛКА", 1),
        ("affiliates", "ΣΊΣΥΦΟΣ", 1),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(searched.as_bytes()).collect();
        let answer = network.get(&format!("{list}?search={query}")).await.done();
        assert_eq!(answer["paging"]["total_count"], found, "{searched}");
    }
}

#[tokio::test]
async fn an_order_that_a_list_does_not_have_is_refused() {
    let network = four_codes().await;
    for (query, field) in [
        ("couponcodes?sort=description", "sort"),
        ("couponcodes?sort=", "sort"),
        ("couponcodes?sort=--coupon_code", "sort"),
        ("couponcodes?sort=coupon_code;DROP", "sort"),
        ("offers?prefix=W", "prefix"),
        ("apikeys?search=x", "search"),
    ] {
        let refused = network.get(query).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query}");
    }
}

#[tokio::test]
async fn counts_stay_right_through_edits_and_deletions() {
    let network = four_codes().await;
    let count = async |query: &str| {
        network.get(&format!("couponcodes{query}")).await.done()["paging"]["total_count"].clone()
    };
    network.patch("couponcodes/1", json!({"coupon_status": "paused"})).await.done();
    network.patch("couponcodes/3", json!({"network_affiliate_id": 1})).await.done();
    network.delete("couponcodes/4").await.done();
    for (query, expected) in [
        ("", 3),
        ("?filter=coupon_status=paused", 2),
        ("?filter=network_affiliate_id=0", 0),
        ("?filter=network_affiliate_id=1&filter=coupon_status=paused", 2),
        ("?filter=network_offer_id=2", 0),
    ] {
        assert_eq!(count(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_divide_a_list_and_count_all_of_it() {
    let network = four_codes().await;
    network.delete("couponcodes/2").await.done();
    let page = network.get("couponcodes?page=2&page_size=2").await.done();
    assert_eq!(page["paging"], json!({"page": 2, "page_size": 2, "total_count": 3}));
    assert_eq!(codes(&network, "?page=2&page_size=2").await, ["DELTA"]);
    assert_eq!(codes(&network, "?page=9").await, [""; 0]);
}

#[tokio::test]
async fn relationships_come_only_when_asked_for() {
    let network = four_codes().await;
    let plain = network.get("couponcodes").await.done();
    assert!(
        plain["coupon_codes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row.get("relationship").is_none())
    );
    let related = network.get("couponcodes?relationship=offer&relationship=affiliate").await.done();
    let expected = json!({
        "offer": {"network_offer_id": 1, "network_id": 1, "name": "Winter Jackets", "offer_status": "active"},
        "affiliate": {"network_affiliate_id": 2, "network_id": 1, "name": "Ben", "account_status": "active"},
    });
    assert_eq!(related["coupon_codes"][1]["relationship"], expected);
    assert_eq!(related["coupon_codes"][2]["relationship"].get("affiliate"), None);
}

#[tokio::test]
async fn every_list_has_its_plural_name_and_its_paging() {
    let network = four_codes().await;
    for (path, key, count) in [
        ("couponcodes", "coupon_codes", 4),
        ("offers", "offers", 2),
        ("affiliates", "affiliates", 2),
        ("advertisers", "advertisers", 1),
        ("trackingdomains", "tracking_domains", 1),
        ("apikeys", "api_keys", 1),
    ] {
        let list = network.get(path).await.done();
        assert_eq!(list[key].as_array().map(Vec::len), Some(count), "{path}");
        assert_eq!(list["paging"]["total_count"], count, "{path}");
    }
    let named: Value = network.get("offers?filter=name=Dress%20Pants").await.done();
    assert_eq!(named["offers"][0]["network_offer_id"], 2);
}

/// Codes and paging of a page.
async fn page(network: &Running, query: &str) -> (Vec<String>, Value) {
    let answer = network.get(&format!("couponcodes?page_size=3&{query}")).await.done();
    let rows = answer["coupon_codes"].as_array().unwrap();
    let codes = rows.iter().map(|row| row["coupon_code"].as_str().unwrap().to_owned()).collect();
    (codes, answer["paging"].clone())
}

fn owned(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

fn encoded(cursor: &Value) -> String {
    url::form_urlencoded::byte_serialize(cursor.as_str().unwrap().as_bytes()).collect()
}

#[tokio::test]
async fn cursors_lead_through_a_list_and_back() {
    let network = four_codes().await;
    for (sort, all) in [
        ("sort=-coupon_code", ["Gamma", "DELTA", "beta", "ALPHA"]),
        ("sort=start_date", ["ALPHA", "Gamma", "DELTA", "beta"]),
        ("sort=network_affiliate_id", ["Gamma", "ALPHA", "DELTA", "beta"]),
        ("sort=-network_affiliate_id", ["beta", "DELTA", "ALPHA", "Gamma"]),
        ("sort=network_coupon_code_id", ["ALPHA", "beta", "Gamma", "DELTA"]),
    ] {
        let (first, paging) = page(&network, &format!("{sort}&after=")).await;
        assert_eq!(first, all[..3], "{sort}");
        assert_eq!((&paging["before"], paging.get("page")), (&Value::Null, None));
        let counted = (&paging["total_count"], &paging["is_total_exact"]);
        assert_eq!(counted, (&json!(4), &json!(true)));
        let next = format!("{sort}&after={}", encoded(&paging["after"]));
        let (second, paging) = page(&network, &next).await;
        assert_eq!((second.as_slice(), &paging["after"]), (&owned(&all[3..])[..], &Value::Null));
        let back = format!("{sort}&before={}", encoded(&paging["before"]));
        assert_eq!(page(&network, &back).await.0, all[..3], "{sort}");
        let (last, paging) = page(&network, &format!("{sort}&before=")).await;
        assert_eq!((last.as_slice(), &paging["after"]), (&owned(&all[1..])[..], &Value::Null));
        assert!(paging["before"].is_string());
    }
}

#[tokio::test]
async fn a_wrong_cursor_is_refused_with_its_name() {
    let network = four_codes().await;
    for (query, field) in [
        ("after=x", "after"),
        ("before=1:nothing:2", "before"),
        ("before=1:start_date:tomorrow", "before"),
        ("sort=start_date&after=1:coupon_code:alpha", "after"),
        ("after=&page=2", "after"),
        ("after=&before=", "before"),
    ] {
        let refused = network.get(&format!("couponcodes?{query}")).await;
        assert_eq!(refused.refusal(), (400, "request.invalid", vec![field]), "{query}");
    }
    let elsewhere = network.get("offers?after=").await;
    assert_eq!(elsewhere.refusal(), (400, "request.invalid", vec!["after"]));
}
